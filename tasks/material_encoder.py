"""The material encoder: a network sees a photo of a ball and names its material in one forward pass.

    photo ─▶ encoder ─▶ parameters of the principled BSDF ─▶ zg.Layer around Mitsuba ─▶ photo of what was named
    loss = |photo of what was named − photo|²

Nobody has to know the material of a photo: the encoder learns from photos alone. Mitsuba is not differentiated.
"""

from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

import zg
from tasks.balls import Balls, material_space, undeveloped
from tasks.spline_pictures import COLUMNS, heading, row
from tasks.through_layer import ThroughLayer, perceptron
from zg.errors import check_whole
from zg.pictures import srgb
from zg.seeding import make_generator

#: How the encoder learns. `mitsuba`: by Mitsuba's own derivatives. `labels`: from the true parameters, no renders.
Gradient = Literal["surrogate", "jacobian", "sampled", "mitsuba", "labels"]
# What a photo tells of a material, and how many more paths a pixel than a render it has.
NAMED, PHOTO_SAMPLES = ("base_color", "roughness", "metallic"), 4
# Channels of the convolutions, each of which halves the picture, and the mean of a photo's values.
CHANNELS, MEAN = (16, 32, 64), 0.2
# First seeds of photos, 1,000 for each seed of a training, and of renders that are measured; its own count from 0.
SEEDS, MEASURED = {"train": 10**6, "unseen": 2 * 10**6}, 3 * 10**6


