"""The application: the recipe of a run, its steps and folder, the command ``observer``, and the named experiments."""
