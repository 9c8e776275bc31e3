"""A box on a spring: the published recipe and ours."""
