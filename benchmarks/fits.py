"""Tasks of the large benchmark whose lowest loss nobody knows: pictures, a curve and digits to be fitted."""

import math

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from tasks.images import load_image
from zg.space import Block, ParameterSpace
from zg.task import Task


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
