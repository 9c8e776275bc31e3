"""Logs as they come from real loggers: read and aligned, or refused in one line that names file, row and column."""

import subprocess
import sys
import time

import numpy as np
import pytest

from systems import (
    InputError,
    Signal,
    System,
    Trajectories,
    discretize,
    mass_spring_damper,
    read_recordings,
    simulate,
    write_recordings,
)
from systems.recordings import open_logs, write_columns
from systems.recordings.writing import FORMATS

DT = 0.1
SYSTEM = System(
    name="cart",
    states=[Signal("x", "m", (-2, 2)), Signal("v", "m/s", (-2, 2))],
    inputs=[Signal("u", "N", (-5, 5)), Signal("wind", "N", (-1, 3), role="disturbance")],
    outputs=[Signal("y", "m")],
    dynamics=lambda x, u: [x[1], u[0] + u[1]],
    output=lambda x: [x[0]],
    dt=DT,
)
ENDINGS = tuple(FORMATS.values())


def table(stamps, **replaced):
    columns = {"t": stamps, "x": np.sin(stamps), "v": np.cos(stamps), "u": np.floor(stamps), "y": np.sin(stamps)}
    return {**columns, **replaced}


def csv(path, columns, *, units="s,m,m/s,N,m", separator=","):
    rows = [separator.join(columns), *([units.replace(",", separator)] if units else [])]
    rows += [separator.join("" if v != v else str(v) for v in row) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(rows) + "\n")
    return path


def edited(path, row, old, new):
    lines = path.read_text().split("\n")
    assert old in lines[row - 1]
    lines[row - 1] = lines[row - 1].replace(old, new, 1)
    path.write_text("\n".join(lines))
    return path


STAMPS = np.round(DT * np.arange(21), 6)


@pytest.fixture
def log(tmp_path):
    return csv(tmp_path / "log.csv", table(STAMPS))


def test_a_uniform_log_is_taken_as_it_is(log):
    data = read_recordings(log, SYSTEM)
    assert isinstance(data, Trajectories) and len(data) == 1 and list(data.lengths) == [21]
    np.testing.assert_allclose(data.t, STAMPS, atol=1e-12)
    np.testing.assert_array_equal(data.x[0, :, 1], np.cos(STAMPS))
    np.testing.assert_array_equal(data.u[0, :, 0], np.floor(STAMPS))
    assert (data.u[0, :, 1] == 1.0).all()  # the disturbance is not logged: the middle of its range
    assert data.warnings == () and len(data.transitions()) == 20


def test_irregular_stamps_are_joined_and_inputs_held(tmp_path, rng):
    stamps = np.concatenate([[0.0], np.sort(rng.uniform(0, 10, 4000)), [10.0]])
    data = read_recordings(csv(tmp_path / "log.csv", table(stamps)), SYSTEM)
    assert len(data.t) == 101
    np.testing.assert_allclose(data.x[0, :, 0], np.sin(data.t), atol=2e-4)  # h^2/8 for the widest of the spaces
    np.testing.assert_allclose(data.y[0, :, 0], np.sin(data.t), atol=2e-4)
    late = np.abs(data.t - np.round(data.t)) > 0.01
    np.testing.assert_array_equal(data.u[0, late, 0], np.floor(data.t[late]))


def test_alignment_u_is_held_from_its_own_stamp_and_y_stands_at_it(tmp_path):
    # The input steps at t = 0.5; stamps rounded to a hundredth must not shift it to the next sample.
    stamps = np.round(np.arange(31) / 30, 3)
    columns = table(stamps, u=(stamps >= 0.5).astype(float), x=stamps, y=stamps)
    data = read_recordings(csv(tmp_path / "log.csv", columns), SYSTEM, dt=1 / 30)
    assert int(np.argmax(data.u[0, :, 0])) == 15
    np.testing.assert_allclose(data.y[0, :-1, 0], data.t[:-1], atol=1e-9)
    steps = read_recordings(csv(tmp_path / "off.csv", table(STAMPS + 0.03, u=np.arange(21.0))), SYSTEM)
    np.testing.assert_array_equal(steps.u[0, :, 0], np.arange(21))  # t = 0 is the first stamp of the log


def test_gaps_and_empty_cells_stay_missing(tmp_path):
    keep = (STAMPS <= 0.8) | (STAMPS >= 1.4)
    columns = {name: values[keep] for name, values in table(STAMPS).items()}
    columns["y"] = columns["y"].copy()
    columns["y"][2] = np.nan
    data = read_recordings(csv(tmp_path / "log.csv", columns), SYSTEM)
    missing = np.isnan(data.x[0, :, 0])
    np.testing.assert_array_equal(np.flatnonzero(missing), [9, 10, 11, 12, 13])
    np.testing.assert_array_equal(np.isnan(data.u[0, :, 0]), missing)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(data.y[0, :, 0])), [2, 9, 10, 11, 12, 13])
    assert len(data.transitions()) == 20 - 1 - 6
    short = read_recordings(tmp_path / "log.csv", SYSTEM, max_gap=10)  # now it is bridged
    assert np.isfinite(short.x).all()


