"""Small tasks with known answers."""

import math

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from tasks.images import load_image
from zg.space import Block, ParameterSpace
from zg.task import Task


class Quadratic(Task):
    """Σ w (x − 0.5)², from 0, with weights from 1 to `condition`."""

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
    """A quadratic whose renderer fails: raises for x₀ > `raises_above`, returns NaN for x₁ > `nan_above`."""

    def __init__(self, raises_above: float = 9e9, nan_above: float = 9e9) -> None:
        super().__init__(n=2)
        self.raises_above, self.nan_above = raises_above, nan_above

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        if (x[:, 0] > self.raises_above).any():
            raise RuntimeError("the renderer gave up")
        return torch.where(x[:, 1] > self.nan_above, torch.nan, super().render(x))


class Noisy(Quadratic):
    """A quadratic with renderer noise that depends on the seeds alone."""

    noisy = True

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return super().render(x) + (seeds[0] % 1000) * 1e-4


class Kinks(Quadratic):
    """Σ |x − 0.5|."""

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return (x - 0.5).abs().sum(1)


class Rotated(Quadratic):
    """A quadratic about axes of its own; all of it, the start too, moved by `shift`."""

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
    """A rotated quadratic in a box that its minimum is not in."""

    def build(self) -> None:
        super().build()
        self.space = ParameterSpace(x=Block(torch.full((self.n,), 0.2), low=0.0, high=0.45))


class Turned(Rotated):
    """The same with noise from the seeds: `noise` added, `loud` relative. unit: what the loss is counted in."""

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
    """Mean of squares in 1,000 coordinates, from 1, under noise of 0.1."""

    noisy = True

    def build(self) -> None:
        self.space = ParameterSpace(x=Block(torch.ones(1000)))

    def clean(self, x: Tensor) -> Tensor:
        return x.square().mean(1)

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return self.clean(x) + 0.1 * normals(seeds[0])


class Steps(Task):
    """Mean of squares of rounded coordinates, n = 200, from 1: no slope anywhere."""

    def build(self) -> None:
        self.space = ParameterSpace(x=Block(torch.ones(200)))

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return (5 * x).round().square().mean(1) / 25


class Rastrigin(Task):
    """Σ x² − 10 cos 2πx + 10: a bowl with a minimum at every whole number; 0 at 0."""

    def __init__(self, n: int = 5) -> None:
        super().__init__()
        self.n = n

    def build(self) -> None:
        start = 10 * torch.rand(self.n, generator=self.generator("start"), dtype=torch.float64) - 5
        self.space = ParameterSpace(x=Block(start))

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return (x.square() - 10 * (2 * math.pi * x).cos() + 10).sum(1)


class Layers(Task):
    """Mean of squares in blocks of 100 coordinates, from a normal start; each block bends it by a factor of its own."""

    def build(self) -> None:
        generator = self.generator("start")
        starts = {f"layer{number}": torch.randn(100, generator=generator) for number in range(4)}
        self.steep = torch.tensor([1.0, 30.0, 1000.0, 0.03], dtype=torch.float64).repeat_interleave(100)
        self.space = ParameterSpace({name: Block(start) for name, start in starts.items()})

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return (x.square() * self.steep).mean(1)


class Splats(Task):
    """100 round Gaussians added up, against a picture of 32²: places, log sizes, colours and log-odds of weights."""

    def build(self) -> None:
        count = 100
        places = torch.rand(count, 2, generator=self.generator("start"))
        self.space = ParameterSpace(
            place=Block(places),
            size=Block(torch.full((count,), math.log(0.07))),
            colour=Block(torch.full((count, 3), 0.3)),
            weight=Block(torch.zeros(count)),
        )
        across = (torch.arange(32) + 0.5) / 32
        self.pixels = torch.cartesian_prod(across, across)
        self.set_reference(load_image("astronaut", 32))

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        splats = self.space.split(x.float())
        away = (self.pixels[:, None] - splats["place"][:, None]).square().sum(-1)
        shares = splats["weight"].sigmoid()[:, None] * (-0.5 * away / (2 * splats["size"][:, None]).exp()).exp()
        return (shares @ splats["colour"]).clamp(0, 1).transpose(1, 2).unflatten(2, (32, 32))


