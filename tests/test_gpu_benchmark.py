"""The benchmark of the GPU runs where there is none, at toy size; what it measures is no test."""

import json

from benchmarks.gpu import main


def test_the_gpu_benchmark_checks_and_writes_its_page(tmp_path, capsys):
    assert main(["--toy", "--jax", "0", "--out", str(tmp_path / "gpu.md"), "--json", str(tmp_path / "gpu.json")]) == 0
    text = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    for expected in ("training step, graph", "blocked torch", "R2DN", "LBDN", "rollout", "first step", "float64, relu"):
        assert expected in text
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert len(found["checks"]) > 10 and all(error <= bound for _, error, bound in found["checks"])
    assert "all checks hold" in capsys.readouterr().out
