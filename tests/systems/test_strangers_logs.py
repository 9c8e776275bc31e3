"""Logs as strangers bring them: read as what they are, or refused in one line that names the row and the way out."""

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from systems import InputError, Signal, System, Timing, load_system, read_recordings
from systems.toml_files import system_from_toml
from tests.conftest import SHARED

DT = 0.05
CART = System(
    name="cart",
    states=[Signal("p", "m", (-3, 3)), Signal("v", "m/s", (-2, 2))],
    inputs=[Signal("u", "N", (-1, 1))],
    outputs=[Signal("pos", "m"), Signal("tacho", "m/s")],
    dynamics=lambda x, u: [x[1], u[0] - 0.5 * x[1]],
    output=lambda x: [x[0], x[1]],
    dt=DT,
    duration=30,
)
K = np.arange(60)
POS, TACHO, U = np.sin(0.1 * K), np.cos(0.1 * K), np.round(0.01 * K, 6)
SEEN = ("inputs", "outputs")


def log(path, stamps, *, head="time,u,pos,tacho", sign=",", comma=False, above="", ending="\n"):
    lines = [head.replace(",", sign)]
    for stamp, *values in zip(stamps, U, POS, TACHO, strict=True):
        cells = [f"{value:.6f}" for value in values]
        lines.append(sign.join([str(stamp), *(cell.replace(".", ",") if comma else cell for cell in cells)]))
    path.write_text(above + ending.join(lines) + ending)
    return path


def read(path, system=CART, **timing):
    return read_recordings(path, system, required=SEEN, timing=Timing(**timing) if timing else None)


def same(data, rows=60):
    assert list(data.lengths) == [rows]
    np.testing.assert_allclose(data.y[0], np.stack([POS, TACHO], axis=1)[:rows], atol=2e-5)
    np.testing.assert_allclose(data.u[0, :, 0], U[:rows], atol=1e-9)


def refused(path, *words, **timing):
    with pytest.raises(InputError) as error:
        read(path, **timing)
    text = str(error.value)
    assert "\n" not in text and str(path) in text
    for word in words:
        assert word in text, text


# The field's own logs ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def field():
    if not (SHARED / "field").is_dir():
        pytest.skip("the field's own inputs are not here")
    return SHARED / "field"


@pytest.mark.parametrize("kind", [
    "epoch_us", "epoch_ns", "hms", "german_date", "us_date", "tab_decimal", "no_time", "time_s_header", "dst_naive", "dup_exact",
    "preamble",
])  # fmt: skip
def test_every_cart_log_is_the_same_motion(field, kind):
    cart = load_system(field / "cart.toml")
    whole = read(field / "logs" / "cart_all_in_one_row.csv", cart)
    data = read(field / "logs" / f"cart_{kind}.csv", cart, **({"sample_time": 0.05} if kind == "no_time" else {}))
    rows = 55 if kind == "preamble" else 59
    assert list(data.lengths) == [rows]
    for name in ("u", "y"):
        np.testing.assert_allclose(getattr(data, name)[0], getattr(whole, name)[0, :rows], atol=1e-6)
    if kind.startswith("epoch"):
        assert f"{'micro' if kind == 'epoch_us' else 'nano'}seconds since 1970" in data.warnings[0]


def test_sensors_in_rows_of_their_own_lose_no_measurement(field):
    cart = load_system(field / "cart.toml")
    data = read(field / "logs" / "cart_sensors_in_own_rows.csv", cart)
    whole = read(field / "logs" / "cart_all_in_one_row.csv", cart)
    assert np.isfinite(data.y[0]).all(axis=1).sum() >= len(data.t) - 2 and np.isfinite(data.u).all()
    difference = (data.y[0] - whole.y[0, : len(data.t)])[2:-2]
    assert np.nanstd(difference, axis=0) == pytest.approx(0, abs=0.03)


def test_no_time_is_refused_with_both_ways_out(field):
    with pytest.raises(InputError, match=r"no time column.*--columns t=COLUMN.*--sample-time"):
        read(field / "logs" / "cart_no_time.csv", load_system(field / "cart.toml"))


