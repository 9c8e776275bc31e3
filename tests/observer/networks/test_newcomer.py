"""A newcomer: a network of one class, one name in the tuple, and the contract of the family runs on it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from network_contract import CONTRACT

from observer.networks import ExplicitREN, catalogue, load_linear, unroll
from observer.networks.network import RecurrentNetwork, check_rate, disturb
from observer.networks.proofs.ren import RENGuarantee


class Decay(RecurrentNetwork):
    """x+ = rate tanh(a) x + B u, y = x, with a (nx,) free: the simplest network that contracts, M = I."""

    a: torch.Tensor
    B: torch.Tensor

    def __init__(self, nu, nx, *, contraction_rate=0.9, dtype="float64"):
        super().__init__()
        self.nu, self.nx, self.nv, self.ny, self.activation = nu, nx, 0, nx, "tanh"
        self.contraction_rate = check_rate(contraction_rate)
        self._register({"a": torch.linspace(-1, 1, nx), "B": torch.ones(nx, nu)}, dtype)

    def parameter_shapes(self):
        return {"a": (self.nx,), "B": (self.nx, self.nu)}

    def explicit(self):
        A, zeros = torch.diag(self.contraction_rate * torch.tanh(self.a)), self.B.new_zeros
        return ExplicitREN.with_identity_output(
            A, zeros(self.nx, 0), self.B, zeros(0, self.nx), zeros(0, 0), zeros(0, self.nu), zeros(self.nx), zeros(0)
        )

    def guarantee(self):
        return Contraction(self.contraction_rate, np.eye(self.nx), np.zeros(0))

    def supply_arrays(self):
        return None

    def check_output(self, C2, D22):
        pass

    def load_linear_part(self, explicit, metric, multipliers):
        a = np.arctanh(np.diag(explicit.A) / self.contraction_rate)
        return self.load_direct({"a": a, "B": explicit.B2})

    @classmethod
    def example(cls, seed=0):
        return disturb(cls(2, 3), seed)


class Contraction(RENGuarantee):
    """Without neurons nothing depends on B1, C1 and D11."""

    @property
    def certified(self):
        return ("A",)


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_it_joins_the_tuple_and_keeps_the_contract(check, rng, monkeypatch):
    monkeypatch.setattr(catalogue, "NETWORKS", (*catalogue.NETWORKS, Decay))
    check(catalogue.NETWORKS[-1], rng)


def test_it_begins_as_a_linear_system_and_is_unrolled():
    A, B, C, D = np.diag([0.5, -0.3]), np.ones((2, 1)), np.eye(2), np.zeros((2, 1))
    network = load_linear(Decay(1, 2), A, B, C, D)
    np.testing.assert_allclose(network.explicit().to_numpy().A, A, atol=1e-12)
    x, y = unroll(network.explicit(), torch.ones(3, 2).double(), torch.ones(3, 7, 1).double())
    assert x.shape == (3, 8, 2) and torch.equal(y, x[:, :-1])


def test_a_wrong_newcomer_is_noticed(rng):
    """The contract is not empty: a network whose guarantee does not hold fails it."""

    class Boaster(Decay):
        def guarantee(self):
            return replace(super().guarantee(), rate=self.contraction_rate / 4)

    with pytest.raises(AssertionError):
        CONTRACT[0](Boaster, rng)
