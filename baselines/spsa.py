"""SPSA: all coordinates at once, two renders an iteration, with gains that shrink.

    ĝ = (f(θ + c_k Δ) − f(θ − c_k Δ)) / 2c_k · Δ,  Δ_j = ±1        θ ← θ − a_k ĝ
    a_k = a / (A + k + 1)^0.602                                   c_k = c / (k + 1)^0.101

Spall 1998, "Implementation of the Simultaneous Perturbation Algorithm for Stochastic Optimization" (IEEE TAES
34(3)), with its rules: A is a tenth of the iterations expected; a makes the first steps as long as wished, given
how large ĝ is at the start (so the scale of the loss drops out); an update that would leap is cut short.
"""

from typing import ClassVar

import torch
from torch import Tensor

from baselines.descent import differences
from zg.errors import check_positive, check_whole
from zg.ledger import Evaluation
from zg.method import Method, Range

ALPHA, GAMMA = 0.602, 0.101
# No coordinate moves farther in an update than in this many first steps.
LEAP = 5.0


class SPSA(Method):
    """Simultaneous perturbation stochastic approximation.

    c: first perturbation of each coordinate, scaled units. step: length of the first steps, scaled units (of the whole
    vector, so more where there are more parameters).
    pairs: gradient estimates averaged an iteration (2 renders each). calibration: those that set the gain a.
    """

    saved = ("theta", "gain", "k")
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
        self.gain = 0.0  # a; zero until a slope was seen
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
        slopes = differences(evaluation.losses, len(self.deltas)) / (2 * self.gains()[1])
        if (slopes != 0).any():
            self.update(slopes)
        self.k += 1

    def update(self, slopes: Tensor) -> None:
        """Follow the slopes [pairs] along `deltas`; the first ones set the gain."""
        n = self.space.n
        if not self.gain:
            length = float(slopes[slopes != 0].abs().mean()) * n**0.5  # of one ĝ, whose entries are all ± its slope
            self.gain = self.step * (self.stability + self.k + 1) ** ALPHA / length
        gradient = slopes.to(self.theta) @ self.deltas[: len(slopes)] / len(slopes)
        leap = LEAP * self.step / n**0.5
        self.theta = self.space.project(self.theta - (self.gains()[0] * gradient).clamp(-leap, leap))

    def recommend(self) -> Tensor:
        return self.theta

    def status(self) -> dict[str, float]:
        step, sigma = self.gains()
        return {"sigma": sigma, "gain": step}
