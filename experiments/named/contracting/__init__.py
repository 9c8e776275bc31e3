"""Two solutions of a contracting REN converge."""
