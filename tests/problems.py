"""Small tasks with known solutions."""

import math

import torch
from torch import Tensor

from zg.space import Block, ParameterSpace
from zg.task import Task


class Quadratic(Task):
    """Σ w (x − 0.5)², with weights w from 1 to `condition`. The initial x is 0."""

    def __init__(self, n: int = 4, condition: float = 1.0) -> None:
        super().__init__()
        self.n, self.condition = n, condition

    def build(self) -> None:
        self.space = ParameterSpace(x=Block(torch.zeros(self.n)))
        self.weights = torch.logspace(0, 1, self.n, base=self.condition, dtype=torch.float64)
        self.solution = torch.full((self.n,), 0.5, dtype=torch.float64)

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return ((x - 0.5).square() * self.weights).sum(1)

    def true_gradient(self, x: Tensor) -> Tensor:
        return 2 * self.weights * (x - 0.5)


class Troubled(Quadratic):
    """A quadratic with failed renders: it raises if x₀ > `raises_above`, and is NaN if x₁ > `nan_above`."""

    def __init__(self, raises_above: float = 9e9, nan_above: float = 9e9) -> None:
        super().__init__(n=2)
        self.raises_above, self.nan_above = raises_above, nan_above

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        if (x[:, 0] > self.raises_above).any():
            raise RuntimeError("the renderer gave up")
        return torch.where(x[:, 1] > self.nan_above, torch.nan, super().render(x))


class Noisy(Quadratic):
    """A quadratic with noise that depends on the seeds only."""

    noisy = True

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return super().render(x) + (seeds[0] % 1000) * 1e-4


class Kinks(Quadratic):
    """Σ |x − 0.5|."""

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return (x - 0.5).abs().sum(1)


class Rotated(Quadratic):
    """A quadratic with rotated axes. `shift` is added to the initial x and to the minimum."""

    def __init__(self, n: int = 100, condition: float = 1e4, shift: float = 0.0) -> None:
        super().__init__(n, condition)
        self.shift = shift

    def build(self) -> None:
        super().build()
        draw = torch.randn(self.n, self.n, generator=self.generator("rotation"), dtype=torch.float64)
        self.rotation = torch.linalg.qr(draw)[0]
        self.space.init += self.shift

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return ((x - self.shift - 0.5) @ self.rotation).square() @ self.weights / self.n


class Cornered(Rotated):
    """A rotated quadratic with bounds that exclude its minimum."""

    def build(self) -> None:
        super().build()
        self.space = ParameterSpace(x=Block(torch.full((self.n,), 0.2), low=0.0, high=torch.tensor(0.45)))


class Turned(Rotated):
    """A rotated quadratic with additive `noise` and multiplicative `loud`, from the seeds. unit: factor of the loss."""

    noisy = True

    def __init__(
        self, n: int = 12, noise: float = 0.0, loud: float = 0.0, shift: float = 0.0, unit: float = 1.0
    ) -> None:
        super().__init__(n, 30.0, shift)
        self.noise, self.loud, self.unit = noise, loud, unit

    def clean(self, x: Tensor) -> Tensor:
        return self.unit * super().render(x)

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        normal = normals(seeds[0])
        return self.clean(x) * (1 + self.loud * normal) + self.unit * self.noise * normal


class NoisySphere(Task):
    """Mean of squares of 1000 coordinates, with noise of standard deviation 0.1. The initial x is 1."""

    noisy = True

    def build(self) -> None:
        self.space = ParameterSpace(x=Block(torch.ones(1000)))

    def clean(self, x: Tensor) -> Tensor:
        return x.square().mean(1)

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return self.clean(x) + 0.1 * normals(seeds[0])


class Steps(Task):
    """Mean of squares of 200 rounded coordinates: the gradient is 0 where it exists. The initial x is 1."""

    def build(self) -> None:
        self.space = ParameterSpace(x=Block(torch.ones(200)))

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return (5 * x).round().square().mean(1) / 25


class Rastrigin(Task):
    """Σ x² − 10 cos 2πx + 10, with local minima near the integers. The minimum is 0 at x = 0."""

    def __init__(self, n: int = 5) -> None:
        super().__init__()
        self.n = n

    def build(self) -> None:
        start = 10 * torch.rand(self.n, generator=self.generator("start"), dtype=torch.float64) - 5
        self.space = ParameterSpace(x=Block(start))

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return (x.square() - 10 * (2 * math.pi * x).cos() + 10).sum(1)


