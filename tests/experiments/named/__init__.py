"""A package, since some of these files are called like those of other rooms."""
