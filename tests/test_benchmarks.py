"""The benchmarks run, at toy size; what they measure is no test."""

import torch

from benchmarks.kernels import Sizes, main, training_flops


def test_the_kernel_benchmark_writes_its_page(tmp_path, capsys):
    threads = torch.get_num_threads()
    main(["--toy", "--out", str(tmp_path / "performance.md")])
    text = (tmp_path / "performance.md").read_text(encoding="utf-8")
    for expected in ("training step", "equilibrium forward and backward, compiled", "rollout", "first step", "GFLOP/s"):
        assert expected in text
    assert "written to" in capsys.readouterr().out
    assert torch.get_num_threads() == threads


def test_the_count_of_operations():
    """At nv = 200 about a millisecond of the matrix rate of two cores."""
    sizes = Sizes()
    assert 1.8e8 < training_flops(sizes.nx, sizes.nu, 200, sizes.batch) < 2.6e8
