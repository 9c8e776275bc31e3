"""What every network of the family owes, written once: each of ``CONTRACT`` is called with a kind and a generator."""

import copy

import numpy as np
import torch
from measured import violation

from observer.networks.network import disturb
from observer.networks.ren.base import REN
from systems.base.errors import InputError


def the_guarantee_is_proved_and_kept(kind, rng):
    for seed in range(8):
        network = kind.example(seed)
        found = network.verify()
        assert found.holds, found
        explicit = network.explicit().to_numpy()
        assert violation(network.guarantee(), explicit, rng) <= 1e-8


def every_certified_weight_matters(kind, rng):
    """Each is changed by a few times its size: nothing may be proved any more."""
    network = kind.example(1)
    explicit, guarantee = network.explicit().to_numpy(), network.guarantee()
    for name in guarantee.certified:
        value = explicit.weights()[name]
        change = 4 * (1 + np.abs(value).max()) * rng.normal(size=value.shape)
        changed = explicit.with_weights(**{name: value + (np.tril(change, -1) if name == "D11" else change)})
        found = network.verify(changed)
        assert not found.holds and not found.margin >= 0, (name, found)
        assert "Not proved" in found.reason and found.guarantee == guarantee.statement


def no_violation_is_ever_proved(kind, rng):
    """Weights disturbed a little or much: where the measured behaviour breaks the bound, verify must not hold."""
    broken = 0
    for seed in range(15):
        rng = np.random.default_rng(seed)
        network = kind.example(seed)
        explicit, guarantee = network.explicit().to_numpy(), network.guarantee()
        size = 10.0 ** rng.uniform(-2, 0.5)
        changes = {
            name: value + size * rng.normal(size=value.shape) * (np.abs(value) > 0)
            for name, value in explicit.weights().items()
        }
        changed = explicit.with_weights(**changes)
        try:
            holds = violation(guarantee, changed, rng) <= 1e-6
        except InputError:  # an equilibrium that is not there any more
            holds = False
        if not holds:
            broken += 1
            assert not network.verify(changed).holds
    assert broken >= 2


def weights_that_are_not_finite_prove_nothing(kind, rng):
    network = kind.example(2)
    explicit = network.explicit().to_numpy()
    for name, value in explicit.weights().items():
        if value.size:
            found = network.verify(explicit.with_weights(**{name: np.full_like(value, np.nan)}))
            assert not found.holds and np.isnan(found.margin) and name in found.reason


def direct_parameters_are_all_named_and_all_used(kind, rng):
    network = kind.example(3)
    assert set(network.direct()) == {name for name, _ in network.named_parameters()}
    loss = sum(value.abs().square().sum() for value in network.explicit().weights().values())
    gradients = torch.autograd.grad(loss, [value for value in network.parameters() if value.numel()])
    assert all(torch.isfinite(gradient).all() and gradient.abs().max() > 0 for gradient in gradients)


def explicit_is_computed_anew(kind, rng):
    """Explicit matrices are another type: changing a parameter changes the next ``explicit()``, not the last."""
    network = kind.example(4)
    first = network.explicit().to_numpy()
    with torch.no_grad():
        for value in network.parameters():
            value += 0.1
    second = network.explicit().to_numpy()
    assert any(not np.array_equal(value, second.weights()[name]) for name, value in first.weights().items())
    assert network.verify().holds


def a_cast_keeps_the_dtype(kind, rng):
    network = kind.example(5).float()
    assert all(value.dtype in (torch.float32, torch.complex64) for value in network.explicit().weights().values())
    assert kind.example(5).double().verify().holds


def direct_parameters_and_a_stored_state_come_back(kind, rng):
    """By ``direct`` and ``load_direct``, and by torch's own ``state_dict``: the same matrices to the last bit."""
    network = kind.example(6)
    others = [disturb(copy.deepcopy(network), seed) for seed in range(2)]
    others[0].load_direct(network.direct())
    others[1].load_state_dict(network.state_dict())
    expected = network.explicit().to_numpy().weights()
    for other in others:
        for name, value in other.explicit().to_numpy().weights().items():
            np.testing.assert_array_equal(value, expected[name], err_msg=name)
    try:
        network.load_direct({"foreign": np.zeros(1)})
    except InputError as error:
        assert "direct parameters: got foreign; expected" in str(error)
    else:
        raise AssertionError("a foreign name was taken")


def explicit_weights_give_their_direct_parameters(kind, rng):
    """Where a kind has the inverse of its direct map: explicit -> direct -> explicit, and proved again."""
    for seed in range(4):
        network = kind.example(seed)
        if not hasattr(network, "load_explicit"):
            return
        guarantee, explicit = network.guarantee(), network.explicit().to_numpy()
        other = copy.deepcopy(network)
        other.contraction_rate = min(
            1.0, network.contraction_rate * 1.001
        )  # strictly inside: the form is singular at rate
        before = other.explicit().to_numpy().weights()
        witness = (guarantee.metric, guarantee.multipliers) if isinstance(network, REN) else (guarantee.metric,)
        other.load_explicit(explicit, *witness)
        for name, value in other.explicit().to_numpy().weights().items():
            np.testing.assert_allclose(value, explicit.weights()[name], rtol=1e-8, atol=1e-8, err_msg=name)
        assert any(not np.allclose(before[name], value) for name, value in explicit.weights().items())
        assert other.verify().holds


def differentiable_in_both_precisions(network, *signals):
    """For a test of its own, with the signals of a kind: the gradient in every parameter, and float32 stays float32."""
    names = list(network.direct())

    def function(*values):
        return torch.func.functional_call(network, dict(zip(names, values, strict=True)), signals)

    assert torch.autograd.gradcheck(function, tuple(getattr(network, name) for name in names), fast_mode=True)
    found = network.float()(*(signal.float() for signal in signals))
    assert (found[0] if isinstance(found, tuple) else found).dtype == torch.float32


CONTRACT = (
    the_guarantee_is_proved_and_kept,
    every_certified_weight_matters,
    no_violation_is_ever_proved,
    weights_that_are_not_finite_prove_nothing,
    direct_parameters_are_all_named_and_all_used,
    explicit_is_computed_anew,
    a_cast_keeps_the_dtype,
    direct_parameters_and_a_stored_state_come_back,
    explicit_weights_give_their_direct_parameters,
)
