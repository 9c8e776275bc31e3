"""RENs with a supply against the reference implementation: matrices and trajectories to 1e-10."""

from pathlib import Path

import numpy as np
import pytest

from observer.networks.ren.dissipative import DissipativeREN
from observer.networks.ren.explicit import WEIGHTS
from observer.networks.ren.lipschitz import LipschitzREN

FOLDER = Path(__file__).parents[2] / "golden"
FILES = sorted((*FOLDER.glob("lipschitz_*.npz"), *FOLDER.glob("general_*.npz")))
NORM_EPS = 1.1920928955078125e-07  # the reference adds float32's epsilon inside the norm


def load(path):
    """The stored file, and the network of its direct parameters."""
    with np.load(path) as file:
        golden = dict(file)
    sizes = [int(golden[f"meta.{name}"]) for name in ("nu", "nx", "nv", "ny")]
    options = {
        "contraction_rate": float(golden["meta.abar"]),
        "activation": str(golden["meta.activation"]),
        "eps": float(golden["meta.eps"]),
        "polar": bool(golden["meta.polar"]),
        "norm_eps": NORM_EPS,
    }
    if "meta.gamma" in golden:
        network = LipschitzREN(*sizes, gamma=float(golden["meta.gamma"]), **options)
    else:
        # The reference widens the supply by eps before it uses it: what it builds is dissipative for this one.
        Q, S, R = (golden[f"meta.{name}"] for name in "QSR")
        supply = (Q - options["eps"] * np.eye(len(Q)), S, R + options["eps"] * np.eye(len(R)))
        network = DissipativeREN(*sizes, supply=supply, **options)
    direct = {name[7:]: value for name, value in golden.items() if name.startswith("direct.")}
    direct.pop("D22")  # constructed from X3, Y3, Z3; the reference keeps a value that it does not use
    return golden, network.load_direct(direct)


def test_all_files_are_here():
    assert len(FILES) == 8


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_matrices_trajectories_and_certificate(path):
    golden, network = load(path)
    explicit = network.explicit().to_numpy()
    for name in WEIGHTS:
        expected = golden[f"explicit.{name}"]
        np.testing.assert_allclose(getattr(explicit, name), expected, rtol=0, atol=1e-10, err_msg=name)
    x = golden["x0"]
    for k, u in enumerate(golden["u"]):
        x, y = explicit.step(x, u)
        np.testing.assert_allclose(x, golden["x"][k + 1], rtol=0, atol=1e-10)
        np.testing.assert_allclose(y, golden["y"][k], rtol=0, atol=1e-10)
    assert network.verify().holds
