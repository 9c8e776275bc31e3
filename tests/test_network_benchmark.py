"""The benchmark of the networks runs, at toy size; what it measures is no test."""

import pytest
import torch

from benchmarks.networks import Sizes, count, main, networks


def test_the_network_benchmark_writes_its_page(tmp_path, capsys):
    threads = torch.get_num_threads()
    main(["--toy", "--out", str(tmp_path / "timings.md")])
    text = (tmp_path / "timings.md").read_text(encoding="utf-8")
    for expected in ("REN", "R2DN", "LSTM", "rollout, with gradients", "explicit() at each", "multiply-adds"):
        assert expected in text
    assert "written to" in capsys.readouterr().out
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("nv", [16, 64])
def test_the_networks_are_of_equal_size(nv):
    counts = [count(network) for network in networks(nv, Sizes()).values()]
    assert max(counts) < 1.1 * min(counts)
