"""What a method or a surrogate may know about the problem that it solves."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from zg.seeding import make_generator
from zg.space import ParameterSpace

#: The budget where none is given, as in ask-and-tell.
UNLIMITED = 10**9


@dataclass(frozen=True)
class ImageLoss:
    """The loss as a function of images, for methods whose feedback is the image.

    of_images: (images [B, C, H, W], reference [C, H, W] or None) -> [B], differentiable with respect to the images if
        the loss of the task is.
    regulariser: x [B, n] in the user's units -> [B] or a number, added to the loss.
    """

    of_images: Callable[[Tensor, Tensor | None], Tensor]
    regulariser: Callable[[Tensor], Tensor | float]


@dataclass(frozen=True)
class Problem:
    """The parameter space of a problem, with the random numbers and the budget of the run that solves it.

    space: the parameters.
    generator: the source of every random number of the method.
    seed: the seed of the run, for libraries that make a generator of their own.
    noisy: whether two renders of the same θ differ, if that is known; else False.
    max_renders: the budget, for methods with a schedule.
    parallel: number of renders that run at the same time. asynchronous: whether their results are told as they come.
    image_loss: for methods whose feedback is the image, else None.
    """

    space: ParameterSpace
    generator: torch.Generator
    seed: int = 0
    noisy: bool = False
    max_renders: int = UNLIMITED
    parallel: int = 1
    asynchronous: bool = False
    image_loss: ImageLoss | None = None

    @classmethod
    def of_space(cls, space: ParameterSpace, seed: int = 0, **known: object) -> "Problem":
        """A problem with the random stream `method` of this seed, on the device of the space. known: other fields."""
        return cls(space, make_generator(seed, "method", device=space.init.device), seed, **known)  # type: ignore[arg-type]

    @property
    def n(self) -> int:
        """Number of parameters."""
        return self.space.n

    @property
    def block_sizes(self) -> list[int]:
        """Number of coordinates of each named block of θ, in the order of the blocks."""
        return self.space.sizes

    @cached_property
    def lattice(self) -> Tensor:
        """Spacing [n] of the values of discrete coordinates, in scaled units; 0 for real coordinates.

        That of a score of a categorical parameter is 1, its whole range.
        """
        return torch.where(self.space.discrete, 1 / self.space.scale, 0.0)

    @property
    def low(self) -> Tensor:
        """Lower bounds [n] of θ; minus infinity where there are none."""
        return self.space.low

    @property
    def high(self) -> Tensor:
        """Upper bounds [n] of θ; infinity where there are none."""
        return self.space.high

    @property
    def any_discrete(self) -> bool:
        """Whether at least one coordinate is integer, binary or categorical."""
        return self.space.any_discrete

    @cached_property
    def all_discrete(self) -> bool:
        """Whether all coordinates are integer, binary or categorical."""
        return bool(self.space.discrete.all())

    def project(self, theta: Tensor) -> Tensor:
        """θ [..., n] in scaled units, clipped to the bounds."""
        return self.space.project(theta)

    def on_lattice(self, theta: Tensor) -> Tensor:
        """θ [..., n] inside the bounds, where integers and binaries are whole and the scores of choices are settled."""
        if not self.any_discrete:
            return self.project(theta)
        rounded = torch.where(self.lattice > 0, (theta / self.lattice).round() * self.lattice, theta)
        for group in self.space.groups:
            rounded[..., group] = theta[..., group]
        return self.project(self.space.settled(rounded))

    def filled(self, count: int, step: int = 1) -> int:
        """A number of renders, rounded up until no worker idles while they run: to a multiple of `parallel` and `step`.

        Asynchronously no worker idles in any case, and it stays as it is.

        >>> import zg
        >>> zg.Problem.of_space(zg.ParameterSpace(x=zg.Block(0.0)), parallel=8).filled(20)
        24
        """
        whole = math.lcm(self.parallel, step)
        return count if self.parallel == 1 or self.asynchronous else whole * math.ceil(count / whole)

    def filled_population(self, count: int) -> int:
        """`filled` for a population that is ranked, but at most twice the count.

        The ranks of more samples cost renders and save hardly any iterations, so further workers are better idle.

        >>> import zg
        >>> space = zg.ParameterSpace(x=zg.Block(0.0))
        >>> [zg.Problem.of_space(space, parallel=workers).filled_population(10) for workers in (1, 4, 8, 32)]
        [10, 12, 16, 20]
        """
        return min(self.filled(count), 2 * count) if self.parallel > 1 else count

    def with_noise(self, noisy: bool) -> "Problem":
        """The same problem, where it is known whether the renderer is noisy."""
        return replace(self, noisy=noisy)