class Autoencoder(Task):
    """100 digits of 8² through layers of 24, 6 and 24 (tanh), n = 3,478, and what comes out against what went in."""

    LAYERS = ((64, 24), (24, 6), (6, 24), (24, 64))

    def build(self) -> None:
        generator, blocks = self.generator("start"), {}
        for number, (fan_in, fan_out) in enumerate(self.LAYERS):
            blocks[f"weight{number}"] = Block(torch.randn(fan_out, fan_in, generator=generator) / math.sqrt(fan_in))
            blocks[f"bias{number}"] = Block(torch.zeros(fan_out))
        self.space = ParameterSpace(blocks)
        self.digits = torch.from_numpy(load_digits().data[:100] / 16).float()

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return self.restored(x, self.digits.expand(len(x), -1, -1))

    def restored(self, x: Tensor, digits: Tensor) -> Tensor:
        """The loss [B] on digits [B, ·, 64]."""
        parts, hidden = self.space.split(x.float()), digits
        for number in range(len(self.LAYERS)):
            hidden = torch.baddbmm(parts[f"bias{number}"][:, None], hidden, parts[f"weight{number}"].mT)
            hidden = hidden.sigmoid() if number == len(self.LAYERS) - 1 else hidden.tanh()
        return (hidden - digits).square().mean((1, 2))


class Batches(Autoencoder):
    """The autoencoder, of which each render sees ten digits of the hundred."""

    noisy = True

    def clean(self, x: Tensor) -> Tensor:
        return super().render(x)

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        generators = (torch.Generator().manual_seed(int(seed)) for seed in seeds[0])
        chosen = torch.stack([torch.randperm(len(self.digits), generator=generator)[:10] for generator in generators])
        return self.restored(x, self.digits[chosen])


class Curve(Task):
    """A curve of 64 points by a network of two layers of 12 (tanh), n = 192."""

    WIDTH = 12

    def build(self) -> None:
        width, generator = self.WIDTH, self.generator("start")

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        self.space = ParameterSpace(
            slopes=Block(2 * normal(width, 1)),
            places=Block(normal(width)),
            mixes=Block(normal(width, width) / math.sqrt(width)),
            offsets=Block(torch.zeros(width)),
            weights=Block(normal(width) / math.sqrt(width)),
        )
        self.t = torch.linspace(-1, 1, 64)
        self.curve = (6 * self.t).sin() + 0.3 * (17 * self.t).cos()

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        parts = self.space.split(x.float())
        hidden = (parts["slopes"] * self.t + parts["places"][..., None]).tanh()
        hidden = (parts["mixes"] @ hidden + parts["offsets"][..., None]).tanh()
        return ((parts["weights"][:, None] @ hidden)[:, 0] - self.curve).square().mean(1)


class Discs(Task):
    """40 opaque discs with hard edges, painted in turn, against a picture of 48²: places, sizes, colours; n = 240."""

    COUNT, SIZE = 40, 48

    def build(self) -> None:
        draws = torch.rand(self.COUNT, 5, generator=self.generator("start"))
        self.space = ParameterSpace(
            place=Block(draws[:, :2], low=0, high=1),
            size=Block(torch.full((self.COUNT,), 0.12), low=0.01, high=0.5),
            colour=Block(draws[:, 2:], low=0, high=1),
        )
        across = (torch.arange(self.SIZE) + 0.5) / self.SIZE
        self.pixels = torch.cartesian_prod(across, across)
        self.set_reference(load_image("astronaut", self.SIZE))

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        discs = self.space.split(x.float())
        image = torch.zeros(len(x), len(self.pixels), 3)
        for number in range(self.COUNT):
            away = (self.pixels - discs["place"][:, number, None]).square().sum(-1)
            inside = away < discs["size"][:, number, None].square()
            image = torch.where(inside[..., None], discs["colour"][:, number, None], image)
        return image.transpose(1, 2).unflatten(2, (self.SIZE, self.SIZE))


class Gabors(Task):
    """20 waves under Gaussians, added up, against a grey picture of 32²; n = 140."""

    COUNT, SIZE = 20, 32

    def build(self) -> None:
        draws = torch.rand(self.COUNT, 4, generator=self.generator("start"))
        self.space = ParameterSpace(
            place=Block(draws[:, :2]),
            size=Block(torch.full((self.COUNT,), math.log(0.15))),
            wave=Block(20 * (draws[:, 2:] - 0.5), scale=10),
            phase=Block(torch.zeros(self.COUNT)),
            weight=Block(torch.full((self.COUNT,), 0.1)),
        )
        across = (torch.arange(self.SIZE) + 0.5) / self.SIZE
        self.pixels = torch.cartesian_prod(across, across)
        self.set_reference(load_image("astronaut", self.SIZE).mean(0, keepdim=True))

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        parts = self.space.split(x.float())
        away = self.pixels[:, None] - parts["place"][:, None]
        bell = (-0.5 * away.square().sum(-1) / (2 * parts["size"][:, None]).exp()).exp()
        wave = ((away * parts["wave"][:, None]).sum(-1) + parts["phase"][:, None]).cos()
        return (bell * wave @ parts["weight"][..., None]).transpose(1, 2).unflatten(2, (self.SIZE, self.SIZE))


