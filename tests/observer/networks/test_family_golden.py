"""RENs with a supply against the reference implementation: matrices and trajectories to 1e-10."""

import golden_files
import numpy as np
import pytest

from observer.networks.ren.dissipative import DissipativeREN
from observer.networks.ren.lipschitz import LipschitzREN

FILES = golden_files.files("lipschitz", "general")


def load(path):
    """The stored file, and the network of its direct parameters."""
    golden, direct = golden_files.read(path)
    sizes = [int(golden[f"meta.{name}"]) for name in ("nu", "nx", "nv", "ny")]
    options = {
        "contraction_rate": float(golden["meta.abar"]),
        "activation": str(golden["meta.activation"]),
        "eps": float(golden["meta.eps"]),
        "polar": bool(golden["meta.polar"]),
        "norm_eps": golden_files.NORM_EPS,
    }
    if "meta.gamma" in golden:
        network = LipschitzREN(*sizes, gamma=float(golden["meta.gamma"]), **options)
    else:
        # The reference widens the supply by eps before it uses it: what it builds is dissipative for this one.
        Q, S, R = (golden[f"meta.{name}"] for name in "QSR")
        supply = (Q - options["eps"] * np.eye(len(Q)), S, R + options["eps"] * np.eye(len(R)))
        network = DissipativeREN(*sizes, supply=supply, **options)
    direct.pop("D22")  # constructed from X3, Y3, Z3; the reference keeps a value that it does not use
    return golden, network.load_direct(direct)


def test_all_files_are_here():
    assert len(FILES) == 8


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_matrices_trajectories_and_certificate(path):
    golden, network = load(path)
    explicit = network.explicit().to_numpy()
    golden_files.same_matrices(explicit, golden)
    golden_files.same_trajectory(explicit, golden)
    assert network.verify().holds
