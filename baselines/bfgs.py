"""BFGS of SciPy with finite differences, from random starts.

    H ← (I − ρ s yᵀ) H (I − ρ y sᵀ) + ρ s sᵀ,   ρ = 1 / yᵀs

H approximates the inverse Hessian; s is the step and y the change of the gradient (Nocedal and Wright 2006, "Numerical
Optimization", section 6.1). Line searches fulfil the strong Wolfe conditions. The n renders of a gradient are one
batch. BFGS knows no bounds: θ outside them is rendered at the nearest point inside.
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

        def solve(losses: Losses, start: np.ndarray) -> None:
            def one(theta: np.ndarray) -> float:
                return float(losses(theta[None])[0])

            def batch(_: object, thetas: Iterable[np.ndarray]) -> list[np.ndarray]:
                return list(losses(np.stack(list(thetas)))[:, None])

            minimize(one, start, method="BFGS", options=options | {"workers": batch})

        return solve
