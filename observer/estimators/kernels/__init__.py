"""Runs of the estimators as functions that are compiled together with a plant's graphs."""
