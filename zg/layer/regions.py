"""A region of x in which the picture is taken to be linear, and the settings of such regions.

J [n, D] is learned from half differences of pairs, by recursive least squares with one covariance P [n, n] for all
pixels, as in the dense surrogate of the picture (`zg.zerograds.pictures.dense`); Kalman 1960:

    ΔI = s J + e,   G = P sᵀ (s P sᵀ + 1)⁻¹,   J ← J + G (ΔI − s J),   P ← P − G s P

s is in units of the usual step, and the variance of e is 1 for each row: only its relation to P matters.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zg.errors import SettingError, check_positive, check_whole
from zg.layer.replay import BYTES
from zg.memory import check_memory

#: By default the most regions.
REGIONS = 256
# First variance of a slope, over that of an error: where nothing is known, and for slopes of another region.
UNKNOWN, INHERITED = 100.0, 1.0


@dataclass(frozen=True)
class JacobianSettings:
    """How the regions are learned. "×" says what a larger value costs."""

    #: Most regions; None: 256, or those that 256 MB hold. ×: memory, and pairs until all have learned.
    regions: int | None = None
    #: Part of |ΔI|² that is not predicted, from which a row is the anchor of a new region. ×: bias, for fewer regions.
    new: float = 0.1
    #: Pairs for each coordinate after which a region has learned. ×: bias, for regions are fewer.
    learned: float = 2.0
    #: Weight of the correction where β = 1; 1: unbiased, 0: g alone, without noise.
    correction: float = 1.0

    def __post_init__(self) -> None:
        check_positive(new=self.new, learned=self.learned)
        if self.regions is not None:
            check_whole(regions=self.regions)
        if not 0 <= self.correction <= 1:
            raise SettingError(f"correction must be in 0 … 1, got {self.correction}")

    def most(self, n: int, pixels: int) -> int:
        """The most regions. Raises SettingError for more than the available memory."""
        bytes_each = 4 * (pixels + n) * (n + 1)
        most = self.regions or max(1, min(REGIONS, BYTES // bytes_each))
        check_memory(float(most * bytes_each), regions=most)
        return most


@dataclass
class Region:
    """anchor a [n], image I [D] at it, slopes J [n, D], covariance P [n, n]; number of pairs; the step that used it."""

    anchor: Tensor
    image: Tensor
    slopes: Tensor
    covariance: Tensor
    pairs: int = 0
    used: int = 0

    @classmethod
    def first(cls, anchor: Tensor, image: Tensor) -> "Region":
        """A region at anchor [n], of which only the image [D] is known."""
        slopes = image.new_zeros(len(anchor), len(image))
        return cls(anchor, image, slopes, UNKNOWN * torch.eye(len(anchor), device=anchor.device))

    def child(self, anchor: Tensor, image: Tensor, used: int) -> "Region":
        """A region at anchor [n] that starts with these slopes."""
        covariance = INHERITED * torch.eye(len(anchor), device=anchor.device)
        return Region(anchor.clone(), image.clone(), self.slopes.clone(), covariance, used=used)

    def predict(self, x: Tensor) -> Tensor:
        """g(x) [..., D] of x [..., n]."""
        return self.image.to(x) + (x - self.anchor.to(x)) @ self.slopes.to(x)

    def learn(self, x: Tensor, steps: Tensor, errors: Tensor, middle: Tensor, unit: float) -> None:
        """From pairs around x [k, n]: steps [k, n], errors ΔI − s J [k, D] and middles [k, D]. unit: the usual step."""
        s = steps / unit
        of_steps = self.covariance @ s.T
        gains = torch.linalg.solve(s @ of_steps + torch.eye(len(s), device=s.device), of_steps.T).T
        self.slopes = self.slopes + gains @ errors / unit
        self.covariance = self.covariance - gains @ of_steps.T
        self.covariance = 0.5 * (self.covariance + self.covariance.T)
        self.pairs += len(x)
        self.image = self.image + (middle - self.predict(x)).sum(0) / (1 + self.pairs)

    def to(self, device: torch.device) -> "Region":
        """The region on a device."""
        moved = {name: value.to(device) for name, value in self.state().items() if isinstance(value, Tensor)}
        return Region(**{**self.state(), **moved})

    def state(self) -> dict[str, Any]:
        """Tensors, none of which changes later, and numbers."""
        return dict(vars(self))
