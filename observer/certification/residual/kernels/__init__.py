"""Compiled enclosures of a plant and of a network over cells of states and inputs."""

from observer.certification.residual.kernels.cells import bound_cells, enclose_cells, flow_cells
from observer.certification.residual.kernels.operations import OPERATIONS as OPERATIONS
from systems.assembly import Kernels

compiled = Kernels(bound_cells, enclose_cells, flow_cells, contract=True)
