"""Lipschitz-bounded deep networks, dense and convolutional: gains of layers and of the whole, folding, gradients."""

import gzip
from dataclasses import replace
from pathlib import Path

import golden_files
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import static_violation
from network_contract import differentiable_in_both_precisions

from observer.networks.activations import ACTIVATIONS, get_activation
from observer.networks.feedforward.conv_lbdn import ConvLBDN
from observer.networks.feedforward.convolution import convolution, space_to_depth
from observer.networks.feedforward.lbdn import LBDN
from observer.networks.feedforward.sandwich import cayley, sandwich, scaled_cayley
from observer.networks.kernels.optimizer import Adam
from observer.networks.network import disturb
from systems.base.errors import InputError

SHARED = Path(__file__).parents[4] / "shared"


@settings(deadline=None, max_examples=25)
@given(q=st.integers(1, 5), p=st.integers(0, 5), seed=st.integers(0, 1000), complex_=st.booleans())
def test_cayley(q, p, seed, complex_):
    generator = torch.Generator().manual_seed(seed)
    kind = torch.complex128 if complex_ else torch.float64
    X, Y = (2 * torch.randn(n, q, generator=generator, dtype=kind) for n in (q, p))
    A_h, B_h = cayley(X, Y)
    identity = A_h.mH @ A_h + B_h.mH @ B_h
    np.testing.assert_allclose(identity, np.eye(q), atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(
    nu=st.integers(1, 4),
    ny=st.integers(1, 4),
    hidden=st.lists(st.integers(1, 6), max_size=3),
    gamma=st.floats(0.01, 100),
    linear_output=st.booleans(),
    learnable_gamma=st.booleans(),
    activation=st.sampled_from(ACTIVATIONS),
    spread=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 1000),
)
def test_bounded_for_all_sizes(nu, ny, hidden, spread, seed, **given):
    network = disturb(LBDN(nu, hidden, ny, seed=seed, **given), seed, spread)
    verdict = network.verify()
    assert verdict.holds, verdict
    assert static_violation(network.guarantee(), network.explicit().to_numpy(), np.random.default_rng(seed)) <= 1e-8


