"""Solvers: a problem and a feasible initial network in, a certified network and its history out."""
