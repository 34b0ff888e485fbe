"""Small tasks whose pictures are known functions of their parameters."""

import torch
from torch import Tensor

from zg.losses import Loss
from zg.seeding import make_generator
from zg.space import Block, ParameterSpace
from zg.task import Task


class Mixed(Task):
    """Pictures [V, 1, 10, 16] = matrix @ x, each of `noise`; parameters of one `kind`, on or off or real in [0, 1].

    reach: pixels that a parameter moves; 0 for all. views: V, without an axis of views if that is 1.
    """

    def __init__(
        self, n: int, reach: int, kind: str = "real", noise: float = 0.0, views: int = 1, loss: str | Loss = "mse"
    ) -> None:
        super().__init__(loss)
        self.n, self.reach, self.kind, self.level, self.views = n, reach, kind, noise, views
        self.noisy = noise > 0

    def build(self) -> None:
        generator, pixels = torch.Generator().manual_seed(7), self.views * 160
        self.matrix = torch.zeros(pixels, self.n, dtype=torch.float64)
        for k in range(self.n):
            moved = torch.randperm(pixels, generator=generator)[: self.reach or pixels]
            self.matrix[moved, k] = torch.rand(len(moved), generator=generator, dtype=torch.float64) + 0.2
        if not self.reach:
            self.matrix -= 0.7  # so that columns differ
        start = 0.3 + 0.4 * torch.rand(self.n, generator=self.generator("start"), dtype=torch.float64)
        hidden = torch.rand(self.n, generator=generator, dtype=torch.float64)
        self.solution = hidden.round() if self.kind == "binary" else (8 * hidden).round() if self.counts else hidden
        self.space = ParameterSpace(x=self.block(start))
        self.set_reference(self.clean(self.solution[None])[0])

    @property
    def counts(self) -> bool:
        return self.kind == "integer"

    def block(self, start: Tensor) -> Block:
        if self.kind == "binary":
            return Block(start, kind="binary", scale=3.0)
        return Block((8 * start).round(), low=0, high=8, kind="integer") if self.counts else Block(start, low=0, high=1)

    def clean(self, x: Tensor) -> Tensor:
        shape = (1, 10, 16) if self.views == 1 else (self.views, 1, 10, 16)
        return (x.double() @ self.matrix.T).reshape(len(x), *shape).float()

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        images = self.clean(x)
        for image, seed in zip(images, seeds[0] if seeds else (), strict=False):
            image += self.level * torch.randn(image.shape, generator=make_generator(int(seed), "noise"))
        return images


class Waves(Mixed):
    """Each parameter is the height of a wave of its own across the whole picture."""

    def __init__(self, n: int) -> None:
        super().__init__(n, 1)

    def build(self) -> None:
        super().build()
        phase = 4 * torch.rand(self.n, generator=self.generator("waves"), dtype=torch.float64)
        self.matrix = (torch.linspace(0, 3, 160, dtype=torch.float64)[:, None] + phase).sin()
        self.set_reference(self.clean(self.solution[None])[0])


class Bent(Mixed):
    """The same of x + bend x², so that the picture is not linear."""

    def __init__(self, n: int, reach: int = 0, bend: float = 1.0, noise: float = 0.0) -> None:
        super().__init__(n, reach, noise=noise)
        self.bend = bend

    def clean(self, x: Tensor) -> Tensor:
        return super().clean(x + self.bend * x.square())


class Sparkling(Mixed):
    """Pixels that change in ways that no slope predicts."""

    def clean(self, x: Tensor) -> Tensor:
        return (1e4 * super().clean(x)).sin()
