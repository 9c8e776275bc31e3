"""Measurements, each module one command: ``python -m benchmarks.kernels``."""
