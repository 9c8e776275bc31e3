"""The page of a comparison: what is drawn is what was given, and lost trials are never hidden."""

import numpy as np

from reports.estimators import (
    Bar,
    EstimatorRow,
    EstimatorSection,
    overview_figure,
    scenario_figure,
    scenario_table,
    write_estimators_report,
)
from reports.figures.estimator_choice import ROOM, ChoicePoint, choice_figure
from reports.figures.scorecard import Need, scorecard_figure
from reports.published import Line

NAN = float("nan")


def section():
    t = np.linspace(0, 5, 40)
    names = [f"estimator {n}" for n in range(9)]
    rows = [
        EstimatorRow(
            n, (0.1, 0.2), ((0.09, 0.11), (0.1, 0.3)), Bar(1.0 + k, 0.8 + k, 1.2 + k), (1.5, np.inf), 0, 20, 3.2
        )
        for k, n in enumerate(names[:7])
    ]
    rows.append(
        EstimatorRow(names[7], (0.1, 0.2), ((0.1, 0.1), (0.2, 0.2)), Bar(2.0, 1.0, 3.0), (1.0, 1.0), 3, 20, 1.0)
    )
    rows.append(
        EstimatorRow(names[8], (NAN, NAN), ((NAN, NAN),) * 2, Bar(NAN, NAN, NAN), (np.inf, np.inf), 20, 20, 1.0)
    )
    curves = tuple(Line(n, t.tolist(), (10 * np.exp(-t) + k).tolist()) for k, n in enumerate(names))
    return EstimatorSection("noise", "noise as stated", "Smallest error: <one>.", tuple(rows), curves)


def test_a_table_tells_of_intervals_lost_trials_and_what_never_settles():
    table = scenario_table(section(), [("q", "m"), ("w", "m/s")])
    assert len(table.columns) == len(table.rows[0]) == 11
    assert table.columns[-2:] == ("diverged", "µs per step")
    assert table.rows[0][8] == "never" and table.rows[7][-2] == "3 of 20" and table.rows[8][-2] == "20 of 20"


def test_figures_draw_every_estimator_and_mark_those_that_lost_trials():
    figure = scenario_figure(section())
    left, right = figure.axes
    drawn = [line for line in left.lines if not line.get_label().startswith("_")]
    assert len(drawn) == 9
    assert (
        len({(line.get_color(), str(line.get_linestyle())) for line in drawn}) == 9
    )  # distinguished by colour and dash
    assert [t.get_text() for t in right.get_yticklabels()][8] == "estimator 8"
    markers = [c.lines[0].get_marker() for c in right.containers]
    assert markers == ["o"] * 7 + ["x"]


def test_the_overview_marks_the_best_and_the_lost():
    figure = overview_figure({"noise": {"a": 1.0, "b": 2.0, "c": np.inf}, "bias": {"a": 3.0, "b": 0.5}})
    texts = {t.get_text(): t.get_fontweight() for t in figure.axes[0].texts}
    assert texts == {"1": "bold", "2": "normal", "lost": "normal", "3": "normal", "0.5": "bold", "–": "normal"}


def test_the_page_escapes_and_holds_every_scenario(quick, tmp_path):
    path = write_estimators_report(
        tmp_path, title="Box & others", sections=[section()], states=[("q", "m"), ("w", "m/s")], advice=["Prefer <b>."],
        scores={"noise as stated": {"estimator 0": 1.0}}, strengths=[("estimator 0", "best everywhere.")], missing=["hail: none"],
    )  # fmt: skip
    page = path.read_text(encoding="utf-8")
    assert "Prefer &lt;b&gt;." in page and "Not shown: hail: none" in page and "Box &amp; others" in page
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == [
        "noise.pdf", "noise.png", "overview.pdf", "overview.png",
    ]  # fmt: skip


def test_the_scorecard_shows_every_need_and_marks_the_best():
    needs = [
        Need("error", {"a": 1.0, "b": 2.345, "c": np.inf}),
        Need("settles", {"a": np.inf, "b": 0.5, "c": 12.0}, "plain"),
        Need("lost", {"a": 0.0, "b": 0.0, "c": 7.0}, "count"),
        Need("proved", {"a": 1.0, "b": 0.0, "c": 0.0}, "flag"),
    ]
    axes = scorecard_figure(("a", "b", "c"), needs).axes[0]
    texts = [t.get_text() for t in axes.texts]
    assert texts == ["1.0", "2.3", "lost", "never", "0.5", "12", "0", "0", "7", "yes", "no", "no"]
    assert [t.get_text() for t in axes.texts if t.get_fontweight() == "bold"] == ["1.0", "0.5", "yes"]
    shade = axes.images[0].get_array()
    assert shade[0, 0] == 0 and shade[2, 0] == shade[0, 1] == shade[2, 2] == 1 and 0 < shade[1, 0] < 1


def test_the_choice_names_every_estimator_once_in_each_panel_and_keeps_names_apart():
    points = [
        ChoicePoint(f"estimator {k}", 1.0 + 0.01 * k, 0.9, 1.5, 1.0 + k, 2.0 if k else np.inf, k == 1, k == 2)
        for k in range(5)
    ]
    figure = choice_figure(points, [(0.5, 2.0), (1.0, 1.5), (2.0, 1.6), (np.inf, 0.9)])
    left, right = figure.axes
    assert sorted(t.get_text() for t in left.texts) == [p.name for p in points]
    assert sorted(t.get_text() for t in right.texts) == [p.name for p in points[1:]]  # the first never settles
    heights = sorted(np.log(t.xyann[1]) for t in left.texts)
    low, high = np.log(left.get_ylim())
    assert (np.diff(heights) >= 0.999 * ROOM * (high - low)).all()
    curve = next(line for line in right.lines if len(line.get_xdata()) == 2 and line.get_linestyle() == "-")
    assert list(curve.get_ydata()) == [2.0, 1.5]  # what is slower and has a larger error is no choice
