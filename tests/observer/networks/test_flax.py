"""MessagePack as Flax writes it: the examples of the format, arrays, networks, and nothing malformed."""

import struct
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.networks.formats.exchange import load_network, published_parameters, read_parameters
from observer.networks.formats.flax import read_flax
from observer.networks.r2dn import R2DN
from systems.base.errors import InputError


def pack(value):
    """MessagePack of plain values and arrays, as a test needs it: the longest forms where Flax has shorter ones."""
    if isinstance(value, np.ndarray):
        body = pack([list(value.shape), value.dtype.name, value.tobytes()])
        return b"\xc9" + struct.pack(">Ib", len(body), 1) + body
    if isinstance(value, dict):
        return b"\xdf" + struct.pack(">I", len(value)) + b"".join(pack(k) + pack(v) for k, v in value.items())
    if isinstance(value, list):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(pack(item) for item in value)
    if isinstance(value, str):
        return b"\xdb" + struct.pack(">I", len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    return {bool: lambda: b"\xc3" if value else b"\xc2", int: lambda: b"\xd3" + struct.pack(">q", value),
            float: lambda: b"\xcb" + struct.pack(">d", value)}[type(value)]()  # fmt: skip


def test_the_example_of_the_format_and_its_short_forms():
    assert read_flax(bytes.fromhex("82a7636f6d70616374c3a6736368656d6100")) == {"compact": True, "schema": 0}
    assert read_flax(bytes.fromhex("93ff7fc0")) == [-1, 127, None]
    assert read_flax(bytes.fromhex("ca3fc00000")) == 1.5 and read_flax(bytes.fromhex("cdffff")) == 65535
    # as Flax writes np.float32([1, 2]) under "w": fixmap, fixstr, ext8 of a fixarray (shape, type, bin8)
    inner = bytes.fromhex("939102a7") + b"float32" + bytes.fromhex("c408") + np.float32([1, 2]).tobytes()
    found = read_flax(b"\x81\xa1w\xc7" + bytes([len(inner), 1]) + inner)
    np.testing.assert_array_equal(found["w"], np.float32([1, 2]))
    assert found["w"].dtype == np.float32


@pytest.mark.parametrize("kind", ["contracting", "r2dn"])
def test_a_network_comes_back(tmp_path, kind):
    from observer.networks.ren.contracting import ContractingREN

    network = R2DN.example(0) if kind == "r2dn" else ContractingREN.example(0)
    tree = {"params": {"network": {}}}
    for name, value in published_parameters(network).items():
        place = tree["params"]
        *above, last = name.split(".")
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    if not tree["params"]["network"]:
        tree["params"].pop("network")
    path = tmp_path / "model.msgpack"
    path.write_bytes(pack(tree))
    options = {"activation": network.activation, "contraction_rate": 0.9, "eps": network.eps, "norm_eps": 0.0}
    options |= {"linear_output": True} if kind == "r2dn" else {}
    direct = read_parameters(path)
    again = load_network(kind, direct, **options).explicit().to_numpy()
    for name, value in network.explicit().to_numpy().weights().items():
        np.testing.assert_allclose(again.weights()[name], value, rtol=0, atol=1e-14)


plain = st.recursive(
    st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(plain)
def test_any_tree_comes_back_and_half_of_it_is_refused(tree):
    content = pack(tree)
    assert read_flax(content) == tree
    if len(content) > 1:
        with pytest.raises(InputError):
            read_flax(content[:-1])
    with pytest.raises(InputError):
        read_flax(content + b"\0")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_noise_is_read_or_refused_and_never_worse(noise):
    try:
        read_flax(noise)
    except InputError:
        pass


def nested_extensions(depth):
    """Arrays within arrays: every extension is unpacked by a call of its own."""
    content = b"\xc0"
    for _ in range(depth):
        content = b"\xc9" + struct.pack(">Ib", len(content), 1) + content
    return content


@pytest.mark.parametrize(
    "content, said",
    [
        (pack({"a": 1})[:-1] + b"\x01" * 9, "extra data"),
        (b"\xc9" + struct.pack(">Ib", 1, 5) + b"\0", "extension 5 is not supported"),
        (
            b"\xc7" + bytes([len(pack([[1], "object", b"12345678"])), 1]) + pack([[1], "object", b"12345678"]),
            "'object' is not supported",
        ),
        (b"\xc7" + bytes([len(pack([[3], "float32", b"1234"])), 1]) + pack([[3], "float32", b"1234"]), "malformed"),
        (b"\x91" * 100 + b"\xc0", "nested more than"),
        (b"\x91" * 100_000 + b"\xc0", "StackError"),
        (b"\xdd\xff\xff\xff\xff", "exceeds max_array_len"),
        (pack({"__msgpack_chunked_array__": True}), "more than a gigabyte"),
        (b"\x82\xa1a\x01\xa1a\x02", "occurs twice"),
        (b"\xc1", "FormatError"),
        (b"\xd6\xff\0\0\0\1", "a Timestamp in MessagePack is not supported"),
        (b"\x81\x90\x01", "key .* is not text"),
        (nested_extensions(300), "an extension 1 inside"),
        (pack([[]] * 700_000), "more than 1000000 values"),
        (b"\xc7" + bytes([len(pack([3, "float32", b"1234"])), 1]) + pack([3, "float32", b"1234"]), "malformed array"),
        (
            b"\xc7" + bytes([len(pack([[-1], "float32", b"1234"])), 1]) + pack([[-1], "float32", b"1234"]),
            "its shape is",
        ),
    ],
)
def test_refusals(content, said):
    with pytest.raises(InputError, match=said):
        read_flax(content)


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "msgpack", None)
    with pytest.raises(InputError, match=r"MessagePack files need msgpack.*pip install 'ren-observer\[formats\]'"):
        read_flax(b"\xc0")
