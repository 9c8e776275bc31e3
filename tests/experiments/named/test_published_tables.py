"""The published tables: the protocols to the letter, an observer that knows the model, and measurements that are kept."""

import json

import numpy as np
import pytest

from experiments.named.published_tables import catalogue, hyperkkl, pde_rows, refusal_rows
from experiments.named.published_tables import run as tables
from experiments.named.published_tables.projection import projection_gain, projection_run
from experiments.named.published_tables.rows import (
    FAIL,
    MEDIAN,
    OPEN,
    PASS,
    TOY,
    Entry,
    Measurement,
    Row,
    summarise,
    thinned,
)  # fmt: skip
from experiments.pipeline.console import Interrupted
from experiments.runner import Parts
from systems import discretize
from systems.base.errors import InputError, NotDetectable
from systems.detectability import search_metric

# The published plants, written down a second time: the equations, the box of the initial states, dt and duration.
PUBLISHED = {
    "duffing": (lambda x, u: [x[1], -x[0] - x[0] ** 3 + u], [[-1, 1]] * 2, 0, 0.05, 50),
    "van_der_pol": (lambda x, u: [x[1], (1 - x[0] ** 2) * x[1] - x[0] + u], [[-3, 3]] * 2, 0, 0.05, 50),
    "fitzhugh_nagumo": (
        lambda x, u: [x[0] - x[0] ** 3 / 3 - x[1] + 0.5 + u, 0.08 * (x[0] + 0.7 - 0.8 * x[1])],
        [[-2.5, 2.5], [-1.5, 1.5]], 0, 0.05, 100,
    ),
    "rossler": (
        lambda x, u: [-x[1] - x[2], x[0] + 0.1 * x[1] + u, 0.1 + x[2] * (x[0] - 14)], [[-10, 10]] * 3, 1, 0.05, 50,
    ),
    "lorenz": (
        lambda x, u: [10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1] + u, x[0] * x[1] - 8 / 3 * x[2]],
        [[-10, 10]] * 3, 1, 0.01, 50,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_plants_boxes_and_steps_are_the_published_ones(name, rng):
    equations, box, measured, dt, duration = PUBLISHED[name]
    protocol = hyperkkl.PROTOCOLS[name]
    plant = protocol.discretized()
    assert (plant.dt, plant.method, plant.substeps, protocol.duration) == (dt, "rk4", 1, duration)
    assert plant.system.initial_ranges.tolist() == box and plant.system.input_ranges.tolist() == [[-1, 1]]
    x, u = rng.uniform(*np.array(box, dtype=float).T, (5, len(box))), rng.uniform(-1, 1, (5, 1))

    def f(x):
        return np.stack(equations(x.T, u[:, 0]), axis=1)

    k1 = f(x)
    k2 = f(x + dt / 2 * k1)
    k3 = f(x + dt / 2 * k2)
    k4 = f(x + dt * k3)
    np.testing.assert_allclose(plant.step(x, u), x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(plant.output(x, u)[:, 0], x[:, measured])


def test_smape_is_the_elementwise_mean_with_the_transient():
    x, x_hat = np.array([[[1.0, -2.0], [0.0, 4.0]]]), np.array([[[0.0, -1.0], [0.0, 5.0]]])
    by_hand = [200.0 * 1 / (1 + 1e-8), 200.0 * 1 / (3 + 1e-8), 0.0, 200.0 * 1 / (9 + 1e-8)]
    assert hyperkkl.smape(x, x_hat) == pytest.approx(sum(by_hand) / 4, rel=1e-14)
    x_hat[0, 1, 1] = np.nan  # an estimate that is lost counts in full
    assert hyperkkl.smape(x, x_hat) == pytest.approx((by_hand[0] + by_hand[1] + 200) / 4, rel=1e-14)


def test_initial_states_are_a_latin_hypercube_of_the_box():
    box = np.array([[-2.5, 2.5], [-1.5, 1.5]])
    x0 = hyperkkl.initial_states(box, 100, seed=3)
    for k in range(2):  # one state in each hundredth of each axis
        cells = np.floor(100 * (x0[:, k] - box[k, 0]) / np.ptp(box[k]))
        assert sorted(cells) == list(range(100))


def test_inputs_follow_the_published_laws():
    t = 0.05 * np.arange(1001)
    u = {kind: hyperkkl.inputs(kind, 400, t, seed=2) for kind in hyperkkl.INPUTS}
    assert not u["zero"].any()
    assert (np.ptp(u["const"], axis=1) == 0).all() and -1 <= u["const"].min() < -0.95 and 0.95 < u["const"].max() <= 1
    levels = np.abs(u["square"])
    assert (np.ptp(levels, axis=1) < 1e-15).all() and 0.1 <= levels.min() < 0.12 and 0.98 < levels.max() <= 1
    assert (u["square"][:, 0] > 0).all()  # sign(sin(w t)) has no phase
    changes = (np.diff(np.sign(u["square"]), axis=1) != 0).sum(axis=1) * np.pi / 50  # about w of each trial
    assert 0.4 < changes.min() < 0.6 and 1.9 < changes.max() < 2.1
    peaks = np.abs(u["sin"]).max(axis=1)
    assert 0.1 <= peaks.min() < 0.13 and 0.95 < peaks.max() <= 1
    # u'' = -w^2 u for every sine; the second difference of a sine is exactly -4 sin^2(w dt / 2) u.
    second = u["sin"][:, 2:] - 2 * u["sin"][:, 1:-1] + u["sin"][:, :-2]
    w = (
        2
        / 0.05
        * np.arcsin(np.sqrt(-np.sum(second * u["sin"][:, 1:-1], axis=1) / (4 * np.sum(u["sin"][:, 1:-1] ** 2, axis=1))))
    )
    assert 0.5 <= w.min() < 0.55 and 2.9 < w.max() <= 3.0 + 1e-9
    assert np.ptp(u["sin"][:, 0] / peaks) > 1.8  # phases


@pytest.mark.parametrize(
    ("name", "condition", "low", "high"),
    [
        ("duffing", 1000, 0.3, 0.6), ("van_der_pol", 1000, 0.3, 0.6), ("fitzhugh_nagumo", 300, 0.2, 5.5),
        ("lorenz", 100, 0.3, 0.55),
    ],
)  # fmt: skip
def test_the_exact_projection_observer_scores_what_it_should(name, condition, low, high):
    protocol = hyperkkl.PROTOCOLS[name]
    plant = protocol.discretized()
    kinds = ("zero",) if name == "lorenz" else ("zero", "square")
    tests = [hyperkkl.trials(plant, kind, 32, protocol.duration, seed=1)[0] for kind in kinds]
    region = np.stack([np.min([t.reached[:, 0] for t in tests], 0), np.max([t.reached[:, 1] for t in tests], 0)], 1)
    half = 0.5 * np.ptp(region, axis=1)
    metric = search_metric(plant, condition, region=region).metric / np.outer(half, half)
    for test in tests:
        x_hat = projection_run(plant, metric, np.zeros((32, plant.nx)), test.u, test.y)
        assert low < hyperkkl.smape(test.x, x_hat) < high
        late = np.abs(x_hat - test.x)[:, len(test.t) * 4 // 5 :]
        assert (late < 1e-4 * np.ptp(region, axis=1)).all()  # it knows the model, and what it loses is the transient


def test_the_projection_reproduces_the_measurement_and_the_plant(rng):
    plant = hyperkkl.PROTOCOLS["lorenz"].discretized()
    metric = np.eye(3) + 0.3 * np.outer([1.0, 2.0, -1.0], [1.0, 2.0, -1.0])
    gain = projection_gain(plant, metric)
    assert gain[1, 0] == pytest.approx(1.0)  # C K = I
    # M-orthogonal: K is M^-1 C' up to a factor, so that M K is parallel to C'
    np.testing.assert_allclose((metric @ gain)[[0, 2], 0], 0.0, atol=1e-12)
    x = rng.uniform(-5, 5, (4, 3))
    u, y = np.zeros((4, 2, 1)), np.stack([x[:, [1]], x[:, [1]]], axis=1)
    np.testing.assert_allclose(projection_run(plant, metric, x, u, y)[:, 1], plant.step(x, u[:, 0]), rtol=1e-14)


def test_trials_and_training_data_never_share_a_draw():
    plant = hyperkkl.PROTOCOLS["duffing"].discretized()
    learned = hyperkkl.training_data(plant, 8, 1.0, seed=0)
    assert len(learned) == 8 and [bool(row.any()) for row in learned.u[:, :, 0]] == [False] * 2 + [True] * 6
    for kind in hyperkkl.INPUTS:
        test = hyperkkl.trials(plant, kind, 8, 1.0, seed=1)[0]
        assert not np.isclose(test.x[:, None, 0], learned.x[None, :, 0]).all(axis=2).any()


def test_pde_data_starts_from_level_profiles():
    from systems import reaction_diffusion_parity

    plant = discretize(reaction_diffusion_parity())
    data = pde_rows.training_data(plant, 3, 0.1, seed=0)
    assert (np.ptp(data.x[:, 0], axis=1) == 0).all() and np.ptp(data.x[:, 0, 0]) > 0


@pytest.mark.parametrize(
    "name",
    ["reverse_duffing", *(pytest.param(n, marks=pytest.mark.slow) for n in ("van_der_pol_y2", "chain_at_a_node"))],
)
def test_plants_without_such_an_observer_are_refused_with_the_numbers(name):
    m = refusal_rows.measure(name, 0, TOY)
    assert m.holds and m.values["rate"] > 1 - 1e-5
    assert not m.facts["trained"]
    unseen = {"reverse_duffing": "x2", "van_der_pol_y2": "x1", "chain_at_a_node": "q1"}[name]
    assert unseen in m.reason.partition("is (")[2].partition(")")[0]


# Bookkeeping -----------------------------------------------------------------------------------------------------------


def _fake(name: str, values: dict, calls: list, recipe=None, stop_at=None) -> Row:
    def measure(seed, size):
        calls.append((name, seed))
        if (name, seed) == stop_at:
            raise KeyboardInterrupt
        if values[seed] is None:
            raise NotDetectable("no observer contracts here")
        return Measurement({"loss": values[seed]}, True)

    return Row(name, name, (Entry("loss", "loss", "", 2.0, 1.0),), measure, recipe or {"neurons": 1}, 1.0)


@pytest.fixture
def two_rows(monkeypatch):
    def use(calls, recipe=None, stop_at=None):
        rows = (
            _fake("box.euler", {0: 0.5, 1: 0.7, 2: 3.0}, calls, recipe, stop_at),
            _fake("pde", {0: 0.1, 1: 0.2, 2: 0.3}, calls, None, stop_at),
        )
        monkeypatch.setattr(catalogue, "all_rows", lambda: rows)
        monkeypatch.setattr(tables, "all_rows", lambda: rows)

    return use


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(two_rows, tmp_path, perform):
    calls: list = []
    two_rows(calls, stop_at=("box.euler", 1))
    with pytest.raises(Interrupted, match="same command"):
        perform("published_tables", tmp_path, seeds="0-2")
    assert calls == [("box.euler", 0), ("pde", 0), ("box.euler", 1)]
    kept = json.loads((tmp_path / "metrics.json").read_text())
    assert kept["rows"]["pde"]["seeds"] == [0] and kept["rows"]["box.euler"]["entries"]["loss"]["median"] == 0.5
    calls.clear()
    two_rows(calls)
    assert perform("published_tables", tmp_path, seeds="0-2").code == 1  # one seed of the box misses the bar
    assert calls == [("box.euler", 1), ("pde", 1), ("box.euler", 2), ("pde", 2)]
    rows = json.loads((tmp_path / "metrics.json").read_text())["rows"]
    assert rows["box.euler"]["status"] == MEDIAN and rows["pde"]["status"] == PASS
    entry = rows["box.euler"]["entries"]["loss"]
    assert (entry["median"], entry["worst"], entry["published"], entry["bar"]) == (0.7, 3.0, 2.0, 1.0)
    calls.clear()
    assert perform("published_tables", tmp_path, seeds="0-2", rows="pde").code == 0 and not calls
    assert "box.euler" in (tmp_path / "report.html").read_text()  # measured by an earlier command
    assert perform("published_tables", tmp_path, seeds="1", rows="pde", fresh=True).code == 0 and calls == [("pde", 1)]


def test_a_plant_that_is_refused_is_a_result_and_stops_nothing(tmp_path, monkeypatch, perform):
    calls: list = []
    rows = (_fake("box.euler", {0: None}, calls), _fake("pde", {0: 0.1}, calls))
    monkeypatch.setattr(catalogue, "all_rows", lambda: rows)
    monkeypatch.setattr(tables, "all_rows", lambda: rows)
    assert perform("published_tables", tmp_path, seeds="0").code == 1
    stored = json.loads((tmp_path / "metrics.json").read_text())["rows"]
    assert stored["box.euler"]["status"] == FAIL and stored["box.euler"]["reason"] == "no observer contracts here"
    assert stored["pde"]["status"] == PASS


def test_a_result_of_another_recipe_is_measured_again(two_rows, tmp_path, perform):
    calls: list = []
    two_rows(calls)
    perform("published_tables", tmp_path, seeds="0")
    calls.clear()
    two_rows(calls, recipe={"neurons": 2})
    perform("published_tables", tmp_path, seeds="0")
    assert calls == [("box.euler", 0)]


def test_a_stored_measurement_comes_back_as_it_was(tmp_path):
    row = _fake("pde", {0: 1.0}, [])
    curve = thinned(np.arange(1000.0), np.geomspace(1, 1e-6, 1000), "p", "l")
    m = Measurement({"loss": 1e-9, "other": float("nan")}, False, "why", 1.5, 1.0, {"n": 3}, (curve,))
    parts = Parts(tmp_path)
    parts.keep(tables.part(row, 4), tables.fingerprint(row, TOY), m.to_data)
    back = tables.stored(parts, row, 4, TOY)
    assert back.values["loss"] == 1e-9 and np.isnan(back.values["other"]) and back.reason == "why" and not back.holds
    assert back.curves == m.curves and len(curve.x) <= 400 and curve.x[0] == 0.0 and curve.x[-1] == 999.0
    (tmp_path / "rows" / "pde" / "seed-4.json").write_text("{")
    with pytest.raises(InputError, match="seed-4"):
        tables.stored(parts, row, 4, TOY)


def test_verdicts():
    entries = (Entry("a", "a", bar=1.0), Entry("b", "b", published=2.0, bar=2.0, strict=True))

    def status(*pairs, holds=True):
        found = {n: Measurement({"a": a, "b": b}, holds) for n, (a, b) in enumerate(pairs)}
        return summarise(Row("r", "", entries, lambda seed, size: None), found).status

    assert status((1.0, 1.9), (0.5, 1.0), (0.1, 1.0)) == PASS
    assert status((1.0, 2.0)) == FAIL  # a published value is to be undercut
    assert status((1.1, 1.0), (0.5, 1.0), (0.5, 1.0)) == MEDIAN
    assert status((float("nan"), 1.0), (0.5, 1.0), (0.5, 1.0)) == MEDIAN  # a lost seed is arbitrarily bad
    assert status((0.5, 1.0), holds=False) == FAIL  # without its proof a number is worth nothing
    assert status() == OPEN


def test_rows_and_seeds_are_chosen_by_name():
    names = [row.name for row in catalogue.choose("hyperkkl,box.true_ode")]
    assert names == [
        "box.true_ode",
        *(f"hyperkkl.{p}" for p in ("duffing", "van_der_pol", "fitzhugh_nagumo", "rossler")),
    ]
    every = catalogue.choose(None)
    assert len(every) == len({row.name for row in every}) == 2 + 1 + 4 + 1 + 12 + 3
    assert catalogue.parse_seeds("0,2,5-7") == (0, 2, 5, 6, 7) and catalogue.parse_seeds(None) == (0, 1, 2, 3, 4)
    with pytest.raises(InputError, match=r"row 'boxes' is not known; expected a group \(box, pde"):
        catalogue.choose("boxes")
    for text in ("", "a", "3-1", "-1"):
        with pytest.raises(InputError, match="expected numbers and spans"):
            catalogue.parse_seeds(text)


def test_published_values_are_those_of_the_paper():
    table = {row.name: [(e.published, e.bar, e.strict) for e in row.entries] for row in catalogue.all_rows()}
    assert [e[0] for e in table["hyperkkl.duffing"]] == [5.6, 21.1, 22.7, 21.3]
    assert [e[0] for e in table["hyperkkl.van_der_pol"]] == [5.0, 26.0, 15.5, 17.9]
    assert [e[0] for e in table["hyperkkl.fitzhugh_nagumo"]] == [9.8, 42.1, 30.9, 32.5]
    assert table["hyperkkl.rossler"] == [(v, v, True) for v in (52.7, 55.4, 53.5, 54.0)]
    assert table["box.euler"] == [(4.4e-7, 1e-10, False), (1.26e-2, 1e-4, False), (9.0e-2, 3e-4, False)]
    assert table["pde"][:2] == [(6.2e-6, 1e-9, False), (4.3e-3, 5.5e-4, False)]


def test_unknown_options_are_refused(tmp_path, observer, perform):
    with pytest.raises(InputError, match="has no --neurons; it takes --rows, --seeds"):
        perform("published_tables", tmp_path, neurons=3)
    answer = observer("experiment", "box", "--rows", "pde", "--out", tmp_path / "box")
    assert answer.code == 2 and "experiment 'box' has no --rows" in answer.err
    answer = observer("experiment", "published_tables", "--rows", "nothing", "--out", tmp_path / "tables")
    assert answer.code == 2 and "row 'nothing' is not known" in answer.err and not (tmp_path / "tables").exists()


def test_toy_size_from_fit_to_page(tmp_path, perform):
    done = perform("published_tables", tmp_path, rows="hyperkkl.duffing,defaults.box", seeds="0", size=TOY)
    assert done.code == 1  # five iterations reach no bar
    duffing = done.metrics["rows"]["hyperkkl.duffing"]
    assert set(duffing["entries"]) == {f"smape.{kind}" for kind in hyperkkl.INPUTS}
    per_seed = duffing["per_seed"]["0"]
    assert per_seed["holds"] and 0 < per_seed["values"]["projection.zero"] < per_seed["values"]["smape.zero"]
    assert per_seed["facts"]["rate proved"] <= per_seed["facts"]["rate bound"] + 1e-9
    assert all(text in done.page for text in ("hyperkkl.duffing: const", "projection observer", "toy size"))
    for name in ("hyperkkl", "defaults"):
        assert (tmp_path / "figures" / f"{name}.pdf").is_file() and f'id="{name}"' in done.page
    assert any(line.startswith("[2/2] defaults.box seed 0") for line in done.said)


@pytest.mark.slow
def test_the_bars_at_full_size(tmp_path, perform):
    assert perform("published_tables", tmp_path, seeds="0").code == 0


def test_an_initial_state_from_which_the_plant_escapes_is_drawn_anew_and_counted():
    plant = hyperkkl.PROTOCOLS["rossler"].discretized()
    x0 = np.array([[9.342, -9.511, -8.596], [1.0, 1.0, 1.0]])
    u = np.zeros((2, 401, 1))
    with np.errstate(all="ignore"):
        assert not np.isfinite(plant.rollout(x0, u[:, :-1])[0]).all()  # it does escape
    kept, redrawn = hyperkkl.lasting(plant, x0, u, seed=0)
    assert redrawn >= 1 and np.array_equal(kept[1], x0[1]) and not np.array_equal(kept[0], x0[0])
    assert np.isfinite(plant.rollout(kept, u[:, :-1])).all()
