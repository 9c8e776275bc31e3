import json
import os

import numpy as np
import pytest

from observer import storage
from observer.networks.ren.explicit import ExplicitREN
from observer.scaling import Scaling
from observer.state_observer import RENObserver
from observer.storage import (
    file_hash,
    load_observer,
    read_json,
    read_npz,
    save_observer,
    write_json,
    write_npz,
    write_text,
)
from systems import discretize, van_der_pol
from systems.base import memory
from systems.base.errors import InputError


@pytest.fixture
def plant_observer():
    system, rng = van_der_pol(), np.random.default_rng(0)
    nx, nu, nv = 2, 2, 5
    weights = ExplicitREN.with_identity_output(
        A=rng.normal(size=(nx, nx)),
        B1=rng.normal(size=(nx, nv)),
        B2=rng.normal(size=(nx, nu)),
        C1=rng.normal(size=(nv, nx)),
        D11=np.tril(rng.normal(size=(nv, nv)), -1),
        D12=rng.normal(size=(nv, nu)),
        bx=rng.normal(size=nx),
        bv=rng.normal(size=nv),
        activation="tanh",
    )
    scaling = Scaling(np.zeros(nx), np.ones(nx), np.zeros(nu), np.full(nu, 2.0))
    direct = {"X": rng.normal(size=(2 * nx + nv, 2 * nx + nv))}
    return RENObserver(weights, np.eye(nx), np.ones(nv), 0.9, scaling, direct, discretize(system, dt=0.05))


def test_an_observer_comes_back_to_the_last_bit(tmp_path, plant_observer):
    path = tmp_path / "observer.safetensors"
    save_observer(path, plant_observer, command="observer run van_der_pol")
    again = load_observer(path, discretize(van_der_pol(), dt=0.05))
    before, after = plant_observer.to_arrays(), again.to_arrays()
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) and after[name].dtype == np.float64 for name in before)
    assert again.meta() == plant_observer.meta()
    x = np.array([0.3, -0.2])
    assert np.array_equal(again.step(x, [0.1], [0.3]), plant_observer.step(x, [0.1], [0.3]))


@pytest.mark.parametrize("version", ["\u00b2", "9" * 5000, "-1", "one", ""])
def test_a_format_version_that_is_no_number_is_refused(tmp_path, plant_observer, version, monkeypatch):
    monkeypatch.setattr(storage, "FORMAT_VERSION", version)
    save_observer(tmp_path / "observer.safetensors", plant_observer)
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"observer\.safetensors: "):
        load_observer(tmp_path / "observer.safetensors", discretize(van_der_pol(), dt=0.05))


@pytest.mark.parametrize(
    "changes",
    [
        {"metric": np.eye(3)}, {"metric": np.zeros(2)}, {"multipliers": np.ones(4)}, {"scaling.state_scale": np.ones(3)},
        {"scaling.state_scale": np.ones((2, 3))}, {"scaling.input_centre": np.array(1.0)}, {"weights.A": np.array(["a", "b"])},
        {"weights.A": np.zeros((2, 3))},
    ],
    ids=str,
)  # fmt: skip
def test_parts_that_do_not_belong_together_are_refused(plant_observer, changes):
    with pytest.raises(InputError):
        RENObserver.from_arrays(plant_observer.to_arrays() | changes, plant_observer.meta(), plant_observer.plant)


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"a": ' * 990 + "1" + "}" * 990, "9" * 5000, '{"a": 1e999}', "\ud800"]
)
def test_json_that_is_no_document_of_ours(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=r"a\.json: "):
        read_json(tmp_path / "a.json")


def test_a_json_file_larger_than_the_memory_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text(json.dumps({"a": [[]] * 1000}))
    monkeypatch.setattr(memory, "available", lambda: 30_000)
    with pytest.raises(InputError, match=r"a\.json would take .* and 30 kB are free"):
        read_json(tmp_path / "a.json")


