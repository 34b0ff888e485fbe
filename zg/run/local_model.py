"""A quadratic of the loss around the result of a run, from the renders that were kept: how sure each parameter is.

    h(θ) = f + g·u + u·H u / 2,    u = (θ − θ_end) / s

s is the root mean square of how far each parameter was changed. Along the axes of H with curvature λ the loss rises by
t at √(2 t / λ); so parameter i is known up to ± s_i √(2 t (H⁻¹)_ii), where the others may follow. t is what a change of
the loss must be to be seen: the noise of a render or, without noise, a hundredth of what the run gained.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from zg.repeats import ROUNDING
from zg.run.evidence import Evidence
from zg.zerograds.parts.quadratic_model import Terms, fit

#: Most terms of H with products: 30 parameters.
MOST_TERMS = 500
#: Renders whose loss is above the result's by up to this share of the gain are near the result.
NEAR = 0.1
#: The same, in deviations of the noise.
NEAR_NOISE = 4.0
#: Weight of the best render over that of the worst one.
BEST_WEIGHT = 3.0
#: Share of the gain that counts as a difference where there is no noise.
SEEN = 0.01
#: Distance, over that of the farthest render, beyond which a parameter counts as not determined.
FAR = 10.0
#: Deviations by which a difference must be above what the misfit makes of none.
SURE = 3.0
#: Variance of the losses that h explains when each render is left out, from which it is believed.
BELIEVED = 0.8


@dataclass(frozen=True)
class LocalModel:
    """h, and what follows from it. All [n] or [n, n] are over the parameters that were changed, `changed`.

    unit: s [n], scaled units. g, H: in u. explained: share of the variance of the losses that h explains, each render
    left out. misfit: the root mean square of what it does not explain. rows: renders that it is of. reach: the largest
    |u| among them [n]. deviation: of their losses.
    """

    changed: Tensor
    unit: Tensor
    g: Tensor
    H: Tensor
    explained: float
    misfit: float
    rows: int
    reach: Tensor
    deviation: float

    @property
    def is_believed(self) -> bool:
        """Whether h says something about renders that it was not fitted to."""
        return self.explained >= BELIEVED

    def effects(self) -> Tensor:
        """By how much each parameter alone changed the loss [n], over the distances at which it was rendered."""
        return self.g.abs() + 0.5 * self.H.diagonal().abs()

    def uncertainty(self, seen: float) -> Tensor:
        """± of each parameter [n], scaled units, at which the loss rises by `seen`; ∞ where it is not determined."""
        curvatures, axes = torch.linalg.eigh(self.H)
        # In the renders a curvature shows by λ reach² / 2, which the misfit hides up to SURE misfit / √rows.
        far = min(FAR, math.sqrt(seen * math.sqrt(self.rows) / max(SURE * self.misfit, 1e-300)))
        variance = torch.where(curvatures > 0, 2 * seen / curvatures.clamp_min(1e-300), torch.inf)
        found = (axes.square() @ variance.clamp_max((2 * FAR * float(self.reach.max())) ** 2)).sqrt()
        return torch.where(found < far * self.reach, found * self.unit, torch.inf)

    def minimum(self) -> Tensor | None:
        """u [n] of the minimum of h; None where h has none."""
        curvatures, axes = torch.linalg.eigh(self.H)
        least = 1e-6 * float(curvatures.abs().max())
        return None if float(curvatures.min()) <= least else -axes @ ((axes.T @ self.g) / curvatures)


def local_model(evidence: Evidence, gain: float, noise: float) -> LocalModel | None:
    """The quadratic around the result; None where the renders are too few, or too much alike, to tell.

    gain: by how much the run lowered the loss. noise: of a render; 0 if there is none.
    """
    is_valid = evidence.losses.isfinite()
    theta, losses = evidence.theta[is_valid].double(), evidence.losses[is_valid]
    s = theta - evidence.end.double()
    if not len(s):
        return None
    terms = Terms(int((s.abs().amax(0) > 0).sum()), MOST_TERMS)
    near = _near(losses, max(NEAR * gain, NEAR_NOISE * noise), terms)
    s, losses = s[near], losses[near]
    changed = (s.abs().amax(0) > 0).nonzero()[:, 0]
    if not len(changed):
        return None
    s = s[:, changed]
    unit = s.square().mean(0).sqrt()
    u = s / unit
    fitted = fit(Terms(len(changed), MOST_TERMS), u, losses, BEST_WEIGHT, len(losses))
    if fitted is None or not fitted.H.isfinite().all():
        return None
    residual, variance = losses - fitted.left_out, float(losses.var(correction=0))
    error = float(residual.square().mean())
    explained = 1 - error / variance if variance > 0 else 0.0
    deviation, misfit = math.sqrt(variance), math.sqrt(error)
    reach = u.abs().amax(0)
    return LocalModel(changed, unit, fitted.g, fitted.H, explained, misfit, len(losses), reach, deviation)


def _near(losses: Tensor, above: float, terms: Terms) -> Tensor:
    """The numbers of the renders that are near the result: those at most so far above the lowest loss.

    If they are fewer than the terms want, the lowest ones.
    """
    low = int((losses <= losses.min() + above).sum())
    least = math.ceil(2 * terms.renders_per_term * terms.count)
    return losses.argsort(stable=True)[: max(low, least)]


def noise_of(evidence: Evidence) -> float | None:
    """The standard deviation of the losses of one θ that was rendered several times; None where none was."""
    is_valid = evidence.losses.isfinite()
    _, group = torch.unique(evidence.theta[is_valid], dim=0, return_inverse=True)
    losses = evidence.losses[is_valid]
    if not len(losses):
        return None
    counts = torch.bincount(group)
    freedom = int((counts - 1).sum())
    if not freedom:
        return None
    mean = torch.zeros(len(counts), dtype=losses.dtype).index_add(0, group, losses) / counts
    noise = math.sqrt(float((losses - mean[group]).square().sum()) / freedom)
    return noise if noise > ROUNDING * float(losses.abs().max()) else 0.0
