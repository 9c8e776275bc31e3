"""The kernels run as plain Python too, to the same numbers."""

from types import SimpleNamespace

import numpy as np
import pytest

from observer.certification.residual import kernels
from observer.certification.residual.flow import enclose_flow
from observer.certification.residual.model import make_model
from tests.observer.certification.residual.hand_made import plant_of, random_cells, random_observer


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_plain_python_computes_the_same(activation, monkeypatch):
    plant = plant_of(
        lambda x, u: [0.5 * x[0] + 0.1 * x[1] * u[0], x[1] - 0.1 * np.sin(x[0])], [(-2, 2), (-3, 1)], [(-1, 1)]
    )
    model = make_model(random_observer(plant, 1, 3, activation), plant, None, None, 1)
    cells = random_cells(model.region, 4, seed=1)

    def everything():
        found = [model.bound(cells), model.bound(cells, 0.9, 2, [0.5, 0.6])]
        return [getattr(c, name) for c in found for name in ("bounds", "lost", "split", "corners")] + [
            enclose_flow(plant, cells, 2, 1)
        ]

    fast = everything()
    monkeypatch.setattr(
        kernels, "compiled", SimpleNamespace(bound_cells=kernels.bound_cells, flow_cells=kernels.flow_cells)
    )
    for ours, theirs in zip(everything(), fast, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
