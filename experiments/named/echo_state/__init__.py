"""Control under a limited input by convex optimisation over the outputs of a random contracting network."""
