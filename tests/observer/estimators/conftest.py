"""The linear Gaussian plant of the exactness tests."""

import pytest
from linear_gaussian import linear_case


@pytest.fixture(scope="session")
def linear():
    """(plant, A, B, C, covariances)."""
    return linear_case()
