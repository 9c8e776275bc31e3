"""MNIST with LBDN."""
