"""SPSA: all coordinates are perturbed at the same time, with two renders per gradient estimate.

    g = (f(θ + c_k Δ) − f(θ − c_k Δ)) / 2c_k · Δ,  Δ_j = ±1        θ ← θ − a_k g
    a_k = a / (A + k + 1)^0.602                                   c_k = c / (k + 1)^0.101

Spall 1998, "Implementation of the Simultaneous Perturbation Algorithm for Stochastic Optimization" (IEEE TAES 34(3)),
with the rules given there. A is one tenth of the expected number of iterations. a is chosen so that the first steps
have a given length; it is computed from the first estimates g, so that the scale of the loss has no effect. The length
of each update is limited.
"""

from typing import ClassVar

import torch
from torch import Tensor

from baselines.descent import differences
from zg.errors import check_positive, check_whole
from zg.ledger import Evaluation
from zg.method import Method, Range

# Exponents of a_k and c_k.
ALPHA, GAMMA = 0.602, 0.101
# Largest move of a coordinate in one update, in units of its move in the first step.
MAX_STEPS = 5.0


class SPSA(Method):
    """Simultaneous perturbation stochastic approximation.

    c: initial perturbation of each coordinate, scaled units.
    step: Euclidean length of the first steps of θ, scaled units.
    pairs: gradient estimates per iteration, which are averaged; each is 2 renders.
    calibration: gradient estimates in the first iteration, from which the gain a is computed.
    """

    saved = ("theta", "gain", "k")
    batch_settings = ("pairs", "calibration")
    ranges: ClassVar = {
        "c": Range(0.003, 0.3, log=True),
        "step": Range(0.003, 30.0, log=True),
        "pairs": Range(1, 20, log=True, integer=True),
    }

    def __init__(self, c: float = 0.05, step: float = 0.05, pairs: int = 1, calibration: int = 5) -> None:
        check_positive(c=c, step=step)
        check_whole(pairs=pairs, calibration=calibration)
        self.c, self.step, self.pairs, self.calibration = c, step, pairs, calibration

    def build(self, theta: Tensor) -> None:
        self.theta = theta
        self.stability = 0.1 * self.problem.max_renders / (2 * self.pairs)  # A
        self.gain = 0.0  # a; 0 until a gradient estimate was not zero
        self.k = 0

    def gains(self) -> tuple[float, float]:
        """a_k and c_k."""
        return self.gain / (self.stability + self.k + 1) ** ALPHA, self.c / (self.k + 1) ** GAMMA

    def ask(self) -> Tensor:
        pairs = self.pairs if self.gain else self.calibration
        signs = torch.randint(2, (pairs, self.space.n), generator=self.generator, device=self.theta.device)
        self.deltas = (2 * signs - 1).to(self.theta)
        return self.theta + self.gains()[1] * torch.cat([self.deltas, -self.deltas])

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        derivatives = differences(evaluation.losses, len(self.deltas)) / (2 * self.gains()[1])
        if (derivatives != 0).any():
            self.update(derivatives)
        self.k += 1

    def update(self, derivatives: Tensor) -> None:
        """One step, from the directional derivatives [pairs] along `deltas`. The first call computes the gain a."""
        n = self.space.n
        if not self.gain:
            length = float(derivatives[derivatives != 0].abs().mean()) * n**0.5  # mean length of g, as |Δ| = √n
            self.gain = self.step * (self.stability + self.k + 1) ** ALPHA / length
        gradient = derivatives.to(self.theta) @ self.deltas[: len(derivatives)] / len(derivatives)
        most = MAX_STEPS * self.step / n**0.5
        self.theta = self.space.project(self.theta - (self.gains()[0] * gradient).clamp(-most, most))

    def recommend(self) -> Tensor:
        return self.theta

    def status(self) -> dict[str, float]:
        step, sigma = self.gains()
        return {"sigma": sigma, "gain": step}
