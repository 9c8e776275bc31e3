"""Published models in and out: the reference's names, Julia's BSON files, and nothing that is executed or malformed."""

import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from drawn import shapes
from golden_files import FOLDER
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.networks.feedforward.lbdn import LBDN
from observer.networks.formats.exchange import load_network, published_parameters, read_parameters
from observer.networks.formats.julia import Struct, read_julia
from observer.networks.ren.passive import PassiveREN
from systems.base.errors import InputError

KINDS = {"contracting": "contracting_tanh_abar0.8", "lipschitz": "lipschitz_relu_nu3_ny1", "general": "general_tanh_nu2_ny2",
         "lbdn": "lbdn_tanh", "r2dn": "r2dn_relu"}  # fmt: skip


def golden(kind):
    data = read_parameters(FOLDER / f"{KINDS[kind]}.npz")
    direct = {name: value for name, value in data.items() if name.startswith("direct.")}
    options = {"activation": str(data["meta.activation"])}
    if "meta.abar" in data:
        options["contraction_rate"] = float(data["meta.abar"])
    if "meta.gamma" in data:
        options["gamma"] = float(data["meta.gamma"])
    if "meta.Q" in data:
        options["supply"] = tuple(data[f"meta.{name}"] for name in "QSR")
    return data, direct, options


@pytest.mark.parametrize("kind", KINDS)
def test_in_and_out(kind):
    data, direct, options = golden(kind)
    network = load_network(kind, direct, **options)
    explicit = network.explicit().to_numpy()
    if kind == "lbdn":
        np.testing.assert_allclose(explicit(data["u"]), data["y"], rtol=0, atol=1e-10)
    else:
        np.testing.assert_allclose(explicit.step(data["x0"], data["u"][0])[0], data["x"][1], rtol=0, atol=1e-10)
        np.testing.assert_allclose(explicit.step(data["x0"], data["u"][0])[1], data["y"][0], rtol=0, atol=1e-10)
    out = published_parameters(network)
    assert out.keys() == {name.removeprefix("direct.") for name in direct}
    again = load_network(kind, {"params": out}, **options).explicit().to_numpy()
    for name, value in again.weights().items():
        np.testing.assert_array_equal(value, explicit.weights()[name])


def test_names_of_the_released_package():
    """ "polar" for p, nested dictionaries, biases kept as rows."""
    _, direct, options = golden("lipschitz")
    tree = {name.removeprefix("direct."): value for name, value in direct.items()}
    tree["polar"] = tree.pop("p")
    tree["bx"] = tree["bx"][None]
    network = load_network("lipschitz", {"params": tree}, **options)
    assert network.polar and network.bx.shape == (4,)


def encode(value):
    """BSON of plain values, as a test needs it: (type, bytes)."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        body = b"".join(
            bytes([tag]) + str(key).encode() + b"\0" + data for key, (tag, data) in ((k, encode(v)) for k, v in items)
        )
        return (0x03 if isinstance(value, dict) else 0x04), struct.pack("<i", len(body) + 5) + body + b"\0"
    if isinstance(value, bool):
        return 0x08, struct.pack("<?", value)
    if isinstance(value, int):
        return 0x12, struct.pack("<q", value)
    if isinstance(value, float):
        return 0x01, struct.pack("<d", value)
    if isinstance(value, str):
        return 0x02, struct.pack("<i", len(value.encode()) + 1) + value.encode() + b"\0"
    if isinstance(value, bytes):
        return 0x05, struct.pack("<iB", len(value), 0) + value
    return 0x0A, b""


def written(document):
    """BSON, of any depth."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        return encode(document)[1]
    finally:
        sys.setrecursionlimit(limit)


def kind_of(*names):
    return {"tag": "datatype", "name": list(names), "params": []}


def array(value):
    value = np.asarray(value, np.float32)
    return {"tag": "array", "type": kind_of("Core", "Float32"), "size": list(value.shape), "data": value.tobytes("F")}


def tuple_of(values):
    return {"tag": "tuple", "data": [array(value) for value in values]}


def lbdn_file(path, network):
    d = network.direct()
    fields = [
        *(tuple_of(d[f"{name}{k}"] for k in range(3 - (name == "d"))) for name in ("XY", "a", "d", "b")),
        {"tag": "backref", "ref": 1},
        True,
    ]
    direct = {"tag": "struct", "type": kind_of("Main", "RobustNeuralNetworks", "DirectLBDNParams"), "data": fields}
    model = {
        "tag": "struct",
        "type": kind_of("Main", "DenseLBDNParams"),
        "data": [{"tag": "ref", "path": ["NNlib", "relu"]}, 3, direct],
    }
    path.write_bytes(encode({"model": model, "_backrefs": [array(d["log_gamma"])]})[1])