def test_a_temperature_is_not_the_time(field):
    data = read_recordings(field / "logs" / "tank_T.csv", load_system(field / "tank_T.toml"))
    assert list(data.lengths) == [300] and data.x[0, 1, 0] == 30.15


def test_a_signal_is_never_the_time(tmp_path):
    """``T`` looks like a time; it is a state, so another column is the time, or there is none."""
    plant = system_from_toml(
        '[states]\nT = { range = [10, 90] }\n[dynamics]\nT = "20 - T"\n[outputs]\ny = "T"\n[sampling]\ndt = 1',
        "tank.toml",
    )
    rows = [(20.0 + k, 20.0 + k, float(k)) for k in range(8)]
    text = "T,y,Elapsed_s\n" + "".join(f"{a},{b},{t}\n" for a, b, t in rows)
    (tmp_path / "log.csv").write_text(text)
    data = read_recordings(tmp_path / "log.csv", plant)
    np.testing.assert_array_equal(data.x[0, :, 0], [a for a, *_ in rows])
    (tmp_path / "log.csv").write_text("\n".join(line.rsplit(",", 1)[0] for line in text.splitlines()) + "\n")
    with pytest.raises(InputError, match="no time column"):
        read_recordings(tmp_path / "log.csv", plant)


def test_milliseconds_that_also_make_a_slow_log_are_refused(field):
    path, cell = field / "logs" / "cell_milliseconds.csv", load_system(field / "cell.toml")
    with pytest.raises(InputError, match=r"row 2.*milliseconds\? Say so with --time-unit ms, or --time-unit s"):
        read_recordings(path, cell)
    assert list(read_recordings(path, cell, timing=Timing(unit="ms")).lengths) == [60]


# Others of the same kinds --------------------------------------------------------------------------------------------

START = datetime(2024, 3, 31, 23, 59, 58, 500_000)
DATES = [START + timedelta(seconds=DT * int(k)) for k in K]
SECONDS = [f"{DT * k:.3f}" for k in K]

WRITTEN = {
    "time column under a unit": ([f"{50 * k}" for k in K], {"head": "Elapsed Time [ms],u,pos,tacho"}),
    "unit at the end of the name": ([f"{50_000 * k}" for k in K], {"head": "timestamp_us,u,pos,tacho"}),
    "minutes": ([f"{DT * k / 60:.9f}" for k in K], {"head": "t (min),u,pos,tacho"}),
    "clock across midnight": ([f"{date:%H:%M:%S.%f}" for date in DATES], {"head": "Uhrzeit,u,pos,tacho"}),
    "minutes and seconds": ([f"{59 + (59.5 + DT * k) // 60 - 0:02.0f}:{(59.5 + DT * k) % 60:06.3f}" if 59.5 + DT * k < 60
                             else f"00:{(DT * k - 0.5):06.3f}" for k in K], {}),
    "afternoon": ([f"{date:%m/%d/%Y %I:%M:%S.%f %p}" for date in DATES], {"head": "Date,u,pos,tacho"}),
    "month by name": ([f"{date.day}-{'Mar' if date.month == 3 else 'Apr'}-2024 {date:%H:%M:%S.%f}" for date in DATES], {}),
    "zones": ([date.replace(tzinfo=timezone(timedelta(hours=2))).isoformat() for date in DATES], {}),
    "a zone behind a blank": ([f"{date:%Y-%m-%d %H:%M:%S.%f} UTC" for date in DATES], {}),
    "milliseconds behind a colon": ([f"{date:%H:%M:%S}:{date.microsecond // 1000:03d}" for date in DATES], {}),
    "slashes from the year on": ([f"{date:%Y/%m/%d %H:%M:%S.%f}" for date in DATES], {}),
    "semicolons, commas, a mark, old line ends": (
        [f"{date:%d.%m.%y %H:%M:%S},{date.microsecond // 1000:03d}" for date in DATES],
        {"head": "Datum;u;pos;tacho", "sign": ";", "comma": True, "above": "\ufeff", "ending": "\r\n"}),
    "a header commented out": (SECONDS, {"head": "# t,u,pos,tacho"}),
    "preamble with commas": (SECONDS, {"above": "Device,XY-7\nSerial,1234\nRate,20,Hz\n\nOperator,B\n"}),
    "blanks": ([f"  {second}" for second in SECONDS], {"head": "t,u,pos,tacho", "sign": "   "}),
    "quoted names, a row of units": (SECONDS, {"head": '"t","u","pos","tacho"\n"s","N","m","m/s"'}),
    "days of a spreadsheet": ([f"{45382.5 + DT * k / 86400:.10f}" for k in K], {"head": "Date,u,pos,tacho"}),
    "milliseconds since 1970": ([f"{1711846790000 + 50 * k}" for k in K], {"head": "epoch,u,pos,tacho"}),
    "a timedelta": ([f"{timedelta(seconds=DT * int(k))}" for k in K], {"head": "t,u,pos,tacho"}),
    "day and month told by the day after": ([f"{date:%d/%m/%Y %H:%M:%S.%f}" for date in [d + timedelta(days=12) for d in DATES]], {}),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITTEN)
