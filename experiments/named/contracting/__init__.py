"""Two initial states of a contracting REN forget each other."""
