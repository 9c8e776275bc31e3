"""``observer calibrate`` from file to file, and runs from logs that hold inputs and outputs only."""

import json

import numpy as np
import pytest

from experiments.pipeline.calibration import RESULT
from observer import load_run
from reports import sentences
from systems import discretize, load_system, simulate
from systems.recordings import write_columns

PLANT = """# a mass on a spring
[states]
q = { range = [-2, 2], initial = [-1, 1], unit = "m" }
w = { range = [-3, 3], initial = [-1, 1], unit = "m/s" }
[inputs]
force = { range = [-1, 1], unit = "N" }
[parameters]
k = { value = 1.0, range = [0.5, 4], unit = "1/s^2" }  # stiffness
c = { value = 0.3, range = [0.05, 1] }
[dynamics]
q = "w"
w = "-k*q - c*w + force"
[outputs]
y = "q"  # a laser
[sampling]
dt = 0.1
"""
TRUTH = {"k": 2.1, "c": 0.41}


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A folder with the plant and logs of t, force and y; the plant of the logs has other parameters."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plant.toml").write_text(PLANT)
    system = load_system("plant.toml").with_parameters(**TRUTH).with_outputs(y={"noise": 0.01})
    data = simulate(discretize(system), 5, 12.0, seed=5, noise=True)
    for k in range(5):
        table = {"t": data.t, "force": data.u[k, :, 0], "y": data.y[k, :, 0]}
        write_columns(tmp_path / f"log{k}.csv", [table], {})
    return tmp_path


def test_the_plant_is_written_again_with_what_was_found(observer, shop):
    answer = observer("calibrate", "plant.toml", "--data", "log*.csv", "-o", "found.toml", "--starts", 2, "--quiet")
    assert answer.code == 0 and "verdict: pass" in answer.out and "not compared with anything" in answer.out
    found, before = load_system("found.toml"), load_system("plant.toml")
    for name, value in TRUTH.items():
        assert found.parameters[name].value == pytest.approx(value, rel=0.05)
        assert found.parameters[name].range == before.parameters[name].range
    assert found.outputs[0].noise == pytest.approx(0.01, rel=0.2)
    text = (shop / "found.toml").read_text()
    assert "# a mass on a spring" in text and "# stiffness" in text and "# a laser" in text
    assert text.startswith("# Calibrated: observer calibrate plant.toml --data 'log*.csv' -o found.toml --starts 2")
    document = json.loads((shop / "found" / RESULT).read_text())
    assert document["verdict"] == "pass" and document["states_compared_with"] is None
    page = (shop / "found" / "report.html").read_text()
    for word in ("Fits", "Whiteness of the residuals", "Held-out logs", "95 % interval"):
        assert word in page
    again = observer("calibrate", "plant.toml", "--data", "log*.csv", "-o", "found.toml", "--quiet")
    assert again.code == 2 and "exists already" in again.err


def test_a_run_from_logs_without_states_is_judged_by_prediction(observer, shop):
    plant = (
        PLANT.replace("value = 1.0", "value = 2.1")
        .replace("value = 0.3", "value = 0.41")
        .replace('"q"', '{ equation = "q", noise = 0.01 }')
    )
    (shop / "known.toml").write_text(plant)
    words = ("--data", "log*.csv", "--plant", "known.toml", "--out", "run", "--neurons", 0, "--settling-time", "4s")
    answer = observer("fit", *words)
    assert answer.code == 0 and "the logs hold no states" in answer.err
    assert observer("certify", "run", "--work", 0.02, "--quiet").code == 0
    answer = observer("validate", "run", "--trials", 6, "--quiet")
    assert answer.code == 0 and "RMS error of predicted y" in answer.out
    run = load_run(shop / "run")
    assert run.trajectories.by_equations and np.isfinite(run.trajectories.x).all()
    assert run.validation.plant_method == "motion of the equations along the logs"
    assert not any("within 2 %" in c.name for c in run.validation.criteria)
    assert "states were not compared with anything" in sentences.summary(run)
    checked = observer("verify", "run", "--fast", "--quiet")
    assert "trajectories.npz" in checked.out and "DIFFERS" not in checked.out, checked.out


def test_wrong_parameters_are_said_before_a_fit(observer, shop):
    wrong = PLANT.replace('"q"', '{ equation = "q", noise = 0.01 }')
    (shop / "wrong.toml").write_text(wrong)
    answer = observer("simulate", "wrong.toml", "--data", "log*.csv", "--out", "run", "--quiet")
    assert answer.code == 0 and "`observer calibrate` finds better parameters" in answer.err


def test_a_plant_of_the_library_is_written_as_a_small_program(observer, shop):
    system = load_system("van_der_pol").with_parameters(mu=1.1).with_outputs(y={"noise": 0.01})
    data = simulate(discretize(system), 2, 8.0, seed=5, noise=True)
    for k in range(2):
        write_columns(shop / f"v{k}.csv", [{"t": data.t, "u": data.u[k, :, 0], "y": data.y[k, :, 0]}], {})
    answer = observer(
        "calibrate", "van_der_pol", "--data", "v*.csv", "-o", "vdp.py", "--starts", 1, "--json", "--quiet"
    )
    assert answer.code == 0 and json.loads(answer.out)["parameters"]["mu"]["value"] == pytest.approx(1.1, abs=0.02)
    found = load_system("vdp.py")
    assert found.parameters["mu"].value == pytest.approx(1.1, abs=0.02) and found.outputs[0].noise > 0


def test_what_is_wrong_with_the_request_is_said_in_one_line(observer, shop):
    for words, text in (
        (("plant.toml", "-o", "new.toml"), "--data is missing"),
        (("plant.toml", "--data", "log*.csv", "-o", "new.py"), "ends in .toml"),
        (("van_der_pol", "--data", "log*.csv", "-o", "new.toml"), "ends in .py"),
        (("plant.toml", "--data", "log*.csv", "-o", "new.toml", "--parameters", "mu"), "no parameter of"),
        (("plant.toml", "--data", "none*.csv", "-o", "new.toml"), "no file matches"),
    ):
        answer = observer("calibrate", *words, "--quiet")
        assert (
            answer.code == 2 and text in answer.err and not (shop / "new.toml").exists() and not (shop / "new").exists()
        )


def test_a_pair_that_trades_is_named_and_the_code_is_1(observer, shop):
    pair = PLANT.replace("-k*q - c*w + force", "-a*b*q - c*w + force").replace(
        'k = { value = 1.0, range = [0.5, 4], unit = "1/s^2" }',
        "a = { value = 1.0, range = [0.5, 4] }\nb = { value = 1.5, range = [0.5, 4] }",
    )
    (shop / "pair.toml").write_text(pair)
    answer = observer("calibrate", "pair.toml", "--data", "log*.csv", "-o", "two.toml", "--starts", 1, "--quiet")
    assert answer.code == 1 and "only a*b is seen: a and b trade" in answer.out and "verdict: fail" in answer.out
