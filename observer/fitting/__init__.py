"""Fitting: the problem, the model-informed start, the solvers, and ``fit`` that joins them."""