@pytest.mark.parametrize("linear_output", [True, False])
def test_folded_weights_are_the_layers_as_written(linear_output):
    network = disturb(LBDN(3, (6, 5), 2, gamma=4.0, linear_output=linear_output, activation="tanh"), 1)
    u = torch.randn(7, 3, dtype=torch.float64)
    sigma, h = get_activation("tanh"), 2 * u
    for k in range(3):
        A_t, B_t = scaled_cayley(getattr(network, f"XY{k}"), getattr(network, f"a{k}"), 0.0)
        b = getattr(network, f"b{k}")
        if linear_output and k == 2:
            y = 2 * h @ B_t + b
        else:
            h = sandwich(h, A_t, B_t, getattr(network, f"d{k}"), b, sigma)
            y = 2 * h
    np.testing.assert_allclose(network(u).detach(), y.detach(), atol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_golden(activation):
    golden, direct = golden_files.read(golden_files.FOLDER / f"lbdn_{activation}.npz")
    options = {"activation": activation, "norm_eps": golden_files.NORM_EPS}
    network = LBDN(4, (7, 5), 3, gamma=3.0, linear_output=False, **options)
    names = ((name, k) for k in range(3) for name in ("XY", "a", "d", "b"))
    network.load_direct({f"{name}{k}": direct[f"layers_{k}.{name}"] for name, k in names})
    np.testing.assert_allclose(network.explicit().to_numpy()(golden["u"]), golden["y"], rtol=0, atol=1e-10)
    assert network.verify().holds


def test_the_bound_is_nearly_attained_but_never_passed():
    """Trained towards a large slope, the network reaches it and stops there."""
    network = LBDN(1, (8, 8), 1, gamma=3.0, activation="relu", seed=1)
    u = torch.tensor([[-0.01], [0.01]], dtype=torch.float64)
    optimizer = Adam(network.parameters(), 0.02)
    for _ in range(150):
        optimizer.zero_grad()
        y = network(u)
        (y[0, 0] - y[1, 0]).backward()
        optimizer.step()
    y = network(u).detach()
    slope = (y[1, 0] - y[0, 0]).item() / 0.02
    assert 0.97 * 3 <= slope <= 3 * (1 + 1e-9)
    assert network.verify().holds


def test_single_matrices_may_exceed_the_bound():
    """Folded weights are not each 1-Lipschitz: the bound is one of the whole."""
    network = disturb(LBDN(3, (6, 5), 2, seed=0), 3, 1.0)
    norms = [np.linalg.norm(W, 2) for W in network.explicit().to_numpy().matrices]
    assert max(norms) > 1.5 and network.verify().holds


@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 4)])
@pytest.mark.parametrize("p, q", [(2, 3), (3, 1), (1, 2)])
def test_a_convolution_is_1_lipschitz(size, p, q):
    """The gain of its Jacobian, an explicit matrix of all pixels, at random images."""
    generator = torch.Generator().manual_seed(p + q)
    s = min(*size, 3)
    XY = torch.randn(q + p, q, s, s, generator=generator, dtype=torch.float64)
    a, d, b = 2 * XY.norm()[None], *(torch.randn(q, generator=generator, dtype=torch.float64) for _ in range(2))
    layer = convolution(XY, a, d, b, size, "tanh")
    for scale in (0.1, 1.0):
        h = scale * torch.randn(p, *size, generator=generator, dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(layer, h).reshape(q * size[0] * size[1], h.numel())
        gain = torch.linalg.matrix_norm(jacobian, 2).item()
        assert 0.05 < gain <= 1 + 1e-12


def test_a_convolution_commutes_with_circular_shifts():
    layer = ConvLBDN.example(0).explicit().to_numpy().convolutions[0]
    h = np.random.default_rng(0).normal(size=(2, 4, 6))
    for shift in ((1, 0), (0, 1), (2, 3)):
        moved = np.roll(layer(h), shift, axis=(-2, -1))
        np.testing.assert_allclose(layer(np.roll(h, shift, axis=(-2, -1))), moved, atol=1e-12)


@settings(deadline=None, max_examples=15)
@given(
    channels=st.lists(st.integers(1, 3), min_size=0, max_size=2),
    shape=st.tuples(st.integers(1, 2), st.sampled_from([2, 4]), st.sampled_from([2, 6])),
    kernel=st.integers(1, 2),
    activation=st.sampled_from(ACTIVATIONS),
    gamma=st.floats(0.1, 10),
    seed=st.integers(0, 1000),
)
def test_convolutional_networks_are_bounded(channels, shape, kernel, activation, gamma, seed):
    network = ConvLBDN(shape, channels, (3,), 2, kernel=kernel, gamma=gamma, activation=activation, seed=seed)
    disturb(network, seed, 0.5)
    assert network.verify().holds
    explicit = network.explicit().to_numpy()
    assert static_violation(network.guarantee(), explicit, np.random.default_rng(seed), 60) <= 1e-8


def test_a_layer_that_hardly_reads_its_input_is_still_proved_and_a_wrong_one_still_not():
    """1 - |A|^2 is then a small difference of large numbers: its rounding is no violation, and a real one is larger."""
    network = ConvLBDN((1, 2, 2), [1], (3,), 2, kernel=1, seed=231)
    disturb(network, 231, 0.5)
    explicit = network.explicit().to_numpy()
    layer = explicit.convolutions[0]
    assert np.abs(layer.reading).max() < 0.01 and network.verify().holds
    wrong = replace(explicit, convolutions=(replace(layer, reading=1.001 * layer.reading),))
    assert not network.guarantee().verify(wrong).holds


def test_the_certificates_are_tight():
    """A sandwich is 1-Lipschitz with equality: one per cent more, in any of its matrices, is not proved."""
    network = ConvLBDN.example(0)
    explicit = network.explicit().to_numpy()
    for name in ("writing0", "reading0", "writing1", "reading1"):
        assert not network.verify(explicit.with_weights(**{name: 1.01 * explicit.weights()[name]})).holds, name
    dense = disturb(LBDN(3, (4,), 2, linear_output=False, gamma=2.0), 1)
    explicit = dense.explicit().to_numpy()
    assert dense.verify(explicit).holds
    for name in ("W0", "W1", "W2"):
        assert not dense.verify(explicit.with_weights(**{name: 1.01 * explicit.weights()[name]})).holds, name


def test_rearranging_pixels_loses_nothing():
    h = np.random.default_rng(0).normal(size=(3, 2, 4, 6))
    moved = space_to_depth(h, 2)
    assert moved.shape == (3, 8, 2, 3) and np.array_equal(np.sort(moved.ravel()), np.sort(h.ravel()))
    np.testing.assert_array_equal(moved, space_to_depth(torch.tensor(h), 2))
    np.testing.assert_array_equal(moved[0, :4, 1, 2], h[0, 0, 2:4, 4:6].ravel())


@pytest.mark.parametrize("kind", [LBDN, ConvLBDN])
def test_gradients_and_precision(kind):
    network = kind.example(0)
    u = torch.randn(2, *network.explicit().input_shape, dtype=torch.float64)
    differentiable_in_both_precisions(network, u)


@pytest.mark.skipif(
    not (SHARED / "golden" / "authors_lbdn_mnist.npz").is_file(),
    reason="the authors' weights are not ours to ship: shared/golden is not beside the project",
)
def test_the_authors_classifier_scores_its_published_number():
    with np.load(SHARED / "golden" / "authors_lbdn_mnist.npz") as file:
        direct = dict(file)
    network = LBDN(784, (64, 64), 10, gamma=5.0, learnable_gamma=True).load_direct(direct)
    with gzip.open(SHARED / "data" / "mnist" / "t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784) / 255
    with gzip.open(SHARED / "data" / "mnist" / "t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    scores = network.explicit().to_numpy()(images)
    assert (scores.argmax(1) == labels).sum() == 9724
    assert network.verify().holds and abs(network.guarantee().gamma - 5) < 1e-6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LBDN(0, (3,), 1), "nu is 0; expected a whole number, at least 1"),
        (lambda: LBDN(1, (3, 0), 1), r"hidden\[1\] is 0"),
        (lambda: LBDN(1, (3,), 1, gamma=-1.0), "gamma is -1.0; expected a finite number, positive"),
        (lambda: LBDN(1, (3,), 1, activation="gelu"), "slope ranges over"),
        (lambda: ConvLBDN((1, 5, 4), (2,), (), 1, downsampling=(2,)), "5 x 4 cannot be downsampled by 2"),
        (lambda: ConvLBDN((1, 4, 4), (2,), (), 1, kernel=5), "kernel is 5; expected at most the image, 4 x 4"),
        (lambda: ConvLBDN((1, 4, 4), (2,), (), 1, downsampling=(1, 1)), "2 factors of downsampling; expected 1"),
        (lambda: LBDN.example().explicit().with_weights(Q=1), "got the weights Q; expected some of W0"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(InputError, match=message):
        make()
