"""Figures: what they show is what the run says, for any number of states and for trials that went wrong."""

from pathlib import Path

import numpy as np
import pytest
from fakes import fake_certificate, fake_fit, fake_plant, fake_run, fake_starts, fake_system, fake_validation

from observer import Run
from reports import Curve
from reports.figures import (
    comparison_figure,
    error_curve,
    errors_figure,
    initial_states_figure,
    loss_figure,
    norm_figure,
    phase_figure,
    pictures,
    settling_figure,
    states_figure,
)
from reports.selection import hardest_states, median_trial, quantiles, worst_trial
from reports.style import LINES, encode, label, plain, styled


def shown(figure):
    """All axes of a figure that are drawn."""
    return [axes for axes in figure.axes if axes.get_visible()]


def line(axes, role):
    """The y values of the line that is drawn in the colour and style of a role."""
    found = [
        x for x in axes.lines if x.get_color() == LINES[role]["color"] and x.get_linewidth() == LINES[role]["linewidth"]
    ]
    assert found, f"no line for {role}"
    return np.asarray(found[-1].get_ydata(), dtype=float)


@pytest.mark.parametrize("nx", [1, 2, 3, 8, 51])
def test_all_figures_draw_for_any_number_of_states(nx):
    drawn = pictures(fake_run(nx, trials=6, duration=1.5))
    names = [p.name for p in drawn]
    assert ("phase" in names) == (nx in (2, 3))
    assert ("error_map" in names) == (nx > 6)
    for picture in drawn:
        if nx in (1, 8):  # the others differ by their number of panels, and two states are drawn for the whole report
            with styled():
                picture.figure.draw_without_rendering()
        assert picture.alt and picture.reading and picture.title
    if nx > 6:
        assert (
            f"Of the {nx} states, the 6 with the largest RMS error relative to range are shown"
            in next(p for p in drawn if p.name == "errors").reading
        )
        assert len(shown(next(p for p in drawn if p.name == "errors").figure)) == 6


def test_hardest_states_are_those_with_the_largest_error_relative_to_range():
    validation = fake_validation(fake_system(8), trials=4, duration=2.0)
    validation.rms_error = np.array([1.0, 8, 2, 7, 3, 6, 4, 5])
    validation.ranges = np.tile([0.0, 1.0], (8, 1))
    assert hardest_states(validation) == [1, 3, 4, 5, 6, 7]
    validation.ranges[1] = (0.0, 100.0)  # large in its unit, small in its range
    assert hardest_states(validation) == [2, 3, 4, 5, 6, 7]


def test_certified_decay_starts_at_the_worst_initial_error_and_falls_by_the_certified_rate():
    system = fake_system(2)
    validation, certificate = fake_validation(system, trials=10, duration=4.0), fake_certificate(system)
    e0 = validation.x_hat[:, 0] - validation.x[:, 0]
    worst = max(np.sqrt(e @ certificate.metric @ e) for e in e0)
    for i, axes in enumerate(shown(errors_figure(validation, certificate))):
        decay = line(axes, "certified")
        expected = worst * np.sqrt(np.linalg.inv(certificate.metric)[i, i])
        assert decay[0] == pytest.approx(expected)
        assert decay[10] / decay[0] == pytest.approx(certificate.rate**10)
        level = expected / worst * validation.residual_level / (1 - certificate.rate)
        assert line(axes, "sampled")[0] == pytest.approx(level)
        assert line(axes, "tolerance")[0] == pytest.approx(0.02 * 6)
        # The theory that the caption tells: every trial stays below the sum of the two lines.
        assert (np.abs(validation.error[..., i]).max(0) <= decay + level + 1e-12).all()


def test_what_is_not_proved_is_not_drawn():
    system = fake_system(2)
    validation = fake_validation(system, trials=5, duration=2.0)
    for certificate in (None, fake_certificate(system, holds=False, rate=float("nan"))):
        for figure in (errors_figure(validation, certificate), norm_figure(validation, certificate)):
            texts = [text.get_text() for text in figure.legends[0].get_texts()]
            assert not any("certified" in text or "residual" in text for text in texts)
    texts = [text.get_text() for text in errors_figure(validation, fake_certificate(system)).legends[0].get_texts()]
    assert "certified decay of the initial error" in texts
    assert any("sampled, not proved" in text for text in texts)


def test_band_and_median_count_a_diverged_trial_as_infinitely_large():
    values = np.array([[1.0, np.nan], [2.0, np.inf], [3.0, 3.0]])
    low, median, high = quantiles(values)
    assert (low[0], median[0], high[0]) == (1.0, 2.0, 3.0)
    assert (low[1], median[1], high[1]) == (3.0, np.inf, np.inf)


