"""The page of a comparison: what is drawn is what was given, and lost trials are never hidden."""

import numpy as np

from reports.estimators import (
    Bar,
    EstimatorRow,
    EstimatorSection,
    condition_figure,
    condition_table,
    overview_figure,
    write_estimators_report,
)
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
    table = condition_table(section(), [("q", "m"), ("w", "m/s")])
    assert len(table.columns) == len(table.rows[0]) == 11
    assert table.columns[-2:] == ("diverged", "µs per step")
    assert table.rows[0][8] == "never" and table.rows[7][-2] == "3 of 20" and table.rows[8][-2] == "20 of 20"


def test_figures_draw_every_estimator_and_mark_those_that_lost_trials():
    figure = condition_figure(section())
    left, right = figure.axes
    drawn = [line for line in left.lines if not line.get_label().startswith("_")]
    assert len(drawn) == 9
    assert len({(line.get_color(), str(line.get_linestyle())) for line in drawn}) == 9  # told apart by colour and dash
    assert [t.get_text() for t in right.get_yticklabels()][8] == "estimator 8"
    markers = [c.lines[0].get_marker() for c in right.containers]
    assert markers == ["o"] * 7 + ["x"]


def test_the_overview_marks_the_best_and_the_lost():
    figure = overview_figure({"noise": {"a": 1.0, "b": 2.0, "c": np.inf}, "bias": {"a": 3.0, "b": 0.5}})
    texts = {t.get_text(): t.get_fontweight() for t in figure.axes[0].texts}
    assert texts == {"1": "bold", "2": "normal", "lost": "normal", "3": "normal", "0.5": "bold", "–": "normal"}


def test_the_page_escapes_and_holds_every_condition(quick, tmp_path):
    path = write_estimators_report(
        tmp_path, title="Box & others", sections=[section()], states=[("q", "m"), ("w", "m/s")], advice=["Prefer <b>."],
        scores={"noise as stated": {"estimator 0": 1.0}}, strengths=[("estimator 0", "best everywhere.")], missing=["hail: none"],
    )  # fmt: skip
    page = path.read_text(encoding="utf-8")
    assert "Prefer &lt;b&gt;." in page and "Not shown: hail: none" in page and "Box &amp; others" in page
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == [
        "noise.pdf", "noise.png", "overview.pdf", "overview.png",
    ]  # fmt: skip
