"""The run folder with real, small runs: what is written, resumed, refused, and kept when something stops."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib

import numpy as np
import pytest

import observer as library
import reports
from experiments.pipeline.job import CHECKPOINT
from observer import load_run
from observer.storage import file_hash
from systems.base.errors import InputError
from tests.plants import HARDENING_SPRING

SMALL = ["--trajectories", 10, "--duration", 5, "--neurons", 3, "--epochs", 5, "--trials", 8, "--quiet"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One whole run of a plant from a file, made by the installed command line in a process of its own."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "spring.toml").write_text(HARDENING_SPRING)
    process = _start(folder, "run", *SMALL, python=("-W", "error::UserWarning"))
    out, err = process.communicate()
    assert process.returncode in (0, 1), err
    assert "verdict: " in out and "report: run/report.html" in out and err == ""
    return folder


def _start(folder, out, *options, python=()):
    """The command line on the plant in the folder, as a process of its own."""
    words = [sys.executable, *python, "-m", "experiments.cli", "run", "spring.toml", "--out", out, *map(str, options)]
    root = os.path.dirname(os.path.dirname(os.path.abspath(library.__file__)))
    there = {"cwd": folder, "env": os.environ | {"PYTHONPATH": root}}
    return subprocess.Popen(words, **there, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    """A copy of the finished run that a test may change, as ``run`` in the working folder."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reports, "write_report", _page, raising=False)  # figures take seconds, and have their own tests
    return tmp_path / "run"


def _page(run, **_):
    (run.path / "report.html").write_text(reports.metrics_text(run))
    return run.path / "report.html"


def metrics(folder):
    document = json.loads((folder / "metrics.json").read_text())
    del document["checksum"]
    return document


def test_the_folder_has_its_files_and_no_leftovers(run):
    names = {item.name for item in run.iterdir()}
    assert names == {
        "system.json", "source.toml", "config.toml", "trajectories.npz", "observer.safetensors", "history.csv",
        "fit.json", "certificate.json", "validation.npz", "validation_noise.npz", "starts.npz", "metrics.json", "report.html",
        "figures",
    }  # fmt: skip
    assert {item.suffix for item in (run / "figures").iterdir()} == {".pdf", ".png"}
    assert (run / "source.toml").read_text() == HARDENING_SPRING
    config = tomllib.loads((run / "config.toml").read_text())
    assert config["dt"] == 0.1 and config["data"]["duration"] == 5.0 and config["fit"]["neurons"] == 3


def test_metrics_have_the_schema_of_the_design(run):
    document = metrics(run)
    assert {"system", "dt", "network", "fit", "certificate", "validation"} <= document.keys()
    assert {"kind", "nx", "nu", "ny", "nv", "parameters", "activation", "contraction_rate"} <= document[
        "network"
    ].keys()
    fit = {"status", "one_step_loss", "one_step_rms", "start_loss", "seconds", "iterations", "seed"}
    assert fit <= document["fit"].keys() and set(document["fit"]["one_step_rms"]) == {"q", "w"}
    assert {"rate", "rate_per_second", "metric_condition", "lmi_margin"} <= document["certificate"].keys()
    check = document["validation"]
    assert {
        "trials",
        "diverged",
        "converged_fraction",
        "settling_time",
        "window",
        "verdict",
        "plant_method",
    } <= check.keys()
    assert set(check["rms_error"]) == set(check["max_error"]) == {"q", "w"}
    assert document["validation_noise"]["noise"] is True and check["noise"] is False
    assert check["envelope"]["trials"] == 8 and check["envelope"]["kind"] in ("proved", "sampled")
    assert set(check["worst_start"]) == {"settling", "late"} and check["map"]["states"] == ["q", "w"]
    worst = check["worst_start"]["late"]
    assert set(worst["x0"]) == set(worst["x_hat0"]) == {"q", "w"} and worst["trials"] == 160  # twenty for each trial
    for name, digest in document["hashes"].items():
        assert file_hash(run / name) == digest
    for name in ("system.json", "fit.json", "certificate.json", "metrics.json"):
        header = json.loads((run / name).read_text())
        assert header["format_version"] == 1 and header["command"].startswith("observer run spring.toml")


