"""The family of robust networks: the published experiments, and the questions that their papers left open."""
