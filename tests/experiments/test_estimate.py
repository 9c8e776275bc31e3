"""Logs on the command line: fit and run from logged states, estimate over a log, export of what a run holds."""

import json

import numpy as np
import pytest

from experiments.pipeline import replay
from observer import load_run
from systems import discretize, load_system, read_recordings, simulate, write_recordings
from systems.recordings import FORMATS, resampling
from systems.recordings.opening import open_tables
from tests.plants import CART

FIT = ["--neurons", 3, "--epochs", 8, "--quiet"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A folder with a plant, three logs of it, and a run fitted to them."""
    from experiments.pipeline.console import Console
    from experiments.pipeline.data import simulate_step
    from experiments.pipeline.fitting import fit_step
    from experiments.pipeline.prepare import prepare
    from experiments.pipeline.recipe import build

    folder = tmp_path_factory.mktemp("shop")
    (folder / "plant.toml").write_text(CART)
    system = load_system(folder / "plant.toml")
    write_recordings(simulate(discretize(system), 3, duration=8.0, seed=3), folder / "log.csv", system)
    flat = {
        "system": str(folder / "plant.toml"),
        "data.files": str(folder / "log_*.csv"),
        "fit.neurons": 3,
        "fit.iterations": 8,
    }
    with prepare(build(flat), folder / "run", fresh=False, console=Console(quiet=True)) as (run, job):
        fit_step(simulate_step(run, job), job)
    return folder


def refused(answer, *words):
    lines = answer.err.splitlines()
    assert answer.code == 2 and answer.out == "" and len(lines) == 1, (answer.code, answer.out, answer.err)
    assert lines[0].startswith("error: ") and "Traceback" not in answer.err
    for word in words:
        assert word in lines[0], lines[0]


def columns(path):
    (table,) = open_tables(path)
    return table.read(table.names)


# fit and run from logs -----------------------------------------------------------------------------------------------


def test_fit_from_logs_is_a_run_like_any_other(observer, shop, tmp_path):
    words = ["fit", "--data", shop / "log_*.csv", "--plant", shop / "plant.toml", "--out", tmp_path / "run", *FIT]
    answer = observer(*words)
    assert answer.code == 0 and answer.err == "" and "linear observer" in answer.out
    run = load_run(tmp_path / "run")
    assert len(run.trajectories) == 3 and run.trajectories.source.startswith("logged")
    np.testing.assert_array_equal(run.trajectories.x, read_recordings(shop / "log_*.csv", run.system).x)
    np.testing.assert_array_equal(run.observer.weights.A, load_run(shop / "run").observer.weights.A)
    assert run.config["data"]["files"] == str(shop / "log_*.csv")
    again = observer(*words[:-1])
    assert again.code == 0 and "fitted already" in again.err
    assert observer("certify", tmp_path / "run", "--quiet").code == 0


def test_run_from_logs_does_every_step(observer, shop, tmp_path):
    out = tmp_path / "run"
    observer("run", shop / "plant.toml", "--data", shop / "log_*.csv", "--out", out, "--trials", 5, *FIT)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["validation"]["plant_method"] == "logged data" and "--data" in metrics["command"]
    assert (out / "report.html").is_file()


def test_logs_without_the_outputs_take_them_from_the_equations(observer, shop, tmp_path):
    text = (shop / "log_000.csv").read_text()
    rows = [",".join(row.split(",")[:-1]) for row in text.splitlines()]
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    words = ["--data", tmp_path / "log.csv", "--plant", shop / "plant.toml", "--out", tmp_path / "run", *FIT]
    assert observer("fit", *words).code == 0
    data = load_run(tmp_path / "run").trajectories
    np.testing.assert_allclose(data.y, data.x[:, :, :1])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no run is given"),
        (["--data", "LOGS"], "--plant and --out missing"),
        (["--data", "LOGS", "--plant", "PLANT"], "--out missing"),
        (["--plant", "PLANT", "--out", "NEW"], "--data missing"),
        (["RUN", "--data", "LOGS"], "--data belongs to a new run"),
        (["RUN", "--dt", "0.2"], "--dt belongs to a new run"),
        (["--data", "/dev/full", "--plant", "PLANT", "--out", "NEW"], "there is no file /dev/full"),
        (["--data", "none*.csv", "--plant", "PLANT", "--out", "NEW"], "no file matches"),
        (["--data", "PLANT", "--plant", "PLANT", "--out", "NEW"], "ends in '.toml'"),
        (
            ["--data", "LOGS", "--plant", "PLANT", "--out", "NEW", "--excitation", "sine"],
            "leave those options out with --data",
        ),
        (["--data", "LOGS", "--plant", "PLANT", "--out", "NEW", "--columns", "gap"], "expected signal=column"),
        (["--data", "LOGS", "--plant", "PLANT", "--out", "NEW", "--columns", "spee=v"], "did you mean 'speed'?"),
        (["--data", "LOGS", "--plant", "box", "--out", "NEW"], "has no column for the input 'force'"),
    ],
)
def test_fit_refuses(observer, shop, tmp_path, words, message):
    known = {"LOGS": shop / "log_*.csv", "PLANT": shop / "plant.toml", "RUN": shop / "run", "NEW": tmp_path / "new"}
    refused(observer("fit", *(known.get(word, word) for word in words), "--quiet"), message)
    assert not (tmp_path / "new").exists()


def test_a_log_of_nothing_complete_is_refused(observer, shop, tmp_path):
    (tmp_path / "log.csv").write_text("t,gap,speed,push,sensor\n0,0,,0,0\n0.1,0,,0,0\n0.2,0,,0,0\n")
    words = ["--data", tmp_path / "log.csv", "--plant", shop / "plant.toml", "--out", tmp_path / "new", "--quiet"]
    refused(observer("fit", *words), "no log has 5 measured samples without a gap")
    assert not (tmp_path / "new").exists()


# estimate ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", FORMATS.values())
def test_estimate_writes_estimates_and_errors(observer, shop, tmp_path, ending):
    out = tmp_path / f"out{ending}"
    answer = observer("estimate", shop / "run", shop / "log_001.csv", "-o", out)
    assert answer.code == 0 and answer.err == "" and answer.out.startswith("81 samples estimated")
    assert "RMS error: gap " in answer.out and " m/s" in answer.out
    log, found, run = columns(shop / "log_001.csv"), columns(out), load_run(shop / "run")
    assert list(found) == ["t", "gap_hat", "speed_hat", "gap_error", "speed_error"]
    x = np.stack([log["gap"], log["speed"]], axis=1)
    x_hat = run.observer.run(x[0], log["push"][:, None], log["sensor"][:, None])
    np.testing.assert_allclose(np.stack([found["gap_hat"], found["speed_hat"]], axis=1), x_hat, atol=1e-12)
    np.testing.assert_allclose(found["speed_error"], found["speed_hat"] - log["speed"], atol=1e-12)
    np.testing.assert_allclose(found["t"], log["t"], atol=1e-9)
    summary = json.loads(observer("estimate", shop / "run", shop / "log_001.csv", "-o", out, "--json", "--force").out)
    assert summary["rms_error"]["gap"] == pytest.approx(np.sqrt(np.mean(found["gap_error"] ** 2)), rel=1e-9)


def test_estimate_without_states_begins_in_the_middle_or_as_given(observer, shop, tmp_path):
    log = columns(shop / "log_000.csv")
    rows = [f"{t + 5:.3f},{u},{y}" for t, u, y in zip(log["t"], log["push"], log["sensor"], strict=True)]
    (tmp_path / "log.csv").write_text("t,push,probe\n" + "\n".join(rows))
    words = [
        "estimate",
        shop / "run",
        tmp_path / "log.csv",
        "-o",
        tmp_path / "out.csv",
        "--columns",
        "sensor=probe",
        "--force",
    ]
    answer = observer(*words)
    assert answer.code == 0 and "RMS" not in answer.out
    found = columns(tmp_path / "out.csv")
    assert list(found) == ["t", "gap_hat", "speed_hat"] and found["t"][0] == 5.0
    assert (found["gap_hat"][0], found["speed_hat"][0]) == (0.0, 0.0)
    assert observer(*words, "--start", "speed=0.3, gap=-0.1").code == 0
    found = columns(tmp_path / "out.csv")
    assert (found["gap_hat"][0], found["speed_hat"][0]) == (-0.1, 0.3)
    for start, word in (
        ("sped=1", "did you mean 'speed'?"),
        ("speed=fast", "expected a number"),
        ("speed", "expected a number"),
    ):
        refused(observer(*words, "--initial-estimate", start), word)


def test_estimate_goes_on_through_gaps(observer, shop, tmp_path):
    lines = (shop / "log_002.csv").read_text().splitlines()
    for k in range(20, 24):
        lines[k] = lines[k].rsplit(",", 1)[0] + ","  # no measurement
    del lines[40:50]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    answer = observer("estimate", shop / "run", tmp_path / "log.csv", "-o", tmp_path / "out.csv")
    assert answer.code == 0 and "14 of them without a complete measurement" in answer.out
    assert len(answer.err.splitlines()) == 1 and "an input is missing in 10 samples" in answer.err
    found = columns(tmp_path / "out.csv")
    assert len(found["t"]) == 81 and np.isfinite(found["gap_hat"]).all()
    assert np.isnan(found["gap_error"]).sum() == 10 and np.nanmax(np.abs(found["gap_error"])) < 0.5


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ("log.csv", "is empty")),
        ("t,push\n0,0\n0.1,0\n", ("no column for the output 'sensor'",)),
        ("t,sensor\n0,0\n0.1,0\n", ("no column for the input 'push'",)),
        ("t,push,sensor\ns,N,mm\n0,0,0\n0.1,0,0\n", ("row 2", "column 'sensor'", "'mm'", "expected 'm'")),
        ("t,push,sensor\n0,0,0\n0.1,zero,0\n", ("row 3", "column 'push'", "'zero'")),
        ("t,push,sensor\n0,0,0\n0.2,0,0\n0.1,0,0\n", ("row 4", "column 't'", "comes after 0.2")),
        ("\x00\x01\x02", ("is no text",)),
    ],
)
def test_estimate_refuses_a_bad_log_and_writes_nothing(observer, shop, tmp_path, content, words):
    (tmp_path / "log.csv").write_text(content)
    refused(observer("estimate", shop / "run", tmp_path / "log.csv", "-o", tmp_path / "out.csv"), *words)
    assert [item.name for item in tmp_path.iterdir()] == ["log.csv"]


def test_estimate_refuses_a_bad_target_or_run(observer, shop, tmp_path):
    log = shop / "log_000.csv"
    refused(observer("estimate", shop / "run", log, "-o", tmp_path / "out.xlsx"), "ends in '.xlsx'")
    refused(observer("estimate", shop / "run", log, "-o", tmp_path / "none" / "out.csv"), "there is no folder")
    refused(observer("estimate", tmp_path, log, "-o", tmp_path / "out.csv"), "not a run folder")
    refused(observer("estimate", shop / "run", tmp_path / "no.csv", "-o", tmp_path / "out.csv"), "there is no file")
    assert not list(tmp_path.iterdir())


def test_estimate_in_pieces_is_that_in_one(observer, shop, tmp_path, monkeypatch):
    """Gaps, missing inputs and missing measurements at the borders of pieces too; and two logs, one without its states."""
    lines = (shop / "log_002.csv").read_text().splitlines()
    for k in (20, 21, 29, 30, 31, 60):
        lines[k] = lines[k].rsplit(",", 1)[0] + ","  # no measurement
    del lines[40:50]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    rows = [",".join(line.split(",")[:1] + line.split(",")[3:]) for line in lines]
    (tmp_path / "b.csv").write_text("\n".join(rows) + "\n")

    def run(name):
        answer = observer("estimate", shop / "run", tmp_path / "[ab].csv", "-o", tmp_path / name)
        assert answer.code == 0, answer.err
        found = [table.read(table.names) for table in open_tables(tmp_path / name)]
        return answer.out.replace(name, ""), answer.err, found

    whole = run("whole.npz")
    monkeypatch.setattr(resampling, "BLOCK", 7)
    pieces = run("pieces.npz")
    assert pieces[:2] == whole[:2] and whole[1].count("an input is missing in 10 samples") == 2
    for one, other in zip(whole[2], pieces[2], strict=True):
        assert list(one) == list(other)
        for name, values in one.items():
            np.testing.assert_allclose(other[name], values, rtol=1e-9, atol=1e-12)
    assert np.isnan(whole[2][1]["gap_error"]).all() and np.isfinite(whole[2][0]["gap_error"]).any()


def test_estimate_of_a_long_log_shows_how_far_it_is(observer, shop, tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "LONG", 50)
    answer = observer("estimate", shop / "run", shop / "log_001.csv", "-o", tmp_path / "out.csv")
    assert answer.code == 0 and "81 samples of" in answer.err and "sample 81/81" in answer.err


def test_estimate_names_the_row_in_which_the_clock_jumps(observer, shop, tmp_path):
    text = "t,push,sensor\n" + "".join(f"{t},0,0\n" for t in (0, 0.1, 0.2, 1e7))
    (tmp_path / "log.csv").write_text(text)
    answer = observer("estimate", shop / "run", tmp_path / "log.csv", "-o", tmp_path / "out.csv")
    refused(answer, "log.csv, row 5, column 't'", "samples of dt = 0.1 s without a number")
    assert [item.name for item in tmp_path.iterdir()] == ["log.csv"]


# export --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_export_of_a_run_reads_back(observer, shop, tmp_path, name):
    observer("validate", shop / "run", "--trials", 2, "--quiet")
    answer = observer("export", shop / "run", "-o", tmp_path / "out", "--format", name)
    assert answer.code == 0 and f"{5 if name in ('csv', 'parquet') else 2} files written" in answer.out
    run = load_run(shop / "run")
    files = sorted((tmp_path / "out").glob("trajectories*"))
    np.testing.assert_allclose(read_recordings(files, run.system).x, run.trajectories.x, atol=1e-9)
    tables = [table for path in sorted((tmp_path / "out").glob("validation*")) for table in open_tables(path)]
    hats = [table.read(["gap_hat", "speed_hat"]) for table in tables]
    np.testing.assert_allclose([hat["gap_hat"] for hat in hats], run.validation.x_hat[:, :, 0])


def test_export_refuses(observer, shop, tmp_path):
    refused(observer("export", shop / "run", "-o", tmp_path / "out", "--format", "xls"), "expected 'csv', 'parquet'")
    (tmp_path / "file").write_text("")
    refused(observer("export", shop / "run", "-o", tmp_path / "file"), "is a file")
    assert not (tmp_path / "out").exists()