def test_load_run_gives_everything_back(run):
    loaded = load_run(run)
    assert loaded.system.name == "hardening spring" and loaded.plant.dt == 0.1
    assert loaded.fit.observer is loaded.observer and loaded.fit.history["loss"].dtype == float
    assert loaded.fit.one_step_loss == metrics(run)["fit"]["one_step_loss"]
    assert loaded.fit.search.metric.shape == (2, 2) and loaded.fit.region.shape == (2, 2)
    assert loaded.validation.trials == 8 and loaded.validation_noise.noise
    assert loaded.trajectories.x.shape == (10, 51, 2)
    again = loaded.observer.run(loaded.validation.x_hat[:, 0], loaded.validation.u, loaded.validation.y)
    assert np.array_equal(again, loaded.validation.x_hat)
    anew = library.certify(loaded.observer, loaded.plant, residual=False).to_data()
    stored = loaded.certificate.to_data()
    prints = {name: stored["identity"][name] for name in anew["identity"]}  # without those of the bounds
    assert stored | {"bounds": None, "identity": prints} == anew


def test_loading_never_runs_the_source(run):
    (run / "source.py").write_text("raise SystemExit('executed')")
    (run / "source.toml").write_text("broken")
    load_run(run)


def test_the_same_command_again_does_nothing(observer, run):
    before = {item.name: item.stat().st_mtime_ns for item in run.iterdir()}
    answer = observer("run", "spring.toml", "--out", "run", *SMALL[:-1])
    assert answer.code in (0, 1) and "done already" in answer.err and "verdict" in answer.out
    assert {item.name: item.stat().st_mtime_ns for item in run.iterdir()} == before


def test_the_stored_command_and_the_stored_recipe_make_the_same_recipe(observer, run):
    import shlex

    words = shlex.split(metrics(run)["command"])
    assert words[0] == "observer"
    assert "done already" in observer(*words[1:]).err
    assert "done already" in observer("run", "spring.toml", "--config", "run/config.toml", "--out", "run").err


def test_json_on_stdout_is_nothing_but_json(observer, run):
    answer = observer("run", "spring.toml", "--out", "run", *SMALL, "--json")
    assert json.loads(answer.out) == metrics(run)
    assert "verdict" in answer.err


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (["--neurons", 4], "fit.neurons (3 there, 4 asked for)"),
        (["--trials", 9], "validation.trials (8 there, 9 asked for)"),
        (["--dt", 0.2], "dt (0.1 there, 0.2 asked for)"),
        (["--settling-time", "3s"], "fit.settling_time (automatic there, 3.0 asked for)"),
        (["--seed", 1], "seed (0 there, 1 asked for)"),
    ],
)
def test_another_configuration_is_refused_by_key(observer, run, options, key):
    before = metrics(run)
    answer = observer("run", "spring.toml", "--out", "run", *SMALL, *options)
    assert answer.code == 2 and answer.err.count("error:") == 1 and key in answer.err and "--fresh" in answer.err
    assert metrics(run) == before


def test_a_changed_plant_is_refused_by_name(observer, run):
    (run.parent / "spring.toml").write_text(HARDENING_SPRING.replace("0.2*w", "0.3*w"))
    answer = observer("run", "spring.toml", "--out", "run", *SMALL)
    assert answer.code == 2 and "system ('hardening spring' there" in answer.err


def test_fresh_starts_again_and_leaves_the_files_of_others(observer, run):
    (run / "notes.txt").write_text("mine")
    answer = observer("simulate", "spring.toml", "--out", "run", *SMALL, "--seed", 3, "--fresh")
    assert answer.code == 0, answer.err
    assert {item.name for item in run.iterdir()} == {
        "notes.txt", "system.json", "source.toml", "config.toml", "trajectories.npz"
    }  # fmt: skip
    assert load_run(run).config["seed"] == 3


def test_fresh_with_a_bad_plant_destroys_nothing(observer, run):
    before = metrics(run)
    (run.parent / "spring.toml").write_text(HARDENING_SPRING.replace("-q - q^3", "50*q + q^3"))
    answer = observer("run", "spring.toml", "--out", "run", *SMALL, "--fresh")
    assert answer.code == 2 and metrics(run) == before


