"""What can be known from the outputs, how fast, and at what price (MATH 2h).

``search_metric`` finds the metric of the fastest contraction, ``residual_lower_bound`` what no observer can do better than, and
``trade_off`` the noise that a faster rate costs. ``observability_coordinates`` are where to search when the plain states fail.
"""

from systems.detectability.coordinates import SPEEDS, observability_coordinates
from systems.detectability.jacobians import FULL_METRIC_UP_TO, Jacobians, output_kernels, rates, sample_jacobians
from systems.detectability.lower_bound import ResidualLowerBound, residual_lower_bound
from systems.detectability.metric_search import METHODS, MetricSearch, search_metric
from systems.detectability.narrowing import Narrowing, narrowings
from systems.detectability.noise import (
    CONDITIONS,
    SETTLED,
    USELESS,
    TradeOff,
    curve,
    settling_time,
    trade_off,
)

__all__ = [
    "CONDITIONS",
    "FULL_METRIC_UP_TO",
    "METHODS",
    "SETTLED",
    "SPEEDS",
    "USELESS",
    "Jacobians",
    "MetricSearch",
    "Narrowing",
    "ResidualLowerBound",
    "TradeOff",
    "curve",
    "narrowings",
    "observability_coordinates",
    "output_kernels",
    "rates",
    "residual_lower_bound",
    "sample_jacobians",
    "search_metric",
    "settling_time",
    "trade_off",
]
