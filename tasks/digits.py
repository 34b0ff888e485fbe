"""Handwritten digits: scikit-learn's 1,797 of 8 × 8 pixels, or files of MNIST, with a classifier that reads them.

scikit-learn's come from the "Optical Recognition of Handwritten Digits" of Alpaydin and Kaynak (1998). There, a bitmap
of 32 × 32 dots is cut into blocks of 4 × 4, and a pixel is the number of its dots.
"""

import gzip
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zg.errors import SettingError
from zg.extras import load_package

#: Share of the digits that is held out, and the most that are used of a larger set.
HELD_OUT, MOST = 0.2, 12_000
# First four bytes of MNIST's files of images and of labels.
IMAGES, LABELS = 2051, 2049


class Digits:
    """Digits in 0 … 1, white on black: `train` and `held_out` [N, 1, H, W], with labels; the split is always the same.

    images, labels: files of MNIST (`…-idx3-ubyte`, `…-idx1-ubyte`, also with .gz); without them scikit-learn's digits.
    Raises SettingError for a file that is not of this kind.
    """

    def __init__(self, images: str | None = None, labels: str | None = None) -> None:
        if (images is None) != (labels is None):
            raise SettingError("images and labels must be given together, as two files of MNIST")
        if images is not None and labels is not None:
            pixels, names = read_idx(images, "images", IMAGES) / 255, read_idx(labels, "labels", LABELS)
        else:
            found = load_package("sklearn.datasets", "digits").load_digits()
            pixels, names = found.images / 16, found.target
        if len(pixels) != len(names):
            raise SettingError(f"labels must be as many as the {len(pixels)} images, got {len(names)}")
        order = np.random.default_rng(0).permutation(len(pixels))[:MOST]
        numbers = torch.from_numpy(pixels[order]).float()[:, None]
        cut = round(HELD_OUT * len(order))
        self.held_out, self.train = numbers[:cut], numbers[cut:]
        self.held_out_labels, self.train_labels = names[order][:cut], names[order][cut:]

    @property
    def size(self) -> int:
        """Pixels of a side."""
        return int(self.train.shape[-1])

    def one_of_each(self, count: int) -> Tensor:
        """Held-out digits [count, 1, H, W]: the first of each name in turn, then the second of each, and so on."""
        seen: dict[int, int] = {}
        turns = []
        for place, name in enumerate(self.held_out_labels.tolist()):
            seen[name] = seen.get(name, 0) + 1
            turns.append((seen[name], name, place))
        return self.held_out[[place for _, _, place in sorted(turns)[:count]]]

    @cached_property
    def _classifier(self) -> "object":
        classifier = load_package("sklearn.svm", "the classifier of digits").SVC(C=10)
        return classifier.fit(self.train.flatten(1).numpy(), self.train_labels)

    def readable(self, images: Tensor, labels: NDArray[np.int64]) -> float:
        """The share of images [N, 1, H, W] that a classifier, trained on the real digits of `train`, reads rightly."""
        guesses = self._classifier.predict(images.flatten(1).numpy())  # type: ignore[attr-defined]
        return float((guesses == labels).mean())


def read_idx(name: str, setting: str, kind: int) -> NDArray[np.uint8]:
    """The array in a file of MNIST. kind: the number that it starts with."""
    try:
        content = Path(name).read_bytes()
        content = gzip.decompress(content) if name.endswith(".gz") else content
    except (OSError, EOFError) as error:
        raise SettingError(f"{setting} must be a file of MNIST, got '{name}' ({error})") from None
    axes = kind % 256
    header = np.frombuffer(content[: 4 + 4 * axes], ">i4")
    if len(header) != 1 + axes or header[0] != kind or len(content) != 4 + 4 * axes + header[1:].prod():
        raise SettingError(f"{setting} must be a file of MNIST of the kind {kind}, got '{name}', which is not")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(header[1:])
