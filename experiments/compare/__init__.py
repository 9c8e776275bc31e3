"""``observer compare``: learned and classical estimators on the same trajectories, scenario by scenario."""
