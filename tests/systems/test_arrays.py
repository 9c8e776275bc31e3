"""Archives of arrays: read as declared, or refused before a number of them is in memory."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from systems.base import memory
from systems.base.arrays import check_shapes, open_arrays, read_arrays
from systems.base.atomic_files import write_arrays
from systems.base.errors import InputError


def header(shape, descr="<f8"):
    """The head of a .npy entry that says this shape."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def archive(path, **entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array(3), np.zeros((0, 4)),
        np.array("text"), np.array(["a", "bcd"]), np.array([]), np.array(["2024-01-01"], "datetime64[ns]"), np.array([], dtype=str),
        np.arange(4, dtype=">i2"), np.array([True, False]), np.array(""),
    ],
    ids=lambda a: f"{a.dtype}-{a.shape}",
)  # fmt: skip
@pytest.mark.parametrize("compress", [True, False])
def test_what_is_written_comes_back(tmp_path, array, compress):
    write_arrays(tmp_path / "a.npz", compress=compress, a=array, b=np.arange(2))
    found = read_arrays(tmp_path / "a.npz")
    assert list(found) == ["a", "b"] and found["a"].shape == array.shape and found["a"].tolist() == array.tolist()
    assert found["a"].flags.writeable


def test_blocks_are_the_array(tmp_path):
    values = np.random.default_rng(0).normal(size=10_001)
    write_arrays(tmp_path / "a.npz", a=values)
    with open_arrays(tmp_path / "a.npz") as file:
        blocks = list(file.blocks("a", 1000))
    assert [len(block) for block in blocks] == [1000] * 10 + [1]
    np.testing.assert_array_equal(np.concatenate(blocks), values)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"a": header((10**12,))}, "says shape"),
        ({"a": header((2,)) + bytes(8)}, "is 16 bytes, and its entry has 8"),
        ({"a": header((-1,)) + bytes(8)}, "objects or records"),
        ({"a": header((1,), "|O") + bytes(8)}, "holds Python objects"),
        ({"a": header((), "<U100000000")}, "says shape"),
        ({"a": b"junk"}, "no archive of arrays"),
        ({"a": b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 500}, "no archive of arrays|has a header of"),
        ({"a": b"\x93NUMPY\x09\x00\x10\x00" + b" " * 16}, "no archive of arrays|has named fields"),
    ],
)
def test_a_malformed_entry_is_refused(tmp_path, entries, said):
    archive(tmp_path / "a.npz", **entries)
    with pytest.raises(InputError, match=said) as error:
        read_arrays(tmp_path / "a.npz")
    assert "allow_pickle" not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("cut", [0, 3, 40, 100, -30, -1])
def test_a_damaged_archive_is_refused(tmp_path, cut):
    path = tmp_path / "a.npz"
    write_arrays(path, a=np.arange(100.0))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match="no archive of arrays"):
        read_arrays(path)


def test_a_flipped_byte_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    write_arrays(path, compress=False, a=np.arange(100.0))
    content = bytearray(path.read_bytes())
    content[400] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="no archive of arrays"):
        read_arrays(path)


def test_an_archive_that_unpacks_to_more_than_the_memory_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = archive(tmp_path / "bomb.npz", a=header((4_000_000,)) + bytes(32_000_000))
    assert path.stat().st_size < 50_000
    monkeypatch.setattr(memory, "available", lambda: 20e6)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"bomb\.npz: 1 arrays would take 32 MB of memory, and 20 MB are free"):
            read_arrays(path)
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()


def test_shapes():
    arrays = {"t": np.zeros(3), "x": np.zeros((2, 3)), "names": np.array(["a"])}
    assert check_shapes(arrays, {"t": ("N",), "x": ("K", "N")}) == {"N": 3, "K": 2}
    for shapes, said in (
        ({"y": ()}, "it has no y"),
        ({"t": ("N",), "x": ("N", "K")}, r"x has shape \(2, 3\); expected \(N = 3, K\)"),
        ({"t": (2,)}, r"t has shape \(3,\); expected \(2\)"),
        ({"t": ("N", "M")}, "t has shape"),
        ({"names": ("K",)}, "names is of type <U1; expected numbers"),
    ):
        with pytest.raises(InputError, match=said):
            check_shapes(arrays, shapes)
