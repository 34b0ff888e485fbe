"""The spline autoencoder: a network sees a digit, names the strokes, and a renderer without derivatives draws them.

    digit ─▶ encoder ─▶ z ~ N(μ, s²) ─▶ decoder ─▶ control points, widths, greys ─▶ zg.Layer ─▶ image
    loss = |image − digit|² + kl · KL(N(μ, s²) ‖ N(0, 1))

After the example on the project page of Fischer and Ritschel 2024; the autoencoder is that of Kingma and Welling 2014.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

import zg
from tasks.digits import Digits
from tasks.renderers.strokes import SoftStrokes, Strokes, stroke_space
from tasks.spline_pictures import CELL, COLUMNS, autoencoder_panel
from tasks.through_layer import ThroughLayer, perceptron
from zg.errors import check_positive, check_whole
from zg.layer.draws import Kind
from zg.seeding import make_generator

#: How the decoder gets its gradient. `soft`: by autograd, through edges with a slope. `plain`: of pixels, no strokes.
Gradient = Literal["surrogate", "sampled", "spsa", "soft", "plain"]
# Bounds of log s, so that it stays in the range of single precision, and its value at the start.
LEAST_LOG, MOST_LOG, FIRST_LOG = -6.0, 2.0, -2.0


class SplineVAE(ThroughLayer):
    """A variational autoencoder whose decoder emits strokes.

    It starts as a plain autoencoder: s is small, and the weight of the divergence rises over the first half of the
    budget. With an s of 1 at the start, estimated gradients carry too little of μ, and the code stays unused.

    gradient: how the decoder learns (`Gradient`); `soft` and `plain` are there to compare with.
    images, labels: files of MNIST; without them scikit-learn's digits.
    strokes: in an image. latent: size of z. hidden: width of the two hidden layers of encoder and decoder.
    batch: digits a step. lr: of Adam. kl: weight of the divergence, relative to the squared error of an image.
    samples: of a side of a pixel; more are finer, and slower. slope: of the edges of `soft`.
    sigma, pairs, options: of the layer; None: measured.
    predicted: steps on what the surrogate predicts, without renders, after each step with renders.
    """

    def __init__(
        self,
        gradient: Gradient = "surrogate",
        images: str | None = None,
        labels: str | None = None,
        strokes: int = 3,
        latent: int = 8,
        hidden: int = 128,
        batch: int = 16,
        lr: float = 2e-3,
        kl: float = 0.05,
        samples: int = 2,
        slope: float = 0.06,
        sigma: float | None = None,
        pairs: int | None = None,
        options: dict[str, Any] | None = None,
        predicted: int = 3,
    ) -> None:
        super().__init__(gradient, Gradient, batch, lr, predicted if gradient == "surrogate" else 0)
        check_whole(strokes=strokes, latent=latent, hidden=hidden, samples=samples)
        check_positive(kl=kl, slope=slope)
        self.gradient, self.kl, self.widths = gradient, kl, (latent, hidden)
        self.digits, self.space = Digits(images, labels), stroke_space(strokes)
        self.strokes = Strokes(self.digits.size, samples)
        self.soft = SoftStrokes(self.digits.size, samples, slope)
        self.layer_settings: Mapping[str, Any] = {"sigma": sigma, "pairs": pairs, "options": options}

    @property
    def names(self) -> tuple[str, str]:
        return "spline_vae", self.gradient

    def build(self) -> None:
        space = None if self.gradient == "plain" else self.space
        self.network = Autoencoder(self.digits.size, space, *self.widths, make_generator(self.seed, "network"))
        self.adam = torch.optim.Adam(self.network.parameters(), lr=self.lr)
        self.layer = None if self.gradient in ("soft", "plain") else self._layer()

    def _layer(self) -> zg.Layer:
        settings = {**self.layer_settings, "estimator": "sampled"}
        if self.gradient == "surrogate":
            settings["estimator"] = "surrogate"
        elif self.gradient == "spsa":
            draws: Kind = "spsa"
            settings |= {"draws": draws, "pairs": 1}
        return self.make_layer(self.strokes, **settings)

    def draw(self, z: Tensor) -> Tensor:
        """z [B, latent] -> images [B, 1, H, W], with hard edges, not counted and without a gradient."""
        with torch.no_grad():
            return self.drawn(z, self.strokes)

    def drawn(self, z: Tensor, strokes: Strokes) -> Tensor:
        """z [B, latent] -> images [B, 1, H, W] by these strokes, or the pixels of a decoder without strokes."""
        if self.gradient == "plain":
            return torch.sigmoid(self.network.decoder(z)).unflatten(1, (1, self.digits.size, self.digits.size))
        return strokes(**self.space.split(self.space.to_user(self.network.decode(z)).float()))

    def _render(self, z: Tensor, is_predicted: bool) -> Tensor:
        """The images that the loss sees, with a gradient."""
        if self.layer is None:
            return self.drawn(z, self.soft)
        x = self.network.decode(z)
        images: Tensor = self.layer.predict(x) if is_predicted else self.layer(x)
        return images

    def descend(self, generator: torch.Generator, is_predicted: bool) -> tuple[Tensor, dict[str, float]]:
        rows = torch.randint(len(self.digits.train), (self.batch,), generator=generator)
        digits = self.digits.train[rows]
        mean, log_width = self.network.encode(digits)
        z = mean + log_width.exp() * torch.randn(mean.shape, generator=generator)
        images = self._render(z, is_predicted)
        valid = images.detach().isfinite().flatten(1).all(1)
        divergence = (0.5 * (mean**2 + (2 * log_width).exp() - 1) - log_width).sum(1).mean()
        error = (images - digits)[valid].square().sum((1, 2, 3)).mean()
        numbers = {"error": float(error.detach()) / self.digits.size**2, "divergence": float(divergence.detach())}
        return error + self.kl * min(1.0, 2 * self.progress) * divergence, numbers

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Of held-out digits: squared error a pixel; share that a classifier reads, and of the digits themselves."""
        digits, labels = self.digits.held_out, self.digits.held_out_labels
        images = self.draw(self.network.encode(digits)[0])
        return {
            "reconstruction": float((images - digits).square().mean()),
            "readable": self.digits.readable(images, labels),
            "readable_digits": self.digits.readable(digits, labels),
        }

    @torch.no_grad()
    def panel(self) -> Tensor:
        digits = self.digits.one_of_each(COLUMNS)
        z = self.network.encode(digits)[0]
        return autoencoder_panel(digits, z, self.draw, lambda z: self.drawn(z, Strokes(CELL)))


class Autoencoder(nn.Module):
    """Encoder and decoder. size: pixels of a side. space: of what the decoder emits; None for pixels."""

    def __init__(
        self, size: int, space: zg.ParameterSpace | None, latent: int, hidden: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        outputs = size**2 if space is None else space.n
        self.latent, self.space = latent, space
        self.encoder = perceptron([size**2, hidden, hidden, 2 * latent], generator)
        self.decoder = perceptron([latent, hidden, hidden, outputs], generator)

    def encode(self, digits: Tensor) -> tuple[Tensor, Tensor]:
        """Digits [B, 1, H, W] -> μ and log s [B, latent]."""
        mean, log_width = self.encoder(digits.flatten(1)).chunk(2, dim=1)
        return mean, (log_width + FIRST_LOG).clamp(LEAST_LOG, MOST_LOG)

    def decode(self, z: Tensor) -> Tensor:
        """z [B, latent] -> x [B, n] in scaled units, inside the bounds; zero weights give the start of the space."""
        assert self.space is not None
        low, high, init = (part.to(z) for part in (self.space.low, self.space.high, self.space.init))
        return low + (high - low) * torch.sigmoid(torch.logit((init - low) / (high - low)) + self.decoder(z))
