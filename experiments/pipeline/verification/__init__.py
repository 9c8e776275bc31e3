"""A run folder derived again part by part, each from the parts before it, and compared as a whole with what is stored."""
