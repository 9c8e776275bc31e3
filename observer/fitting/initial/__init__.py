"""Initial networks: where a fit begins."""
