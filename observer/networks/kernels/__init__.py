"""Compiled arithmetic of the networks: the equilibrium of the neurons, fused steps, and training."""
