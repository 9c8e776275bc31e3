"""Sample sizes and coverages against scipy.stats, brute force and the table of the method."""

import numpy as np
import pytest
from scipy import stats

from observer.certification.statistical import TRIALS, covered, sample_size
from systems.base.errors import InputError


def test_published_sample_sizes():
    assert [sample_size(0.99, 1 - 1e-3), sample_size(0.99, 1 - 1e-6)] == [688, 1375]
    assert [sample_size(0.999, 1 - 1e-3), sample_size(0.999, 1 - 1e-6)] == [6905, 13809]
    assert [sample_size(0.9999, 1 - 1e-3), sample_size(0.9999, 1 - 1e-6)] == [69075, 138149]
    assert sample_size(0.99) == TRIALS == 1375


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.999])
def test_the_sample_size_is_the_smallest_that_does(coverage, confidence):
    n = sample_size(coverage, confidence)
    assert covered(n, confidence) >= coverage - 1e-12
    assert n == 1 or covered(n - 1, confidence) < coverage


@pytest.mark.parametrize("trials, exceedances", [(1, 0), (10, 0), (10, 3), (10, 9), (1000, 1), (1000, 5), (13809, 0)])
def test_coverage_is_that_of_clopper_and_pearson(trials, exceedances):
    interval = stats.binomtest(exceedances, trials, alternative="less").proportion_ci(0.99, method="exact")
    assert 1 - covered(trials, 0.99, exceedances) == pytest.approx(interval.high, rel=1e-9)
    # At that share so few exceedances are just as improbable as the confidence says.
    assert stats.binom.cdf(exceedances, trials, interval.high) == pytest.approx(0.01, rel=1e-6)


def test_the_largest_of_n_covers_what_it_says():
    """20,000 certificates of 45 trials each: those that cover less than stated are at most 10 %."""
    share = np.random.default_rng(0).uniform(size=(20_000, 45)).max(axis=1)
    assert np.mean(share < covered(45, 0.9)) == pytest.approx(0.1, abs=0.007)


def test_nonsense_is_refused():
    for trials, exceedances in ((0, 0), (5, 6), (5, -1)):
        with pytest.raises(InputError, match="expected 0 <= exceedances <= trials"):
            covered(trials, 0.9, exceedances)
    with pytest.raises(InputError, match=r"coverage is 1; expected a number between 0 and 1"):
        sample_size(1)
    assert covered(7, 0.9, 7) == 0.0
