"""Find the 35,152 weights of a small network that draws one digit (the paper's MLP experiment).

A fixed random input of 256 values goes through layers of 32, 32 and 784 (ReLU, ReLU, sigmoid). The output is the
image. The loss has a gradient; the task tests how far a method gets in 35,152 dimensions without it.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from skimage.transform import resize
from sklearn.datasets import load_digits
from torch import Tensor

from zg.errors import SettingError
from zg.losses import Losses
from zg.seeding import make_generator
from zg.space import Block, ParameterSpace
from zg.task import Task

SIDE = 28
LAYERS = ((256, 32), (32, 32), (32, SIDE * SIDE))


class Mlp(Task):
    """Weights and biases, initialised as torch initialises its linear layers. The reference is 28 × 28 pixels.

    digit: 0 to 9; the reference is its first image in scikit-learn's bundled digits (8 × 8, upsampled), or in `mnist`.
    mnist: an `…images-idx3-ubyte` file of MNIST, gzipped or not, or a folder with one. index: number of an image in
    that file, instead of the first image of `digit`. released: the network's input is uniform in [0, 1), as in the
    released code, and not from N(0, 1). The released target is number 7 of MNIST's training images.
    """

    def __init__(
        self,
        digit: int = 3,
        mnist: str | None = None,
        index: int | None = None,
        loss: Losses = "mse",
        released: bool = False,
    ) -> None:
        super().__init__(loss)
        if not 0 <= digit <= 9:
            raise SettingError(f"digit must be from 0 to 9, got {digit}")
        self.digit, self.mnist, self.index, self.released = digit, mnist, index, released

    def build(self) -> None:
        generator = self.generator("start")
        blocks = {}
        for number, (fan_in, fan_out) in enumerate(LAYERS, 1):
            bound = 1 / math.sqrt(fan_in)
            for name, shape in ((f"weight{number}", (fan_out, fan_in)), (f"bias{number}", (fan_out,))):
                # One scaled unit is a weight of 0.5, so that σ = 0.05 is the paper's 0.025.
                blocks[name] = Block((2 * torch.rand(shape, generator=generator) - 1) * bound, scale=0.5)
        self.space = ParameterSpace(blocks)
        # The input is part of the network and not of the start, so it is the same for every seed.
        draw = torch.rand if self.released else torch.randn
        self.input = draw(LAYERS[0][0], generator=make_generator(0, "mlp", "input")).to(self.device)
        digit = bundled_digit(self.digit) if self.mnist is None else mnist_digit(self.mnist, self.digit, self.index)
        self.set_reference(digit)

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        weights = self.space.split(x.float())
        hidden = self.input.expand(len(x), -1)[..., None]
        for number in range(1, len(LAYERS) + 1):
            bias = weights[f"bias{number}"][..., None]
            hidden = torch.baddbmm(bias, weights[f"weight{number}"], hidden)
            hidden = hidden.sigmoid_() if number == len(LAYERS) else hidden.relu_()
        return hidden.reshape(-1, 1, SIDE, SIDE)


def bundled_digit(digit: int) -> Tensor:
    """The first image of a digit in scikit-learn's digits, upsampled to [1, 28, 28], in [0, 1]."""
    digits = load_digits()
    small = digits.images[digits.target == digit][0] / 16
    return torch.from_numpy(resize(small, (SIDE, SIDE), order=3)).float().clamp(0, 1)[None]


def mnist_digit(mnist: str, digit: int, index: int | None) -> Tensor:
    """An image [1, 28, 28] in [0, 1] of a file of MNIST: number `index`, or the first image of `digit`.

    Raises SettingError when a file is missing or damaged, or has no such image.
    """
    path = find_mnist(Path(mnist))
    images = read_idx(path, (SIDE, SIDE))
    if index is None:
        labels = read_idx(path.with_name(path.name.replace("images-idx3", "labels-idx1")), ())
        found = np.flatnonzero(labels == digit)
        if not len(found):
            raise SettingError(f"digit must be a digit that mnist has, got {digit}")
        index = int(found[0])
    if not 0 <= index < len(images):
        raise SettingError(f"index must be from 0 to {len(images) - 1}, got {index}")
    return torch.from_numpy(images[index].copy()).float()[None] / 255


def find_mnist(path: Path) -> Path:
    """The file of images: the path itself, or the first one in that folder; the test set is before the training set."""
    found = sorted(path.glob("*images-idx3-ubyte*")) if path.is_dir() else [path]
    if not found:
        raise SettingError(f"mnist must be a folder with an '…images-idx3-ubyte' file, got '{path}'")
    return found[0]


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The items [N, *shape] of an IDX file of bytes, gzipped or not. Raises SettingError when it cannot be read."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingError(f"mnist must be readable files of MNIST, got '{path}' ({reason})") from None
    # Magic number (type 8, number of dimensions), then the size of each dimension, big-endian.
    start = 4 * (2 + len(shape))
    magic, *sizes = np.frombuffer(content[:start].ljust(start, b"\0"), dtype=">i4").tolist()
    if magic != 0x801 + len(shape) or tuple(sizes[1:]) != shape or len(content) != start + math.prod(sizes):
        raise SettingError(f"mnist must be complete files of MNIST, got '{path}'")
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)
