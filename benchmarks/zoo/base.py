"""What the problems of the zoo share: parts with hidden values, random numbers of an instance, and the true loss.

A problem names its parts in `parts` and renders them in `draw` (a batch) or `paint` (one at a time):

    class Spot(Painted):
        def parts(self, rng):
            return {"place": boxed(rng, 0, 1, 2)}

        def paint(self, place):  # [2] -> a PIL picture, or an array [H, W] or [H, W, C]
            ...

Everything random comes from `rng`, which depends on the name of the problem and on its instance.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from tasks.images import load_image
from zg.block import Block, Kind
from zg.images import as_image, channels_first
from zg.losses import Loss
from zg.seeding import derive_seed, render_seeds
from zg.space import ParameterSpace
from zg.task import Task

Array = NDArray[np.float64]
# Traits that a problem declares. The others are seen from its space: whole numbers, no bounds, noise, a photo.
HARD, SYMMETRIC, MANY = "hard edges", "symmetric start", "many minima"
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")


@dataclass(frozen=True)
class Part(Block):
    """A block that starts at `init`. Its values may also be NumPy's.

    goal: the values that the reference shows; None if no values show it.
    """

    init: Any
    low: Any = None
    high: Any = None
    goal: Any = None


class ZooTask(Task):
    """A problem of the zoo. Its start and its reference depend on the instance alone, not on the seed of the run.

    one_block: all parameters are one block, in the same units and in the same order. Nothing else changes.
    """

    #: The name in the zoo, also of the stream of random numbers.
    name: ClassVar[str]
    #: Which of HARD, SYMMETRIC and MANY make the problem difficult.
    traits: ClassVar[tuple[str, ...]] = ()
    #: Whether the reference is a render of hidden parameters. The lowest true loss is 0 then.
    reachable: ClassVar[bool] = True
    #: Number of renders that the reference and the true loss average, for noisy problems.
    samples: ClassVar[int] = 64
    #: Name of the loss, in `zg.losses`.
    measure: ClassVar[str] = "mse"

    def __init__(self, instance: int, one_block: bool = False, loss: str | Loss | None = None) -> None:
        super().__init__(loss or self.measure)
        self.instance, self.one_block = instance, one_block

    # To be implemented by a problem

    def parts(self, rng: np.random.Generator) -> dict[str, Part]:
        """The blocks of the problem. May also set what `draw` needs."""
        raise NotImplementedError(f"{type(self).__name__} must implement parts")

    def target(self, rng: np.random.Generator) -> Tensor:
        """The reference [C, H, W]; by default the render of the hidden parameters, without noise."""
        assert self.solution is not None, f"{self.name} must give every part a goal, or a target"
        return self.clean(self.solution[None].to(self.named.dtype))[0]

    # Inherited by a problem

    def difficulties(self) -> list[str]:
        """What makes the problem difficult: its traits, and what its space and its noise show. Needs `setup`."""
        shown = {
            "whole numbers": self.space.any_discrete,
            "no bounds": not self.space.bounded,
            "noise": self.noisy,
            "photo": not self.reachable,
        }
        return [*self.traits, *(name for name, is_so in shown.items() if is_so)]

    def build(self) -> None:
        rng = np.random.default_rng(derive_seed(self.instance, "zoo", self.name))
        parts = self.parts(rng)
        self.named = ParameterSpace(parts)
        self.space = in_one_block(self.named) if self.one_block else self.named
        if self.reachable:
            self.solution = torch.cat([torch.as_tensor(part.goal).double().reshape(-1) for part in parts.values()])
        self.set_reference(self.target(rng))

    def clean(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] of x [B, n] (user's units) without noise: the mean of `samples` renders.

        The seeds are always the same, so that the true loss of the hidden parameters is exactly 0.
        """
        if not self.noisy:
            return self.render(x)
        seeds = render_seeds(self.instance, 0, self.samples)
        return torch.stack([self.render(one.expand(self.samples, -1), seeds).mean(0) for one in x])

    def truth(self, x: Tensor) -> Tensor:
        """The loss [B] of x [B, n] (user's units) without noise: what is reported of a run."""
        return self.loss(self.clean(x), self.reference())


