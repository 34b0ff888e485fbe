"""The small problems that fingerprints are taken on, beside those of `tests.problems`."""

import torch
from torch import Tensor

from tests.problems import Quadratic, Recorded, normals
from zg.space import Block, ParameterSpace
from zg.task import Task


class Switches(Recorded):
    """n binary coordinates, of which neighbours interact; optionally with noise from the seeds."""

    def __init__(self, n: int, fail: str = "", noise: float = 0.0) -> None:
        super().__init__(fail)
        self.n, self.noise = n, noise
        self.noisy = noise > 0  # type: ignore[misc]

    def build(self) -> None:
        generator = self.generator("wanted")
        start, wanted = (torch.rand(self.n, generator=generator, dtype=torch.float64) for _ in range(2))
        self.wanted = wanted.round()
        self.space = ParameterSpace(x=Block(start, kind="binary"))
        self.set_reference(torch.zeros(1, 1, self.n))

    def image(self, x: Tensor) -> Tensor:
        wrong = x - self.wanted
        return (wrong + 0.3 * wrong.roll(1, dims=1))[:, None, None, :].float()

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        images = super().render(x)
        return images + self.noise * normals(seeds[0])[:, None, None, None] if self.noisy else images


class Mixed(Recorded):
    """n coordinates, every third of them a bounded integer."""

    def __init__(self, n: int, fail: str = "") -> None:
        super().__init__(fail)
        self.n = n

    def build(self) -> None:
        counts = self.n // 3
        self.space = ParameterSpace(
            shade=Block(torch.full((self.n - counts,), 0.2), low=0.0, high=1.0),
            count=Block(torch.full((counts,), 9.0), low=1, high=12, kind="integer"),
        )
        self.wanted = torch.cat([torch.linspace(0.1, 0.9, self.n - counts), torch.arange(counts) % 12 + 1.0])
        self.set_reference(torch.zeros(1, 1, self.n))

    def image(self, x: Tensor) -> Tensor:
        return ((x - self.wanted) / self.space.scale)[:, None, None, :].float()


class Plateau(Task):
    """Flat but for a bowl of radius 1 that begins 1 away from the start."""

    def build(self) -> None:
        self.space = ParameterSpace(x=Block(torch.zeros(3)))

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        away = (x - torch.tensor([2.0, 0.0, 0.0])).square().sum(1)
        return away.clamp_max(1.0)


class Steps(Quadratic):
    """A quadratic of rounded coordinates: no slope anywhere."""

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return super().render((10 * x).round() / 10)


class Failing(Quadratic):
    """A quadratic whose renders fail in a slab."""

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return torch.where((x[:, 0] * 50).floor() % 9 == 4, torch.nan, super().render(x))


class Cut(Quadratic):
    """A quadratic whose first 40 renders all fail."""

    def build(self) -> None:
        super().build()
        self.rendered = 0

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        self.rendered += len(x)
        return super().render(x) if self.rendered > 40 else torch.full((len(x),), torch.nan)
