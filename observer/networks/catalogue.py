"""The family: every network, in one tuple. Joining it is how a newcomer is tested (``tests/observer/networks``)."""

from observer.networks.conv_lbdn import ConvLBDN
from observer.networks.dissipative import DissipativeREN
from observer.networks.implicit import ImplicitREN
from observer.networks.lbdn import LBDN
from observer.networks.lipschitz import LipschitzREN
from observer.networks.passive import PassiveREN
from observer.networks.r2dn import R2DN
from observer.networks.ren import ContractingREN

NETWORKS = (ContractingREN, LipschitzREN, PassiveREN, DissipativeREN, LBDN, ConvLBDN, R2DN, ImplicitREN)
