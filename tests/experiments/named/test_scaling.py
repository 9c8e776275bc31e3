"""Growing networks at smoke size; H and its condition against NumPy's own."""

import numpy as np
import pytest

from experiments.named.scaling import run as scaling
from observer.networks.network import disturb


def test_smoke_writes_page_and_metrics(tmp_path, perform):
    done = perform("scaling", tmp_path, seed=2, size=scaling.SMOKE)
    rows = done.metrics["rows"]
    assert done.code == 0 and len(rows) == 15 and all(row["holds"] and row["margin"] > 0 for row in rows)
    assert any(row["margin32"] != row["margin"] for row in rows)  # of the matrices as float32 has them
    assert "toy size" in done.page


@pytest.mark.parametrize("name", list(scaling.networks()))
def test_the_formula_of_H_gives_the_matrices_and_its_condition_is_the_ratio_of_its_eigenvalues(name):
    network = disturb(scaling.networks()[name](5, 4, "float64", 0), 3, 0.1)
    H, explicit, direct = scaling.implicit(network), network.explicit().to_numpy(), network.direct()
    n, skew = 5, direct.get("Y1", direct.get("Y"))
    E = (H[:n, :n] + H[-n:, -n:] / scaling.RATE**2 + skew - skew.T) / 2
    np.testing.assert_allclose(explicit.A, np.linalg.solve(E, H[-n:, :n]), atol=1e-10)
    values = np.linalg.eigvalsh(H)
    assert scaling.condition(H, 2000) == pytest.approx(values[-1] / values[0], rel=1e-6)
    assert scaling.condition(H - 2 * values[0] * np.eye(len(H))) == float("inf")


def test_an_ill_conditioned_H_has_the_condition_that_was_asked_for_and_float32_feels_it():
    rows = [scaling.squeeze(8, power, 0) for power in (0, 2, 6)]
    assert [row["condition"] for row in rows] == [1.0, 1e4, 1e12]
    assert all(row["holds"] for row in rows[:2]) and rows[0]["holds32"]
    assert rows[0]["margin"] > 10 * rows[1]["margin"] > 100 * rows[2]["margin"]  # slack goes with the condition
    assert all(row["off"] < 1e-4 for row in rows)


def test_the_failure_point_is_the_smallest_size_that_is_not_proved():
    rows = [{"name": "a", "nx": k, "nv": k, "holds32": k < 3} for k in (1, 2, 3, 4)]
    assert scaling.failure(rows, "a") == "nx = nv = 3" and scaling.failure(rows, "b") == "not tried"
    assert scaling.failure(rows[:2], "a") == "none of these"
