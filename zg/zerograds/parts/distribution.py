"""The Gaussian of CMA-ES with coordinate widths: its samples, and how its shape is learned from ranked ones.

    θ = m + σ A u,    A = D C^(1/2),    u ~ N(0, I)

Source: Akimoto and Hansen 2020, "Diagonal Acceleration for Covariance Matrix Adaptation Evolution Strategies".
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from zg.zerograds.parts.cma_rates import StrategyParameters
from zg.zerograds.parts.part import Group

#: Keeps roots and divisors above 0.
TINY = 1e-300
#: Smallest curvature that a shape is made of, over the largest one.
FLATTEST = 1e-10


@dataclass
class Distribution(Group):
    """N(m, σ² A Aᵀ), A = D C^(1/2), and the evolution paths from which it is learned."""

    #: m [n], scaled.
    mean: Tensor
    #: σ, scaled units along a coordinate whose D and diagonal of C are 1.
    sigma: float
    #: [n], width of each coordinate over σ.
    D: Tensor
    #: [n, n], a correlation matrix after each decomposition.
    C: Tensor
    #: Eigenvectors [n, n] of C, and the square roots [n] of its eigenvalues, at the last decomposition.
    axes: Tensor
    axis_widths: Tensor
    #: p_σ, p_D and p_C [n]: steps of m in units of σ, averaged over the last iterations.
    path_sigma: Tensor
    path_D: Tensor
    path_C: Tensor
    #: β ≥ 1: D is learned more slowly where C is ill-conditioned (Akimoto and Hansen 2020).
    damping_D: float = 1.0
    #: Updates since the start, and since the last decomposition.
    age: int = 0
    undecomposed: int = 0

    @classmethod
    def round(cls, mean: Tensor, sigma: float) -> "Distribution":
        """N(m, σ² I)."""
        ones, zeros, identity = torch.ones_like(mean), torch.zeros_like(mean), torch.eye(len(mean)).to(mean)
        return cls(mean.clone(), sigma, ones, identity, identity, ones, zeros, zeros, zeros)

    @classmethod
    def shaped(cls, mean: Tensor, sigma: float, H: Tensor) -> "Distribution":
        """N(m, σ² A Aᵀ) with A Aᵀ ∝ |H|⁻¹, as learned for a loss with curvature H [n, n]; det A = 1."""
        round_one = cls.round(mean, sigma)
        curvatures, axes = torch.linalg.eigh(H)
        logs = curvatures.abs().clamp_min(FLATTEST * float(curvatures.abs().max()) + TINY).log()
        round_one.C = (axes * (logs.mean() - logs).exp()) @ axes.T
        round_one.decompose()
        return round_one

    def coordinate_widths(self) -> Tensor:
        """Standard deviations over σ: the root of the diagonal of A Aᵀ [n]."""
        return self.D * self.C.diagonal().clamp_min(TINY).sqrt()

    def confine(self, least: Tensor, most: Tensor, unit: Tensor) -> None:
        """Give coordinates a width from least [n] to most [n], in scaled units.

        σ becomes the geometric mean of the widths D of the coordinates `unit` [n], flags, so that it tells of these.
        """
        widths = self.sigma * self.coordinate_widths()
        self.D = self.D * widths.clamp(least, most) / widths
        factor = float(self.D[unit].log().mean().exp())
        self.sigma *= factor
        self.D, self.path_D, self.path_C = self.D / factor, self.path_D / factor, self.path_C / factor

    def transform(self, u: Tensor) -> Tensor:
        """A u for u [B, n]."""
        return self.D * ((u @ self.axes * self.axis_widths) @ self.axes.T)

    def whiten(self, y: Tensor) -> Tensor:
        """C^(−1/2) y for y [..., n]."""
        return (y @ self.axes / self.axis_widths) @ self.axes.T

    def local(self, theta: Tensor) -> Tensor:
        """A⁻¹ (θ − m) / σ for θ [B, n]."""
        return self.whiten((theta - self.mean) / (self.sigma * self.D))

    def learn_shape(self, rates: StrategyParameters, ranked: Tensor, step: Tensor) -> None:
        """Learn D and C from samples (θ − m) / σ [λ, n], best first, and from the step [n] in the same units."""
        weights, n = rates.weights.to(self.mean), len(self.mean)
        y = ranked / self.D
        z = self.whiten(y)
        self.path_D = rates.extend(self.path_D, rates.D.path, step)
        self.path_C = rates.extend(self.path_C, rates.C.path, step)
        # A bad sample counts by its direction, not by its length (Hansen 2016).
        scale = torch.where(weights < 0, n / z.square().sum(1).clamp_min(TINY), 1.0)

        signed = rates.D.signed(weights)
        change = rates.D.rank_one * (self.whiten(self.path_D / self.D).square() - 1)
        change += rates.D.rank_mu * (signed @ (scale[:, None] * z.square() - 1))
        signed = rates.C.signed(weights)
        along = self.path_C / self.D
        self.C = (1 - rates.C.rank_one - rates.C.rank_mu * float(signed.sum())) * self.C
        self.C += rates.C.rank_one * torch.outer(along, along) + rates.C.rank_mu * (y.T * (signed * scale)) @ y
        self.D = self.D * (change / (2 * self.damping_D)).exp()
        self.undecomposed += 1
        if rates.is_decomposition_due(self.undecomposed):
            self.decompose()

    def decompose(self) -> None:
        """C = axes · widths² · axesᵀ; the diagonal of C goes over into D."""
        diagonal = self.C.diagonal().clamp_min(TINY).sqrt()
        self.D, self.C = self.D * diagonal, self.C / torch.outer(diagonal, diagonal)
        eigenvalues, self.axes = torch.linalg.eigh(0.5 * (self.C + self.C.T))
        self.axis_widths = eigenvalues.clamp_min(torch.finfo(self.C.dtype).eps).sqrt()
        self.damping_D = max(1.0, float(self.axis_widths.max() / self.axis_widths.min()) - 1)
        self.undecomposed = 0
