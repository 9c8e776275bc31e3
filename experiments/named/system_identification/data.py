"""What is identified: a simulated Wiener-Hammerstein system, or the F16 ground vibration test from files that a person has.

Nothing is downloaded. The F16 data are distributed with the nonlinear benchmarks collection (nonlinearbenchmark.org).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from systems.base.errors import InputError

Record = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Data:
    """Records (u (N, nu), y (N, ny)) to train on and to test on, scaled to the mean and deviation of the former."""

    name: str
    train: tuple[Record, ...]
    test: tuple[Record, ...]
    washout: int

    @property
    def nu(self) -> int:
        """Inputs."""
        return self.train[0][0].shape[1]

    @property
    def ny(self) -> int:
        """Outputs."""
        return self.train[0][1].shape[1]


def scaled(name: str, train: list[Record], test: list[Record], washout: int) -> Data:
    """All records minus the mean of the training ones, over their standard deviation, signal by signal."""
    affine = []
    for k in (0, 1):
        values = np.concatenate([record[k] for record in train])
        affine.append((values.mean(axis=0), np.maximum(values.std(axis=0), 1e-12)))
    (mu, su), (my, sy) = affine

    def apply(records: list[Record]) -> tuple[Record, ...]:
        return tuple(((u - mu) / su, (y - my) / sy) for u, y in records)

    return Data(name, apply(train), apply(test), washout)


def wiener_hammerstein(count: int, length: int, tests: int, seed: int) -> Data:
    """A linear filter, a saturation of one sign, a linear filter, and output noise of one per cent.

    The filters are those of the laboratory benchmark of this name: Chebyshev of the third order with 0.5 dB of ripple up
    to 4.4 kHz, and inverse Chebyshev of the third order, 40 dB from 5 kHz on, at 51.2 kHz. The slope of the saturation
    falls from 1 to 0.2 around 0.3. The input is Gaussian noise below 10 kHz whose size differs from record to record.
    """
    from scipy import signal

    first: Any = signal.cheby1(3, 0.5, 4.4 / 25.6)
    second: Any = signal.cheby2(3, 40, 5.0 / 25.6)
    band: Any = signal.butter(4, 10.0 / 25.6)
    rng = np.random.default_rng(seed)

    def record(size: float, samples: int) -> Record:
        u = np.asarray(signal.lfilter(band[0], band[1], rng.normal(size=samples + 100)))[100:]
        u *= size / u.std()
        v = np.asarray(signal.lfilter(first[0], first[1], u))
        w = v - 0.8 * np.logaddexp(0.0, 8.0 * (v - 0.3)) / 8.0
        y = np.asarray(signal.lfilter(second[0], second[1], w))
        return u[:, None], (y + 0.01 * y.std() * rng.normal(size=samples))[:, None]

    sizes = rng.uniform(0.3, 1.2, count)
    train = [record(float(size), length) for size in sizes]
    test = [record(float(size), 4 * length) for size in np.linspace(0.3, 1.2, tests)]
    return scaled("simulated Wiener-Hammerstein system", train, test, min(64, length // 4))


LEVELS = {"train": (1, 3, 5, 7), "test": (2, 4, 6)}


def f16(folder: Path) -> Data:
    """The multisine records of the F16 ground vibration test: levels 1, 3, 5, 7 to train on, 2, 4, 6 to test on.

    ``folder`` holds F16Data_FullMSine_Level1 ... 7 (those to test on end in _Validation), as .mat or .csv. Inputs: force and
    voltage; outputs: three accelerations.
    Errors: InputError naming what is missing, or a file without these signals.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"--data is {folder}, which is no folder; expected that of the F16 files, F16Data_FullMSine_Level1.mat ..."
        )
    found: dict[int, Path] = {}
    for path in sorted(folder.rglob("F16Data_FullMSine_Level*")):
        match = re.fullmatch(r"F16Data_FullMSine_Level(\d)(_Validation)?\.(mat|csv)", path.name)
        if match:
            found.setdefault(int(match[1]), path)
    missing = [level for levels in LEVELS.values() for level in levels if level not in found]
    if missing:
        names = ", ".join(
            f"F16Data_FullMSine_Level{k}{'_Validation' * (k in LEVELS['test'])}.mat" for k in sorted(missing)
        )
        raise InputError(
            f"{folder} has no {names} (nor .csv); get the F16 ground vibration test from nonlinearbenchmark.org and unpack it there"
        )
    records = {kind: [_f16_record(found[level]) for level in levels] for kind, levels in LEVELS.items()}
    return scaled("F16 ground vibration test", records["train"], records["test"], 512)


def _f16_record(path: Path) -> Record:
    signals = _mat(path) if path.suffix == ".mat" else _csv(path)
    wanted = ("force", "voltage", "acceleration1", "acceleration2", "acceleration3")
    lacking = [name for name in wanted if name not in signals]
    if lacking:
        raise InputError(f"{path} has no {', '.join(lacking)}; got {', '.join(sorted(signals)) or 'nothing'}")
    columns = [np.asarray(signals[name], float).ravel() for name in wanted]
    lengths = {len(column) for column in columns}
    if len(lengths) != 1 or not all(np.isfinite(column).all() for column in columns):
        raise InputError(f"{path} has signals of unequal length, or values that are not finite; is it damaged?")
    return np.stack(columns[:2], axis=1), np.stack(columns[2:], axis=1)


def _mat(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        content = loadmat(path)
    except (ValueError, NotImplementedError, OSError, TypeError) as error:
        raise InputError(f"{path} cannot be read: {error}; expected a MATLAB file of version 7 or older") from error
    signals = {name.lower(): np.asarray(value) for name, value in content.items() if not name.startswith("__")}
    rows = np.atleast_2d(signals.pop("acceleration", np.empty((0, 0))))
    rows = rows.T if rows.shape[0] > rows.shape[1] else rows
    return signals | {f"acceleration{k + 1}": row for k, row in enumerate(rows)}


def _csv(path: Path) -> dict[str, Any]:
    with path.open(encoding="utf-8-sig") as file:
        names = [name.strip().strip('"').lower() for name in file.readline().split(",")]
        try:
            rows = np.genfromtxt(file, delimiter=",", usecols=range(5))
        except ValueError as error:
            raise InputError(f"{path} cannot be read: {error}") from error
    rows = np.atleast_2d(rows)
    return {name: rows[:, k] for k, name in enumerate(names[:5]) if rows.shape[1] > k}
