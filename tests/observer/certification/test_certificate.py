"""certify: one frozen answer with its numbers, for good weights and for every kind of bad ones."""

import json
import math
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from observer.certification.certificate import Certificate
from observer.certification.certificate import certify as certify_all
from observer.certification.contraction import contraction_rate, input_gain
from observer.networks.ren.contracting import ContractingREN
from systems.base.errors import InputError
from systems.signals import Signal

DT = 0.1
certify = partial(certify_all, residual=False)  # these plants are names and sizes only


def observer_and_plant(nv=5, rate=0.8, seed=0, **changes):
    """A stand-in observer of a plant with two states, one known input, one disturbance and one output."""
    states = (Signal("position", "m", (-2.0, 2.0)), Signal("velocity", "m/s", (0.0, 1.0)))
    system = SimpleNamespace(
        time_unit="s",
        name="cart",
        states=states,
        state_names=("position", "velocity"),
        input_names=("wind", "force"),
        output_names=("y",),
        known=np.array([1]),
        nx=2,
        nu=2,
        ny=1,
        state_ranges=np.array([s.range for s in states]),
    )
    plant = SimpleNamespace(system=system, dt=DT)
    ren = ContractingREN(2, 2, nv, contraction_rate=rate, identity_output=True, seed=seed)
    with torch.no_grad():
        ren.X += 0.3 * torch.randn(ren.X.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    fields = {
        "weights": ren.explicit().to_numpy(),
        "metric": ren.metric().detach().numpy(),
        "multipliers": ren.multipliers().detach().numpy(),
        "contraction_rate": rate,
        "plant": plant,
    }
    return SimpleNamespace(**{**fields, **changes}), plant


@pytest.mark.parametrize("nv", [0, 5])
def test_numbers(nv):
    observer, plant = observer_and_plant(nv)
    proof = observer.weights, observer.metric, observer.multipliers
    certificate = certify(observer, plant)
    assert certificate.holds and certificate.reason.startswith("Proved: ")
    assert certificate.rate == contraction_rate(*proof) <= certificate.rate_bound + 1e-9 == 0.8 + 1e-9
    assert certificate.rate_per_second == pytest.approx(-math.log(certificate.rate) / DT)
    assert certificate.lmi_margin >= -1e-12
    assert certificate.gain_u == input_gain(*proof, [0]) and certificate.gain_y == input_gain(*proof, [1])
    S = np.diag([2.0, 0.5])
    assert certificate.metric_condition == pytest.approx(np.linalg.cond(S @ observer.metric @ S))
    with pytest.raises(AttributeError):
        certificate.rate = 0.1


def test_state_gain_bounds_every_error_and_is_attained():
    observer, plant = observer_and_plant()
    certificate = certify(observer, plant)
    e = np.random.default_rng(0).normal(size=(500, 2))
    size = np.sqrt(np.einsum("ki,ij,kj->k", e, certificate.metric, e))
    assert (np.abs(e) <= certificate.state_gain * size[:, None] * (1 + 1e-12)).all()
    for i, gain in enumerate(certificate.state_gain):
        worst = np.linalg.solve(certificate.metric, np.eye(2)[i])
        assert worst[i] == pytest.approx(gain * math.sqrt(worst @ certificate.metric @ worst))


def test_the_envelope_holds_along_a_run_with_wrong_measurements():
    observer, plant = observer_and_plant()
    certificate = certify(observer, plant)
    M, rng = certificate.metric, np.random.default_rng(1)
    a, b = rng.normal(size=(2, 50, 2)) * 3
    bound = np.sqrt(np.einsum("ki,ij,kj->k", b - a, M, b - a))
    for _ in range(40):
        u, dy = rng.normal(size=(50, 2)), 0.3 * rng.normal(size=(50, 1))
        a, b = observer.weights.next_state(a, u), observer.weights.next_state(b, u + np.hstack([0 * dy, dy]))
        bound = certificate.rate * bound + certificate.gain_y * np.abs(dy[:, 0])
        assert (np.sqrt(np.einsum("ki,ij,kj->k", b - a, M, b - a)) <= bound * (1 + 1e-9)).all()


def test_data_survives_json():
    observer, plant = observer_and_plant()
    for certificate in (
        certify(observer, plant),
        certify(SimpleNamespace(**{**vars(observer), "metric": np.eye(3)}), plant),
    ):
        data = json.loads(json.dumps(certificate.to_data(), allow_nan=False))
        again = Certificate.from_data(data)
        assert again.to_data() == certificate.to_data()
        np.testing.assert_array_equal(again.metric, certificate.metric)
        assert again.multipliers.shape == certificate.multipliers.shape and again.holds is certificate.holds
    with pytest.raises(InputError, match="certificate: rate, reason missing"):
        Certificate.from_data({k: v for k, v in data.items() if k not in ("rate", "reason")})


def tampered(**weights):
    def change(observer):
        new = {name: function(getattr(observer.weights, name)) for name, function in weights.items()}
        return {"weights": replace(observer.weights, **new)}

    return change


TAMPERINGS = {
    "larger A": (tampered(A=lambda A: 3 * A), "Not contracting|Slower than required"),
    "larger C1": (tampered(C1=lambda C: 50 * C), "Not contracting"),
    "larger B1": (tampered(B1=lambda B: 1e3 * B), "no rate holds"),
    "neuron on itself": (tampered(D11=lambda D: D + np.eye(5)), "D11 is not strictly lower triangular"),
    "upper D11": (tampered(D11=lambda D: D.T), "D11 is not strictly lower triangular"),
    "nan": (tampered(bv=lambda b: b * np.nan), "bv not finite"),
    "infinite": (tampered(A=lambda A: A / 0.0), "A not finite"),
    "huge": (tampered(A=lambda A: 1e300 * A, B1=lambda B: 1e300 * B), "no rate holds"),
    "huge A": (tampered(A=lambda A: 1e300 * A), "Not contracting"),
    "huge D12": (tampered(D12=lambda D: 1e200 * D), None),
    "one input too many": (
        lambda o: {"weights": ContractingREN(3, 2, 5, identity_output=True).explicit().to_numpy()},
        "3 inputs",
    ),
    "other metric": (lambda o: {"metric": np.diag([1e-6, 1e6])}, "no rate holds|Not contracting"),
    "indefinite metric": (lambda o: {"metric": np.diag([1.0, -1.0])}, "metric is not positive definite"),
    "zero metric": (lambda o: {"metric": np.zeros((2, 2))}, "metric is not positive definite"),
    "huge metric": (lambda o: {"metric": 1e308 * np.eye(2)}, "no rate holds"),
    "tiny metric": (lambda o: {"metric": 1e-320 * np.eye(2)}, "Not contracting"),
    "nan metric": (lambda o: {"metric": np.full((2, 2), np.nan)}, "metric not finite"),
    "skew metric": (lambda o: {"metric": np.array([[2.0, 1.0], [0.0, 2.0]])}, "metric is not symmetric"),
    "multiplier": (lambda o: {"multipliers": -o.multipliers}, "expected all multipliers > 0"),
    "fewer multipliers": (lambda o: {"multipliers": o.multipliers[1:]}, "multipliers has shape"),
    "tiny multipliers": (lambda o: {"multipliers": 1e-9 * o.multipliers}, "no rate holds"),
    "faster rate asked": (lambda o: {"contraction_rate": 0.05}, "Slower than required"),
    "nan rate asked": (lambda o: {"contraction_rate": math.nan}, "Slower than required"),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampered_weights_are_found_and_nothing_is_raised(name):
    change, reason = TAMPERINGS[name]
    observer, plant = observer_and_plant()
    assert certify(observer, plant).holds
    with np.errstate(divide="ignore", over="ignore"):
        observer = SimpleNamespace(**{**vars(observer), **change(observer)})
    certificate = certify(observer, plant)
    assert isinstance(certificate.reason, str) and certificate.reason.endswith(".")
    json.dumps(certificate.to_data(), allow_nan=False)
    if reason is None:  # inputs do not matter for contraction: it holds, with an honest gain
        assert certificate.holds and certificate.gain_u > 1e100
        return
    assert not certificate.holds
    assert any(part in certificate.reason for part in reason.split("|")), certificate.reason


def test_a_slight_change_is_found_by_the_bound():
    """Scaled until the proved rate is just above the bound: the certificate must not hold."""
    observer, plant = observer_and_plant(nv=0)
    factor = 0.8 / certify(observer, plant).rate
    for change, holds in ((1 - 1e-8, True), (1 + 1e-8, False)):
        weights = replace(observer.weights, A=observer.weights.A * factor * change)
        assert certify(SimpleNamespace(**{**vars(observer), "weights": weights}), plant).holds is holds


def test_another_plant_is_an_input_error():
    observer, plant = observer_and_plant()
    with pytest.raises(InputError, match=r"fitted for dt = 0\.1 s, the plant is discretised at 0\.2 s"):
        certify(observer, SimpleNamespace(system=plant.system, dt=0.2))
    other = SimpleNamespace(**{**vars(plant.system), "name": "pendulum", "state_names": ("angle", "rate")})
    with pytest.raises(InputError, match=r"the plant 'pendulum' has .*angle.*; expected a plant with the signals"):
        certify(observer, SimpleNamespace(system=other, dt=DT))
