"""Recurrent equilibrium networks: direct parameters, explicit matrices, and the map between them."""
