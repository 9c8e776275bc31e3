from .bound import ResidualBound as ResidualBound
from .bound import bound_residual as bound_residual
from .horizon import HorizonBound as HorizonBound
from .horizon import bound_horizon as bound_horizon
from .program import Unprovable as Unprovable