class MaterialEncoder(ThroughLayer):
    """A convolutional network that is trained on photos of balls of unknown material.

    gradient: how it learns (`Gradient`); `mitsuba` and `labels` are there to compare with.
    named: the parameters that it names, by default those of NAMED; the others are those of `tasks.brdf`. Materials are
        spread evenly over them.
    photos, unseen: number of photos to learn from, and of those that it is measured on.
    size: pixels of a side. samples: paths a pixel of a render; a photo has four times as many. variant: of Mitsuba.
    batch: photos a step. hidden: width of the last hidden layer. lr: of Adam.
    sigma, pairs, options: of the layer; None: measured.
    predicted: steps on what the surrogate predicts, without renders, after each step with renders.
    """

    def __init__(
        self,
        gradient: Gradient = "surrogate",
        named: list[str] | None = None,
        photos: int = 2000,
        unseen: int = 200,
        size: int = 24,
        samples: int = 4,
        variant: str = "auto",
        batch: int = 32,
        hidden: int = 128,
        lr: float = 2e-3,
        sigma: float | None = None,
        pairs: int | None = None,
        options: dict[str, Any] | None = None,
        predicted: int = 3,
    ) -> None:
        super().__init__(gradient, Gradient, batch, lr, predicted if gradient in ("surrogate", "jacobian") else 0)
        check_whole(photos=photos, unseen=unseen, size=size, samples=samples, hidden=hidden)
        self.gradient, self.hidden, self.space = gradient, hidden, material_space(named or NAMED)
        self.counts, self.camera = (photos, unseen), (size, samples, variant)
        self.layer_settings: dict[str, Any] = {"sigma": sigma, "pairs": pairs, "options": options}

    @property
    def names(self) -> tuple[str, str]:
        return "material_encoder", self.gradient

    def build(self) -> None:
        self.balls = Balls(*self.camera, together=self.batch)
        self.train_set, self.unseen = self._photos("train", self.counts[0]), self._photos("unseen", self.counts[1])
        self.network = Encoder(self.camera[0], self.space, self.hidden, make_generator(self.seed, "network"))
        self.adam = torch.optim.Adam(self.network.parameters(), lr=self.lr)
        self.layer = None
        if self.gradient not in ("mitsuba", "labels"):
            self.layer = self.make_layer(self.balls, estimator=self.gradient, **self.layer_settings)

    def _photos(self, name: str, count: int) -> tuple[Tensor, Tensor]:
        """Materials x [count, n] in scaled units, and their photos [count, 3, H, W]. They are data, and not counted."""
        generator = make_generator(self.seed, name)
        low, high = self.space.low, self.space.high
        x = (low + (high - low) * torch.rand(count, self.space.n, generator=generator, dtype=torch.float64)).float()
        first = SEEDS[name] + 1000 * self.seed
        return x, self.balls.photos(self._by_name(x), seed=first, samples=PHOTO_SAMPLES * self.camera[1])

    def _by_name(self, x: Tensor) -> dict[str, Tensor]:
        """Scaled x [K, n] as the renderer gets it."""
        return self.space.split(self.space.to_user(x).float())

    def descend(self, generator: torch.Generator, is_predicted: bool) -> tuple[Tensor, dict[str, float]]:
        rows = torch.randint(len(self.train_set[0]), (self.batch,), generator=generator)
        materials, photos = (part[rows] for part in self.train_set)
        x = self.network(photos)
        wanted, found = (materials, x) if self.gradient == "labels" else (photos, self._photographed(x, is_predicted))
        valid = found.detach().isfinite().flatten(1).all(1)
        error = (found - wanted)[valid].square().mean()
        return error, {"error": float(error.detach())}

    def _photographed(self, x: Tensor, is_predicted: bool) -> Tensor:
        """Photos of x [B, n] that the loss sees, with a gradient."""
        if self.layer is None:
            return self.balls.differentiable(self.space.split(self.space.to_user(x.double()).float()))
        images: Tensor = self.layer.predict(x) if is_predicted else self.layer(x)
        return images

    def measure(self) -> dict[str, float]:
        with torch.no_grad():
            return self.errors(self.network(self.unseen[1]), *self.unseen)

    def errors(self, x: Tensor, materials: Tensor, photos: Tensor) -> dict[str, float]:
        """Of materials x [K, n] that were named: the error of each parameter, relative to guessing the mean; and the
        squared error of renders.
        """
        mean = self.train_set[0].mean(0)
        errors, guessed = (self.space.split((y - materials).abs().mean(0)) for y in (x, mean))
        found = {f"{name}_error": float(errors[name].mean() / guessed[name].mean()) for name in errors}
        return {**found, "photo_error": float((self._rendered(x) - photos).square().mean())}

    def _rendered(self, x: Tensor) -> Tensor:
        """Photos of x [K, n], not counted and without a gradient."""
        return self.balls.photos(self._by_name(x), seed=MEASURED, samples=PHOTO_SAMPLES * self.camera[1])

    @torch.no_grad()
    def panel(self) -> Tensor:
        photos = self.unseen[1][:COLUMNS]
        found = self._rendered(self.network(photos))
        rows = {
            "photos, unseen": srgb(undeveloped(photos).clamp(0, 1)),
            "renders of the materials that were named": srgb(undeveloped(found).clamp(0, 1)),
            "their difference, 4 ×": 4 * (found - photos).abs(),
        }
        return torch.cat([part for name, images in rows.items() for part in (heading(name), row(images))], dim=1)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "calls": self.balls.calls}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.balls.calls = state["calls"]


class Encoder(nn.Module):
    """Photos [B, 3, H, W] -> x [B, n] in scaled units, inside the bounds. size: pixels of a side."""

    def __init__(self, size: int, space: zg.ParameterSpace, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        for width_in, width_out in pairwise((3, *CHANNELS)):
            convolution = nn.utils.skip_init(nn.Conv2d, width_in, width_out, 3, stride=2, padding=1)
            bound = (9 * width_in) ** -0.5
            for weights in convolution.parameters():
                nn.init.uniform_(weights, -bound, bound, generator=generator)
            modules += [convolution, nn.SiLU()]
            size = -(-size // 2)
        self.convolutions = nn.Sequential(*modules)
        self.head = perceptron([CHANNELS[-1] * size**2, hidden, space.n], generator)
        self.space = space

    def forward(self, photos: Tensor) -> Tensor:
        low, high = self.space.low.to(photos), self.space.high.to(photos)
        return low + (high - low) * torch.sigmoid(self.head(self.convolutions(photos - MEAN).flatten(1)))
