"""The certificate of a shipped observer: in physical units, through scaling, and held by its runs."""

import numpy as np
import pytest
import torch

from observer.certification import certify, contraction_rate
from observer.networks import ContractingREN
from observer.scaling import Scaling
from observer.state_observer import RENObserver


@pytest.fixture(params=[0, 6])
def observer(request, oscillator):
    """A random contracting network as an observer of the oscillator, shipped in physical units."""
    system = oscillator.system
    states = np.array([signal.range for signal in system.states])
    inputs = np.array([(-0.3, 0.3), (-5.0, 3.0)])
    scaling = Scaling.from_box(states, inputs)
    ren = ContractingREN(2, 2, request.param, contraction_rate=0.9, identity_output=True, seed=3)
    with torch.no_grad():
        ren.X += 0.3 * torch.randn(ren.X.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return RENObserver(
        weights=scaling.fold(ren.explicit().to_numpy()),
        metric=scaling.fold_metric(ren.metric().detach().numpy()),
        multipliers=ren.multipliers().detach().numpy(),
        contraction_rate=0.9,
        scaling=scaling,
        direct=ren.direct(),
        plant=oscillator,
    )


def test_rate_is_that_of_the_scaled_network(observer, oscillator):
    certificate = certify(observer, oscillator)
    assert certificate.holds and certificate.rate <= 0.9 + 1e-9
    ren = ContractingREN.from_direct(observer.direct, contraction_rate=0.9, activation=observer.weights.activation)
    scaled = ren.explicit().to_numpy(), ren.metric().detach().numpy(), ren.multipliers().detach().numpy()
    assert certificate.rate == pytest.approx(contraction_rate(*scaled), rel=1e-9)
    assert certificate.metric_condition == pytest.approx(np.linalg.cond(scaled[1]), rel=1e-9)


def test_two_estimates_approach_at_the_proved_rate(observer, oscillator):
    certificate, rng = certify(observer, oscillator), np.random.default_rng(0)
    a, b = rng.normal(size=(2, 30, 2)) * 10
    u, y = rng.normal(size=(30, 25, 1)), rng.normal(size=(30, 25, 1))
    e = observer.run(a, u, y) - observer.run(b, u, y)
    size = np.sqrt(np.einsum("bki,ij,bkj->bk", e, certificate.metric, e))
    steps = np.arange(size.shape[1])
    assert (size <= size[:, :1] * certificate.rate**steps * (1 + 1e-9) + 1e-12).all()
    assert (np.abs(e) <= certificate.state_gain * size[..., None] * (1 + 1e-9)).all()
