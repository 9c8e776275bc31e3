"""A plant without equations: signals and logs only, from the file to a validated observer."""

import json
import shutil

import numpy as np
import pytest

import reports
from experiments.cli.app import app
from observer import fit, load_run
from observer.storage import write_text
from observer.validation.on_logs import part
from systems import InputError, discretize, load_system, mass_spring_damper, simulate, write_recordings
from systems.files import load_outline
from systems.recordings.learned import learn_system

OUTLINE = """
[states]
position = { range = [-2, 2], initial = [-1, 1], unit = "m" }
velocity = { range = [-3, 3], initial = [-1, 1], unit = "m/s" }
[inputs]
force = { range = [-1, 1], unit = "N" }
[outputs]
measured_position = { unit = "m" }
[sampling]
dt = 0.05
"""


@pytest.fixture(scope="module")
def spring():
    return discretize(mass_spring_damper())


@pytest.fixture
def shop(tmp_path, spring):
    (tmp_path / "plant.toml").write_text(OUTLINE)
    write_recordings(simulate(spring, 6, duration=20.0, seed=2), tmp_path / "log.csv", spring.system)
    return tmp_path


def test_least_squares_finds_a_linear_plant(shop, spring):
    outline, plain = load_outline(shop / "plant.toml")
    assert plain == (True,) and outline.kind == "discrete"
    learned = discretize(learn_system(outline, plain, simulate(spring, 3, duration=10.0)))
    x, u = np.array([[0.3, -0.4]]), np.array([[0.5]])
    np.testing.assert_allclose(learned.step(x, u), spring.step(x, u), atol=1e-7)
    np.testing.assert_allclose(learned.output(x, u), spring.output(x, u), atol=1e-9)
    np.testing.assert_allclose(learned.jacobian(x, u)[0], spring.jacobian(x, u)[0], atol=1e-7)


def test_an_output_with_an_equation_keeps_it(shop, spring):
    text = OUTLINE.replace('{ unit = "m" }', '{ equation = "position^2", unit = "m" }', 1)
    (shop / "other.toml").write_text(text)
    outline, plain = load_outline(shop / "other.toml")
    learned = learn_system(outline, plain, simulate(spring, 3, duration=10.0))
    assert plain == (False,) and learned.measure([0.5, 0.0], [0.0])[0] == pytest.approx(0.25)


def test_what_cannot_be_learned_is_refused(shop, spring):
    outline, plain = load_outline(shop / "plant.toml")
    with pytest.raises(InputError, match="'force' never changes in the logs"):
        learn_system(outline, plain, simulate(spring, 3, duration=10.0, excitation="zero"))
    with pytest.raises(InputError, match="2 complete transitions to learn from; expected at least 8"):
        learn_system(outline, plain, simulate(spring, 1, duration=0.1))


def test_without_logs_the_equations_are_asked_for(observer, shop):
    with pytest.raises(InputError, match="dynamics is missing"):
        load_system(shop / "plant.toml")
    assert load_outline("box") is None
    answer = observer("run", shop / "plant.toml", "--out", shop / "run", "--quiet")
    assert answer.code == 2 and "with --data, does without" in answer.err and not (shop / "run").exists()


def test_a_single_log_holds_out_its_end(spring):
    data = simulate(spring, 1, duration=10.0)
    rest, held_out = data.split(0.2, seed=0)
    assert (len(rest.t), len(held_out.t)) == (160, 41) and list(rest.lengths) == [160]
    np.testing.assert_array_equal(np.concatenate([rest.x, held_out.x], axis=1), data.x)


def test_run_from_logs_alone_is_validated_on_what_was_held_out(observer, shop, spring):
    words = ["run", shop / "plant.toml", "--data", shop / "log_*.csv", "--out", shop / "run", "--neurons", 0]
    words += ["--settling-time", 3, "--trials", 12, "--quiet"]
    answer = observer(*words)
    assert answer.code == 0 and "verdict: pass" in answer.out, answer.err
    metrics = json.loads((shop / "run" / "metrics.json").read_text())
    assert metrics["validation"]["plant_method"] == "logged data" and metrics["validation"]["trials"] == 12
    assert "--same-model" not in metrics["command"] and "--config" not in metrics["command"]
    run = load_run(shop / "run")
    _, held_out = run.trajectories.split(0.2, seed=0)
    assert all(any(np.array_equal(trial[:5], log[:5]) for log in held_out.x) for trial in run.validation.x[:1])
    page = (shop / "run" / "report.html").read_text()
    assert "on logs held out of the fit" in page and "by which the fit also chose its best iterate" in page
    # The true plant agrees, though it was never shown.
    fresh = simulate(spring, 5, duration=20.0, seed=9)
    late = run.observer.run(np.zeros((5, 2)), fresh.u, fresh.y)[:, 200:] - fresh.x[:, 200:]
    assert np.sqrt(np.mean(late**2)) < 0.01
    assert observer("verify", shop / "run").code == 0
    assert "done already" in observer(*words[:-1]).err
    answer = observer("validate", shop / "run", "--noise")
    assert answer.code == 2 and "validated on its held-out logs" in answer.err
    assert observer("estimate", shop / "run", shop / "log_000.csv", "-o", shop / "out.csv").code == 0


