"""Where an observer converges worst: initial states found by optimisation, and a map over the initial states in two of them."""

from observer.validation.worst_cases.convergence_map import ConvergenceMap, chosen_states, map_convergence
from observer.validation.worst_cases.study import WorstCaseStudy, study_worst_cases
from observer.validation.worst_cases.worst_case import GOALS, WorstInitialStates, worst_initial_states

__all__ = [
    "GOALS", "ConvergenceMap", "WorstCaseStudy", "WorstInitialStates", "chosen_states", "map_convergence",
    "study_worst_cases", "worst_initial_states",
]  # fmt: skip