@pytest.mark.parametrize("nx", [1, 2, 8])
@pytest.mark.parametrize("diverge", [(2,), tuple(range(6))], ids=["one trial", "all trials"])
def test_diverged_trials_do_not_stop_or_stretch_a_figure(nx, diverge):
    run = fake_run(nx, trials=6, duration=3.0, diverge=diverge)
    validation = run.validation
    assert worst_trial(validation) == diverge[0]
    if len(diverge) == 1:
        assert median_trial(validation) != 2
    for picture in pictures(run):
        for axes in shown(picture.figure):
            assert np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all()
        if picture.name in ("errors", "errors_noise"):
            assert all(axes.get_ylim()[1] <= 20 * 50 and axes.get_ylim()[0] >= 1e-9 for axes in shown(picture.figure))


def test_constant_zero_and_missing_data_are_drawn():
    system = fake_system(2)
    validation = fake_validation(system, trials=3, duration=1.0)
    validation.x_hat = validation.x.copy()
    validation.error_norm = np.zeros_like(validation.error_norm)
    validation.residual_level = float("nan")
    validation.rms_error = np.zeros(2)
    for figure in (errors_figure(validation), norm_figure(validation), initial_states_figure(validation)):
        figure.draw_without_rendering()
    validation.trial_settling[:] = np.nan
    settling_figure(validation).draw_without_rendering()


def test_a_single_trial_and_a_single_transition_of_history():
    run = fake_run(2, trials=1, duration=1.0)
    fit = run.fit
    fit.history = {name: column[:1] for name, column in fit.history.items()}
    for picture in pictures(run):
        if picture.name in ("errors", "settling", "loss"):
            picture.figure.draw_without_rendering()
    fit.history = {"loss": np.array([1.0, np.nan, np.inf, 0.0, 1e-3]), "iteration": np.array([0, 1, 0, 1, 2])}
    fit.start_loss = float("nan")
    loss_figure(fit).draw_without_rendering()


def test_initial_networks_that_race_are_curves_of_their_own():
    system = fake_system(1)
    fit = fake_fit(system, fake_plant(system))
    iteration = np.array([10, 20, 30, 10, 20, 30, 40, 50.0])
    loss = 10.0 ** -np.arange(8)
    stage = np.array([0, 0, 0, 0, 0, 0, 1, 1.0])
    fit.history = {
        "iteration": iteration,
        "loss": loss,
        "held_out": loss,
        "stage": stage,
        "seconds": iteration.cumsum(),
    }
    axes = shown(loss_figure(fit))[0]
    x, y = (np.asarray(data, dtype=float) for data in axes.lines[0].get_data())
    assert np.isnan(y).sum() == 2  # a gap before the second start, and before the second stage
    assert np.allclose(y[np.isfinite(y)], loss)
    assert np.allclose(np.unique(x), 10 * np.arange(1, 9))
    assert [text.get_text().strip() for text in axes.texts] == ["stage 2"]


def test_angles_are_drawn_next_to_the_true_angle():
    system = fake_system(2)
    validation = fake_validation(system, trials=3, duration=1.0)
    from dataclasses import replace

    system.states = (replace(system.states[0], period=2 * np.pi), system.states[1])
    shifted = validation.x_hat.copy()
    validation.x_hat[..., 0] += 4 * np.pi
    from reports.figures.estimates import unwrapped

    close = np.abs(shifted[..., 0] - validation.x[..., 0]) < np.pi
    assert np.allclose(unwrapped(validation, system)[close], shifted[close])
    states_figure(validation, system).draw_without_rendering()
    phase_figure(validation, system).draw_without_rendering()


def test_settling_curve_ends_at_the_share_that_settled_and_marks_the_certified_time():
    system = fake_system(2)
    validation, certificate = fake_validation(system, trials=10, duration=4.0, slow=(0, 1)), fake_certificate(system)
    fit = fake_fit(system, fake_plant(system))
    axes = shown(settling_figure(validation, certificate, fit))[0]
    settled = np.isfinite(validation.trial_settling).mean(0)
    for i in range(2):
        assert axes.lines[i].get_ydata()[-1] == pytest.approx(100 * settled[i])
    assert axes.lines[2].get_xdata()[0] == pytest.approx(np.log(0.02) / np.log(certificate.rate) * validation.dt)
    assert axes.lines[3].get_xdata()[0] == pytest.approx(1.5)


def test_comparison_overlays_variants_and_published_points():
    system = fake_system(2)
    ours = fake_validation(system, trials=5, duration=4.0)
    published = Curve("published", [1.0, 2.0], [0.118, 0.09], "points")
    figure = comparison_figure({"ours": ours, "other": ours}, {"velocity": [published]}, ("max", "rms"))
    position, velocity = shown(figure)
    assert len(velocity.lines) == len(position.lines) + 1
    assert np.allclose(velocity.lines[-1].get_ydata(), [0.118, 0.09])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "published" in texts and "ours: largest of the trials" in texts
    curve = error_curve(ours, "velocity", "rms", "rms")
    assert curve.values[-1] == pytest.approx(np.sqrt((ours.error[:, -1, 1] ** 2).mean()))


