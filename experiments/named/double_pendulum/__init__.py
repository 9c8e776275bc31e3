"""A real double pendulum: calibrated from its angles, observed, beside the classical filters."""
