"""DFO-LS: the picture as a linear function of θ that interpolates n + 1 renders, and steps of Gauss and Newton on it.

    r_p = (½ H_pp)^½ (I_p − reference_p),   r(θ + s) ≈ r(θ) + J s,   min_s |r + J s|² in a trust region and the bounds

Cartis, Fiala, Marteau and Roberts 2019, "Improving the flexibility and robustness of model-based derivative-free
optimization solvers", by the authors' package. It is told the residuals r of every pixel, whose squares sum to the
loss; H is the second derivative of the loss in the image. The package's licence is the GPL: it is an extra of its own.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import ClassVar

import dfols
import numpy as np
import torch
from torch import Tensor

from baselines.called_back import HUGE, CalledBack, Conversation, Losses
from baselines.library import NumpyRandom, Replayed
from zg.errors import SettingError, check_positive
from zg.ledger import Evaluation
from zg.memory import check_memory
from zg.method import Range
from zg.zerograds.pictures.bowl import PictureLoss

# Largest n, chosen and not measured. An iteration factorises J [m, n]; n + 1 renders come before the first step.
MAX_N = 200
# Copies of J and of the pictures that the package keeps at a time, in double precision.
COPIES = 4
# Renders of one start: beyond every budget. The package counts its iterations in a list of this length.
MOST_RENDERS = 100_000
# Relative difference up to which squares sum to the loss: rounding in single precision.
ALIKE = 1e-3


class DFOLS(CalledBack):
    """Interpolated linear models of the picture, from random starts.

    radius: initial trust radius, scaled units; at most half of the narrowest bounds. final_radius: trust radius at
    which a start has converged, and the next one begins. A failed render is told as the worst picture so far. A
    checkpoint holds the residuals of every render, 4 bytes each.
    Raises SettingError for more than 200 parameters, and for a loss that is not a weighted sum of squares of the
    pixels' errors (mse and relative_mse are): other losses, a regulariser, or no reference.
    """

    feedback = "image"
    ranges: ClassVar = {"radius": Range(0.003, 0.5, log=True), "final_radius": Range(1e-12, 1e-4, log=True)}

    def __init__(self, radius: float = 0.1, final_radius: float = 1e-8) -> None:
        check_positive(radius=radius, final_radius=final_radius)
        if final_radius >= radius:
            raise SettingError(f"final_radius must be below radius = {radius}, got {final_radius}")
        self.radius, self.final_radius = radius, final_radius

    def solver(self) -> Callable[[Losses, np.ndarray], object]:
        n = self.space.n
        if n > MAX_N:
            raise SettingError(f"dfols is for at most {MAX_N} parameters, got {n}")
        low, high = (bound.double().cpu().numpy() for bound in (self.space.low, self.space.high))
        radius = min(self.radius, float((high - low).min()) / 2)
        final_radius = min(self.final_radius, radius / 2)
        bounds = (np.maximum(low, -1e20), np.minimum(high, 1e20))  # which is without bounds there
        settings = {"model.abs_tol": np.finfo(float).tiny}  # a loss of any unit is followed down to 0
        noisy = self.problem.noisy

        def solve(residuals: Losses, start: np.ndarray) -> None:
            dfols.solve(
                lambda theta: residuals(theta[None].copy())[0],
                start,
                bounds=bounds,
                rhobeg=radius,
                rhoend=final_radius,
                maxfun=MOST_RENDERS,
                objfun_has_noise=noisy,
                user_params=settings,
                do_logging=False,
            )

        return solve

    @contextlib.contextmanager
    def inside(self, random: NumpyRandom | None = None) -> Iterator[None]:
        """A context for each call of the package, which draws from NumPy's global generator."""
        with Replayed.inside(self, random):
            yield

    def make(self, theta: np.ndarray) -> Conversation:
        #: (½ H)^½ [m] and the reference it is of, and the residuals [m] of the highest loss so far.
        self.weights: tuple[Tensor, Tensor] | None = None
        self.worst_residuals: np.ndarray | None = None
        return super().make(theta)

    def heard(self, evaluation: Evaluation) -> Tensor:
        """Residuals [B, m], NaN where the render failed. Raises SettingError unless their squares sum to the loss."""
        images, reference, loss = evaluation.images, evaluation.reference, self.problem.image_loss
        if images is None or reference is None or loss is None:
            raise SettingError("dfols needs a reference image, whose errors it is told; bobyqa is told losses")
        pictures, valid = images.flatten(1), evaluation.valid
        errors = pictures - reference.reshape(-1).to(pictures)
        if self.weights is None or not torch.equal(self.weights[1], reference):
            check_memory(8 * COPIES * (self.space.n + 1) * pictures.shape[1], pixels=pictures.shape[1])
            self.weights = root_of_curvature(PictureLoss(loss, reference, self.space)), reference
        residuals = torch.where(valid[:, None], self.weights[0] * errors, torch.nan)
        squares = residuals[valid].square().sum(1, dtype=torch.float64)
        if not torch.allclose(squares, evaluation.losses[valid].to(squares), rtol=ALIKE, atol=0.0):
            raise not_squares()
        return residuals

    def tell_library(self, losses: np.ndarray) -> None:
        """Tell the package residuals [B, m]."""
        residuals = losses.astype(float)
        if len(residuals) < len(self.library.asked):
            return  # the budget is spent
        if np.isnan(residuals).any():
            failed = np.full(residuals.shape[1:], HUGE**0.5) if self.worst_residuals is None else self.worst_residuals
            residuals = failed[None]
        elif self.worst_residuals is None or (residuals**2).sum() > (self.worst_residuals**2).sum():
            self.worst_residuals = residuals[0]
        self.library.tell(residuals)


def not_squares() -> SettingError:
    """What dfols cannot be told."""
    wanted = "a sum of squares of the pixels' errors, without regulariser, such as mse or relative_mse"
    return SettingError(f"loss must be {wanted}, for dfols; bobyqa takes any loss")


def root_of_curvature(loss: PictureLoss) -> Tensor:
    """(½ H)^½ [m] of the loss at the reference. Raises SettingError if H does not exist or is not diagonal.

    A sum of squares has the same H everywhere; at the reference it does not depend on what was rendered before, so a
    resumed run finds the same bits.
    """
    if not loss.is_differentiable(loss.space.init):
        raise not_squares()
    diagonal = loss.bowl(loss.reference.reshape(-1).float()).diagonal
    if diagonal is None:
        raise not_squares()
    return (0.5 * diagonal).sqrt()
