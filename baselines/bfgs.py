"""BFGS of SciPy with finite differences, from random starts; L-BFGS-B where there are bounds, as SciPy chooses.

    H ← (I − ρ s yᵀ) H (I − ρ y sᵀ) + ρ s sᵀ,   ρ = 1 / yᵀs

H approximates the inverse Hessian; s is the step and y the change of the gradient (Nocedal and Wright 2006, "Numerical
Optimization", section 6.1). L-BFGS-B keeps the last ten pairs (s, y) instead of H, and stays inside the bounds (Byrd,
Lu, Nocedal and Zhu 1995). The n renders of a gradient are one batch.
"""

from collections.abc import Callable, Iterable
from typing import ClassVar

import numpy as np
from scipy.optimize import minimize

from baselines.called_back import CalledBack, Losses
from zg.errors import check_positive
from zg.method import Range


class BFGS(CalledBack):
    """Quasi-Newton steps with forward differences, at the defaults of SciPy.

    step: finite difference, scaled units; the default is the square root of the machine precision.
    tolerance: largest |∂f/∂θ| (loss per scaled unit) at which a start has converged, and the next one begins.
    """

    ranges: ClassVar = {"step": Range(1e-8, 0.1, log=True), "tolerance": Range(1e-12, 1e-2, log=True)}

    def __init__(self, step: float = float(np.finfo(float).eps ** 0.5), tolerance: float = 1e-5) -> None:
        check_positive(step=step, tolerance=tolerance)
        self.step, self.tolerance = step, tolerance

    def solver(self) -> Callable[[Losses, np.ndarray], object]:
        options = {"eps": self.step, "gtol": self.tolerance}
        bounds = None
        if self.space.bounded:
            bounds = np.stack([side.double().cpu().numpy() for side in (self.space.low, self.space.high)], axis=1)
            options["ftol"] = 0.0  # else a start also ends when the loss falls by less than 2e-9 of itself
        self.resolved = "BFGS" if bounds is None else "L-BFGS-B"

        def solve(losses: Losses, start: np.ndarray) -> None:
            def one(theta: np.ndarray) -> float:
                return float(losses(theta[None].copy())[0])

            def batch(_: object, thetas: Iterable[np.ndarray]) -> list[np.ndarray]:
                return list(losses(np.stack(list(thetas)))[:, None])

            minimize(one, start, bounds=bounds, options=options | {"workers": batch})

        return solve