class Centres(Task):
    """Mean distance of 1,797 digits, in 4 dimensions, to the nearest of 40 centres; n = 160."""

    COUNT, DIMENSIONS = 40, 4

    def build(self) -> None:
        digits = torch.from_numpy(load_digits().data).float() / 16
        self.digits = digits @ torch.linalg.svd(digits - digits.mean(0), full_matrices=False)[2][: self.DIMENSIONS].T
        chosen = torch.randperm(len(digits), generator=self.generator("start"))[: self.COUNT]
        self.space = ParameterSpace(centre=Block(self.digits[chosen]))

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        centres = self.space.split(x.float())["centre"]
        return torch.cdist(self.digits.expand(len(x), -1, -1), centres).amin(2).mean(1)


def normals(seeds: Tensor) -> Tensor:
    """A standard normal number for each seed [B]."""
    return torch.stack([torch.randn(1, generator=torch.Generator().manual_seed(int(seed)))[0] for seed in seeds])


class Stripes(Task):
    """An image [1, 12, 16] of one bright column band, at a position found from a picture."""

    def build(self) -> None:
        self.space = ParameterSpace(position=Block(3.0, low=0.0, high=15.0), width=Block(2.0, low=1.0, high=5.0))
        self.solution = torch.tensor([9.0, 3.0], dtype=torch.float64)
        self.set_reference(self.render(self.solution[None])[0])

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        columns = torch.arange(16, dtype=x.dtype)
        bright = torch.sigmoid(2 * (x[:, 1:] - (columns - x[:, :1]).abs()))
        return bright[:, None, None, :].expand(-1, 1, 12, -1).float()


class Recorded(Task):
    """Keeps every x that was rendered, in order, and can be made to fail.

    fail: "nan" or "raise" for each render with `fails(x)`; weight: multiplies the loss.
    """

    def __init__(self, fail: str = "", weight: float = 1.0) -> None:
        super().__init__()
        self.fail, self.weight = fail, weight
        self.seen: list[Tensor] = []

    def image(self, x: Tensor) -> Tensor:
        """x [B, n] -> [B, C, H, W]."""
        raise NotImplementedError

    def fails(self, x: Tensor) -> Tensor:
        """Which of x [B, n] fail [B]: an arbitrary but fixed seventh of them."""
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
        """Every x [·, n] so far."""
        return torch.cat(self.seen)


class Sphere(Recorded):
    """Six mixed coordinates: three real and bounded, an integer, two binary. One pixel for each."""

    def build(self) -> None:
        self.space = ParameterSpace(
            position=Block([1.6, 1.2, -0.6], low=-1, high=2),
            count=Block(10, low=2, high=12, kind="integer"),
            switch=Block([0.6, 0.4], kind="binary"),
        )
        self.solution = torch.tensor([0.3, 0.1, 0.2, 5.0, 0.0, 1.0], dtype=torch.float64)
        self.set_reference(torch.zeros(1, 1, 6))

    def image(self, x: Tensor) -> Tensor:
        return ((x - self.solution) / self.space.scale)[:, None, None, :].float()

    def violations(self) -> int:
        """How many rendered values were outside the bounds, or not integral where they have to be."""
        x = self.rendered()
        outside = (x < self.space.low_user) | (x > self.space.high_user)
        return int(outside.sum() + (x[:, 3:] != x[:, 3:].round()).sum())


class HighSphere(Recorded):
    """Mean of squares in n coordinates from a random start."""

    def __init__(self, n: int = 100) -> None:
        super().__init__()
        self.n = n

    def build(self) -> None:
        start = torch.rand(self.n, generator=self.generator("start"), dtype=torch.float64)
        self.space = ParameterSpace(x=Block(start - 0.5))
        self.set_reference(torch.zeros(1, 1, self.n, dtype=torch.float64))

    def image(self, x: Tensor) -> Tensor:
        return x[:, None, None, :]