def test_a_missing_step_is_made_up_for(observer, run):
    for name in ("certificate.json", "validation.npz", "report.html"):
        (run / name).unlink()
    fitted = (run / "fit.json").stat().st_mtime_ns
    answer = observer("run", "spring.toml", "--out", "run", *SMALL[:-1])
    assert answer.code in (0, 1) and "simulate, fit done already" in answer.err
    assert (run / "report.html").is_file() and (run / "validation.npz").is_file()
    assert (run / "fit.json").stat().st_mtime_ns == fitted


def test_validate_may_override_and_the_rest_goes_stale(observer, run):
    answer = observer("validate", "run", "--map", "w,p", "--quiet")
    assert answer.code == 2 and "--map names 'p'; expected 2 of the states q, w" in answer.err
    assert (run / "report.html").exists()  # a refusal leaves everything as it was
    words = ["--trials", 5, "--spread", 1.5, "--map", "w,q", "--worst-trials", 40]
    answer = observer("validate", "run", *words, "--quiet")
    assert answer.code in (0, 1) and metrics(run)["validation"]["trials"] == 5
    assert load_run(run).worst_cases.map.states == (1, 0) and load_run(run).worst_cases.worst["late"].trials == 40
    assert load_run(run).config["validation"] == load_run(run).config["validation"] | {"trials": 5, "spread": 1.5}
    assert not (run / "report.html").exists()
    assert observer("report", "run", "--quiet").code in (0, 1) and (run / "report.html").is_file()
    assert observer("verify", "run", "--fast").code == 0


def test_fit_refuses_other_options_unless_fresh(observer, run):
    answer = observer("fit", "run", "--neurons", 2, "--quiet")
    assert answer.code == 2 and "fit.neurons (3 there, 2 asked for)" in answer.err
    assert "fitted already" in observer("fit", "run").err
    assert observer("fit", "run", "--neurons", 0, "--fresh", "--quiet").code == 0
    again = load_run(run)
    assert again.observer.weights.nv == 0 and again.config["fit"]["neurons"] == 0
    assert again.certificate is None and again.validation is None and "validation" not in again.metrics


@pytest.mark.parametrize(
    "name",
    [
        "system.json",
        "config.toml",
        "observer.safetensors",
        "fit.json",
        "history.csv",
        "certificate.json",
        "metrics.json",
    ],
)
def test_damaged_files_are_refused_by_name(observer, run, name):
    (run / name).write_bytes(b"\x00damaged")
    with pytest.raises(InputError, match=name):
        load_run(run)
    step = {"metrics.json": "fit", "certificate.json": "report"}.get(name, "validate")
    answer = observer(step, "run", "--quiet")
    assert answer.code == 2 and name in answer.err and "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("metrics.json", "report"),
        ("certificate.json", "certify"),
        ("validation.npz", "validate"),
        ("starts.npz", "validate"),
    ],
)
def test_the_step_that_makes_a_damaged_file_is_not_refused(observer, run, name, step):
    (run / name).write_bytes(b"\x00damaged")
    assert observer(step, "run", "--quiet").code in (0, 1)
    assert load_run(run).metrics["verdict"] in ("pass", "fail")


@pytest.mark.parametrize("name", ["validation.npz", "validation_noise.npz", "starts.npz", "trajectories.npz"])
def test_damaged_arrays_are_refused_by_name(run, name):
    (run / name).write_bytes((run / name).read_bytes()[:200])
    with pytest.raises(InputError, match=name):
        _ = load_run(run).trajectories


@pytest.mark.parametrize("name", ["validation.npz", "trajectories.npz"])
def test_no_message_advises_to_trust_pickles(run, name):
    (run / name).write_bytes((run / "fit.json").read_bytes())
    with pytest.raises(InputError, match=rf"{name}.*no archive of arrays") as caught:
        _ = load_run(run).trajectories
    assert "allow_pickle" not in str(caught.value)


