"""Runs of every format that was ever written load and prove what they proved; a damaged file of a run is refused by its name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import observer as library
from experiments.pipeline.verify import verify
from observer import load_run
from observer.storage import FORMAT_VERSION, write_json
from systems.base.errors import InputError
from systems.base.records import to_plain

DATA = Path(__file__).parents[1] / "data"
FORMATS = range(1, FORMAT_VERSION + 1)
FILES = sorted(item.name for item in (DATA / "run_format_1").iterdir() if not item.name.startswith("source"))


@pytest.mark.parametrize("version", FORMATS)
def test_a_run_of_this_format_loads_and_its_certificate_holds(version):
    """A folder written when the format was new. A format without one has no test: make it before the version goes up."""
    folder = DATA / f"run_format_{version}"
    assert json.loads((folder / "fit.json").read_text())["format_version"] == version
    run = load_run(folder)
    assert run.system.name == "spring" and run.plant.dt == 0.1 and run.system.parameters["k"].value == 1.0
    assert run.fit.observer is run.observer and len(run.fit.history["loss"]) > 0
    assert run.trajectories.x.shape == (3, 31, 2) and run.config["fit"]["neurons"] == 2
    assert run.validation.verdict == "pass" and run.validation_noise.noise
    proof = library.certify(run.observer, run.plant)
    assert proof.holds and proof.rate == pytest.approx(run.certificate.rate, rel=1e-9)
    found = verify(folder)
    assert found.differs == [] and found.absent == [] and "fit.json: hash of observer.safetensors" in found.agrees
    assert all("earlier version" in text or "done again" in text for text in found.unconfirmed), found.unconfirmed
    again = run.observer.run(run.validation.x_hat[:, 0], run.validation.u, run.validation.y)
    np.testing.assert_allclose(again, run.validation.x_hat, rtol=1e-12, atol=1e-12)


def _same(one, two):
    """Whether two runs hold the same: what a reader of a file sees of a change in its layout alone."""
    return all(
        json.dumps(to_plain(part(one))) == json.dumps(to_plain(part(two)))
        for part in (
            lambda run: run.config,
            lambda run: run.metrics,
            lambda run: run.certificate.to_data(),
            lambda run: run.system.to_data(),
            lambda run: run.fit.options,
        )
    )


@pytest.fixture
def folder(tmp_path):
    """A copy of a run as this version writes it: with checksums in its JSON files."""
    run = shutil.copytree(DATA / "run_format_1", tmp_path / "run")
    for name in (
        "system.json",
        "fit.json",
        "certificate.json",
        "metrics.json",
    ):  # each after those that it states the hashes of
        document = json.loads((run / name).read_text())
        hashes = {other: library.storage.file_hash(run / other) for other in document.pop("hashes", {})}
        write_json(run / name, document, hashes=hashes)
    return run


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_or_a_lost_end_is_refused_by_name(folder, name):
    whole, content = load_run(folder), (folder / name).read_bytes()
    size = len(content)
    damaged = [content[:cut] for cut in sorted({0, 1, size // 3, size // 2, size - 1})]
    for at in np.random.default_rng(3).integers(0, size, 8):
        damaged.append(content[:at] + bytes([content[at] ^ 0x11]) + content[at + 1 :])
    for broken in damaged:
        (folder / name).write_bytes(broken)
        try:
            run = load_run(folder)
        except InputError as refusal:
            assert name in str(refusal) and "\n" not in str(refusal)
        else:  # white space between two entries, say
            assert name.endswith(".json") and _same(run, whole), broken


def test_a_number_changed_by_hand_is_refused(folder):
    for name, old, new in (
        ("metrics.json", '"dt": 0.1', '"dt": 0.2'),
        ("certificate.json", '"rate": 0.', '"rate": 0.1'),
    ):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
        with pytest.raises(InputError, match=rf"{name}: its content does not match its checksum"):
            load_run(folder)
        (folder / name).write_text(text)


def test_a_recipe_changed_by_hand_is_refused(folder):
    text = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(text.replace("seed = 0", "seed = 1"))
    with pytest.raises(InputError, match=r"metrics\.json: made from another config\.toml than the one"):
        load_run(folder)
