"""What every network of the family owes: the promise holds on signals, is recomputed, and is refused for other weights."""

import numpy as np
import pytest
import torch
from network_theorems import violation

from observer.networks.catalogue import NETWORKS
from systems.base.errors import InputError

every = pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)


@every
def test_the_promise_is_proved_and_kept(kind, rng):
    for seed in range(8):
        network = kind.example(seed)
        verdict = network.verify()
        assert verdict.holds, verdict
        explicit = network.explicit().to_numpy()
        assert violation(network.certificate(), explicit, rng) <= 1e-8


@every
def test_every_certified_weight_matters(kind, rng):
    """Each is changed by a few times its size: nothing may be proved any more."""
    network = kind.example(1)
    explicit, claim = network.explicit().to_numpy(), network.certificate()
    for name in claim.certified:
        value = explicit.weights()[name]
        change = 4 * (1 + np.abs(value).max()) * rng.normal(size=value.shape)
        changed = explicit.with_weights(**{name: value + (np.tril(change, -1) if name == "D11" else change)})
        verdict = network.verify(changed)
        assert not verdict.holds and not verdict.margin >= 0, (name, verdict)
        assert "Not proved" in verdict.reason and verdict.claim == claim.statement


@every
def test_no_violation_is_ever_proved(kind):
    """Weights disturbed a little or much: where the measured behaviour breaks the bound, verify must not hold."""
    broken = 0
    for seed in range(15):
        rng = np.random.default_rng(seed)
        network = kind.example(seed)
        explicit, claim = network.explicit().to_numpy(), network.certificate()
        size = 10.0 ** rng.uniform(-2, 0.5)
        changes = {
            name: value + size * rng.normal(size=value.shape) * (np.abs(value) > 0)
            for name, value in explicit.weights().items()
        }
        changed = explicit.with_weights(**changes)
        try:
            holds = violation(claim, changed, rng) <= 1e-6
        except InputError:  # an equilibrium that is not there any more
            holds = False
        if not holds:
            broken += 1
            assert not network.verify(changed).holds
    assert broken >= 2


@every
def test_weights_that_are_not_finite_prove_nothing(kind):
    network = kind.example(2)
    explicit = network.explicit().to_numpy()
    for name, value in explicit.weights().items():
        if value.size:
            verdict = network.verify(explicit.with_weights(**{name: np.full_like(value, np.nan)}))
            assert not verdict.holds and np.isnan(verdict.margin) and name in verdict.reason


@every
def test_direct_parameters_are_all_named_and_all_used(kind):
    network = kind.example(3)
    assert set(network.direct()) == {name for name, _ in network.named_parameters()}
    loss = sum(value.abs().square().sum() for value in network.explicit().weights().values())
    gradients = torch.autograd.grad(loss, [value for value in network.parameters() if value.numel()])
    assert all(torch.isfinite(gradient).all() and gradient.abs().max() > 0 for gradient in gradients)


@every
def test_explicit_is_computed_anew(kind):
    """Explicit matrices are another type: changing a parameter changes the next ``explicit()``, not the last."""
    network = kind.example(4)
    first = network.explicit().to_numpy()
    with torch.no_grad():
        for value in network.parameters():
            value += 0.1
    second = network.explicit().to_numpy()
    assert any(not np.array_equal(value, second.weights()[name]) for name, value in first.weights().items())
    assert network.verify().holds