class Layers(Task):
    """Mean of weighted squares, with one weight for each block of 100 coordinates. The initial x is normal."""

    def build(self) -> None:
        generator = self.generator("start")
        starts = {f"layer{number}": torch.randn(100, generator=generator) for number in range(4)}
        self.steep = torch.tensor([1.0, 30.0, 1000.0, 0.03], dtype=torch.float64).repeat_interleave(100)
        self.space = ParameterSpace({name: Block(start) for name, start in starts.items()})

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return (x.square() * self.steep).mean(1)


def normals(seeds: Tensor) -> Tensor:
    """One standard normal number for each seed [B] -> [B]."""
    return torch.stack([torch.randn(1, generator=torch.Generator().manual_seed(int(seed)))[0] for seed in seeds])


class Stripes(Task):
    """An image [1, 12, 16] of a bright vertical band. Its position and width are the parameters."""

    def build(self) -> None:
        self.space = ParameterSpace(position=Block(3.0, low=0.0, high=15.0), width=Block(2.0, low=1.0, high=5.0))
        self.solution = torch.tensor([9.0, 3.0], dtype=torch.float64)
        self.set_reference(self.render(self.solution[None])[0])

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        columns = torch.arange(16, dtype=x.dtype)
        bright = torch.sigmoid(2 * (x[:, 1:] - (columns - x[:, :1]).abs()))
        return bright[:, None, None, :].expand(-1, 1, 12, -1).float()


class Recorded(Task):
    """Keeps every x that was rendered, in order.

    fail: "nan" or "raise" makes each render with `fails(x)` fail in this way. weight: factor of the loss.
    """

    def __init__(self, fail: str = "", weight: float = 1.0) -> None:
        super().__init__()
        self.fail, self.weight = fail, weight
        self.seen: list[Tensor] = []

    def image(self, x: Tensor) -> Tensor:
        """x [B, n] -> [B, C, H, W]."""
        raise NotImplementedError

    def fails(self, x: Tensor) -> Tensor:
        """Which of x [B, n] fail [B]: one seventh of all x, depending on x only."""
        return (x.sum(1) * 1e4).floor() % 7 == 3

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        failed = self.fails(x) if self.fail else torch.zeros(len(x), dtype=torch.bool)
        if self.fail == "raise" and failed.any():
            raise RuntimeError("the renderer gave up")
        self.seen.append(x.clone())
        return torch.where(failed[:, None, None, None], torch.nan, self.image(x))

    def loss(self, images: Tensor, reference: Tensor | None) -> Tensor:
        return self.weight * super().loss(images, reference)

    def rendered(self) -> Tensor:
        """Every x [number of renders, n] so far."""
        return torch.cat(self.seen)


class Sphere(Recorded):
    """Three real coordinates with bounds, an integer and two binary ones. The image has one pixel for each."""

    def build(self) -> None:
        self.space = ParameterSpace(
            position=Block(torch.tensor([1.6, 1.2, -0.6]), low=-1, high=2),
            count=Block(10, low=2, high=12, kind="integer"),
            switch=Block(torch.tensor([0.6, 0.4]), kind="binary"),
        )
        self.solution = torch.tensor([0.3, 0.1, 0.2, 5.0, 0.0, 1.0], dtype=torch.float64)
        self.set_reference(torch.zeros(1, 1, 6))

    def image(self, x: Tensor) -> Tensor:
        return ((x - self.solution) / self.space.scale)[:, None, None, :].float()

    def violations(self) -> int:
        """Number of rendered values that are outside the bounds, or that should be integers and are not."""
        x = self.rendered()
        outside = (x < self.space.low_user) | (x > self.space.high_user)
        return int(outside.sum() + (x[:, 3:] != x[:, 3:].round()).sum())


class HighSphere(Recorded):
    """Mean of squares of n coordinates. The initial x is random."""

    def __init__(self, n: int = 100) -> None:
        super().__init__()
        self.n = n

    def build(self) -> None:
        start = torch.rand(self.n, generator=self.generator("start"), dtype=torch.float64)
        self.space = ParameterSpace(x=Block(start - 0.5))
        self.set_reference(torch.zeros(1, 1, self.n, dtype=torch.float64))

    def image(self, x: Tensor) -> Tensor:
        return x[:, None, None, :]
