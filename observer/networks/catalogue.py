"""The family: every network, in one tuple. Joining it is how a newcomer is tested (``tests/observer/networks``)."""

from observer.networks.dissipative import DissipativeREN
from observer.networks.lipschitz import LipschitzREN
from observer.networks.passive import PassiveREN
from observer.networks.ren import ContractingREN

NETWORKS = (ContractingREN, LipschitzREN, PassiveREN, DissipativeREN)