class Batched(ZooTask):
    """A problem that renders a batch at once."""

    #: (seeds [B], for noisy problems only; parts [B, *shape] float32, by name) -> images [B, C, H, W].
    draw: Callable[..., Tensor]

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return self.draw(*seeds, **self.named.split(x.float()))


class Painted(ZooTask):
    """A problem that renders one picture at a time, in NumPy or Pillow."""

    #: Parts [*shape] float64, by name -> a PIL picture, or an array [H, W] or [H, W, C].
    paint: Callable[..., Any]

    render = Task.render

    def render_one(self, x: Tensor, *seed: Tensor) -> Tensor:
        parts = {name: part.numpy() for name, part in self.named.split(x.double()).items()}
        return channels_first(as_image(np.array(self.paint(**parts)), "paint").float())


def in_one_block(space: ParameterSpace) -> ParameterSpace:
    """The same coordinates in the same units, as one block named x."""
    whole = copy.copy(space)
    whole.names, whole.shapes, whole.sizes = ["x"], [torch.Size([space.n])], [space.n]
    whole.blocks = {"x": Block(space.to_user(space.init), scale=space.scale)}
    return whole


def boxed(
    rng: np.random.Generator,
    low: ArrayLike,
    high: ArrayLike,
    *shape: int,
    share: float = 0.3,
    start: ArrayLike | None = None,
    bounded: bool = True,
    kind: Kind = "real",
) -> Part:
    """A part of this shape whose goal is uniform in the box [low, high], a tenth of the width away from its faces.

    low, high: in the user's units, broadcast to the shape.
    share: the start lies within this share of the width from the goal; 1 starts anywhere in the box.
    start: the start itself, for symmetric starts.
    bounded: whether the space knows the box. Without, the unit of a coordinate is 1.
    kind: of integers, the goal and the start are whole, and the goal may lie on a face.
    """
    low, high = (np.broadcast_to(np.asarray(side, np.float64), shape).copy() for side in (low, high))
    width = high - low
    inside = low + width * rng.uniform(0.1, 0.9, shape)
    goal = inside if kind == "real" else np.floor(rng.uniform(low, high + 1))
    guess = np.clip(goal + share * width * rng.uniform(-1, 1, shape), low + 0.01 * width, high - 0.01 * width)
    init = guess if start is None else np.broadcast_to(np.asarray(start, np.float64), shape).copy()
    if kind != "real":
        init = init.round()
    if not bounded:
        return Part(init, goal=goal)
    if kind == "binary":
        return Part(init, kind=kind, goal=goal)
    return Part(init, low, high, kind=kind, goal=goal)


def without_goal(part: Part) -> Part:
    """The part of a problem whose reference nothing shows."""
    return Part(part.init, part.low, part.high, part.scale, part.kind)


def pixel_centres(size: int, low: float = 0.0, high: float = 1.0) -> tuple[Tensor, Tensor]:
    """Columns and rows [size, size] of the centres of pixels; the first row is at `low`."""
    across = low + (high - low) * (torch.arange(size) + 0.5) / size
    rows, columns = torch.meshgrid(across, across, indexing="ij")
    return columns.contiguous(), rows.contiguous()


def photo(rng: np.random.Generator, size: int) -> Tensor:
    """A random square of a random photo of scikit-image [3, size, size], perhaps mirrored."""
    image = _whole_photo(PHOTOS[rng.integers(len(PHOTOS))])
    side = int(rng.integers(3 * 128 // 5, 129))
    top, left = rng.integers(0, 129 - side, 2)
    square = image[None, :, top : top + side, left : left + side]
    if rng.random() < 0.5:
        square = square.flip(-1)
    return interpolate(square, (size, size), mode="bilinear", antialias=True, align_corners=False)[0].clamp(0, 1)


@lru_cache
def _whole_photo(name: str) -> Tensor:
    return load_image(name, 128)


def uniform(seeds: Tensor, *shape: int) -> Tensor:
    """Random numbers [B, *shape] in [0, 1), a stream for each seed of [B]."""
    return torch.stack([torch.rand(shape, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds])