def test_as_other_programs_write_it(tmp_path, kind):
    stamps, how = WRITTEN[kind]
    rounded = kind == "days of a spreadsheet"  # to 9 microseconds: the last row comes too early for the last sample
    same(read(log(tmp_path / "log.csv", stamps, **how)), len(K) - rounded)


def test_lines_of_comment_between_the_rows(tmp_path):
    path = log(tmp_path / "log.csv", SECONDS)
    lines = path.read_text().split("\n")
    path.write_text("\n".join([*lines[:20], "# a break", *lines[20:]]))
    same(read(path))


def test_days_and_months_in_doubt(tmp_path):
    stamps = [f"{date + timedelta(days=3):%m/%d/%Y %H:%M:%S.%f}" for date in DATES]  # 04/03, then 04/04
    same(read(log(tmp_path / "told.csv", stamps), date_order="mdy"))
    stamps = [f"{date + timedelta(days=4):%m/%d/%Y %H:%M:%S.%f}" for date in DATES]  # 04/04, then 04/05
    path = log(tmp_path / "log.csv", stamps)
    with pytest.raises(InputError, match=r"row \d+.*--date-order"):
        read(log(tmp_path / "both.csv", [f"04/0{5 + (k > 30)}/2024 00:00:{k:02d}" for k in K]))
    same(read(path, date_order="mdy"))


def test_a_clock_that_saves_daylight(tmp_path):
    spring = [f"{date - timedelta(hours=22) + timedelta(hours=date.day == 1):%Y-%m-%d %H:%M:%S.%f}" for date in DATES]
    refused(log(tmp_path / "log.csv", spring), "row 32", "daylight saving", "UTC")
    autumn = [f"{date + timedelta(days=209, hours=3 - (date.day == 1)):%Y-%m-%d %H:%M:%S.%f}" for date in DATES]
    refused(log(tmp_path / "log.csv", autumn), "row 32", "clocks went back an hour", "UTC")


@pytest.mark.parametrize(("step", "unit"), [(50, "ms"), (50_000, "us"), (50_000_000, "ns")])
def test_the_unit_of_stamps_is_named_rightly(tmp_path, step, unit):
    path = log(tmp_path / "log.csv", [f"{7_000_000 + step * k}" for k in K])
    refused(path, "row 2", f"--time-unit {unit}", {"ms": "milli", "us": "micro", "ns": "nano"}[unit] + "seconds?")
    same(read(path, unit=unit))


@pytest.mark.parametrize(("step", "dt", "rows"), [(20, 1.0, 3000), (5, 1.0, 6000), (100, 10.0, 4000), (2, 0.5, 20000)])
def test_milliseconds_beside_a_slow_sampling_time(tmp_path, step, dt, rows):
    """The field's kind: rows are far finer than dt, so that as seconds they would make a slow log of many hours."""
    slow = System(
        name="cell", states=[Signal("q", "", (0, 1))], outputs=[Signal("y", "V")], dynamics=lambda x: [-x[0] / 1e4],
        output=lambda x: [x[0]], dt=dt, duration=300 * dt,
    )  # fmt: skip
    path = tmp_path / "log.csv"
    path.write_text("t,y\n" + "".join(f"{step * k},0.5\n" for k in range(rows)))
    with pytest.raises(InputError, match=r"milliseconds.*--time-unit ms"):
        read_recordings(path, slow, required=["outputs"])
    data = read_recordings(path, slow, required=["outputs"], timing=Timing(unit="ms"))
    assert len(data.t) == int(step * (rows - 1) / 1000 / dt) + 1