def test_logs_too_short_to_hold_out_are_refused_before_anything_is_written(observer, shop):
    text = (shop / "log_000.csv").read_text().splitlines()
    (shop / "short.csv").write_text("\n".join(text[:14]) + "\n")
    answer = observer("run", shop / "plant.toml", "--data", shop / "short.csv", "--out", shop / "run", "--quiet")
    assert answer.code == 2 and len(answer.err.splitlines()) == 1 and "held-out logs has 3 samples" in answer.err
    assert not (shop / "run").exists()


def test_fit_refuses_an_unknown_source_of_transitions(spring):
    with pytest.raises(InputError, match="expected model or data"):
        fit(spring, simulate(spring, 2, duration=2.0), transitions="logs")


LEARN = ["--neurons", 0, "--settling-time", 3, "--trials", 6, "--quiet"]


@pytest.fixture
def quick(monkeypatch):
    """No figures: they take seconds, and have their own tests."""
    monkeypatch.setattr(reports, "write_report", _page, raising=False)


def _page(run, **_):
    write_text(run.path / "report.html", "page")


def _same_weights(one, two):
    pairs = zip(one.observer.weights.weights().values(), two.observer.weights.weights().values(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_of_many_logs_the_judged_ones_are_seen_by_nothing_else(observer, shop, spring, quick):
    """A log that the observer is judged on must change neither the learned plant, nor the weights, nor the iterate."""
    write_recordings(simulate(spring, 10, duration=20.0, seed=2), shop / "many.csv", spring.system)
    words = ["run", shop / "plant.toml", "--data", shop / "many_*.csv", *LEARN]
    assert observer(*words, "--out", shop / "run").code == 0
    run = load_run(shop / "run")
    rest, judged, apart = part(run.trajectories, 0)
    assert apart and (len(rest), len(judged)) == (9, 1)
    assert np.array_equal(run.validation.x[0], judged.x[0, : len(run.validation.t)])
    metrics = json.loads((shop / "run" / "metrics.json").read_text())
    assert metrics["validation"]["logs_chose_the_iterate"] is False and metrics["data"]["trajectories"] == 10
    assert "of 1 of the 10 logs, which the fit did not use" in metrics["validation"]["warnings"][0]
    # Another measurement in the judged log: same observer, other trials.
    log = shop / f"many_{[np.array_equal(x, judged.x[0]) for x in run.trajectories.x].index(True):03d}.csv"
    lines = log.read_text().splitlines()
    log.write_text("\n".join([*lines[:2], *(line.rpartition(",")[0] + ",0.123" for line in lines[2:])]) + "\n")
    observer(*words, "--out", shop / "other")
    other = load_run(shop / "other")
    assert other.system.fingerprint == run.system.fingerprint and _same_weights(other, run)
    assert other.fit.one_step_loss == run.fit.one_step_loss  # by which iterates are chosen
    assert not np.array_equal(other.validation.x_hat, run.validation.x_hat)


@pytest.mark.parametrize(
    ("pattern", "said"), [("log_*", "the one held-out log"), ("log_000", "the held-out end of the only log")]
)
def test_a_single_held_out_log_is_said_to_have_chosen_the_iterate_too(observer, shop, quick, pattern, said):
    words = ["run", shop / "plant.toml", "--data", shop / f"{pattern}.csv", *LEARN, "--out", shop / "run"]
    assert observer(*words).code in (0, 1)
    metrics = json.loads((shop / "run" / "metrics.json").read_text())
    assert metrics["validation"]["logs_chose_the_iterate"] is True
    assert f"{said}, by which the fit also chose its best iterate" in metrics["validation"]["warnings"][0]


@pytest.fixture(scope="module")
def learned(tmp_path_factory, spring):
    """A finished run beside its logs, which have moved together since."""
    folder = tmp_path_factory.mktemp("learned")
    (folder / "built").mkdir()
    (folder / "built" / "plant.toml").write_text(OUTLINE)
    write_recordings(simulate(spring, 6, duration=20.0, seed=2), folder / "built" / "log.csv", spring.system)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(reports, "write_report", _page, raising=False)
        app([str(word) for word in _words(folder / "built")])
    assert ended.value.code == 0
    (folder / "built").rename(folder / "moved")
    return folder / "moved"


def _words(folder):
    return ["run", folder / "plant.toml", "--data", folder / "log_*.csv", *LEARN, "--out", folder / "run"]


@pytest.fixture
def place(learned, tmp_path):
    shutil.copytree(learned, tmp_path / "place")
    return tmp_path / "place"


def test_verify_says_which_log_changed_or_is_gone(observer, place):
    (place / "run" / "report.html").unlink(missing_ok=True)
    found = json.loads(observer("verify", place / "run", "--fast", "--json").out)
    assert found["differs"] == found["absent"] == [] and sum("log " in text for text in found["agrees"]) == 6
    (place / "log_004.csv").unlink()
    answer = observer("verify", place / "run", "--fast")
    assert answer.code == 0 and "log_004.csv: no longer there" in answer.out
    assert "trajectories.npz: read from logs that are not here, so not read again" in answer.out
    log = place / "log_001.csv"
    log.write_text(log.read_text().replace("0.05,", "0.050,", 1))
    answer = observer("verify", place / "run", "--fast")
    assert answer.code == 1 and "1 differ" in answer.out and "log_001.csv: changed since the run learned" in answer.out


def test_a_run_is_not_resumed_over_other_logs(observer, place):
    log = place / "log_002.csv"
    log.write_text("\n".join(log.read_text().splitlines()[:-20]) + "\n")
    answer = observer(*_words(place))
    assert answer.code == 2 and "differs in the logs (" in answer.err and "log_002.csv changed since)" in answer.err


def _edited(log, out, change):
    lines = log.read_text().splitlines()
    out.write_text("\n".join(change(lines)) + "\n")
    return out


def test_what_a_log_misses_is_said_and_counted(observer, shop, quick):
    """Gaps and empty cells are left out of the fit; a person is told of how many, and of which signals."""

    def holes(lines):
        lines = [
            line if not 50 <= k < 53 else ",".join([*line.split(",")[:2], "", *line.split(",")[3:]])
            for k, line in enumerate(lines)
        ]
        return lines[:100] + lines[120:]

    log = _edited(shop / "log_000.csv", shop / "holes.csv", holes)
    words = ["run", shop / "plant.toml", "--data", log, *LEARN, "--out", shop / "run"]
    answer = observer(*words)
    assert (
        "of 401 logged samples some miss a value (position in 20, velocity in 23, force in 20, measured_position in 20)"
        in answer.err
    )
    assert load_run(shop / "run").trajectories.transitions().x.shape[0] == 400 - 4 - 21
    empty = _edited(
        log,
        shop / "empty.csv",
        lambda lines: lines[:2] + [",".join([*r.split(",")[:2], "", *r.split(",")[3:]]) for r in lines[2:]],
    )
    answer = observer("run", shop / "plant.toml", "--data", empty, "--out", shop / "other")
    assert answer.code == 2 and "no row has a number for 'velocity'" in answer.err and not (shop / "other").exists()


@pytest.mark.parametrize(
    ("factor", "said"), [(1000.0, "are these stamps milliseconds?"), (1 / 3600, "are these stamps hours?")]
)
def test_stamps_in_another_unit_are_refused(observer, shop, factor, said):
    def scaled(lines):
        return lines[:1] + [f"{factor * float(r.split(',')[0])!r},{r.split(',', 1)[1]}" for r in lines[2:]]

    log = _edited(shop / "log_000.csv", shop / "log.csv", scaled)
    answer = observer("run", shop / "plant.toml", "--data", log, "--out", shop / "run", "--quiet")
    assert answer.code == 2 and len(answer.err.splitlines()) == 1 and said in answer.err and not (shop / "run").exists()


def test_a_file_of_another_encoding_is_named_with_its_row(observer, shop):
    text = (shop / "log_000.csv").read_text().replace("m/s", "°/s", 1)
    (shop / "old.csv").write_bytes(text.encode("latin-1"))
    answer = observer("run", shop / "plant.toml", "--data", shop / "old.csv", "--out", shop / "run", "--quiet")
    assert answer.code == 2 and "old.csv, row 2: the byte b'\\xb0' is not UTF-8" in answer.err