@pytest.mark.parametrize("word", ["", "NaN", "NA", "null", "-"])
def test_every_word_for_missing(log, word):
    lines = log.read_text().split("\n")
    cells = lines[4].split(",")
    lines[4] = ",".join([cells[0], word, *cells[2:]])
    log.write_text("\n".join(lines))
    data = read_recordings(log, SYSTEM)
    assert np.isnan(data.x[0, 2, 0]) and np.isfinite(data.x[0, [1, 3], 0]).all()


def test_several_files_are_several_trajectories(tmp_path):
    for k, n in enumerate((21, 11)):
        csv(tmp_path / f"log{k}.csv", {name: values[:n] for name, values in table(STAMPS).items()})
    data = read_recordings(str(tmp_path / "*.csv"), SYSTEM)
    assert len(data) == 2 and list(data.lengths) == [21, 11]
    assert np.isnan(data.x[1, 11:]).all() and len(data.transitions()) == 30
    with pytest.raises(InputError, match="no file matches"):
        read_recordings(str(tmp_path / "nothing*.csv"), SYSTEM)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_units_in_the_header_dates_and_mapping(tmp_path, separator):
    stamps = [f"2024-03-01T12:00:{k / 10:09.6f}" for k in range(21)]
    columns = {
        "Stamp": stamps,
        "pos [m]": np.sin(STAMPS),
        "V": np.cos(STAMPS),
        "u": np.floor(STAMPS),
        "outputs.y": np.sin(STAMPS),
    }
    path = csv(tmp_path / "log.csv", columns, units="", separator=separator)
    data = read_recordings(path, SYSTEM, columns={"x": "pos", "time": "stamp"})
    np.testing.assert_allclose(data.x[0, :, 0], np.sin(STAMPS), atol=1e-12)
    np.testing.assert_allclose(data.y[0, :, 0], np.sin(STAMPS), atol=1e-12)


def test_a_decimal_comma_between_semicolons(tmp_path):
    path = csv(tmp_path / "log.csv", table(STAMPS), separator=";")
    path.write_text(path.read_text().replace(".", ","))
    np.testing.assert_allclose(read_recordings(path, SYSTEM).x[0, :, 0], np.sin(STAMPS))


def test_an_angle_takes_the_short_way_round(tmp_path):
    system = System(
        name="wheel", states=[Signal("a", "rad", (-4, 4), period=2 * np.pi)], outputs=[Signal("y", "rad", period=2 * np.pi)],
        dynamics=lambda x: [1.0], output=lambda x: [x[0]], dt=0.1,
    )  # fmt: skip
    stamps = np.arange(0, 10, 0.07)
    angle = (stamps + np.pi) % (2 * np.pi) - np.pi
    data = read_recordings(csv(tmp_path / "log.csv", {"t": stamps, "a": angle, "y": angle}, units=""), system)
    error = data.x[0, :, 0] - data.t
    np.testing.assert_allclose((error + np.pi) % (2 * np.pi) - np.pi, 0, atol=1e-9)


# Refusals ------------------------------------------------------------------------------------------------------------


def refused(path, *words, **options):
    with pytest.raises(InputError) as error:
        read_recordings(path, SYSTEM, **options)
    text = str(error.value)
    assert "\n" not in text and str(path) in text
    for word in words:
        assert word in text, text


def test_text_in_a_number_cell(log):
    value = log.read_text().split("\n")[9].split(",")[2]
    refused(edited(log, 10, value, "1.2.3"), "row 10", "column 'v'", "'1.2.3' is not a number")


def test_a_missing_column_is_named_with_the_nearest(tmp_path):
    columns = table(STAMPS)
    columns["vv"] = columns.pop("v")
    refused(csv(tmp_path / "log.csv", columns, units=""), "state 'v'", "did you mean 'vv'", "v=COLUMN")
    refused(csv(tmp_path / "log.csv", table(STAMPS)), "no column 'w'", "state 'v'", columns={"v": "w"})


def test_a_signal_that_the_system_does_not_have(log):
    with pytest.raises(InputError, match="columns names 'speed', which is no signal"):
        read_recordings(log, SYSTEM, columns={"speed": "v"})