def test_a_julia_lbdn(tmp_path):
    network = LBDN(3, (4, 5), 2, gamma=2.0, learnable_gamma=True, dtype="float32")
    lbdn_file(tmp_path / "model.bson", network)
    again = load_network("lbdn", read_parameters(tmp_path / "model.bson"))
    u = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(again.explicit().to_numpy()(u), network.double().explicit().to_numpy()(u), atol=1e-12)
    assert again.linear_output and again.verify().holds


@pytest.mark.parametrize("output_map", [True, False])
def test_a_julia_ren(tmp_path, output_map):
    rng = np.random.default_rng(0)
    nu, nx, nv, ny = 2, 3, 4, 1 if output_map else 3
    outer = [shapes(nu, nx, nv, ny)[name] for name in ("B2", "C2", "D12", "D21", "D22", "bx", "bv", "by")]
    sizes = [(10, 10), (nx, nx), (0, 0), (0, 0), (0, 0), *outer]
    values = [rng.normal(size=size).astype(np.float32) for size in sizes]
    flags = [True, True, False, output_map]
    fields = [*map(array, values), 1e-6, array([2.0]), *flags]
    direct = {"tag": "struct", "type": kind_of("Main", "RobustNeuralNetworks", "DirectRENParams"), "data": fields}
    (tmp_path / "ren.bson").write_bytes(encode({"model": direct})[1])
    network = load_network("contracting", read_parameters(tmp_path / "ren.bson"), contraction_rate=0.9)
    assert network.identity_output is not output_map and network.eps == 1e-6 and network.verify().holds
    np.testing.assert_array_equal(network.direct()["X"], values[0])


def test_nothing_is_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    (tmp_path / "model.pickle").write_bytes(pickle.dumps(Trap()))
    np.savez(tmp_path / "model.npz", X=np.array([Trap()], dtype=object))
    with pytest.raises(InputError, match="a pickle runs what it contains"):
        read_parameters(tmp_path / "model.pickle")
    with pytest.raises(
        InputError, match=r"model\.npz is malformed: the array 'X' holds Python objects .*, which are never read"
    ):
        read_parameters(tmp_path / "model.npz")
    assert not (tmp_path / "executed").exists()


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_damaged_files_are_refused_or_read_never_worse(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("bson") / "model.bson"
    lbdn_file(path, LBDN(1, (2, 1), 1, learnable_gamma=True, dtype="float32"))
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    try:
        load_network("lbdn", read_parameters(path))
    except InputError:
        pass


def nested(depth):
    document = {}
    for _ in range(depth):
        document = {"a": document}
    return document


# Each value is a list of the next one, twice: 2^40 values in forty lines.
DOUBLING = [{"a": [{"tag": "backref", "ref": k + 2}] * 2} for k in range(40)] + [{"a": 1}]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"x": {"tag": "backref", "ref": 1}, "_backrefs": [{"tag": "backref", "ref": 1}]}, "refers to itself"),
        ({"x": {"tag": "backref", "ref": 7}}, "reference 7 of 0"),
        ({"x": {"tag": "backref", "ref": 1}, "_backrefs": DOUBLING}, "nested more than 64 deep, or more than 1000000"),
        (nested(100), "nested more than 64 deep"),
        (nested(2000), "recursion"),
        (
            {"x": {"tag": "array", "type": kind_of("Core", "Complex"), "size": [1], "data": b"1"}},
            "an array of .Complex",
        ),
        ({"x": {"tag": "array", "type": kind_of("Core", "Float64"), "size": [2], "data": bytes(8)}}, "reshape"),
    ],
)
def test_malformed_bson(tmp_path, document, message):
    (tmp_path / "a.bson").write_bytes(written(document))
    with pytest.raises(InputError, match=rf"a\.bson is malformed: .*{message}"):
        read_julia(tmp_path / "a.bson")


@pytest.mark.parametrize("name", ["d/" * 2_000 + "a.npz", "n" * 5_000 + ".bson", "n" * 5_000 + ".jld2"])
def test_a_path_is_shown_cut_by_the_library_too(name):
    with pytest.raises(InputError) as caught:
        read_parameters(name)
    assert len(str(caught.value)) < 500


