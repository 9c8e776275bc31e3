"""Log files that are not what they say: other files behind them, sizes that they do not hold, lengths that are none."""

import json
import subprocess
import sys

import numpy as np
import pytest

from systems import InputError, Signal, System, read_recordings
from systems.base import memory

SYSTEM = System(
    name="spring", states=[Signal("x", "m", (-2, 2))], outputs=[Signal("y", "m")], dynamics=lambda x: [-x[0]],
    output=lambda x: [x[0]], dt=0.1,
)  # fmt: skip
STAMPS = 0.1 * np.arange(21)
COLUMNS = {"t": STAMPS, "x": np.sin(STAMPS), "y": np.sin(STAMPS)}


def refused(path, *words):
    with pytest.raises(InputError) as error:
        read_recordings(path, SYSTEM)
    text = str(error.value)
    assert "\n" not in text and "allow_pickle" not in text and text.startswith(str(path)), text
    for word in words:
        assert word in text, text


# HDF5 ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hdf5(tmp_path):
    """Makes ``log.h5`` of the columns, but for what ``change(file)`` does to it."""
    h5py = pytest.importorskip("h5py")

    def make(change=lambda file: None, columns=COLUMNS):
        path = tmp_path / "log.h5"
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                file[name] = values
            change(file)
        return path

    return make


@pytest.fixture
def secret(tmp_path):
    """A file of numbers that no log may show."""
    path = tmp_path / "secret.bin"
    path.write_bytes(STAMPS.tobytes())
    return path


