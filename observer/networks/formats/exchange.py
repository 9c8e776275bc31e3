"""Published models in and out: parameters under the names that the reference implementations give them.

Files are read as data: NumPy archives without pickles, the BSON files of the Julia package (``julia``), and MessagePack as
Flax writes it (``flax.serialization.to_bytes`` or ``msgpack_serialize`` of the parameters, ``flax``). A Python
pickle runs what it contains and is refused; save its arrays with ``numpy.savez`` where it came from.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from observer.networks.feedforward.lbdn import LBDN
from observer.networks.formats.flax import read_flax
from observer.networks.formats.julia import Struct, read_julia
from observer.networks.network import Network
from observer.networks.r2dn import R2DN, load_published
from observer.networks.ren.contracting import ContractingREN
from observer.networks.ren.dissipative import DissipativeREN
from observer.networks.ren.lipschitz import LipschitzREN
from observer.networks.shapes import check_shape
from systems.base import memory
from systems.base.arrays import one_line, read_arrays
from systems.base.errors import InputError
from systems.base.wording import message, shorten

NORM_EPS = float(np.finfo(np.float32).eps)  # the JAX package adds it inside its norms, and as eps to H

_LARGEST_EMPTY = 10_000  # of a shape without numbers, such as (3, 0)
_JULIA_REN = ("X", "Y1", "X3", "Y3", "Z3", "B2", "C2", "D12", "D21", "D22", "bx", "bv", "by", "eps", "p")
_JULIA_FLAGS = ("polar", "D22_free", "D22_zero", "output_map")
_JULIA = {
    "DirectRENParams": (*_JULIA_REN, *_JULIA_FLAGS),
    "DirectLBDNParams": ("XY", "a", "d", "b", "log_gamma", "learn"),
}
_VECTORS = ("p", "bx", "bv", "by", "a", "b", "d")


def read_parameters(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of a ``.npz``, ``.bson`` or ``.msgpack`` file by name, nested names joined by dots.

    A struct of direct parameters of the Julia package gives its fields by the names used here: X, ..., p for a REN, and
    XY0, a0, d0, b0, ..., log_gamma for an LBDN; flags and numbers are arrays without axes.
    Errors: InputError for another kind of file, or one that is malformed.
    """
    path = Path(path)
    name = message(f"{path}")  # of a library too no message is as long as a path may be
    if path.suffix in (".npz", ".bson", ".msgpack"):
        if not os.path.isfile(path):
            raise InputError(f"there is no file {name}")
        try:
            if path.suffix == ".npz":
                return read_arrays(path)
            if path.suffix == ".bson":
                return _flatten(read_julia(path))
            memory.require(2.0 * path.stat().st_size, name, "save the arrays of the model with numpy.savez instead")
            return {key: np.asarray(value) for key, value in _leaves(read_flax(path.read_bytes()), "")}
        except InputError as error:
            if str(path) in str(error):
                raise
            raise InputError(f"{name} is malformed: {error}") from error
    hint = ": a pickle runs what it contains; save its arrays with numpy.savez" if "p" in path.suffix[:2] else ""
    raise InputError(f"{message(path.name)} has an unsupported format{hint}; expected .npz, .bson or .msgpack")


def _flatten(tree: Any) -> dict[str, np.ndarray]:
    """The fields of the direct parameters in ``tree`` where it has a struct of them, else all arrays and numbers."""
    direct = [value for value in _walk(tree) if isinstance(value, Struct) and value.name in _JULIA]
    if len(direct) > 1:
        raise InputError(f"{len(direct)} sets of direct parameters in one file; expected one model")
    if not direct:
        return {name: np.asarray(value) for name, value in _leaves(tree, "") if not isinstance(value, Struct)}
    value = direct[0]
    names = _JULIA[value.name]
    if len(value.fields) != len(names):
        raise InputError(
            f"a {value.name} of {len(value.fields)} fields; expected {len(names)}, as the released package has"
        )
    found: dict[str, Any] = {}
    for name, field in zip(names, value.fields, strict=True):
        found |= {f"{name}{k}": item for k, item in enumerate(field)} if isinstance(field, list) else {name: field}
    wrong = [name for name, item in found.items() if not isinstance(item, np.ndarray | float | int)]
    if wrong:
        raise InputError(f"{shorten(', '.join(wrong))} of a {value.name} is neither an array nor a number")
    found.pop("learn", None)
    return {name: np.asarray(item) for name, item in found.items()}


def _walk(tree: Any) -> Iterator[Any]:
    """Every value of a tree, the tree first."""
    yield tree
    inside = tree.values() if isinstance(tree, dict) else tree.fields if isinstance(tree, Struct) else tree
    if isinstance(inside, list | tuple) or isinstance(tree, dict):
        for value in inside:
            yield from _walk(value)


