"""Where a surrogate of the picture is, what it was told there, and the settings of its steps."""

import math
from dataclasses import dataclass

from torch import Tensor

from zg.zerograds.parts.part import Group

START, LEARN, STEP = "start", "learn", "step"


@dataclass(frozen=True)
class StepSettings:
    """Meaning, unit and reason of each; "10 ×" says what a value ten times larger does."""

    #: First λ. 10 ×: the first steps are shorter, for pictures that are far from linear.
    first_damping: float = 0.1
    #: λ of the trials over the present λ. More rungs: fewer iterations, more renders in each.
    ladder: tuple[float, ...] = (0.1, 1.0, 10.0)
    #: Factor on λ where no trial is lower: beyond the ladder.
    retreat: float = 100.0
    #: Smallest λ: below it steps are those of Gauss and Newton.
    least_damping: float = 1e-6
    #: Largest λ: above it steps are nothing.
    most_damping: float = 1e6
    #: Newton's steps on the model for each trial, if the loss is not quadratic in the picture. They need no renders.
    inner: int = 12
    #: Cuts of such a step to a quarter while the model says that it leads uphill.
    halvings: int = 4
    #: Most single steps on the lattice after rounding, in the model.
    polish: int = 50
    #: Relative precision of these steps. 10 ×: fewer of them, and trials are not as low as the model knows.
    inner_precision: float = 1e-3
    #: Iterations of conjugate gradients. 10 ×: steps are exact also where Jᵀ H J is badly conditioned.
    iterations: int = 60
    #: Relative decrease of the loss below which an iteration leads nowhere. 10 ×: the search ends earlier.
    least_decrease: float = 1e-2
    #: Such iterations in succession after which the surrogate has converged.
    patience: int = 4
    #: a: 0 if errors of prediction are as independent from pixel to pixel as noise, 1 if all pixels share them.
    independence: float = 0.25
    #: Factor on the length of probes after a failure with a fresh J: the picture is not linear over that length.
    shrink: float = 0.5
    #: Whether what noise adds to losses, slopes and curvature is subtracted. False: for the ablation.
    corrects_noise: bool = True


@dataclass
class PlaceState(Group):
    """Where a surrogate of the picture is, and what it has asked for.

    theta: the present θ [n] scaled. picture: its predicted or measured picture [m]. picture_noise: the variance of its
    noise, loss. loss: h(θ) without the part of noise. start_loss: that of the start.
    noise: a difference [m] of two pictures of one θ, for v. damping: λ. sigma: length of probes, scaled.
    asked: the θ [B, n] to be rendered. phase: what for. fresh: whether J was measured at this θ. error: energy of the
    errors of predicted pictures over that of their changes, at the last trial.
    failures, slow: iterations without a lower loss, with hardly any. converged, failed: it has ended, or does not fit.
    """

    theta: Tensor
    asked: Tensor
    sigma: float
    damping: float
    picture: Tensor
    noise: Tensor
    picture_noise: float = 0.0
    loss: float = math.nan
    start_loss: float = math.nan
    phase: str = START
    fresh: bool = False
    error: float = 0.0
    failures: int = 0
    slow: int = 0
    converged: bool = False
    failed: bool = False


@dataclass
class Trials:
    """Told trials: offsets s [B, n], pictures and fused pictures [B, m], losses and variances of noise [B] of these.

    error: of the predictions [B], relative to the change.
    """

    offsets: Tensor
    pictures: Tensor
    fused: Tensor
    losses: Tensor
    noise: Tensor
    error: Tensor
