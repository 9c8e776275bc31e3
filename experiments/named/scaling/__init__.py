"""Time and precision against size."""
