"""A controller for the box, learned through its simulation, with a bound on its gain."""
