"""A run folder verified as a whole: honest runs agree, mixtures and re-signed changes do not, and each answer is said for itself."""

import json
import shutil
from itertools import combinations

import numpy as np
import pytest

import reports
from experiments.cli.app import app
from experiments.pipeline.verification.agreement import apart, compared
from experiments.pipeline.verify import verify
from observer import load_run, runs
from observer.run_chain import foreign_parts, origins
from observer.storage import write_json
from systems.base.errors import InputError
from tests.experiments import forging
from tests.plants import HARDENING_SPRING

SMALL = (
    "--trajectories",
    "6",
    "--duration",
    "3",
    "--neurons",
    "2",
    "--iterations",
    "3",
    "--trials",
    "4",
    "--worst-trials",
    "20",
)
#: Files that one step writes together.
GROUPS = (
    (runs.CONFIG,), (runs.TRAJECTORIES,), (runs.OBSERVER, runs.HISTORY, runs.FIT), (runs.CERTIFICATE,),
    (runs.VALIDATION, runs.VALIDATION_NOISE), (runs.STARTS,), (runs.METRICS,),
)  # fmt: skip


def command(*words):
    with pytest.raises(SystemExit) as stopped:
        app([str(word) for word in words], prog_name="observer")
    return stopped.value.code


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two runs of one plant that differ in their seeds; their page is its metrics alone, as figures take seconds."""
    folder, patch = tmp_path_factory.mktemp("two"), pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.setattr(
        reports,
        "write_report",
        lambda run, **_: (run.path / "report.html").write_text(reports.metrics_text(run)),
        raising=False,
    )
    (folder / "spring.toml").write_text(HARDENING_SPRING)
    for seed in (0, 1):
        assert command("run", "spring.toml", "--out", f"run{seed}", *SMALL, "--seed", seed, "--quiet") in (0, 1)
    patch.undo()
    return folder / "run0", folder / "run1"


@pytest.fixture
def run(two, tmp_path):
    """A copy of the first, to be changed."""
    return shutil.copytree(two[0], tmp_path / "run0")


def test_an_honest_run_agrees_with_all_of_itself_and_is_not_touched(two):
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in two[0].rglob("*")}
    (two[0] / "report.html").unlink()  # its figures have their own test
    found = verify(two[0])
    (two[0] / "report.html").write_bytes(before[two[0] / "report.html"][1])
    assert found.differs == found.absent == found.unexamined == [], found
    assert all("bound" in text for text in found.unconfirmed), found.unconfirmed  # which a small budget may leave open
    for text in (
        "system.json: the plant of source.toml",
        "trajectories.npz: every sample from the one before it by the plant",
        "observer.safetensors: weights, by their direct parameters",
        "fit.json: the training, done again",
        "history.csv: the training, done again",
        "validation.npz: estimates along its measurements",
        "validation_noise.npz: outputs",
        "starts.npz: convergence map",
        "starts.npz: worst initial state for late, searched again",
        "metrics.json: every number, from the parts",
    ):
        assert text in found.agrees, text
    after = {path: path.read_bytes() for path in two[0].rglob("*")}
    assert after == {path: content for path, (_, content) in before.items()}


def test_the_answers_are_told_apart(two, run, capsys):
    assert command("verify", two[0], "--fast") == 0
    out = capsys.readouterr().out
    assert "unexamined  fit.json: history, iterations and status of the training" in out
    assert out.splitlines()[-1].endswith("as certified, as far as it was examined (4 not examined)")
    assert command("verify", two[0], "--fast", "--json") == 0
    answers = json.loads(capsys.readouterr().out)
    assert set(answers) == {"agrees", "differs", "unconfirmed", "absent", "unexamined"} and answers["differs"] == []
    assert command("verify", two[0], "--budget", "1ms") == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert ("nothing differs" in last and "not confirmed in the time given; --budget" in last) or "differ" in last
    forging.forge(run, forging.Entry(runs.METRICS, ("validation", "rms_error", "q")))
    assert command("verify", run, "--fast") == 1
    out = capsys.readouterr().out
    assert out.count("DIFFERS") == 1 and "validation.rms_error.q is " in out and out.endswith("1 differ\n")
    assert command("verify", run, "--budget", "soon") == 2
    assert "--budget is 'soon'; expected a time such as 20s" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "\n\n\n", None])
def test_a_source_that_gives_no_plant_differs(run, content):
    """``None``: a link to a folder in its place."""
    source = run / "source.toml"
    source.unlink()
    source.symlink_to("/") if content is None else source.write_text(content)
    found = verify(run, fast=True)
    assert any(text.startswith("source.toml: ") and "no " in text for text in found.differs), found


def test_parts_of_two_runs_in_every_mixture_are_refused(two, tmp_path):
    """Also when whoever mixed them wrote the metrics last, with the hashes of all that lay there."""
    mixed, number = tmp_path / "mixed", 0
    for size in range(1, len(GROUPS)):
        for chosen in combinations(GROUPS, size):
            shutil.rmtree(mixed, ignore_errors=True)
            shutil.copytree(two[0], mixed)
            for name in (name for group in chosen for name in group):
                shutil.copy2(two[1] / name, mixed / name)
            assert list(foreign_parts(mixed)), chosen
            if 1 <= len([group for group in chosen if runs.METRICS not in group]) < len(GROUPS) - 1:
                document = json.loads((mixed / runs.METRICS).read_text())
                document.pop("checksum")
                write_json(mixed / runs.METRICS, document | origins(mixed, runs.METRICS))
                assert list(foreign_parts(mixed)), chosen
                number += 1
    assert number == 126 - 2


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (
            [runs.CERTIFICATE],
            r"certificate\.json: made from another system\.json .*`observer certify .*` makes it anew",
        ),
        (
            [runs.VALIDATION],
            r"validation\.npz: made from another system\.json .*`observer validate .*` makes it anew",
        ),
        (
            [runs.CONFIG],
            r"trajectories\.npz: made with seed = 0, and config\.toml says 1; .*`observer run NAME_OR_FILE --out .* --fresh`",
        ),
        ([runs.OBSERVER], r"observer\.safetensors: not the file that fit\.json was written with"),
        ([runs.METRICS], r"metrics\.json: made from another system\.json .*`observer report .*` makes it anew"),
    ],
)
def test_a_foreign_part_is_refused_with_the_step_that_makes_it_anew(two, run, names, text):
    for name in names:
        shutil.copy2(two[1] / name, run / name)
    with pytest.raises(InputError, match=text):
        load_run(run)
    assert verify(run, fast=True).differs


CHOSEN = [
    (runs.SYSTEM, ("system", "states", 0, "unit")),
    (runs.SYSTEM, ("system", "description")),
    (runs.CONFIG, ("data", "trajectories")),
    (runs.CONFIG, ("fit", "neurons")),
    (runs.CONFIG, ("validation", "spread")),
    (runs.CONFIG, ("seed",)),
    (runs.TRAJECTORIES, ("x", 77)),
    (runs.TRAJECTORIES, ("u", 12)),
    (runs.OBSERVER, ("direct.X", 0)),
    (runs.OBSERVER, ("weights.bx", 1)),
    (runs.OBSERVER, ("scaling.state_scale", 1)),
    (runs.OBSERVER, ("meta", "contraction_rate")),
    (runs.FIT, ("one_step_loss",)),
    (runs.FIT, ("search", "trade_off", "noise", 0, 1)),
    (runs.FIT, ("message",)),
    (runs.CERTIFICATE, ("gain_y",)),
    (runs.VALIDATION, ("x", 200)),
    (runs.VALIDATION, ("x_hat", 300)),
    (runs.VALIDATION, ("settling_time", 0)),
    (runs.VALIDATION, ("meta", "verdict")),
    (runs.VALIDATION_NOISE, ("y", 31)),
    (runs.STARTS, ("worst.late.error", 40)),
    (runs.STARTS, ("worst.settling.x0", 1)),
    (runs.STARTS, ("meta", "residual")),
    (runs.METRICS, ("fit", "start_loss")),
    (runs.METRICS, ("certificate", "steady_error", "q")),
    (runs.METRICS, ("verdict",)),
]


@pytest.mark.parametrize(
    ("name", "path"), CHOSEN, ids=lambda item: item if isinstance(item, str) else ".".join(map(str, item))
)
def test_one_entry_changed_and_all_signed_anew_is_found(run, name, path):
    forging.forge(run, forging.Entry(name, path))
    assert list(foreign_parts(run)) == []  # the forger signed well
    assert verify(run, fast=True).differs


def test_what_only_a_repetition_shows_is_found_by_it(run):
    forging.forge(run, forging.Entry(runs.HISTORY, (1, "damping")))
    assert verify(run, fast=True).differs == []
    (run / "report.html").unlink()
    assert any(text.startswith("history.csv: damping[0] is ") for text in verify(run).differs)


def test_the_rounding_of_another_processor_is_no_alarm(run):
    """The last digits of states, estimates and of everything that is computed from them."""
    for name, keys in (
        (runs.TRAJECTORIES, ("x", "y")),
        (runs.VALIDATION, ("x", "y", "x_hat", "rms_error", "error_norm")),
    ):
        arrays, meta = forging._read(run / name)
        for key in keys:
            arrays[key] = arrays[key] * (1 + 2.0**-52 * np.random.default_rng(1).integers(-3, 4, arrays[key].shape))
        forging._write(run / name, arrays, meta)
    forging.sign(run)
    found = verify(run, fast=True).differs
    assert [text for text in found if not text.startswith("validation_noise")] == []


def test_a_validation_with_another_seed_leaves_the_seed_of_the_run(run, monkeypatch):
    monkeypatch.setattr(reports, "write_report", lambda run, **_: None, raising=False)
    before = load_run(run).validation.x[:, 0]
    assert command("validate", run, "--seed", 5, "--quiet") in (0, 1)
    again = load_run(run)
    assert again.config["seed"] == 0 and again.config["validation"]["seed"] == 5
    assert not np.array_equal(again.validation.x[:, 0], before)
    assert verify(run, fast=True).differs == []


def test_numbers_are_shown_to_the_digits_that_differ():
    assert apart(0.1 + 0.2, 0.3) == "0.30000000000000004 there and 0.29999999999999999 when it is derived again"
    assert apart(1.25, 1.5) == "1.25 there and 1.5 when it is derived again"
    one, two = {"a": [1.0, 2.0], "b": {"c": "text"}, "d": True}, {"a": [1.0, 2.5], "b": {}, "d": 1}
    assert [finding.text for finding in compared("part", one, two)] == [
        "a[1] is 2 there and 2.5 when it is derived again",
        "b is missing; it is '{}'",
        "d is True there and 1 when it is derived again",
        "b.c is 'text' there, and nothing gives it",
    ]


@pytest.mark.slow
def test_a_sample_of_changes_is_found_or_said(two, tmp_path):
    """300 entries of all files; what is not found fast is looked into at length."""
    rng = np.random.default_rng(13)
    found = forging.entries(two[0], rng)
    missed = []
    for k in rng.permutation(len(found))[:300]:
        folder = tmp_path / "forged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(two[0], folder)
        said = forging.forge(folder, found[k])
        if not verify(folder, fast=True).differs:
            answer = verify(folder)
            missed += [] if answer.differs or answer.unconfirmed else [f"{found[k]}: {said}"]
    assert missed == []
