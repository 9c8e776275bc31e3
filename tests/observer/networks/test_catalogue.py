"""Every network of the family keeps the contract of the family."""

import pytest
from network_contract import CONTRACT

from observer.networks.catalogue import NETWORKS


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)
def test_contract(kind, check, rng):
    check(kind, rng)