def test_weights_of_another_precision_are_refused_by_name(run):
    """They reached the compiler, which does not take them."""
    path = run / "observer.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].replace(b'"F64"', b'"I64"')
    path.write_bytes(content[:8] + header + content[8 + length :])
    with pytest.raises(InputError, match=r"observer\.safetensors.*holds int64 numbers; expected float64"):
        load_run(run)


@pytest.mark.parametrize("name", ["system.json", "fit.json", "certificate.json", "metrics.json"])
def test_newer_files_are_refused_by_name(run, name):
    document = json.loads((run / name).read_text())
    (run / name).write_text(json.dumps(document | {"format_version": 2, "package_version": "9.0"}))
    with pytest.raises(InputError, match=rf"{name}: written by ren-observer 9\.0 in format version 2; .*upgrade"):
        load_run(run)


def test_a_plant_edited_by_hand_is_refused(run):
    text = (run / "system.json").read_text().replace('"hardening spring"', '"softening spring"')
    (run / "system.json").write_text(text)
    with pytest.raises(InputError, match="does not match its checksum"):
        load_run(run)
    document = json.loads(text)
    del document["checksum"]
    (run / "system.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="does not match its fingerprint"):
        load_run(run)


def test_verify_agrees_then_says_what_differs(observer, run):
    answer = observer("verify", "run", "--fast")
    assert answer.code == 0 and "as certified" in answer.out
    document = json.loads((run / "certificate.json").read_text())
    (run / "certificate.json").write_text(json.dumps(document | {"rate": document["rate"] * 0.99}))
    answer = observer("verify", "run", "--fast")
    assert answer.code == 1 and "certificate.json: rate is" in answer.out
    assert "certificate.json: its content does not match its checksum" in answer.out


def test_verify_sees_a_changed_weight(observer, run):
    path = run / "observer.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 0x40
    path.write_bytes(bytes(content))
    answer = observer("verify", "run", "--fast")
    assert answer.code == 1 and "fit.json: made from another observer.safetensors" in answer.out


def test_an_interrupted_fit_keeps_the_best_and_resumes(observer, run, monkeypatch):
    real, seen = library.fit, {}

    def stopped(*arguments, progress, **options):
        def stop(_):
            raise KeyboardInterrupt

        return real(*arguments, progress=stop, **options)

    monkeypatch.setattr(library, "fit", stopped, raising=False)
    answer = observer("run", "spring.toml", "--out", "part", *SMALL, "--epochs", 40)
    assert answer.code == 130 and len(answer.err.splitlines()) == 1 and "To go on: observer run" in answer.err
    part = run.parent / "part"
    kept = load_run(part)
    assert (
        kept.fit.status == "interrupted"
        and kept.certificate is None
        and metrics(part)["fit"]["status"] == "interrupted"
    )
    assert (part / CHECKPOINT).is_file()

    def resumed(*arguments, checkpoint, **options):
        seen["checkpoint"] = checkpoint.is_file()
        return real(*arguments, checkpoint=checkpoint, **options)

    monkeypatch.setattr(library, "fit", resumed, raising=False)
    answer = observer("run", "spring.toml", "--out", "part", *SMALL, "--epochs", 40)
    assert answer.code in (0, 1) and seen["checkpoint"]
    assert load_run(part).fit.status != "interrupted" and not (part / CHECKPOINT).exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_keep_the_best_and_say_how_to_go_on(run, number, code):
    process = _start(run.parent, "long", "--neurons", 30, "--epochs", 100000)
    assert process.stderr is not None
    for line in process.stderr:
        if "held-out" in line:
            process.send_signal(number)
            break
    _, err = process.communicate(timeout=60)
    assert process.returncode == code and "To go on: observer run spring.toml" in err and "Traceback" not in err
    assert load_run(run.parent / "long").fit.status == "interrupted"


def test_an_impossible_rate_is_a_refusal_and_not_a_fault(observer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spring.toml").write_text(HARDENING_SPRING)
    answer = observer("run", "spring.toml", "--out", "run", *SMALL, "--settling-time", "1ms")
    assert answer.code == 1 and answer.err.startswith("refused: ") and answer.out == ""
