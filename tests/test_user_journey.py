"""The user's job: a plant that is not in the library, from a file to a passing report, with numbers anyone can recompute."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from experiments.cli.app import app
from observer import load_run

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def _block(kind: str, containing: str) -> str:
    return next(text for language, text in BLOCKS if language == kind and containing in text)


TOML = """
name = "magnetic damper"
[states]
gap = { range = [-0.5, 0.5], unit = "m" }
speed = { range = [-1.2, 1.2], initial = [-0.5, 0.5], unit = "m/s" }
[inputs]
coil = { range = [-0.2, 0.2], unit = "N" }
[parameters]
k = 4
c = { value = 0.5, unit = "N s/m" }
[definitions]
spring = "k*gap + 3*gap^3"
[dynamics]
gap = "speed"
speed = "-spring - c*tanh(2*speed) + coil"
[outputs]
sensor = { equation = "gap", unit = "m" }
[sampling]
dt = 0.05
duration = 12
"""
OPTIONS = ["--neurons", "6", "--epochs", "60", "--trials", "20", "--quiet"]


def _observer(*arguments) -> int:
    with pytest.raises(SystemExit) as ended:
        app([str(word) for word in arguments], prog_name="observer")
    return int(ended.value.code or 0)


def _equation(coil, gap, speed):
    return [speed, -(4 * gap + 3 * gap**3) - 0.5 * np.tanh(2 * speed) + coil]


def test_toml_to_passing_report_with_metrics_anyone_can_recompute(tmp_path, monkeypatch, capsys):
    (tmp_path / "damper.toml").write_text(TOML)
    out = tmp_path / "run"
    assert _observer("run", tmp_path / "damper.toml", "--out", out, *OPTIONS) == 0
    assert "pass" in capsys.readouterr().out
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["validation"]["verdict"] == "pass" and metrics["validation"]["plant_method"] == "DOP853"

    # Recomputed from the stored matrices and starts with scipy and NumPy alone.
    run = load_run(out)
    w = run.observer.weights
    trials = run.validation
    late = trials.t >= metrics["validation"]["window"][0] - 1e-9
    errors = []
    for x, x_hat, u in zip(trials.x[:, 0], trials.x_hat[:, 0], trials.u, strict=True):
        rows = [x_hat - x]
        for k in range(len(trials.t) - 1):
            v = np.array([u[k, 0], x[0]])
            neurons = np.zeros(len(w.bv))
            for i in range(len(w.bv)):
                neurons[i] = np.tanh(w.C1[i] @ x_hat + w.D11[i] @ neurons + w.D12[i] @ v + w.bv[i])
            x_hat = w.A @ x_hat + w.B1 @ neurons + w.B2 @ v + w.bx
            x = solve_ivp(lambda t, s, c=u[k, 0]: _equation(c, *s), (0, 0.05), x, rtol=1e-10, atol=1e-12).y[:, -1]
            rows.append(x_hat - x)
        errors.append(rows)
    rms = np.sqrt(np.mean(np.array(errors)[:, late] ** 2, axis=(0, 1)))
    for value, name in zip(rms, ("gap", "speed"), strict=True):
        assert abs(metrics["validation"]["rms_error"][name] / value - 1) < 0.01


def test_the_python_plant_of_the_readme_passes(tmp_path, monkeypatch):
    (tmp_path / "tanks.py").write_text(_block("python", "two tanks"))
    out = tmp_path / "run"
    assert _observer("run", tmp_path / "tanks.py", "--out", out, *OPTIONS) == 0
    assert (out / "report.html").stat().st_size > 100_000
    assert (out / "source.py").read_text() == (tmp_path / "tanks.py").read_text()


def test_the_toml_plant_of_the_readme_is_observable(tmp_path, monkeypatch, capsys):
    (tmp_path / "plant.toml").write_text(_block("toml", "van der pol"))
    assert _observer("check", tmp_path / "plant.toml") == 0
    assert "detectable" in capsys.readouterr().out


def test_the_python_session_of_the_readme(capsys):
    code = _block("python", "certify, fit, validate").replace("neurons=12, ", "neurons=6, iterations=60, ")
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)  # our own page
    assert names["check"].verdict == "pass" and names["proof"].holds
    assert names["x_hat"].shape == (2,)
    assert capsys.readouterr().out.startswith("pass")


def test_every_command_of_the_readme_exists(monkeypatch, capsys):
    commands = set(re.findall(r"(?:^    |`)observer ([\w-]+)", README.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert {"check", "run", "experiment", "verify", "new"} <= commands
    for command in commands:
        assert _observer(command, "--help") == 0
    assert "Usage" in capsys.readouterr().out


def test_an_unobservable_plant_is_refused_with_its_direction(tmp_path, monkeypatch, capsys):
    (tmp_path / "blind.toml").write_text(
        TOML.replace('equation = "gap"', 'equation = "speed"').replace("k*gap + 3*gap^3", "0*k*gap")
    )
    assert _observer("run", tmp_path / "blind.toml", "--out", tmp_path / "run", *OPTIONS) == 1
    message = capsys.readouterr().err
    assert "gap" in message and "undetectable direction" in message and "Traceback" not in message