def test_numbers_in_another_file_are_refused(hdf5, secret, tmp_path):
    import h5py

    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = STAMPS

    def external_storage(file):
        del file["x"]
        file.create_dataset("x", (21,), "f8", external=[(str(secret), 0, 168)])

    def virtual(file):
        del file["x"]
        layout = h5py.VirtualLayout((21,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (21,))
        file.create_virtual_dataset("x", layout)

    def external_link(file):
        del file["x"]
        file["x"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "x")

    def soft_link(file):
        del file["x"]
        file["x"] = h5py.SoftLink("/y")

    for change in (external_storage, virtual):
        refused(hdf5(change), "column 'x' has its numbers in another file")
    for change in (external_link, soft_link):
        refused(hdf5(change), "'x' is a link to another place")
    refused(hdf5(lambda file: file.__setitem__("group", h5py.ExternalLink("/etc/passwd", "x"))), "'group' is a link")


def test_an_unused_data_set_is_not_read(hdf5):
    path = hdf5(lambda file: file.create_dataset("huge", (10**11,), "f8", chunks=(10**6,), compression="gzip"))
    assert path.stat().st_size < 20_000
    assert read_recordings(path, SYSTEM).lengths.tolist() == [21]


@pytest.mark.parametrize("options", [{}, {"chunks": (10**6,), "compression": "gzip"}])
def test_a_data_set_that_declares_more_than_it_holds_is_refused(hdf5, options):
    columns = {"x": COLUMNS["x"]}
    path = hdf5(lambda file: [file.create_dataset(name, (10**7,), "f8", **options) for name in ("t", "y")], columns)
    refused(path, "column 't' declares 10000000 rows and holds 0")


@pytest.mark.parametrize(
    "columns", [{**COLUMNS, "x": np.array([b"1"] * 20 + [b"fast"])}, {**COLUMNS, "x": 1j * STAMPS}]
)
def test_what_is_no_number_is_refused_with_its_row(hdf5, columns):
    refused(hdf5(columns=columns), "column 'x'", "is not a number")


def test_cells_as_wide_as_a_book_are_refused(hdf5):
    refused(hdf5(columns={**COLUMNS, "x": np.array([b"1" * 100_000] * 21)}), "100000 bytes in each row")


def test_a_type_with_names_is_refused(hdf5):
    pairs = np.zeros(21, dtype=[("a", "f8"), ("b", "f8")])
    refused(hdf5(columns={**COLUMNS, "x": pairs}), "column 'x'", "is not a number")


# npz -----------------------------------------------------------------------------------------------------------------

TWO = {name: np.stack([values, values]) for name, values in COLUMNS.items()} | {"lengths": np.array([21, 11])}


def test_two_trajectories(tmp_path):
    np.savez(tmp_path / "log.npz", **TWO)
    assert read_recordings(tmp_path / "log.npz", SYSTEM).lengths.tolist() == [21, 11]


@pytest.mark.parametrize(
    ("lengths", "words"),
    [
        (np.array(["a", "b"]), "expected whole numbers (2,)"),
        (np.array([np.nan, 3.0]), "expected whole numbers (2,)"),
        (np.array([21, -1]), "lengths[1] is -1"),
        (np.array([10**9, 21]), "lengths[0] is 1000000000"),
        (np.array([21]), "expected whole numbers (2,)"),
        (np.array([0, 21]), "holds 0 rows"),
        (np.array([object(), 1]), "holds Python objects"),
    ],
)
def test_lengths_that_are_none(tmp_path, lengths, words):
    np.savez(tmp_path / "log.npz", **(TWO | {"lengths": lengths}))
    refused(tmp_path / "log.npz", words)


@pytest.mark.parametrize(
    "changes",
    [
        {"units": np.array("{")}, {"units": np.array(json.dumps([1]))}, {"units": np.array("[" * 100_000)},
        {"units": np.zeros(3)}, {"x": np.array(["1" * 5000] * 2)}, {"t": np.array(0.0)}, {"x": np.zeros((3, 21))},
        {"x": np.array([[{}] * 21] * 2)}, {"x": np.zeros((2, 0))}, {"x": np.zeros((0, 2))},
    ],
)  # fmt: skip
def test_arrays_that_are_no_columns(tmp_path, changes):
    np.savez(tmp_path / "log.npz", **(TWO | changes))
    refused(tmp_path / "log.npz")


def test_a_zip_bomb_costs_a_message(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "log.npz", **(TWO | {"x": np.zeros((2, 2_000_000))}))
    monkeypatch.setattr(memory, "available", lambda: 30e6)
    with pytest.raises(InputError, match=r"log\.npz: the array 'x' would take 32 MB|log\.npz, trajectory 0"):
        read_recordings(tmp_path / "log.npz", SYSTEM)


def test_columns_called_like_the_parts_of_a_run_are_columns(tmp_path):
    np.savez(tmp_path / "log.npz", **TWO, u=TWO["x"])
    assert len(read_recordings(tmp_path / "log.npz", SYSTEM)) == 2


# Parquet -------------------------------------------------------------------------------------------------------------


def test_parquet_types(tmp_path):
    arrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    path = tmp_path / "log.parquet"

    def write(**changes):
        parquet.write_table(arrow.table(COLUMNS | changes), path)

    numbers = [round(10 * value) for value in STAMPS]
    for values in (
        arrow.array(numbers, arrow.int64()), arrow.array(numbers, arrow.uint8()), arrow.array(numbers, arrow.float32()),
        arrow.array([str(v) for v in numbers]), arrow.array([str(v) for v in numbers]).dictionary_encode(),
        arrow.array(numbers, arrow.decimal128(9)),
    ):  # fmt: skip
        write(x=values.cast(values.type), y=values)
        np.testing.assert_array_equal(
            read_recordings(path, SYSTEM.with_states(x={"range": (-30, 30)})).y[0, :, 0], numbers
        )
    write(x=arrow.array([None, *numbers[1:]], arrow.int32()))
    assert np.isnan(read_recordings(path, SYSTEM.with_states(x={"range": (-30, 30)})).x[0, 0, 0])
    for values in (arrow.array([[1.0]] * 21), arrow.array([{"a": 1}] * 21), arrow.array(["fast"] * 21)):
        write(x=values)
        refused(path, "row 1, column 'x'", "is not a number")
    write(t=arrow.array([2**62] * 21, arrow.timestamp("ms")))
    refused(path, "is no Parquet file")


def test_a_group_of_rows_that_does_not_fit_is_refused(tmp_path, monkeypatch):
    arrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    parquet.write_table(arrow.table(COLUMNS), tmp_path / "log.parquet")
    monkeypatch.setattr(memory, "available", lambda: 300)
    refused(tmp_path / "log.parquet", "its largest group of rows would take")


def test_the_folder_of_a_parquet_file_adds_no_column(tmp_path):
    arrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    (tmp_path / "x=7").mkdir()
    path = tmp_path / "x=7" / "log.parquet"
    parquet.write_table(arrow.table({name: COLUMNS[name] for name in "ty"}), path)
    refused(path, "has no column for the state 'x'")


# CSV -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"t,x,y\n" + b"1" * 3_000_000, "a line of more than"),
        (b"t" * 3_000_000, "a line of more than"),
        (b't,x,y\n0,0,"' + b"1" * 200_000 + b"\n", "field larger than field limit"),
        (b'"' + b"t" * 200_000 + b'",x,y\n0,0,0\n', "field larger than field limit"),
        (b"t,x,y\n0,0,0\n0.1,0,\0\n", "is no text"),
        (b"t,x,y\n" + b"0.1,0,0\n" * 3 + b"\xff\n", "row 5: the byte b'\\xff' is not UTF-8"),
        (b"t,x,y\n0,0,0\n0.1,0,0\n\xe2\x82", "ends within a character"),
    ],
    ids=["line", "header", "field", "header-field", "nul", "latin", "cut"],
)
def test_text_that_is_no_table(tmp_path, content, words):
    (tmp_path / "log.csv").write_bytes(content)
    refused(tmp_path / "log.csv", words)


def test_old_line_ends_and_a_mark_at_the_start(tmp_path):
    rows = ["t,x,y", *(f"{t:.1f},0,0" for t in STAMPS)]
    for end in ("\r", "\r\n"):
        (tmp_path / "log.csv").write_bytes(b"\xef\xbb\xbf" + end.join(rows).encode())
        assert read_recordings(tmp_path / "log.csv", SYSTEM).lengths.tolist() == [21]


def test_a_log_that_is_read_stays_small_under_a_limit(tmp_path):
    """The whole way in a process that may have little memory: a file of 40 MB that would be 16 MB of columns."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "log.csv"
    with path.open("w") as file:
        file.write("t,x,y,more\n")
        for k in range(300_000):
            file.write(f"{k / 10:.1f},0,0,{'0' * 120}\n")
    code = (
        "import resource, sys\n"
        "from systems.recordings import open_logs\n"
        "from tests.systems.test_hostile_logs import SYSTEM\n"
        "import psutil\n"
        "used = psutil.Process().memory_info().vms\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 60_000_000,) * 2)\n"
        "(log,) = open_logs(sys.argv[1], SYSTEM)\n"
        "print(sum(len(part.t) for part in log.blocks()))"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert done.stdout == "300000\n", done.stderr
    assert resource