def test_slow_logs_in_whole_seconds_are_read(tmp_path):
    path = log(
        tmp_path / "log.csv", [k for k in K]
    )  # a row a second, dt = 0.05 s: three samples if these were milliseconds
    assert len(read(path).t) == 20 * 59 + 1


def test_hours_are_not_taken_for_seconds(tmp_path):
    slow = System(
        name="store", states=[Signal("p", "", (-3, 3))], inputs=[Signal("u", "", (-1, 1))], outputs=[Signal("pos"), Signal("tacho")],
        dynamics=lambda x, u: [u[0]], output=lambda x: [x[0], x[0]], dt=30.0, duration=3600,
    )  # fmt: skip
    path = log(tmp_path / "log.csv", [f"{k / 120:.8f}" for k in K])
    with pytest.raises(InputError, match="--time-unit h"):
        read_recordings(path, slow, required=SEEN)
    same(read_recordings(path, slow, required=SEEN, timing=Timing(unit="h")))


def test_a_slow_sensor_beside_a_fast_one(tmp_path):
    path = tmp_path / "log.csv"
    rows = [f"{DT * k + 0.011 * (k % 3):.4f},{U[k]},{POS[k] if k % 10 == 4 else ''},{TACHO[k]}" for k in K]
    path.write_text("t,u,pos,tacho\n" + "\n".join(rows) + "\n")
    data = read(path)
    known = np.flatnonzero(np.isfinite(data.y[0, :, 0]))
    assert list(known) == [4, 14, 24, 34, 44, 54] and any(
        "'pos' has a value every 0.511 s" in text for text in data.warnings
    )
    np.testing.assert_array_equal(data.y[0, known, 0], POS[known])


def test_an_empty_cell_of_a_sensor_stays_missing(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("t,u,pos,tacho\n" + "".join(f"{DT * k:.2f},0,{'' if k == 7 else 1},1\n" for k in K))
    assert np.flatnonzero(np.isnan(read(path).y[0, :, 0])).tolist() == [7]


def test_rows_of_one_time(tmp_path):
    path = tmp_path / "log.csv"
    rows = [text for k in K for text in (f"{DT * k:.2f},{U[k]},{POS[k]:.6f},", f"{DT * k:.2f},,,{TACHO[k]:.6f}")]
    path.write_text("t,u,pos,tacho\n" + "\n".join(rows) + "\n")
    data = read(path)
    same(data)
    assert "60 rows repeat the time" in data.warnings[0]
    path.write_text("t,u,pos,tacho\n0,0,1,1\n0.05,0,1,1\n0.05,0,2,1\n0.1,0,1,1\n")
    refused(path, "row 4", "repeats the one before it, with another 'pos'", "--sample-time")


def test_nothing_measured(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("t,u,pos,tacho\n" + "".join(f"{DT * k:.2f},0,,\n" for k in K))
    refused(path, "no row has a number in 'pos' or 'tacho'", "SIGNAL=COLUMN")


def test_a_column_is_one_signal_only(tmp_path):
    path = tmp_path / "log.csv"
    other = System(
        name="two", states=[Signal("T", "", (0, 90)), Signal("P", "", (0, 9)), Signal("p", "", (0, 9))], outputs=[Signal("y")],
        dynamics=lambda x: [x[1], x[2], x[0]], output=lambda x: [x[0]], dt=1.0,
    )  # fmt: skip
    path.write_text("t,p,y\n0,1,1\n1,1,1\n")
    with pytest.raises(InputError, match="no column for the state 'T'"):
        read_recordings(path, other)
    path.write_text("t,T,p,y\n0,1,1,1\n1,1,1,1\n")
    with pytest.raises(InputError, match="no column for the state 'P'"):
        read_recordings(path, other)


@pytest.mark.parametrize("timing", [{"sample_time": "5 kg"}, {"unit": "week"}, {"date_order": "ymd"}])
def test_what_nobody_can_say_of_a_time(timing):
    with pytest.raises(InputError, match="expected"):
        Timing(**timing)
