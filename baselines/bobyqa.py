"""BOBYQA of NLopt: quadratic models that interpolate the loss at 2n + 1 points, in a trust region, inside the bounds.

Powell 2009, "The BOBYQA algorithm for bound constrained optimization without derivatives". The model is the one whose
Hessian changes least, in the Frobenius norm, among those that interpolate.
"""

import contextlib
from collections.abc import Callable
from typing import ClassVar

import nlopt
import numpy as np

from baselines.called_back import CalledBack, Losses
from zg.errors import SettingError, check_positive
from zg.method import Range

# Largest n. Its matrices of about (2n)² numbers take 32 MB then. A render takes 7 ms at n = 200, and grows as n².
MAX_N = 1000


class BOBYQA(CalledBack):
    """Interpolated quadratic models, from random starts.

    radius: initial trust radius, scaled units; "about one tenth of the greatest expected change to a variable".
    final_radius: trust radius at which a start has converged, and the next one begins.
    Raises SettingError for more than 1000 parameters.
    """

    ranges: ClassVar = {"radius": Range(0.003, 0.5, log=True), "final_radius": Range(1e-12, 1e-4, log=True)}

    def __init__(self, radius: float = 0.1, final_radius: float = 1e-8) -> None:
        check_positive(radius=radius, final_radius=final_radius)
        self.radius, self.final_radius = radius, final_radius

    def solver(self) -> Callable[[Losses, np.ndarray], object]:
        n, final_radius = self.space.n, self.final_radius
        if n > MAX_N:
            raise SettingError(f"bobyqa is for at most {MAX_N} parameters, got {n}")
        low, high = (bound.double().cpu().numpy() for bound in (self.space.low, self.space.high))
        radius = np.minimum(self.radius, (high - low) / 4)  # interpolation points on both sides are inside the bounds

        def solve(losses: Losses, start: np.ndarray) -> None:
            optimizer = nlopt.opt(nlopt.LN_BOBYQA, n)
            optimizer.set_lower_bounds(low)
            optimizer.set_upper_bounds(high)
            optimizer.set_initial_step(radius)
            optimizer.set_xtol_abs(final_radius)
            optimizer.set_min_objective(lambda theta, _: float(losses(theta[None].copy())[0]))
            with contextlib.suppress(nlopt.RoundoffLimited):  # as good as converged
                optimizer.optimize(start)

        return solve
