"""Against the linear observer."""
