"""The family: every network, in one tuple. The contract tests (``tests/observer/networks``) run on every member."""

from observer.networks.feedforward.conv_lbdn import ConvLBDN
from observer.networks.feedforward.lbdn import LBDN
from observer.networks.r2dn import R2DN
from observer.networks.ren.contracting import ContractingREN
from observer.networks.ren.dissipative import DissipativeREN
from observer.networks.ren.implicit import ImplicitREN
from observer.networks.ren.lipschitz import LipschitzREN
from observer.networks.ren.passive import PassiveREN

NETWORKS = (ContractingREN, LipschitzREN, PassiveREN, DissipativeREN, LBDN, ConvLBDN, R2DN, ImplicitREN)
