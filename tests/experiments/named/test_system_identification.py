"""Identification at smoke size; the F16 files in both forms and what is said when they are not there."""

import json

import numpy as np
import pytest
import torch

from experiments.named.system_identification import models
from experiments.named.system_identification import run as identification
from experiments.named.system_identification.data import f16, wiener_hammerstein
from observer.storage import write_json
from systems.base.errors import InputError


def test_smoke_writes_page_and_metrics_and_fails_when_a_bound_is_exceeded(tmp_path, monkeypatch, perform):
    done = perform("system_identification", tmp_path, size=identification.SMOKE)
    metrics = done.metrics
    assert (
        done.code == 0 and metrics["criteria"][0]["requirement"] == "at most 1" and metrics["criteria"][0]["value"] <= 1
    )
    sizes = [row["parameters"] for row in metrics["models"]]
    assert len(sizes) == 4 and max(sizes) < 1.5 * min(sizes)
    assert "toy size" in done.page
    part = tmp_path / "parts" / "Lipschitz_REN_bound_2.json"
    stored = json.loads(part.read_text(encoding="utf-8"))
    write_json(part, {"key": stored["key"], "result": stored["result"] | {"gain": 2.01}})
    monkeypatch.setattr(identification, "identify", None)  # all is kept
    monkeypatch.setattr("reports.experiment_page.write_experiment_page", lambda out, **_: out)  # drawn once is enough
    done = perform("system_identification", tmp_path, size=identification.SMOKE)
    assert done.code == 1 and any("not met: gain found over the bound" in line for line in done.said)


def test_the_gain_found_of_a_resonant_system_comes_near_its_peak_and_not_beyond():
    from observer.networks import ContractingREN, load_linear

    A = 0.9 * np.array([[np.cos(0.8), -np.sin(0.8)], [np.sin(0.8), np.cos(0.8)]])
    B, C, D = np.array([[1.0], [0.0]]), np.array([[0.5, 0.5]]), np.array([[0.0]])
    points = np.exp(1j * np.linspace(0, np.pi, 4000))
    peak = max(abs((C @ np.linalg.solve(z * np.eye(2) - A, B))[0, 0]) for z in points)
    model = load_linear(ContractingREN(1, 2, 1, 1, contraction_rate=0.95, dtype="float32"), A, B, C, D)
    started = models.observed_gain(model, 1, 200, 8, 1, 0)
    found = models.observed_gain(model, 1, 200, 8, 150, 0)
    assert started < 0.75 * peak < 0.95 * peak < found <= peak * (1 + 1e-4)


def test_the_simulated_system_is_not_linear_and_all_is_scaled():
    data = wiener_hammerstein(6, 400, 2, 0)
    u, y = (np.concatenate([record[k] for record in data.train]) for k in (0, 1))
    assert abs(u.mean()) < 1e-9 and u.std() == pytest.approx(1) and y.std() == pytest.approx(1)
    columns = np.stack([np.roll(u[:, 0], k) for k in range(40)] + [np.ones(len(u))], axis=1)[40:]
    rest = y[40:, 0] - columns @ np.linalg.lstsq(columns, y[40:, 0], rcond=None)[0]
    assert 0.02 < rest.std() < 0.6
    model = models.make("LSTM", 1, 1, 3, 5, 0.9, None, 0)
    assert models.simulator(model)(torch.zeros(2, 7, 1)).shape == (2, 7, 1)


def write_f16(folder, kind):
    from scipy.io import savemat

    rng = np.random.default_rng(0)
    for level in range(1, 8):
        name = f"F16Data_FullMSine_Level{level}{'_Validation' if level % 2 == 0 else ''}"
        values = rng.normal(size=(600, 5)) * level
        if kind == "mat":
            content = {
                "Force": values[:, :1].T,
                "Voltage": values[:, 1:2].T,
                "Acceleration": values[:, 2:].T,
                "Fs": 400.0,
            }
            savemat(folder / f"{name}.mat", content)
        else:
            head = "Force,Voltage,Acceleration1,Acceleration2,Acceleration3"
            np.savetxt(folder / f"{name}.csv", values, delimiter=",", header=head, comments="")


@pytest.mark.parametrize("kind", ["mat", "csv"])
def test_f16_files_are_read(tmp_path, kind):
    write_f16(tmp_path, kind)
    data = f16(tmp_path)
    assert (len(data.train), len(data.test), data.nu, data.ny) == (4, 3, 2, 3)
    raw = np.concatenate([record[1] for record in data.train])
    np.testing.assert_allclose(raw.std(axis=0), 1)
    first = np.random.default_rng(0).normal(size=(600, 5))
    assert abs(np.corrcoef(first[:, 2], data.train[0][1][:, 0])[0, 1]) == pytest.approx(1)


def test_f16_says_what_is_missing_and_where_it_comes_from(tmp_path, observer):
    with pytest.raises(InputError, match="no folder"):
        f16(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"Level1.mat, .*Level2_Validation.mat.*nonlinearbenchmark.org"):
        f16(tmp_path)
    write_f16(tmp_path, "csv")
    (tmp_path / "F16Data_FullMSine_Level1.csv").write_text("Force,Voltage\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError):
        f16(tmp_path)
    told = observer("experiment", "system_identification", "--data", tmp_path / "nowhere", "--out", tmp_path / "run")
    assert told.code == 2 and "no folder" in told.err and not (tmp_path / "run").exists()
