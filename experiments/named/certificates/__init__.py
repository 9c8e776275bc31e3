"""The soundness experiment: proved bounds against fresh trials and adversarial starts, and how tight they are."""