def test_weights_of_another_plant_are_refused(tmp_path, plant_observer):
    path = tmp_path / "observer.safetensors"
    save_observer(path, plant_observer)
    with pytest.raises(InputError, match="fitted to another plant than 'van_der_pol'"):
        load_observer(path, discretize(van_der_pol().with_parameters(mu=1.1), dt=0.05))


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"\xff" * 64, b"PK\x03\x04 no", b'{"a": 1}'])
def test_a_damaged_weights_file_is_named(tmp_path, content):
    path = tmp_path / "observer.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"observer\.safetensors: cannot be read \(.*damaged"):
        load_observer(path, discretize(van_der_pol(), dt=0.05))


def test_truncated_weights_are_named(tmp_path, plant_observer):
    path = tmp_path / "observer.safetensors"
    save_observer(path, plant_observer)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"observer\.safetensors: cannot be read"):
        load_observer(path, discretize(van_der_pol(), dt=0.05))


def test_weights_of_a_newer_format_are_refused_by_name(tmp_path, plant_observer, monkeypatch):
    path = tmp_path / "observer.safetensors"
    monkeypatch.setattr(storage, "FORMAT_VERSION", 7)
    save_observer(path, plant_observer)
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"observer\.safetensors: written by .* in format version 7; .* upgrade"):
        load_observer(path, discretize(van_der_pol(), dt=0.05))


def test_json_carries_its_versions_and_no_number_that_json_lacks(tmp_path):
    path = tmp_path / "a.json"
    write_json(
        path,
        {"x": np.array([1.5, np.nan]), "n": np.int64(3), "inf": float("inf")},
        command="observer",
        hashes={"b": "00"},
    )
    text = path.read_text()
    assert "NaN" not in text and "Infinity" not in text
    document = read_json(path)
    assert document["x"] == [1.5, None] and document["n"] == 3 and document["inf"] is None
    assert document["format_version"] == 1 and document["package_version"] and document["hashes"] == {"b": "00"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a\.json: cannot be read"),
        ("[1]", r"a\.json: cannot be read \(it holds a list"),
        (
            '{"format_version": 99, "package_version": "9.9"}',
            r"a\.json: written by ren-observer 9\.9 in format version 99",
        ),
        ("{}", r"a\.json: format_version is None; expected a whole number"),
        ('{"format_version": true}', r"a\.json: format_version is True"),
        ('{"format_version": "1"}', r"a\.json: format_version is '1'"),
        ("[" * 100_000, r"a\.json: cannot be read"),
    ],
)
def test_json_that_cannot_be_used_is_named(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_json(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.json: no such file"):
        read_json(tmp_path / "gone.json")


def test_npz_comes_back_and_pickles_are_refused(tmp_path):
    write_npz(tmp_path / "a.npz", {"x": np.arange(3.0), "names": np.array(["a", "b"])})
    assert read_npz(tmp_path / "a.npz")["names"].tolist() == ["a", "b"]
    np.savez(tmp_path / "object.npz", x=np.array([{"a": 1}], dtype=object))
    (tmp_path / "pickle.npz").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    for name, said in (("object", "the array 'x' holds Python objects"), ("pickle", "no archive of arrays")):
        with pytest.raises(InputError, match=rf"{name}\.npz: {said}"):
            read_npz(tmp_path / f"{name}.npz")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def no_room(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old" and [item.name for item in tmp_path.iterdir()] == ["a.txt"]


def test_files_are_readable_as_any_other_file(tmp_path):
    write_text(tmp_path / "a.txt", "x")
    (tmp_path / "b.txt").write_text("x")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def test_json_is_stable(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [1.0]})
    assert json.loads((tmp_path / "a.json").read_text())["a"] == [1.0]


def test_the_same_weights_are_the_same_bytes(tmp_path, plant_observer):
    """The header of a safetensors file has the order of a hash table that every process seeds anew."""
    save_observer(tmp_path / "one", plant_observer)
    content = (tmp_path / "one").read_bytes()
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]
    assert header == json.dumps(json.loads(header), sort_keys=True, separators=(",", ":")).encode().ljust(len(header))


@pytest.mark.skipif(os.name != "posix", reason="needs pipes and devices")
def test_what_has_no_end_has_no_hash(tmp_path):
    """A pipe waits for ever, a device never ends: a log or a part of a run that is one is refused, not read."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        with pytest.raises(OSError, match="no regular file") as refused:
            file_hash(tmp_path / name)
        assert refused.value.filename == str(tmp_path / name)
