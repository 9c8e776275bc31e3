"""The contracting REN against the reference implementation: matrices and trajectories to 1e-10."""

from pathlib import Path

import numpy as np
import pytest
import torch

from observer.networks.ren.contracting import ContractingREN
from observer.networks.ren.explicit import WEIGHTS

FILES = sorted((Path(__file__).parents[2] / "golden").glob("contracting_*.npz"))
NORM_EPS = 1.1920928955078125e-07  # the reference adds float32's epsilon inside the norm


def load(path):
    """The stored file, and the network of its direct parameters."""
    with np.load(path) as file:
        golden = dict(file)
    unused = {"X3", "Y3", "Z3"} | (set() if golden["meta.polar"] else {"p"})
    direct = {
        name[7:]: value for name, value in golden.items() if name.startswith("direct.") and name[7:] not in unused
    }
    ren = ContractingREN.from_direct(
        direct,
        contraction_rate=float(golden["meta.abar"]),
        activation=str(golden["meta.activation"]),
        eps=float(golden["meta.eps"]),
        norm_eps=NORM_EPS,
    )
    return golden, ren


def test_all_files_are_here():
    assert len(FILES) == 6


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_explicit_matrices(path):
    golden, ren = load(path)
    explicit = ren.explicit().to_numpy()
    for name in WEIGHTS:
        np.testing.assert_allclose(
            getattr(explicit, name), golden[f"explicit.{name}"], rtol=0, atol=1e-10, err_msg=name
        )
    sizes = (ren.nu, ren.nx, ren.nv, ren.ny)
    assert sizes == tuple(int(golden[f"meta.{name}"]) for name in ("nu", "nx", "nv", "ny"))
    assert ren.identity_output == bool(golden.get("meta.identity_output", False))


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_trajectories(path, kind):
    golden, ren = load(path)
    explicit = ren.explicit().to_numpy()
    convert = torch.tensor if kind == "torch" else np.asarray
    explicit = explicit.to_torch() if kind == "torch" else explicit
    x = convert(golden["x0"])
    for k, u in enumerate(golden["u"]):
        x, y = explicit.step(x, convert(u))
        np.testing.assert_allclose(x, golden["x"][k + 1], rtol=0, atol=1e-10)
        np.testing.assert_allclose(y, golden["y"][k], rtol=0, atol=1e-10)


@pytest.mark.parametrize("path", [path for path in FILES if "abar" in path.stem], ids=lambda path: path.stem)
def test_norm_eps_matters(path):
    """Without it the files are missed by more than the tolerance: it must stay a stored field."""
    golden, ren = load(path)
    ren.norm_eps = 1e-3
    assert np.abs(ren.explicit().to_numpy().A - golden["explicit.A"]).max() > 1e-10
