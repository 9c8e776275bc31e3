"""The settled set: where in X the plant can be once it has been in X for K samples, with every input in U.

    S_0 = X,    S_(j+1) = S_j and F^m(S_j, U^m) and F^n(S_j, U^n),  n = 4 m,    x_k in S_j for all k >= j n when x_0 ... x_k are in X

A residual is often largest in corners of X to which trajectories never return. S is
covered by cells of a grid: the image of every cell under m steps is enclosed once, in the polynomial forms of the residual
bound, and a cell stays as long as an image of a cell that stayed touches it. The cover only ever holds too much. Short strides
enclose fast motion well; long ones carry slow motion beyond one cell, so that no cell keeps itself in the cover.
"""

import math
import time
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from observer.certification.residual.exclusion import Exclusion
from observer.certification.residual.flow import enclose_flow, flow_cost
from observer.certification.residual.model import OutOfTimeError, OutOfWorkError
from systems.base.records import NOT_STORED
from systems.discretization import DiscreteSystem

CELLS = 30_000
STATES_UP_TO = 4
LONG = 4  # n / m
# A map carries a state over about so many cells, if inputs are free or held, in at most so many samples.
_STRIDE_CELLS, _LONGEST_STRIDE = (8.0, 12.0), 12
_FEWEST, _FEWER = 1000, 0.7  # cells, and by what factor fewer are tried where the work does not suffice
_PER_PASS = 40.0  # operations of a corner of an image, each time that the cover shrinks
_SLACK = 1e-6  # of a cell, when an image is placed on the grid


@dataclass(frozen=True, eq=False)
class Settled:
    """A cover of S by cells of a grid over X.

    box ``(nx, 2)`` : X. shape ``(nx,)`` : how many cells along each state. samples : K. stride : m. count, share : cells
    that are left, and as a share of X. inputs ``(nu, 2)`` : U, or with equal ends the input that is held. mask : which
    cells, and ``operations`` that it took, counted; not stored, ``settled_set`` finds both again.
    """

    box: np.ndarray
    shape: tuple[int, ...]
    samples: int
    stride: int
    count: int
    share: float
    inputs: np.ndarray
    mask: np.ndarray = field(repr=False, default_factory=lambda: np.zeros(0, dtype=bool), metadata=NOT_STORED)
    operations: float = field(default=0.0, metadata=NOT_STORED)

    def holds(self, x: np.ndarray) -> np.ndarray:
        """Whether states x ``(..., nx)`` lie in the cover, ``(...)``."""
        x = np.asarray(x, dtype=float)
        inside = np.all((x >= self.box[:, 0]) & (x <= self.box[:, 1]), axis=-1)
        shape = np.array(self.shape)
        place = (x - self.box[:, 0]) / np.ptp(self.box, axis=1) * shape
        index = np.clip(np.nan_to_num(place), 0, shape - 1).astype(int)
        return inside & self.mask[tuple(np.moveaxis(index, -1, 0))]

    def boxes(self, coarsen: int = 1) -> np.ndarray:
        """A cover by few boxes ``(n, nx + nu, 2)`` of whole blocks of ``coarsen`` cells along each state, with the inputs."""
        mask = _blocks(self.mask, coarsen) if coarsen > 1 else self.mask
        found: list[tuple[tuple[int, int], ...]] = []
        _divide(mask, tuple((0, n) for n in mask.shape), found)
        ends = np.array(found, dtype=float).reshape(-1, len(self.shape), 2) * coarsen
        shape = np.array(self.shape, dtype=float)[:, None]
        width = np.ptp(self.box, axis=1)[:, None]
        ends = np.where(ends >= shape, self.box[:, 1:], self.box[:, :1] + np.minimum(ends / shape, 1.0) * width)
        inputs = np.broadcast_to(self.inputs, (len(ends), *self.inputs.shape))
        return np.ascontiguousarray(np.concatenate([ends, inputs], axis=1))


