import collections.abc

from .base.errors import InputError as InputError
from .base.errors import NotDetectable as NotDetectable
from .base.errors import SimulationError as SimulationError
from .detectability import MetricSearch as MetricSearch
from .detectability import search_metric as search_metric
from .discretization import DiscreteSystem as DiscreteSystem
from .discretization import discretize as discretize
from .feedback import Feedback as Feedback
from .files import load_system as load_system
from .library import ALL_SYSTEMS as ALL_SYSTEMS
from .lookup import LookupTable as LookupTable
from .lookup import table as table
from .recordings import Timing as Timing
from .recordings import read_recordings as read_recordings
from .recordings import write_recordings as write_recordings
from .signals import Parameter as Parameter
from .signals import Signal as Signal
from .system import System as System
from .trajectories import Trajectories as Trajectories
from .trajectories import simulate as simulate

def __getattr__(plant: str) -> collections.abc.Callable[..., System]: ...  # every plant of the library by its name
