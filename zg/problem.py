"""What a method, or a surrogate, may know of the problem that it solves."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from zg.losses import Loss
from zg.seeding import make_generator
from zg.space import ParameterSpace

#: Renders of a run whose budget nobody set.
UNLIMITED = 10**9


@dataclass(frozen=True)
class ImageLoss:
    """The loss as a function of images, for methods whose feedback is the image.

    of_images: images [B, C, H, W] and reference -> [B], differentiable in the images where the task's loss is.
    regulariser: x [B, n] in the user's units -> [B] or a number, added to the loss.
    """

    of_images: Loss
    regulariser: Callable[[Tensor], Tensor | float]


@dataclass(frozen=True)
class Problem:
    """One object for one problem: the parameter space, and what surrounds it.

    space: the parameters. generator: the source of every random number. seed: for libraries that want a number.
    noisy: whether two renders of one θ differ, as far as is known. max_renders: the budget, for what anneals.
    parallel: how many renders run side by side. image_loss: for methods whose feedback is the image, else None.
    """

    space: ParameterSpace
    generator: torch.Generator
    seed: int = 0
    noisy: bool = False
    max_renders: int = UNLIMITED
    parallel: int = 1
    image_loss: ImageLoss | None = None

    @classmethod
    def of_space(cls, space: ParameterSpace, seed: int = 0, **known: object) -> "Problem":
        """A problem with the random stream of a method under that seed, on the device of the space."""
        return cls(space, make_generator(seed, "method", device=space.init.device), seed, **known)  # type: ignore[arg-type]

    @property
    def n(self) -> int:
        """How many parameters there are."""
        return self.space.n

    @property
    def block_sizes(self) -> list[int]:
        """Sizes of the named blocks of θ, in their order."""
        return self.space.sizes

    @cached_property
    def lattice(self) -> Tensor:
        """Scaled distance [n] between neighbouring values of an integer or binary coordinate; 0 for a real one."""
        return torch.where(self.space.discrete, 1 / self.space.scale, 0.0)

    @property
    def any_discrete(self) -> bool:
        """Whether some coordinates are integer or binary."""
        return self.space.any_discrete

    @cached_property
    def all_discrete(self) -> bool:
        """Whether all coordinates are integer or binary."""
        return bool(self.space.discrete.all())

    def project(self, theta: Tensor) -> Tensor:
        """The point inside the bounds nearest to θ [..., n] scaled."""
        return self.space.project(theta)

    def with_noise(self, noisy: bool) -> "Problem":
        """The same problem, once the noise has been measured."""
        return replace(self, noisy=noisy)
