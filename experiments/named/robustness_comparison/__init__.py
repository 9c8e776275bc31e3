"""Robust classifiers side by side."""
