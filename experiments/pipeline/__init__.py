"""The pipeline: recipe, steps, run folder, verification."""
