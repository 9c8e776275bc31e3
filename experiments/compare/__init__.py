"""``observer compare``: learned and classical estimators on the same trajectories, condition by condition."""
