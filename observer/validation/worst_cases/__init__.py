"""Where an observer converges worst: starts found by optimisation, and a map over starts in two states."""

from observer.validation.worst_starts.convergence_map import StartMap, chosen_states, start_map
from observer.validation.worst_starts.study import StartStudy, study
from observer.validation.worst_starts.worst_start import GOALS, WorstStart, worst_starts

__all__ = ["GOALS", "StartMap", "StartStudy", "WorstStart", "chosen_states", "start_map", "study", "worst_starts"]