def test_a_wrong_unit_row(tmp_path):
    refused(
        csv(tmp_path / "log.csv", table(STAMPS), units="s,m,km/h,N,m"),
        "row 2",
        "column 'v'",
        "'km/h'",
        "expected 'm/s'",
    )
    refused(csv(tmp_path / "log.csv", table(STAMPS), units="V,m,m/s,N,m"), "row 2", "column 't'", "'V'", "unit of time")
    assert len(read_recordings(csv(tmp_path / "log.csv", table(STAMPS), units="[s],[m],[m / s],,m"), SYSTEM)) == 1


def test_a_wrong_unit_in_the_header(tmp_path):
    columns = table(STAMPS)
    columns = {"t": columns["t"], "x [mm]": columns["x"], "v": columns["v"], "u": columns["u"], "y": columns["y"]}
    refused(csv(tmp_path / "log.csv", columns, units=""), "row 1", "column 'x'", "'mm'", "expected 'm'")


def test_times_that_do_not_increase(tmp_path):
    for value, word in ((0.9, "repeats the one before it"), (0.35, "comes after 0.9")):
        stamps = STAMPS.copy()
        stamps[10] = value
        columns = table(stamps, x=np.sin(STAMPS))
        refused(csv(tmp_path / "log.csv", columns), "row 13", "column 't'", word, "sort the rows")
    stamps = STAMPS.copy()
    stamps[10] = np.nan
    refused(csv(tmp_path / "log.csv", table(stamps)), "row 13", "the time is missing")


def test_empty_header_only_and_one_row(tmp_path):
    path = tmp_path / "log.csv"
    for text, word in (
        ("", "is empty"),
        ("\n\n", "holds no rows"),
        ("t,x,v,u,y\n", "holds no rows"),
        ("t,x,v,u,y\ns,m,m/s,N,m\n", "holds no rows"),
        ("t,x,v,u,y\n0,0,0,0,0\n", "expected at least two"),
        ("0,0,0,0,0\n1,0,0,0,0\n", "is no header"),
        ("a,x,v,u,y\n0,0,0,0,0\n", "has no time column"),
        ("t,x,x,v,u,y\n0,0,0,0,0,0\n1,0,0,0,0,0\n", "2 columns called 'x'"),
        ("t,x,v,u,y\n0,0,0,0,0\n0.1,0,0\n", "row 3: 3 cells; expected 5"),
        ("t,x,v,u,y\n0,0,0,0,0\n0.01,0,0,0,0\n", "more than one sampling time"),
        ("t,x,v,u,y\n0,0,0,0,0\n0.1,900,0,0,0\n", "row 3, column 'x': 900 is more than ten times the range"),
        ("t,x,v,u,y\n0,0,0,0,0\n\n\n0.1,oops,0,0,0\n", "row 5, column 'x': 'oops'"),
        ('t,x,v,u,y\n0,0,0,0,0\n0.1,"1,0,0,0\n', "row 3"),
    ):
        path.write_text(text)
        refused(path, word)


@pytest.mark.parametrize("ending", [*ENDINGS, ".hdf5", ".txt"])
def test_junk_is_refused(tmp_path, ending, rng):
    path = tmp_path / f"log{ending}"
    for junk in (
        rng.bytes(3000),
        b"PK\x03\x04" + rng.bytes(500),
        b"\x89HDF\r\n\x1a\n" + rng.bytes(500),
        b"PAR1" + rng.bytes(99) + b"PAR1",
    ):
        path.write_bytes(junk)
        refused(path)
    refused(tmp_path / "log.xlsx", "ends in '.xlsx'")
    refused(tmp_path / f"none{ending}", "there is no file")
    (tmp_path / f"folder{ending}").mkdir()
    refused(tmp_path / f"folder{ending}", "is a folder")


