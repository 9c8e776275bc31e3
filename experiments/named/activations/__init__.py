"""Activations under a certificate."""
