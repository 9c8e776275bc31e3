"""The soundness experiment: proved bounds against fresh trials and adversarial initial states, and how tight they are."""