def _leaves(tree: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Arrays and numbers of dictionaries and lists, by dotted names."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, value in items:
        yield from _leaves(value, f"{prefix}{name}.")
        if isinstance(value, np.ndarray | np.generic | float | int | bool):
            yield f"{prefix}{name}", value


def load_network(kind: str, parameters: Mapping[str, Any], **options: Any) -> Any:
    """A network of published parameters, by the names of the JAX package (nested or joined by dots) or as read above.

    kind : "contracting" (options: contraction_rate), "lipschitz" (contraction_rate, gamma), "general" (contraction_rate,
        supply, which the reference widens by eps, so that the guarantee here is the widened one), "lbdn" (gamma) or
        "r2dn". Other options are those of the network; the defaults are those of the reference: eps and norm_eps are
        float32's epsilon for the JAX names, the activation is relu, and the last layer of lbdn and r2dn has one.
    Errors: InputError for an unknown kind, missing or foreign names, or wrong shapes.
    """
    if kind not in _LOADERS:
        raise InputError(f"kind {kind!r} is not known; expected {', '.join(_LOADERS)}")
    flat = {_plain(name): _numbers(name, value) for name, value in _joined(parameters).items()}
    if "polar" in flat and flat["polar"].dtype != bool:
        flat["p"] = flat.pop("polar")
    for name, value in flat.items():
        if name.rsplit(".", 1)[-1].rstrip("0123456789") in _VECTORS:
            flat[name] = value.reshape(-1)  # some releases keep a row
    try:
        return _LOADERS[kind](flat, options)
    except InputError:
        raise
    except (TypeError, ValueError, LookupError) as error:  # shapes that do not belong together, in one of many ways
        raise InputError(f"the parameters are no {kind} network ({one_line(error)}); got {_shapes(flat)}") from error


def _numbers(name: str, value: Any) -> np.ndarray:
    """``value`` as an array of finite numbers, whose shape does not say more than it holds."""
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        raise InputError(f"{shorten(name)} is no array of numbers") from None
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise InputError(f"{shorten(name)} has numbers that are not finite, or values that are no numbers")
    if not array.size and max(array.shape) > _LARGEST_EMPTY:
        raise InputError(f"{shorten(name)} has shape {array.shape} and no number in it")
    return array


def _shapes(flat: Mapping[str, np.ndarray]) -> str:
    return shorten(", ".join(f"{name} {value.shape}" for name, value in flat.items()), 200)


def _joined(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= _joined(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def _plain(name: str) -> str:
    for prefix in ("params.", "direct."):
        name = name.removeprefix(prefix)
    return name


def _ren(flat: dict[str, np.ndarray], options: dict[str, Any], make: Any, dropped: set[str]) -> Any:
    flags = {name: bool(_single(flat, name)) for name in _JULIA_FLAGS if name in flat}
    julia = bool(flags)
    if julia and len(flags) < len(_JULIA_FLAGS):
        raise InputError(
            f"{', '.join(sorted(set(_JULIA_FLAGS) - set(flags)))} missing; got the flags {', '.join(flags)}"
        )
    eps = _single(flat, "eps") if "eps" in flat else NORM_EPS
    if flags and not flags["polar"]:
        flat.pop("p", None)
    if flags and not flags["output_map"]:
        dropped = dropped | {"C2", "D21", "D22", "by"}
    direct = {name: value for name, value in flat.items() if name not in dropped}
    missing = {"X", "Y1", "B2", "D12", "bx", "bv"} - direct.keys()
    if missing:
        raise InputError(f"{', '.join(sorted(missing))} missing; got {shorten(', '.join(sorted(flat)), 200)}")
    for name in {"B2", "C2", "D12"} & direct.keys():
        if direct[name].ndim != 2:
            raise InputError(f"{name} has shape {direct[name].shape}; expected a matrix")
    size = 2 * direct["B2"].shape[0] + direct["D12"].shape[0]
    check_shape("X", direct["X"], (size, size), "(2 nx + nv, 2 nx + nv)")
    defaults = {"activation": "relu", "eps": eps, "norm_eps": 0.0 if julia else NORM_EPS}
    return make(direct, {**defaults, **options})


def _single(flat: dict[str, np.ndarray], name: str) -> float:
    """Take a single number out of ``flat``."""
    value = flat.pop(name)
    if value.size != 1:
        raise InputError(f"{name} has shape {value.shape}; expected one number")
    return float(value.reshape(()))


def _contracting(flat: dict[str, np.ndarray], options: dict[str, Any]) -> ContractingREN:
    def make(direct: dict[str, np.ndarray], given: dict[str, Any]) -> ContractingREN:
        return ContractingREN.from_direct(direct, **{"contraction_rate": 1.0, **given})

    return _ren(flat, options, make, {"X3", "Y3", "Z3"})


def _supplied(flat: dict[str, np.ndarray], options: dict[str, Any], kind: Any) -> Network:
    def make(direct: dict[str, np.ndarray], given: dict[str, Any]) -> Network:
        if "C2" not in direct:
            given = {"identity_output": True, **given}
        (nx, nu), nv = direct["B2"].shape, direct["D12"].shape[0]
        ny = direct["C2"].shape[0] if "C2" in direct else nx
        if kind is DissipativeREN and "supply" in given:
            Q, S, R = (np.asarray(matrix, float) for matrix in given["supply"])
            given["supply"] = (Q - given["eps"] * np.eye(len(Q)), S, R + given["eps"] * np.eye(len(R)))
        chosen: dict[str, Any] = {"contraction_rate": 1.0, "polar": "p" in direct, **given}
        network = kind(nu, nx, nv, ny, **chosen)
        unused = {"X3", "Y3", "Z3"} - network.parameter_shapes().keys()
        return network.load_direct({name: value for name, value in direct.items() if name not in unused})

    return _ren(flat, options, make, {"D22"})


def _lbdn(flat: dict[str, np.ndarray], options: dict[str, Any]) -> LBDN:
    direct = {}
    for name, value in flat.items():
        layer, dot, what = name.removeprefix("layers_").partition(".")
        direct[f"{what}{layer}" if dot else name] = value
    count = sum(name.startswith("XY") for name in direct)
    if not count or any(direct.get(f"XY{k}", np.empty(0)).ndim != 2 for k in range(count)):
        raise InputError(
            f"got {shorten(', '.join(sorted(flat)), 200)}; expected the layers of an LBDN, XY0 or layers_0.XY first"
        )
    outputs = [direct[f"XY{k}"].shape[1] for k in range(count)]
    nu = direct["XY0"].shape[0] - outputs[0]
    linear = f"d{count - 1}" not in direct
    defaults: dict[str, Any] = {"activation": "relu", "linear_output": linear, "norm_eps": 0.0 if linear else NORM_EPS}
    if "log_gamma" in direct:
        direct["log_gamma"] = direct["log_gamma"].reshape(-1)
        check_shape("log_gamma", direct["log_gamma"], (1,), "(1,)")
        with np.errstate(over="ignore"):
            defaults |= {"learnable_gamma": True, "gamma": float(np.exp(direct["log_gamma"][0]))}
    network = LBDN(nu, outputs[:-1], outputs[-1], **{**defaults, **options})
    return network.load_direct(direct)  # type: ignore[return-value]


def _r2dn(flat: dict[str, np.ndarray], options: dict[str, Any]) -> R2DN:
    return load_published(flat, **{"eps": NORM_EPS, "norm_eps": NORM_EPS, **options})


_LOADERS = {
    "contracting": _contracting,
    "lipschitz": lambda flat, options: _supplied(flat, options, LipschitzREN),
    "general": lambda flat, options: _supplied(flat, options, DissipativeREN),
    "lbdn": _lbdn,
    "r2dn": _r2dn,
}


def published_parameters(network: Any) -> dict[str, np.ndarray]:
    """The direct parameters under the names of the JAX package: the inverse of ``load_network``.

    Arrays that the reference keeps without using them (X3, Y3, Z3 of a contracting REN, D22 of the others) are zeros.
    Errors: InputError for a network that the reference does not have.
    """
    direct = network.direct()
    if isinstance(network, LBDN):
        return {
            f"layers_{name.lstrip('XYabd')}.{name.rstrip('0123456789')}": value
            for name, value in direct.items()
            if name != "log_gamma"
        }
    if isinstance(network, R2DN) and network.gamma is None:
        inner = {name: value for name, value in direct.items() if name.startswith("inner_")}
        own = {name: value for name, value in direct.items() if name not in inner}
        renamed = {name.removeprefix("inner_"): value for name, value in inner.items()}
        return own | {
            f"network.layers_{name.lstrip('XYabd')}.{name.rstrip('0123456789')}": value
            for name, value in renamed.items()
        }
    if isinstance(network, ContractingREN | LipschitzREN | DissipativeREN):
        d, wide = min(network.nu, network.ny), abs(network.nu - network.ny)
        spare = {"X3": (d, d), "Y3": (d, d), "Z3": (wide, d), "D22": (network.ny, network.nu)}
        direct.pop("log_gamma", None)
        return {name: np.zeros(shape) for name, shape in spare.items()} | direct
    raise InputError(f"a {type(network).__name__} has no published counterpart")
