"""Logs in blocks: the same numbers wherever a block ends, memory that does not grow with the log, and clocks that jump."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from systems import InputError, Signal, System, read_recordings
from systems.angles import angles
from systems.base import memory
from systems.recordings import FORMATS, columnar, csv_files, open_logs, resampling, sinks, write_columns
from systems.recordings.resampling import resample, samples_of

SYSTEM = System(
    name="cart",
    states=[Signal("x", "m", (-2, 2)), Signal("a", "rad", (-4, 4), period=2 * np.pi)],
    inputs=[Signal("u", "N", (-5, 5))],
    outputs=[Signal("y", "m")],
    dynamics=lambda x, u: [u[0], 0.0],
    output=lambda x: [x[0]],
    dt=0.1,
)


def table(stamps, rng):
    count = len(stamps)
    angle = (stamps + np.pi) % (2 * np.pi) - np.pi
    columns = {"t": stamps, "x": np.sin(stamps), "a": angle, "u": np.floor(stamps) % 3, "y": rng.normal(size=count)}
    for name in ("x", "u", "y"):
        columns[name][rng.uniform(size=count) < 0.1] = np.nan
    return columns


def irregular(rng, count=400, dt=0.1):
    """Stamps with gaps, late stamps, and many rows in one sample."""
    steps = rng.choice([0.3 * dt, dt, dt * (1 + 1e-7), 1.04 * dt, 7 * dt, 0.01 * dt], count)
    return np.concatenate([[0.0], np.cumsum(steps)])


def blocks_of(stamps, values, cuts):
    ends = [0, *cuts, len(stamps)]
    return [(stamps[a:b], values[a:b]) for a, b in pairwise(ends)]


@pytest.mark.parametrize("seed", range(6))
def test_where_a_block_ends_changes_no_number(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    stamps = irregular(rng)
    columns = table(stamps, rng)
    values = np.stack([columns[name] for name in "xauy"], axis=1)
    options = samples_of(stamps[-1], 0.1), 0.1, 0.3, [False, False, True, False], [None, 2 * np.pi, None, None]
    ((t, whole),) = resample([(stamps, values)], *options)
    monkeypatch.setattr(resampling, "BLOCK", 7)
    for cuts in (range(1, len(stamps)), [1], [len(stamps) - 1], [2, 2, 5], np.sort(rng.integers(0, len(stamps), 20))):
        pieces = list(resample(blocks_of(stamps, values, list(cuts)), *options))
        assert max(len(piece[0]) for piece in pieces) <= 7
        np.testing.assert_array_equal(np.concatenate([piece[0] for piece in pieces]), t)
        np.testing.assert_array_equal(np.concatenate([piece[1] for piece in pieces]), whole)


@pytest.mark.parametrize("ending", FORMATS.values())
@pytest.mark.parametrize("count", [1, 2])
def test_every_format_in_small_blocks_is_the_log(tmp_path, monkeypatch, rng, ending, count):
    tables = [table(irregular(rng, 120 + 9 * k), rng) for k in range(count)]
    files = write_columns(tmp_path / f"log{ending}", tables, {})
    whole = read_recordings(files, SYSTEM)
    assert list(whole.lengths) == [samples_of(item["t"][-1], 0.1) for item in tables]
    for module, name, value in (
        (columnar, "ROWS", 11), (csv_files, "ROWS", 11), (csv_files, "_CHARACTERS", 100), (sinks, "_ROWS", 11),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    again = read_recordings(files, SYSTEM)
    others = read_recordings(write_columns(tmp_path / f"other{ending}", tables, {}), SYSTEM)
    for name in ("t", "x", "u", "y"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
        np.testing.assert_array_equal(getattr(others, name), getattr(whole, name))


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_mistake_far_down_is_found_at_its_row(tmp_path, monkeypatch, quote):
    monkeypatch.setattr(csv_files, "_CHARACTERS", 50)
    rows = [f"{k / 10},0,0,{quote}0{quote},0" for k in range(100)]
    rows[70] = "7.0,0,0,oops,0"
    (tmp_path / "log.csv").write_text("t,x,a,u,y\n\n" + "\n".join(rows) + "\n")
    with pytest.raises(InputError, match="row 73, column 'u': 'oops'"):
        read_recordings(tmp_path / "log.csv", SYSTEM)


# The clock -----------------------------------------------------------------------------------------------------------


def refused(tmp_path, stamps, *words):
    path = tmp_path / "log.csv"
    path.write_text("t,x,a,u,y\n" + "".join(f"{stamp},0,0,0,0\n" for stamp in stamps))
    with pytest.raises(InputError) as error:
        open_logs(path, SYSTEM)
    for word in (str(path), *words):
        assert word in str(error.value), str(error.value)


def test_a_clock_that_jumps_is_named_with_its_row_and_costs_nothing(tmp_path):
    tracemalloc.start()
    try:
        steady = [round(0.1 * k, 1) for k in range(30)]
        words = (
            "row 32, column 't': time 10000000 is 1e+07 s after the row before it",
            "1e+08 samples of dt = 0.1 s",
        )
        refused(tmp_path, [*steady, 10000000], *words, "correct the stamp, or cut the log there")
        refused(tmp_path, [0, 0.1, 0.2, 1e300], "row 5", "time 1e+300")
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("stamps", "words"),
    [
        ([0, 0.1, 0.2, 1e7, 0.4, 0.5], ("row 5", "time 10000000 is ahead of 0.4 in the next row")),
        ([0, 0.1, 0.2, -5, 0.4], ("row 5", "time -5 comes after 0.2")),
        ([0, 0.1, "nan", 0.3], ("row 4", "the time is missing")),
        ([0, 0.1, "inf", 0.3], ("row 4", "the time is missing")),
        ([-1e308, 0, 1e308], ("row 4", "the time is missing")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("characters", [1 << 20, 12])
def test_stamps_that_make_no_log(tmp_path, monkeypatch, stamps, words, characters):
    monkeypatch.setattr(csv_files, "_CHARACTERS", characters)
    refused(tmp_path, stamps, *words)


def test_a_pause_within_reason_stays_missing(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("t,x,a,u,y\n" + "".join(f"{t},0,0,0,0\n" for t in (0, 0.1, 0.2, 3600, 3600.1)))
    data = read_recordings(path, SYSTEM)
    assert len(data.t) == 36_002 and np.isfinite(data.x[0]).all(axis=1).sum() == 5


# Memory --------------------------------------------------------------------------------------------------------------


def test_a_log_that_does_not_fit_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "log.csv"
    path.write_text("t,x,a,u,y\n" + "".join(f"{k / 10},0,0,0,0\n" for k in range(1000)))
    monkeypatch.setattr(memory, "available", lambda: 20_000)
    with pytest.raises(
        InputError, match=r"log\.csv: 1000 samples, in a batch of 1 would take 32 kB of memory, and 20 kB"
    ):
        read_recordings(path, SYSTEM)


@pytest.mark.parametrize("ending", FORMATS.values())
def test_the_memory_does_not_grow_with_the_log(tmp_path, monkeypatch, ending):
    rows, small = 30_000, 1_000
    for module, name, value in (
        (columnar, "ROWS", small), (csv_files, "_CHARACTERS", 50_000), (resampling, "BLOCK", small),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    stamps = 0.1 * np.arange(rows)
    columns = {"t": stamps, **dict.fromkeys(["x", "a", "u", "y"], np.zeros(rows))}  # 1.2 MB
    write_columns(tmp_path / f"log{ending}", [columns], {})
    (log,) = open_logs(tmp_path / f"log{ending}", SYSTEM)  # what is imported for it is there now
    angles(SYSTEM)  # as what is worked out once
    tracemalloc.start()
    try:
        (log,) = open_logs(tmp_path / f"log{ending}", SYSTEM)
        assert tracemalloc.get_traced_memory()[1] < 1.1e6  # the steps of the stamps, 0.24 MB, and their median
        tracemalloc.reset_peak()
        assert sum(len(part.t) for part in log.blocks()) == rows
        assert tracemalloc.get_traced_memory()[1] < 0.9e6
    finally:
        tracemalloc.stop()