def test_latin_1_text_is_refused_with_its_row(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes("t,x\ns,°C\n0,1\n".encode("latin-1"))
    refused(path, "row 2", "UTF-8")


# Size ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gaps", [False, True])
def test_a_million_rows(tmp_path, gaps):
    n = 1_000_000
    stamps = 0.1 * np.arange(n)
    values = np.stack([stamps, np.sin(stamps), np.cos(stamps), np.floor(stamps) % 3, np.sin(stamps)], axis=1)
    text = ("%.6g,%.4f,%.4f,%d,%.4f\n" * n) % tuple(values.reshape(-1).tolist())
    text = text.replace("0.5000,", ",", 50) if gaps else text
    path = tmp_path / "log.csv"
    path.write_text("t,x,v,u,y\ns,m,m/s,N,m\n" + text)
    start = time.perf_counter()
    data = read_recordings(path, SYSTEM)
    assert time.perf_counter() - start < 30  # some 3 s on a free core
    assert data.lengths[0] == n and np.isnan(data.x).any() == gaps
    np.testing.assert_allclose(data.x[0, -1000:, 0], np.sin(stamps[-1000:]), atol=1e-4)


# Other formats -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("count", [1, 3])
def test_what_is_exported_is_read_back(tmp_path, ending, count):
    system = mass_spring_damper()
    data = simulate(discretize(system), count, duration=3.0, seed=1)
    data.y[0, 4] = np.nan
    files = write_recordings(data, tmp_path / f"out{ending}", system)
    assert len(files) == (count if ending in (".csv", ".parquet") else 1)
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted(item.name for item in files)
    again = read_recordings(files, system)
    assert len(again) == count
    for name in ("t", "x", "u", "y"):
        np.testing.assert_allclose(getattr(again, name), getattr(data, name), atol=1e-9)
    other = system.with_states(velocity={"unit": "km/h"})
    with pytest.raises(InputError, match="column 'velocity': unit is 'm/s'; expected 'km/h'"):
        read_recordings(files, other)
    assert (
        len(read_recordings(write_recordings(data, tmp_path / f"plain{ending}", system, units=False), other)) == count
    )


@pytest.mark.parametrize("ending", [".npz", ".parquet", ".h5"])
def test_text_and_wrong_order_in_other_formats(tmp_path, ending):
    path = tmp_path / f"log{ending}"
    stamps = STAMPS.copy()
    stamps[4] = 0.1
    write_columns(path, [table(stamps)], {})
    refused(path, "row 5", "column 't'", "comes after")
    if ending == ".npz":
        np.savez(path, **table(STAMPS, v=np.array(["1.0"] * 7 + ["fast"] + ["1.0"] * 13)))
        refused(path, "row 8", "column 'v'", "'fast' is not a number")
        np.savez(path, **table(STAMPS, v=np.ones(7)))
        refused(path, "column 'v'", "7 values; expected 21")


def test_a_data_frame_with_dates_as_its_index(tmp_path):
    pandas = pytest.importorskip("pandas")
    columns = table(STAMPS)
    index = pandas.to_datetime(columns.pop("t"), unit="s", origin="2024-03-01", utc=True)
    pandas.DataFrame(columns, index=index).to_parquet(tmp_path / "log.parquet")
    data = read_recordings(tmp_path / "log.parquet", SYSTEM)
    np.testing.assert_allclose(data.x[0, :, 0], np.sin(STAMPS), atol=1e-7)


def test_export_refuses_what_it_cannot_write(tmp_path):
    system = mass_spring_damper()
    data = simulate(discretize(system), 2, duration=1.0)
    for path, word in (("a.xlsx", "ends in '.xlsx'"), ("none/a.csv", "there is no folder")):
        with pytest.raises(InputError, match=word):
            write_recordings(data, tmp_path / path, system)
    assert not list(tmp_path.iterdir())


def test_an_output_called_like_a_state_keeps_its_own_column(tmp_path):
    system = System(
        name="twin", states=[Signal("q", "m", (-1, 1))], outputs=[Signal("q", "m", noise=0.1)],
        dynamics=lambda x: [-x[0]], output=lambda x: [x[0]], dt=0.1,
    )  # fmt: skip
    data = simulate(discretize(system), 1, duration=1.0, noise=True)
    write_recordings(data, tmp_path / "log.csv", system)
    again = read_recordings(tmp_path / "log.csv", system)
    np.testing.assert_array_equal(again.y, data.y)
    np.testing.assert_array_equal(again.x, data.x)


def test_states_may_be_absent_and_the_first_stamp_is_kept(tmp_path):
    columns = {name: values for name, values in table(STAMPS).items() if name not in ("x", "v")}
    columns["t"] = columns["t"] + 1_700_000_000
    (opened,) = open_logs(csv(tmp_path / "log.csv", columns, units=""), SYSTEM, required=("inputs", "outputs"))
    (log,) = opened.blocks()
    assert np.isnan(log.x).all() and log.first == 1_700_000_000 and log.logged == {"inputs.u", "outputs.y"}


def test_a_missing_extra_is_named(tmp_path):
    code = (
        "import sys; sys.modules['h5py'] = None\n"
        "from systems import mass_spring_damper, read_recordings\n"
        "try: read_recordings(sys.argv[1], mass_spring_damper())\n"
        "except ValueError as error: print(error)"
    )
    (tmp_path / "log.h5").write_bytes(b"something")
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "log.h5"], capture_output=True, text=True, check=True)
    assert "HDF5 needs h5py; pip install ren-observer[files]" in done.stdout
