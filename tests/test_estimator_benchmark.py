"""The benchmark of the estimators runs, at toy size; what it measures is no test."""

from benchmarks.estimators import main


def test_it_writes_a_row_for_every_estimator(tmp_path, capsys):
    main(
        [
            "--plants",
            "box",
            "--samples",
            "20",
            "--batch",
            "2",
            "--repetitions",
            "1",
            "--out",
            str(tmp_path / "times.md"),
        ]
    )
    text = (tmp_path / "times.md").read_text(encoding="utf-8")
    for expected in ("contracting REN, 20 neurons", "extended Kalman", "particle filter", "| CasADi |"):
        assert expected in text
    assert "written to" in capsys.readouterr().out
