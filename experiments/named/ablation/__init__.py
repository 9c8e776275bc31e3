"""The ablation of the fit: what each of its ingredients is worth, one left out or changed at a time."""
