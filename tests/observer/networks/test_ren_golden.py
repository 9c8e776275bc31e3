"""The contracting REN against the reference implementation: matrices and trajectories to 1e-10."""

import golden_files
import numpy as np
import pytest
import torch

from observer.networks.ren.contracting import ContractingREN

FILES = golden_files.files("contracting")


def load(path):
    """The stored file, and the network of its direct parameters."""
    golden, direct = golden_files.read(path)
    unused = {"X3", "Y3", "Z3"} | (set() if golden["meta.polar"] else {"p"})
    ren = ContractingREN.from_direct(
        {name: value for name, value in direct.items() if name not in unused},
        contraction_rate=float(golden["meta.abar"]),
        activation=str(golden["meta.activation"]),
        eps=float(golden["meta.eps"]),
        norm_eps=golden_files.NORM_EPS,
    )
    return golden, ren


def test_all_files_are_here():
    assert len(FILES) == 6


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_explicit_matrices(path):
    golden, ren = load(path)
    golden_files.same_matrices(ren.explicit().to_numpy(), golden)
    sizes = (ren.nu, ren.nx, ren.nv, ren.ny)
    assert sizes == tuple(int(golden[f"meta.{name}"]) for name in ("nu", "nx", "nv", "ny"))
    assert ren.identity_output == bool(golden.get("meta.identity_output", False))


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_trajectories(path, kind):
    golden, ren = load(path)
    explicit = ren.explicit().to_numpy()
    if kind == "torch":
        golden_files.same_trajectory(explicit.to_torch(), golden, torch.tensor)
    else:
        golden_files.same_trajectory(explicit, golden)


@pytest.mark.parametrize("path", [path for path in FILES if "abar" in path.stem], ids=lambda path: path.stem)
def test_norm_eps_matters(path):
    """Without it the files are missed by more than the tolerance: it must stay a stored field."""
    golden, ren = load(path)
    ren.norm_eps = 1e-3
    assert np.abs(ren.explicit().to_numpy().A - golden["explicit.A"]).max() > 1e-10
