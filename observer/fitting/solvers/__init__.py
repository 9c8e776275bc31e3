"""The solvers: a problem goes in, a certified network comes out."""

#: Names of the family: a file here, with a function of that name (``observer.fitting.solvers.solver.Solver``) and its ``ITERATIONS``.
SOLVERS = ("gauss_newton", "levenberg_marquardt", "lbfgs", "adam")
