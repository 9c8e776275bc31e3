"""Fitting: the problem, the model-informed initial network, the solvers, and ``fit`` that joins them."""
