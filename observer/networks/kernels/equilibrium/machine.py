"""All compiled functions of the networks, as one text: what one compiles, the others find."""

from observer.networks.kernels.equilibrium.cpu_adam import adam_update
from observer.networks.kernels.equilibrium.cpu_direct import assemble, pull_back
from observer.networks.kernels.equilibrium.sweeps import (
    backward_sweep,
    clear_upper,
    flush_denormals,
    forward_sweep,
    restore_denormals,
)
from observer.networks.kernels.equilibrium.training_steps import over_samples, prepare, rows_of_product, to_direct
from observer.networks.kernels.equilibrium.trajectories import rollout_kernel
from systems.assembly import Kernels

compiled = Kernels(
    forward_sweep, backward_sweep, clear_upper, flush_denormals, restore_denormals, assemble, pull_back,
    prepare, over_samples, to_direct, rows_of_product, rollout_kernel, adam_update, contract=True,
)  # fmt: skip
