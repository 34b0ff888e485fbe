"""A gradient g [n] that is remembered from block to block, and corrected by k < n slopes at a time.

    g ← g + Uᵀ K (y − U g)                              y [k]: slopes along U [k, n], K [k]: gain of each
    g ← kept · (fresh |g| − min(step c, slope)) g/|g|    slope, c: slope and curvature along g/|g|

The first line is the least change of g that explains the slopes, but for noise. The second line is what a step along g
leaves of it: `fresh` is how much of |g| is still there, by the slope along g, and on the way g loses c for each unit of
length. Directions of a block are too few to tell either, so two renders lie at θ ± r g/|g|.

Half of g is forgotten each block, unless c is the mean curvature L. Where c > L, the loss is curved in few directions,
which turn while θ moves. What g holds by chance would then lead every step the same way; forgotten, chances cancel.

Cost: n numbers. Source: the correction is that of SEGA (Hanzely, Mishchenko and Richtárik 2018, "SEGA: Variance
Reduction via Gradient Sketching"). Gain and forgetting are our own (docs/surrogates/sketched_gradient.md).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from zg.zerograds.parts.part import Part
from zg.zerograds.parts.running_mean import running_mean
from zg.zerograds.parts.slopes import Probes, SlopeEstimator


@dataclass(frozen=True)
class MemorySettings:
    """One line each: meaning, unit, source; what happens at ten times the value (×10).

    "Experience": chosen on problems of docs/results. "Measured": docs/notebook has the numbers.
    """

    #: Part of g that a block keeps where c is not L. Measured on the MLP. ×10 (above 1): g explodes.
    kept: float = 0.5
    #: Largest |c / L − 1| at which c is L. Experience. ×10: nothing is forgotten, and the cap grows at once.
    isotropy: float = 0.1
    #: Blocks on end that must say so: where few directions are curved, c passes L on its way down. ×10: rarely seen.
    isotropic_blocks: int = 3
    #: Least |g|² / |∇f|² from which c says anything of ∇f. Experience. ×10: the cap grows late.
    least_share: float = 0.05
    #: Blocks over which c is averaged. Experience. ×10: c is that of a place far behind.
    averaged_blocks: int = 5
    #: Largest factor by which the slope along g lengthens it. Experience. ×10: one noisy slope makes g long.
    longest: float = 1.5


@dataclass
class GradientMemory(Part):
    """g and what is known along it. `count` is always how many blocks were told before this one."""

    settings: MemorySettings
    #: The gradient [n] at θ.
    g: Tensor
    #: |g| when it was last asked along.
    norm: float = 0.0
    #: c, running mean of the curvature along g; 0 before it was measured.
    curvature: float = 0.0
    #: Mean gain K of the last block.
    gain: float = 1.0
    #: Blocks on end in which c was L.
    isotropic: int = 0

    @property
    def is_isotropic(self) -> bool:
        """Whether c is L."""
        return self.isotropic >= self.settings.isotropic_blocks

    def is_surely_isotropic(self, slopes: SlopeEstimator, n: int) -> bool:
        """Whether the curvature along ∇f is L, too, beyond doubt.

        g is part gradient, by cos² = |g|² / |∇f|² (|∇f|² is n times the mean square of slopes), and part chance. So the
        excess of c over L, with its error, is cos² times what it is along ∇f.
        """
        if slopes.slope_square <= 0:
            return False
        cos_square = min(1.0, self.norm**2 / (n * slopes.slope_square))
        return cos_square > self.settings.least_share and self.is_isotropic

    def correct(self, probes: Probes, y: Tensor, valid: Tensor | None, slopes: SlopeEstimator, count: int) -> None:
        """Add Uᵀ K (y − U g) [n] for slopes y [k]; valid [k], or None if all are."""
        innovation = y - probes.directions.along(self.g).double()
        if valid is not None:
            innovation = torch.where(valid, innovation, 0.0)
        gains = slopes.gains(probes, innovation, valid, count)
        self.gain = float(gains.mean())
        self.g = self.g + probes.directions.combine(gains * innovation)
        self.norm = float(self.g.norm())

    def learn_curvature(self, curvature: float, mean: float, count: int) -> None:
        """Enter a curvature along g into c, and compare c with the mean curvature L."""
        self.curvature = running_mean(self.curvature or curvature, curvature, count, self.settings.averaged_blocks)
        is_mean = mean > 0 and abs(self.curvature / mean - 1) < self.settings.isotropy
        self.isotropic = self.isotropic + 1 if is_mean else 0

    def follow(self, slope: float, step: float) -> None:
        """Forget a part of g, and move it along a step against it. slope: along g/|g|."""
        kept = 1.0 if self.is_isotropic else self.settings.kept
        freshness = 1 + self.gain * (slope / self.norm - 1)
        is_g_downhill = slope <= 0
        if is_g_downhill:
            length = max(0.0, freshness) * self.norm
        else:
            length = min(self.settings.longest, freshness) * self.norm - min(step * max(self.curvature, 0.0), slope)
        self.g = kept * length / self.norm * self.g
