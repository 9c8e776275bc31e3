"""Image classifiers: files are read or refused, attacks and certificates meet where the answer is known, smoke-size pages."""

import gzip
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.named.classification import attacks, certificates, measure
from experiments.named.classification.data import MNIST_TEST, load_images, read_idx
from experiments.named.mnist import run as mnist
from systems.base.errors import InputError

SHARED = Path(__file__).parents[4] / "shared"
MNIST = SHARED / "data" / "mnist"
no_mnist = pytest.mark.skipif(not MNIST.is_dir(), reason="MNIST is not beside the project")


def idx(values, magic):
    values = np.asarray(values, np.uint8)
    return struct.pack(f">{1 + values.ndim}i", magic, *values.shape) + values.tobytes()


@pytest.fixture
def folder(tmp_path, rng):
    """A data set of the format of MNIST, 4 x 4 pixels: 1,020 test images, gzip for the labels."""
    images, labels = rng.integers(0, 256, (1020, 4, 4)), rng.integers(0, 10, 1020)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(images, 2051))
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels, 2049)))
    return tmp_path, images, labels


def test_idx_files_are_read_split_without_loss_and_in_rows(folder):
    path, images, labels = folder
    found = load_images(path)
    assert found.size == (4, 4) and len(found.test_x) == 1000 and len(found.train_x) == 20 and not found.published_split
    pixels = np.concatenate([found.train_x, found.test_x])
    pairs = {(tuple(np.rint(x * 255)), y) for x, y in zip(pixels, [*found.train_y, *found.test_y], strict=True)}
    assert pairs == {(tuple(image.ravel()), label) for image, label in zip(images, labels, strict=True)}
    (path / "train-images.idx3-ubyte").write_bytes(idx(images[:7], 2051))  # the other common spelling
    (path / "train-labels.idx1-ubyte").write_bytes(idx(labels[:7], 2049))
    found = load_images(path)
    assert found.published_split and len(found.train_x) == 7 and len(found.test_x) == 1020


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t10k-images-idx3-ubyte", b"\0\0\x08\x03\0\0", "not an IDX file of images"),
        ("t10k-images-idx3-ubyte", idx(np.zeros((1020, 4, 4)), 2051)[:-3], "cut off or damaged"),
        ("t10k-images-idx3-ubyte", idx(np.zeros((12, 4, 4)), 2051), "12 images and 1020 labels"),
        ("t10k-labels-idx1-ubyte.gz", gzip.compress(bytes(100), mtime=0)[:-9], "is damaged"),
        ("t10k-labels-idx1-ubyte.gz", idx(np.full(1020, 17), 2049), "a label is 17"),
        ("train-images-idx3-ubyte", idx(np.zeros((3, 4, 4)), 2051), "images of the train set alone"),
    ],
)
def test_files_that_are_wrong_are_refused_by_name(folder, name, content, words):
    (folder[0] / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        load_images(folder[0])
    with pytest.raises(InputError, match="has no t10k-images"):
        load_images(folder[0] / "elsewhere")


def test_the_authors_row_needs_the_test_set_they_were_published_for(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(measure, "AUTHORS", folder[0] / "t10k-images-idx3-ubyte")  # a file that is there
    other = load_images(folder[0])
    assert "authors" not in mnist.chosen(other)
    monkeypatch.setattr(mnist, "MNIST_TEST", other.digest)
    assert "authors" in mnist.chosen(other)
    (folder[0] / "t10k-labels-idx1-ubyte.gz").write_bytes(idx(9 - folder[2], 2049))  # the same images, other labels
    assert load_images(folder[0]).digest != other.digest


def test_the_embedded_digits_are_all_there():
    found = load_images()
    assert len(found.train_x) == 1500 and len(found.test_x) == 297
    everything = np.concatenate([found.train_x, found.test_x])
    assert everything.min() == 0 and everything.max() == 1 and set((16 * everything).ravel()) == set(range(17))
    # A nearest neighbour knows digits: labels belong to their images.
    distance = ((found.test_x[:, None] - found.train_x[None]) ** 2).sum(-1)
    assert (found.train_y[distance.argmin(1)] == found.test_y).mean() > 0.97


def affine(rng, classes=10, pixels=6):
    W, b = torch.from_numpy(rng.normal(size=(classes, pixels))), torch.from_numpy(rng.normal(size=classes))
    return W, b, lambda x: x @ W.to(x.dtype).T + b.to(x.dtype)


def test_the_attack_breaks_an_affine_classifier_exactly_where_it_can_be_broken(rng):
    W, _, logits = affine(rng)
    x = torch.from_numpy(rng.normal(size=(8, 6)))
    y = logits(x).argmax(1)
    scores = logits(x)
    gaps = (scores.gather(1, y[:, None]) - scores).numpy()
    lengths = np.linalg.norm((W[y][:, None] - W[None]).numpy(), axis=2)
    distance = np.where(lengths > 0, gaps / np.where(lengths > 0, lengths, 1), np.inf).min(
        axis=1
    )  # to the nearest boundary
    for share, broken in ((0.999, False), (1.01, True)):
        found = [
            attacks.attacked(logits, x[k : k + 1], y[k : k + 1], [r], steps=20, restarts=9, seed=0)[0, 0]
            for k, r in enumerate(distance * share)
        ]
        assert found == [broken] * len(x)
    # With the largest singular value as bound, the certified radius never exceeds that distance.
    gamma = float(np.linalg.norm(W.numpy(), 2))
    certified = certificates.lipschitz_radius(logits, gamma, x, y)
    assert (certified <= distance).all() and (certified > 0).all() and (certified > 0.3 * distance).any()


def test_the_bound_of_two_logits_is_attained():
    """logits = gamma (x, -x) / sqrt2: margin sqrt2 gamma x, and the boundary at distance x exactly."""

    def logits(x):
        return 5 / math.sqrt(2) * torch.cat([x, -x], dim=1)

    x, y = torch.tensor([[0.3], [2.0]]), torch.tensor([0, 0])
    np.testing.assert_allclose(certificates.lipschitz_radius(logits, 5.0, x, y), x[:, 0].numpy(), rtol=1e-6)


def test_moved_images_stay_in_the_ball_and_broken_ones_stay_broken(rng):
    _, _, logits = affine(rng)
    x, generator = torch.from_numpy(rng.normal(size=(50, 6))), torch.Generator().manual_seed(1)
    y = torch.from_numpy(rng.integers(0, 10, 50))
    moved = attacks.pgd(logits, x, y, 0.7, steps=10, generator=generator)
    length = (moved - x).norm(dim=1)
    assert length.max() <= 0.7 * (1 + 1e-12) and length.min() > 0
    broken = attacks.attacked(logits, x, y, [0.0, 0.1, 0.5, 2.0], steps=5, restarts=1, seed=0)
    assert (np.diff(broken.astype(int), axis=0) >= 0).all() and broken[-1].sum() > broken[0].sum()
    np.testing.assert_array_equal(broken[0], (logits(x).argmax(1) != y).numpy())


def test_what_was_broken_counts_at_larger_radii_where_the_attack_fails(rng, monkeypatch):
    _, _, logits = affine(rng)
    x = torch.from_numpy(rng.normal(size=(50, 6)))
    y, real = logits(x).argmax(1), attacks.pgd
    monkeypatch.setattr(attacks, "pgd", lambda f, a, b, r, **k: real(f, a, b, r, **k) if r == 0.5 else a.clone())
    broken = attacks.attacked(logits, x, y, [0.0, 0.5, 1.0], steps=5, restarts=0, seed=0)
    assert not broken[0].any() and broken[1].any()
    np.testing.assert_array_equal(broken[2], broken[1])


def test_noise_is_uniform_of_every_pixel_and_not_clipped():
    seen = []

    def logits(x):
        seen.append(x.clone())
        return torch.nn.functional.one_hot(torch.zeros(len(x), dtype=torch.long), 10).double()

    x, y = torch.full((500, 40), 0.9, dtype=torch.float64), torch.zeros(500, dtype=torch.long)
    assert attacks.noise_sweep(logits, x, y, [0.0, 0.5], seed=1) == [1.0, 1.0]
    assert torch.equal(seen[0], x)
    noise = (seen[1] - x).flatten()
    assert 0.499 < noise.max() <= 0.5 and -0.5 <= noise.min() < -0.499  # beyond 1 too: as published
    assert noise.std() == pytest.approx(0.5 / math.sqrt(3), rel=0.02) and abs(float(noise.mean())) < 0.01


def test_a_certificate_that_is_broken_fails_the_experiment(tmp_path, monkeypatch, perform):
    """A network that states a bound twenty times too small, unproved: images are certified, and broken within their radius."""
    real = measure.bounded

    def boastful(network, seconds=0.0, image=None):
        honest = real(network, seconds, image)
        facts = honest.facts | {"gamma": honest.facts["gamma"] / 20, "proved": False}
        return measure.Classifier(honest.fast, honest.exact, lambda x, y: 20 * honest.radius(x, y), facts)

    first = perform("mnist", tmp_path / "honest", size=mnist.SMOKE)
    assert [c["passed"] for c in first.metrics["criteria"]][:3] == [True] * 3
    assert all(text in first.page for text in ("published, plain dense", "89.63", "55.05", "toy size"))
    for row in first.metrics["networks"].values():
        assert all(c <= a for c, a in zip(row["certified_same"], row["attacked"], strict=True))
        assert row["attacked"] == sorted(row["attacked"], reverse=True) and row["attacked"][-1] < row["attacked"][0]
    monkeypatch.setattr(measure, "bounded", boastful)
    boast = perform("mnist", tmp_path / "boast", size=mnist.SMOKE)
    assert boast.code == 1 and [c["passed"] for c in boast.metrics["criteria"]][:3] == [False] * 3


@no_mnist
@pytest.mark.skipif(not measure.AUTHORS.is_file(), reason="the authors' weights are not ours to ship")
def test_the_authors_weights_are_right_on_exactly_9724_images_and_as_published_under_noise():
    from observer.networks.formats.exchange import load_network, read_parameters

    images = read_idx(MNIST / "t10k-images-idx3-ubyte.gz", "images").reshape(-1, 784) / 255.0
    labels = read_idx(MNIST / "t10k-labels-idx1-ubyte.gz", "labels").astype(np.int64)
    classifier = measure.bounded(load_network("lbdn", read_parameters(measure.AUTHORS)))
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    assert load_images(MNIST).digest == MNIST_TEST
    assert attacks.accuracy(classifier.exact, x, y) == 0.9724 and classifier.facts["proved"]
    levels = [level / 255 for level in mnist.NOISE]
    found = attacks.noise_sweep(classifier.exact, x, y, levels, seed=0)
    for ours, published in zip(found, mnist.PUBLISHED["lbdn"], strict=True):
        # One draw of noise each: four standard deviations of the difference of two shares of 10,000.
        p = published / 100
        assert abs(ours - p) <= 4 * math.sqrt(2 * p * (1 - p) / 1e4)
