"""Validation: does the estimation error converge? Trials, logs, envelopes, and the worst initial states."""
