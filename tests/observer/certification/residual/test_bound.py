"""The bound over a region brackets suprema that are known, holds at every moment, and goes on where it stopped."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from observer.certification.residual import Unprovable, bound_residual
from observer.certification.residual.search import Search
from systems import discretize, van_der_pol
from systems.base.errors import InputError
from tests.observer.certification.residual.hand_made import observer_of, plant_of, random_observer


def hat(activation):
    """x+ = x / 2 and an observer that adds a hat with its peak at 0.3: (weights, supremum)."""
    if activation == "relu":  # relu(v + 1) - 2 relu(v) + relu(v - 1), v = 2 (x - 0.3)
        return {"B1": [[1.0, -2.0, 1.0]], "C1": [[2.0]] * 3, "bv": [0.4, -0.6, -1.6]}, 1.0
    if activation == "tanh":  # tanh(v + 1) - tanh(v - 1), v = 3 (x - 0.3)
        return {"B1": [[1.0, -1.0]], "C1": [[3.0]] * 2, "bv": [0.1, -1.9]}, 2 * np.tanh(1)
    return {"B1": [[1.0, -1.0]], "C1": [[3.0]] * 2, "bv": [0.1, -1.9]}, np.tanh(0.5)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_a_peak_inside_the_region(activation):
    plant = plant_of(lambda x: [0.5 * x[0]], [(-2, 2)])
    weights, peak = hat(activation)
    observer = observer_of(plant, A=0.5, nv=len(weights["bv"]), activation=activation, M=[[4.0]], **weights)
    bound = bound_residual(observer, plant, gap=0.01, threads=1)
    assert bound.status == "tight"
    assert bound.lower <= 2 * peak * (1 + 1e-14) and 2 * peak <= bound.upper <= 1.01 * bound.lower
    assert peak <= bound.state_upper[0] <= 1.01 * peak
    assert bound.attained_at[0] == pytest.approx(0.3, abs=0.15)


def test_curvature_of_plant_and_network_cancels():
    """Both are tanh(2 x): what is left is 1e-6 sin(x), whose supremum a bound of each by itself would never see."""
    plant = plant_of(lambda x: [np.tanh(2 * x[0]) + 1e-6 * np.sin(x[0])], [(-1, 2)])
    bound = bound_residual(observer_of(plant, B1=1.0, C1=2.0, nv=1), plant, threads=1)
    assert bound.lower <= 1e-6 + bound.rounding and 1e-6 <= bound.upper <= 1.05 * bound.lower


def test_a_linear_residual_is_worst_at_a_corner(rng):
    E, M = rng.normal(size=(2, 4)), np.array([[3.0, 1.0], [1.0, 2.0]])
    plant = plant_of(lambda x, u: [x[0] - x[1] + u[1], 0.3 * x[1] - u[0]], [(-1, 2), (0, 3)], [(-1, 1), (-2, 0.5)])
    F, C = np.array([[1.0, -1, 0, 1], [0, 0.3, -1, 0]]), np.array([[1.0, 0, 0, 0]])
    known = np.vstack([np.eye(4)[2:], C])
    B2 = np.array([[0.2, -0.1, 0.3], [0.1, 0.5, -0.2]])
    A = (F + E)[:, :2] - (B2 @ known)[:, :2]
    observer = observer_of(plant, A=A, B2=B2, bx=[0.1, -0.2], M=M)
    total = np.hstack([A, np.zeros((2, 2))]) + B2 @ known - F
    bound = bound_residual(observer, plant, threads=1)
    corners = np.array(list(product(*bound.region))) @ total.T + [0.1, -0.2]
    worst = np.sqrt(np.einsum("ki,ij,kj->k", corners, M, corners).max())
    assert bound.lower == pytest.approx(worst, rel=1e-12) and worst <= bound.upper <= worst * (1 + 1e-8)
    assert np.allclose(bound.state_upper, np.abs(corners).max(axis=0), rtol=1e-8)


def nonlinear():
    """A bound that takes many rounds."""
    plant = plant_of(lambda x: [np.sin(3 * x[0]) * x[1], x[0] ** 3 - x[1]], [(-2, 2), (-2, 2)])
    return random_observer(plant, 5, 6, "tanh"), plant


def stop_after(rounds):
    seen = []

    def progress(bound):
        seen.append(bound)
        if len(seen) == rounds:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("rounds", [1, 4, 7])
def test_a_stopped_bound_holds_and_goes_on_to_the_same_end(rounds):
    observer, plant = nonlinear()
    whole = bound_residual(observer, plant, gap=0.001, threads=1)
    part = bound_residual(observer, plant, gap=0.001, threads=1, progress=stop_after(rounds))
    assert part.status == "stopped" and len(part.open_cells) == len(part.open_bounds) > 0
    assert part.upper >= whole.lower
    again = bound_residual(observer, plant, gap=0.001, threads=1, resume=part)
    assert whole.status == again.status == "tight" and not len(again.open_cells)
    for name in ("upper", "lower", "cells", "rounding"):
        assert getattr(again, name) == getattr(whole, name), name
    assert (again.state_upper == whole.state_upper).all() and (again.attained_at == whole.attained_at).all()


def test_what_is_proved_only_falls_and_holds_at_every_moment():
    observer, plant = nonlinear()
    seen = []
    bound = bound_residual(observer, plant, gap=0.001, threads=1, progress=seen.append)
    uppers, lowers = [b.upper for b in seen], [b.lower for b in seen]
    assert (np.diff(uppers) <= 0).all() and (np.diff(lowers) >= 0).all() and min(uppers) >= bound.lower
    at_once = bound_residual(observer, plant, budget=0.0, threads=1)
    assert at_once.status == "clock" and at_once.upper >= bound.upper


def test_threads_change_nothing():
    observer, plant = nonlinear()
    one, three = (bound_residual(observer, plant, gap=0.01, threads=n) for n in (1, 3))
    assert (one.upper, one.lower, one.cells) == (three.upper, three.lower, three.cells)


def test_nan_is_never_closed(monkeypatch):
    observer, plant = nonlinear()
    whole = bound_residual(observer, plant, threads=1)
    round_, done = Search._round, []

    def spoilt(self, most):
        round_(self, most)
        if not done and len(self.open.cells):
            self.open.bounds[0] = np.nan
            done.append(1)
            self._close()
            assert np.isnan(self.open.bounds).any() and self.upper[0] == np.inf

    monkeypatch.setattr(Search, "_round", spoilt)
    assert bound_residual(observer, plant, threads=1).upper >= whole.lower and done


def test_rounding_is_in_the_bound():
    """At single points the forms are numbers: what is left above the exact residual, in rationals, is for rounding alone."""
    plant = plant_of(lambda x: [x[0] * x[1] - x[0] / 3, x[1] ** 3 * 0.1], [(-2, 2), (-2, 2)])
    observer = random_observer(plant, 3, 6, "relu")
    ren = observer.weights
    for point in np.random.default_rng(1).uniform(-2, 2, (20, 2)):
        bound = bound_residual(observer, plant, region=np.column_stack([point, point]), metric=np.eye(2), threads=1)
        x = [Fraction(v) for v in point]
        third = Fraction(1 / 3)
        w = []
        for i in range(6):
            v = Fraction(ren.bv[i]) + sum(Fraction(c) * s for c, s in zip(ren.C1[i], x, strict=True))
            v += Fraction(ren.D12[i, 0]) * x[0] + sum(Fraction(ren.D11[i, j]) * w[j] for j in range(i))
            w.append(max(v, Fraction(0)))
        r = [
            Fraction(ren.bx[i]) + sum(Fraction(a) * s for a, s in zip(ren.A[i], x, strict=True))
            + Fraction(ren.B2[i, 0]) * x[0] + sum(Fraction(b) * v for b, v in zip(ren.B1[i], w, strict=True))
            for i in range(2)
        ]  # fmt: skip
        r[0] -= x[0] * x[1] - x[0] * third
        r[1] -= x[1] ** 3 * Fraction(0.1)
        exact = sum(v * v for v in r)
        assert exact <= Fraction(bound.upper) ** 2
        assert all(abs(v) <= Fraction(u) for v, u in zip(r, bound.state_upper, strict=True))
        assert 0 < bound.rounding < 1e-11 and bound.upper <= bound.lower + 4 * bound.rounding + 1e-8 * bound.lower


def test_rounding_inside_a_neuron_is_in_the_bound():
    """What a neuron is told cancels: large terms leave little, with the rounding of the large ones in it."""
    plant = plant_of(lambda x: [0.0 * x[0], 0.0 * x[1]], [(-2, 2), (-2, 2)])
    observer = observer_of(plant, B1=[[1.0], [0.0]], C1=[[1e8, -1e8]], bv=0.3, nv=1, activation="relu")
    worst = 0.0
    for a, b in np.random.default_rng(2).uniform(0, 1, (40, 2)):
        point = np.array([a, a - 1e-8 * b])
        bound = bound_residual(observer, plant, region=np.column_stack([point, point]), metric=np.eye(2), threads=1)
        exact = Fraction(1e8) * (Fraction(point[0]) - Fraction(point[1])) + Fraction(0.3)
        assert exact <= Fraction(bound.upper)
        computed = 1e8 * point[0] - 1e8 * point[1] + 0.3
        worst = max(worst, float(abs(exact - Fraction(computed))))
    assert worst > 1e-9  # float64 did lose that much: there was something to cover


def test_a_perfect_copy_is_bounded_by_rounding_alone():
    plant = plant_of(lambda x: [0.9 * x[0] + 0.1 * x[1], 0.7 * x[1]], [(-1, 1), (-1, 1)])
    bound = bound_residual(observer_of(plant, A=[[0.9, 0.1], [0.0, 0.7]]), plant, threads=1)
    assert bound.status == "tight" and bound.lower <= bound.upper < 1e-13 and bound.rounding > 0


def test_refusals_name_what_stands_in_the_way():
    plant = plant_of(lambda x: [np.floor(x[0])], [(-1, 1)])
    with pytest.raises(Unprovable, match="'floor'"):
        bound_residual(observer_of(plant), plant)
    plant = plant_of(lambda x: [0.5 * v for v in x], [(-1, 1)] * 9)
    with pytest.raises(Unprovable, match="9 dimensions"):
        bound_residual(observer_of(plant), plant)
    fixed = np.array([[-1.0, 1.0]] * 8 + [[0.5, 0.5]])
    assert bound_residual(observer_of(plant, A=0.5 * np.eye(9)), plant, region=fixed).upper < 1e-12
    plant = discretize(van_der_pol(), dt=0.05, method="scipy")
    with pytest.raises(Unprovable, match="scipy"):
        bound_residual(observer_of(plant), plant)


def test_unusable_arguments():
    observer, plant = nonlinear()
    for change, text in (({"gap": 0.0}, "gap"), ({"budget": -1.0}, "budget"), ({"region": [[0, 1]]}, "region"),
                         ({"region": [[1, 0], [0, 1]]}, "low <= high"), ({"metric": -np.eye(2)}, "positive definite")):  # fmt: skip
        with pytest.raises(InputError, match=text):
            bound_residual(observer, plant, **change)
    part = bound_residual(observer, plant, budget=0.0, threads=1)
    with pytest.raises(InputError, match="region or metric"):
        bound_residual(observer, plant, resume=part, region=[[-1, 1], [-1, 1]])
    with pytest.raises(InputError, match="another observer"):
        bound_residual(random_observer(plant, 6, 6, "tanh"), plant, resume=part, metric=part.metric)
