"""Images with labels: MNIST from the IDX files that a person has, or 1,797 digits of 8 x 8 pixels that are always there."""

import gzip
import hashlib
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from observer.storage import read_npz
from systems.base.errors import InputError

DIGITS = Path(__file__).with_name("digits.npz")
DIGITS_TEST, FEW_TEST = 297, 1000
#: ``digest`` of the 10,000 test images of MNIST; other data sets come in the same files.
MNIST_TEST = "c3f9adf9c66efb572b1f9326c3a511b45910c7173b97be66ceceeeeaef6b802b"
_MAGIC = {"images": (2051, 3), "labels": (2049, 1)}  # third byte 8: unsigned bytes; fourth: the number of axes
_FILES = {"train": "train", "test": "t10k"}


@dataclass(frozen=True, eq=False)
class Images:
    """x (m, pixels) in [0, 1], row by row; y (m,) in 0..9. ``size`` (height, width). ``source``: a phrase for the page.

    ``published_split``: trained on the training files and tested on the test files, as published. ``digest``: SHA-256 of the
    images and labels of the test files.
    """

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    size: tuple[int, int]
    source: str
    name: str
    published_split: bool = False
    digest: str = ""

    def thinned(self, train: int, test: int) -> "Images":
        """The first ``train`` and ``test`` images: for a run at toy size."""
        return Images(
            self.train_x[:train], self.train_y[:train], self.test_x[:test], self.test_y[:test], self.size, self.source,
            self.name, self.published_split, self.digest,
        )  # fmt: skip


def read_idx(path: Path, kind: str) -> np.ndarray:
    """The unsigned bytes of an IDX file, (m, height, width) for ``kind`` images and (m,) for labels; gzip or not.

    Errors: InputError for a file of another kind, one that is cut off, or one that is damaged.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged: {error}; fetch it again") from error
    magic, axes = _MAGIC[kind]
    header = 4 + 4 * axes
    if len(content) < header or struct.unpack(">i", content[:4])[0] != magic:
        raise InputError(f"{path} is not an IDX file of {kind}; expected the magic number {magic} at its start")
    shape = struct.unpack(f">{axes}I", content[4:header])
    if len(content) - header != int(np.prod(shape, dtype=np.int64)):
        raise InputError(
            f"{path} has {len(content) - header} bytes of {kind}; expected {' x '.join(map(str, shape))}, as it says: "
            "it is cut off or damaged, fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def load_images(folder: str | Path | None = None) -> Images:
    """MNIST from the IDX files in ``folder``, or the embedded digits without one.

    With the 60,000 training images there, they are trained on and the 10,000 are the test; with the 10,000 alone, 9,000 of
    them are trained on and 1,000 are the test (a fixed permutation: the first half of them is known to be easier).
    Errors: InputError where the folder or its files are missing, or damaged.
    """
    if folder is None:
        arrays = read_npz(DIGITS)
        x, y = arrays["images"].reshape(-1, 64) / 16.0, arrays["labels"]
        source = "1,797 digits of 8 x 8 pixels (UCI optical recognition of handwritten digits)"
        return _split(x, y, DIGITS_TEST, (8, 8), source, "digits", digest(x, y))
    folder = Path(folder)
    test = _pair(folder, "test")
    if test is None:
        raise InputError(
            f"{folder} has no t10k-images-idx3-ubyte (.gz) and t10k-labels-idx1-ubyte (.gz); --data names the folder of the "
            "IDX files of MNIST, and without it the embedded digits are taken"
        )
    train = _pair(folder, "train")
    if train is None:
        x, y, size = test
        source = f"the {len(x)} test images of MNIST, {FEW_TEST} of them held out"
        return _split(x, y, FEW_TEST, size, source, "mnist", digest(x, y))
    if train[2] != test[2]:
        raise InputError(f"{folder}: training images of {train[2]} pixels, test images of {test[2]}; expected the same")
    source = f"MNIST, {len(train[0])} images to train on and {len(test[0])} to test"
    return Images(*train[:2], *test[:2], test[2], source, "mnist", True, digest(*test[:2]))


def images_of(folder: str | Path | None, train: int | None, test: int | None) -> Images:
    """``load_images(folder)``; the first ``train`` and ``test`` of them where both are given."""
    images = load_images(folder)
    return images if train is None or test is None else images.thinned(train, test)


def _pair(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray, tuple[int, int]] | None:
    """Images (m, pixels) in [0, 1], labels, and the size of an image; None where the files are not there."""
    found = {}
    for kind, suffix in (("images", "idx3"), ("labels", "idx1")):
        names = [f"{_FILES[part]}-{kind}{dash}{suffix}-ubyte{end}" for dash in "-." for end in ("", ".gz")]
        paths = [folder / name for name in names if (folder / name).is_file()]
        if paths:
            found[kind] = read_idx(paths[0], kind)
    if not found:
        return None
    if len(found) < 2:
        raise InputError(f"{folder} has the {next(iter(found))} of the {part} set alone; expected images and labels")
    images, labels = found["images"], found["labels"]
    if len(images) != len(labels) or not len(images):
        raise InputError(f"{folder}: {len(images)} images and {len(labels)} labels; expected one label for each image")
    if labels.max() > 9:
        raise InputError(f"{folder}: a label is {labels.max()}; expected digits, 0 to 9")
    return images.reshape(len(images), -1) / 255.0, labels, (images.shape[1], images.shape[2])


def digest(x: np.ndarray, y: np.ndarray) -> str:
    """SHA-256 of pixels in [0, 1] as bytes, and of the labels."""
    pixels = np.rint(255 * x).astype(np.uint8)
    return hashlib.sha256(pixels.tobytes() + np.asarray(y, np.uint8).tobytes()).hexdigest()


def _split(
    x: np.ndarray, y: np.ndarray, test: int, size: tuple[int, int], source: str, name: str, digest: str
) -> Images:
    if len(x) <= test:
        raise InputError(f"{len(x)} images in all; expected more than the {test} that are held out")
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order].astype(np.int64)
    return Images(x[:-test], y[:-test], x[-test:], y[-test:], size, source, name, digest=digest)