def test_other_refusals(tmp_path):
    with pytest.raises(InputError, match=r"there is no file"):
        read_parameters(tmp_path / "none.npz")
    with pytest.raises(InputError, match=r"model\.jld2 has an unsupported format; expected"):
        read_parameters(tmp_path / "model.jld2")
    with pytest.raises(InputError, match="kind 'lstm' is not known; expected contracting, lipschitz"):
        load_network("lstm", {})
    with pytest.raises(InputError, match="B2, D12, X, Y1, bv, bx missing; got 'Z'"):
        load_network("contracting", {"Z": 1})
    with pytest.raises(InputError, match="expected the layers of an LBDN"):
        load_network("lbdn", {"Z": 1})
    with pytest.raises(InputError, match="a PassiveREN has no published counterpart"):
        published_parameters(PassiveREN.example())
    (tmp_path / "old.bson").write_bytes(
        encode({"m": {"tag": "struct", "type": kind_of("Main", "DirectRENParams"), "data": [1]}})[1]
    )
    with pytest.raises(InputError, match="a DirectRENParams of 1 fields; expected 19"):
        read_parameters(tmp_path / "old.bson")
    assert Struct("a", (1,)).fields == (1,)


def raw_doubling(depth):
    """Structs whose content refers to raw content that refers on, twice each: what no cache of values can share."""
    of = kind_of("Main", "Pair")
    references = [[{"tag": "struct", "type": of, "data": {"tag": "backref", "ref": k + 2}}] * 2 for k in range(depth)]
    return {"x": {"tag": "struct", "type": of, "data": {"tag": "backref", "ref": 1}}, "_backrefs": [*references, [1]]}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (raw_doubling(30), "more than 1000000 values"),
        ({"x": {"tag": "backref", "ref": 1}, "_backrefs": {"a": 1}}, "references are no list"),
        ({"x": {"tag": "backref", "ref": "one"}}, "reference 'one' of 0"),
        ({"x": {"tag": "backref"}}, "'ref'"),
        ({"x": {"tag": "tuple", "data": 3}}, "a tuple holds a Int64"),
        ({"x": {"tag": "struct", "type": kind_of("Main", "A"), "data": 3}}, "a struct .A. holds a Int64"),
        ({"x": {"tag": "array", "type": kind_of("Core", "Float64"), "size": 4, "data": bytes(32)}}, "holds a Int64"),
        ({"x": {"tag": "array", "type": kind_of("Core", "Float64"), "size": [-1], "data": bytes(8)}}, "of the size"),
        (
            {
                "x": [{"tag": "array", "type": kind_of("Core", "Float64"), "size": [50_000], "data": {"tag": "backref", "ref": 1}}]
                * 10_500,
                "_backrefs": [bytes(400_000)],
            },
            "more than 1000000 values",
        ),
    ],
    ids=["multiplied", "no-list", "text", "no-ref", "tuple", "struct", "size", "negative", "copies"],
)  # fmt: skip
def test_malformed_structs_are_refused_with_their_file(tmp_path, document, message):
    (tmp_path / "a.bson").write_bytes(written(document))
    with pytest.raises(InputError, match=rf"a\.bson is malformed: .*{message}"):
        read_parameters(tmp_path / "a.bson")


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("contracting", {"D22_free": True}, "D22_zero, output_map, polar missing"),
        ("contracting", {"eps": np.zeros(3)}, "eps has shape"),
        ("contracting", {"B2": np.array(1.0)}, "B2 has shape .* expected a matrix"),
        ("contracting", {"B2": np.zeros((10**9, 0))}, "no number in it"),
        ("contracting", {"B2": np.zeros((5_000, 0))}, "X has shape"),
        ("contracting", {"X": [[1.0], [1.0, 2.0]]}, "is no array of numbers"),
        ("contracting", {"X": "text"}, "values that are no numbers"),
        ("lipschitz", {"C2": np.zeros(3)}, "C2 has shape"),
        ("general", {"D12": np.array(2.0)}, "D12 has shape"),
        ("lbdn", {"layers_0.XY": np.zeros((0, 4))}, "layers|expected"),
        ("r2dn", {"network.layers_0.XY": np.array(1.0)}, "parameters are no r2dn network|expected"),
        ("r2dn", {"network.layers_x.XY": np.zeros((2, 2))}, "parameters are no r2dn network"),
    ],
)
def test_malformed_parameters_are_one_refusal(kind, changes, message):
    _, direct, options = golden(kind)
    tree = {name.removeprefix("direct."): value for name, value in direct.items()}
    with pytest.raises(InputError, match=message):
        load_network(kind, tree | changes, **options)