def test_the_trade_off_is_drawn_where_there_is_one_with_the_metric_in_use_ringed():
    from reports.figures import trade_off_figure
    from systems.detectability import TradeOff

    run = fake_run(2, trials=3, duration=1.0)
    assert "trade_off" not in [p.name for p in pictures(run)]  # a run of an older version has no curve
    time = np.array([np.inf, 4.0, 2.0, 1.0])
    noise = np.array([[np.inf, np.inf], [0.006, 0.01], [0.012, 0.03], [0.024, 0.09]])
    none = np.zeros(4)
    run.fit.search.trade_off = TradeOff(none + 1, none + 0.9, time, none, noise, none, np.array([0.1]), False, chosen=2)
    drawn = {p.name: p for p in pictures(run)}
    assert "the stated noise" in drawn["trade_off"].reading
    axes = shown(trade_off_figure(run.fit, run.system))[0]
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [1.0, 2.0, 4.0])
    width = np.diff(run.system.states[0].range)[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), 100 * noise[[3, 2, 1], 0] / width)
    np.testing.assert_allclose(axes.lines[2].get_xdata(), [2.0, 2.0])  # the ring


def test_mistakes_in_curves_are_named():
    system = fake_system(2)
    ours = fake_validation(system, trials=2, duration=1.0)
    with pytest.raises(ValueError, match="style is 'wavy'; expected one of line, dashed"):
        Curve("a", [1], [1], "wavy")
    with pytest.raises(ValueError, match="2 times and 1 values"):
        Curve("a", [1, 2], [1])
    with pytest.raises(ValueError, match="reference curves for speed; expected states: position, velocity"):
        comparison_figure({"ours": ours}, {"speed": []})
    with pytest.raises(ValueError, match="statistic is 'mean'"):
        error_curve(ours, "position", "a", "mean")
    with pytest.raises(ValueError, match="state 'speed' is not one of position, velocity"):
        error_curve(ours, "speed", "a")


def test_figures_leave_no_global_parameter_changed_and_never_load_pyplot():
    import subprocess
    import sys
    from pathlib import Path

    program = (
        "import sys, matplotlib; known = lambda: {k: v for k, v in dict.items(matplotlib.rcParams)}; before = known()\n"
        "sys.path.insert(0, 'tests/reports'); from fakes import fake_run\n"
        "from reports.figures import errors_figure\n"
        "from reports.style import encode\n"
        "run = fake_run(1, trials=2, duration=0.5)\n"
        "encode(errors_figure(run.validation, run.certificate), 'png')\n"
        "assert known() == before, 'parameters changed'\n"
        "assert 'matplotlib.pyplot' not in sys.modules, 'pyplot'\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_user_text_is_drawn_as_it_stands():
    assert plain("a$b$c") == r"a\$b\$c"
    assert plain("two\nlines") == "two lines"
    assert len(plain("x" * 500)) <= 28
    assert label("position", "m") == "position [m]"
    assert label("x", "") == "x"
    system = fake_system(1)
    validation = fake_validation(system, trials=2, duration=0.5)
    validation.state_names, validation.units = (
        ("a_very_long_name_indeed_for_one_state",),
        (r"$\frac{x}$ \badmacro 速度",),
    )
    encode(errors_figure(validation), "png")


@pytest.mark.parametrize("nx", [1, 2, 8])
def test_worst_starts_and_the_map_show_what_was_found(nx):
    system = fake_system(nx)
    drawn = {p.name: p for p in pictures(Run(Path("run"), fake_plant(system), worst_cases=fake_starts(system)))}
    assert set(drawn) == {"worst_start", "start_map"}
    for picture in drawn.values():
        with styled():
            picture.figure.draw_without_rendering()
    assert "Settling: 3 s against 1.5 s." in drawn["worst_start"].reading
    assert "Late error: 0.2 % of range against 0.1 % of range." in drawn["worst_start"].reading
    axes = shown(drawn["worst_start"].figure)[0]
    np.testing.assert_allclose(np.asarray(line(axes, "median"))[:2], 100 * 0.4 * np.exp([0, -0.1]), rtol=1e-9)
    reading = drawn["start_map"].reading
    assert (
        "1 initial states from which the error does not settle, 1 from which the plant itself leaves all bounds"
        in reading
    )
    area = fake_starts(system).map
    if nx > 1:  # the field is drawn with the first state to the right
        image = shown(drawn["start_map"].figure)[0].collections[0]
        values = np.asarray(image.get_array(), dtype=float).reshape(9, 9)
        np.testing.assert_allclose(values[4], area.settling[:, 4])