def settled_set(
    plant: DiscreteSystem,
    box: np.ndarray,
    samples: int,
    *,
    most: int | None = None,
    stride: int | None = None,
    cells: int = CELLS,
    shape: tuple[int, ...] | None = None,
    work: float | None = None,
    budget: float = np.inf,
) -> Settled | None:
    """S after ``samples`` of X x U = ``box`` ``(nx + nu, 2)``; None where it is all of X, or X has no or too many dimensions.

    most : go on to so many samples while S shrinks. stride : m; when left out as many as carry a state over a dozen cells or
    two. cells, shape : of the grid, in all or along each state. work : operations, counted; there are fewer cells, and then fewer
    samples, where it does not suffice for all, and :class:`OutOfWorkError` where it does not for the fewest. budget : seconds, after
    which it ends in an :class:`OutOfTimeError`.
    Raises :class:`Unprovable` where the plant has no formula to enclose.
    """
    end = time.monotonic() + budget
    nx, box = plant.nx, np.asarray(box, dtype=float)
    states, inputs = box[:nx], box[nx:]
    if nx > STATES_UP_TO or not (np.ptp(states, axis=1) > 0).all():
        return None
    shape = shape or _shape(nx, cells)
    if stride is None:
        shape, stride = _affordable(plant, box, shape, work)
    strides = (stride, LONG * stride)
    most = max(1, math.ceil(samples / strides[-1]), (most or 0) // strides[-1])
    operations = _images_cost(plant, box, shape, stride)
    each = 2 * _PER_PASS * 2**nx * math.prod(shape)
    if work is not None:
        most = max(1, min(most, int((work - operations) / each)))
    grid = cell_grid(box, nx, shape)
    allowed = ~Exclusion(plant, box).cells(grid).reshape(shape)
    places = [_places(states, shape, enclose_flow(plant, grid, m, end=end)) for m in strides]
    mask = allowed
    done = 0
    while done < most:
        if time.monotonic() > end:
            raise OutOfTimeError
        after = mask  # never a cell that the plant's constraints exclude
        for low, high in places:
            after = after & _touched(low, high, mask)
        same = (after == mask).all()
        mask, done = after, done + 1
        if same:  # thin strips shrink slowly, and can hold the largest residuals: nothing less than this is an end
            break
    if (mask == allowed).all() or not mask.any():
        return None
    count = int(mask.sum())
    return Settled(
        states,
        shape,
        max(done, 1) * strides[-1],
        stride,
        count,
        count / mask.size,
        inputs,
        mask,
        operations + done * each,
    )


def _shape(nx: int, cells: float) -> tuple[int, ...]:
    return (max(2, int(cells ** (1 / nx) + 1e-9)),) * nx


def _images_cost(plant: DiscreteSystem, box: np.ndarray, shape: tuple[int, ...], stride: int) -> float:
    return math.prod(shape) * (1 + LONG) * stride * flow_cost(plant, box)


def _affordable(
    plant: DiscreteSystem, box: np.ndarray, shape: tuple[int, ...], work: float | None
) -> tuple[tuple[int, ...], int]:
    """(shape, stride) of as many cells, up to those of ``shape``, as leave a tenth of the work for the cover to shrink."""
    cells = float(math.prod(shape))
    while True:
        stride = _stride(plant, box, shape)
        if work is None or _images_cost(plant, box, shape, stride) <= 0.9 * work:
            return shape, stride
        cells *= _FEWER
        if cells < _FEWEST:
            raise OutOfWorkError
        shape = _shape(plant.nx, cells)


def cell_grid(box: np.ndarray, nx: int, shape: tuple[int, ...]) -> np.ndarray:
    """All cells (n, nx + nu, 2), the last state fastest; neighbours share their edge to the last bit."""
    edges = [np.linspace(low, high, n + 1) for (low, high), n in zip(box[:nx], shape, strict=True)]
    pairs = [np.stack([edge[:-1], edge[1:]], axis=1) for edge in edges]
    mesh = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    cells = np.stack([pair[index.ravel()] for pair, index in zip(pairs, mesh, strict=True)], axis=1)
    inputs = np.broadcast_to(box[nx:], (len(cells), *box[nx:].shape))
    return np.ascontiguousarray(np.concatenate([cells, inputs], axis=1))


def _stride(plant: DiscreteSystem, box: np.ndarray, shape: tuple[int, ...]) -> int:
    rng = np.random.default_rng(0)
    z = rng.uniform(box[:, 0], box[:, 1], (400, len(box)))
    x = z[:, : plant.nx]
    moved = np.abs(plant.step(x, z[:, plant.nx :]) - x) / np.ptp(box[: plant.nx], axis=1) * np.array(shape)
    typical = float(np.median(moved.max(axis=1)))
    far = _STRIDE_CELLS[0 if (np.ptp(box[plant.nx :], axis=1) > 0).any() else 1]
    return int(np.clip(round(far / max(typical, 1e-9)), 1, _LONGEST_STRIDE))


def _places(box: np.ndarray, shape: tuple[int, ...], images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last cell (n, nx) that each image touches along each state; last < first where it is outside of X."""
    unit = np.ptp(box, axis=1) / np.array(shape)
    ends = (images - box[:, :1]) / unit[:, None]
    low = np.floor(np.clip(ends[..., 0] - _SLACK, -1, np.array(shape) + 1)).astype(int)
    high = np.floor(np.clip(ends[..., 1] + _SLACK, -1, np.array(shape) + 1)).astype(int)
    outside = ((high < 0) | (low >= np.array(shape))).any(axis=1)
    low, high = np.clip(low, 0, np.array(shape) - 1), np.clip(high, 0, np.array(shape) - 1)
    high[outside] = low[outside] - 1
    return low, high


def _touched(low: np.ndarray, high: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The cells that images of the cells of ``mask`` touch: corners of each are counted, sums along the axes fill it."""
    here = mask.ravel() & (high >= low).all(axis=1)
    low, after = low[here], high[here] + 1
    count = np.zeros(tuple(n + 1 for n in mask.shape), dtype=np.int64)
    for corner in product((0, 1), repeat=mask.ndim):
        place = tuple(np.where(c, after[:, i], low[:, i]) for i, c in enumerate(corner))
        np.add.at(count, place, (-1) ** sum(corner))
    for axis in range(mask.ndim):
        count = np.cumsum(count, axis=axis)
    return count[tuple(slice(n) for n in mask.shape)] > 0


def _blocks(mask: np.ndarray, size: int) -> np.ndarray:
    padded = np.pad(mask, [(0, -n % size) for n in mask.shape])
    for axis in range(mask.ndim):
        padded = np.add.reduceat(padded, np.arange(0, padded.shape[axis], size), axis=axis) > 0
    return padded


def _divide(mask: np.ndarray, ends: tuple[tuple[int, int], ...], found: list[Any]) -> None:
    """Halve a block along its longest side until it is all inside (kept) or all outside (dropped)."""
    part = mask[tuple(slice(*pair) for pair in ends)]
    if not part.any():
        return
    if part.all():
        found.append(ends)
        return
    axis = int(np.argmax([b - a for a, b in ends]))
    a, b = ends[axis]
    middle = (a + b) // 2
    for pair in ((a, middle), (middle, b)):
        _divide(mask, (*ends[:axis], pair, *ends[axis + 1 :]), found)
