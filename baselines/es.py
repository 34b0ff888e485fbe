"""Evolution strategies: a gradient estimate from antithetic Gaussian samples, and Adam.

    g = mean_k y_k ε_k,   y_k = (f(θ + σε_k) − f(θ − σε_k)) / 2σ,   ε_k ~ N(0, I)

y_k estimates the directional derivative along ε_k (Salimans et al. 2017, "Evolution Strategies as a Scalable
Alternative to Reinforcement Learning"). The differences are divided by their root mean square, so that the step does
not depend on the scale of the loss. A surrogate method must be better than this method to be of use.
"""

from typing import ClassVar

from torch import Tensor

from baselines.descent import Descent, differences, normalised
from zg.errors import check_positive, check_whole
from zg.ledger import Evaluation
from zg.method import Range
from zg.sampling import antithetic


class ES(Descent):
    """Antithetic evolution strategies.

    sigma: width of the sampling Gaussian, scaled units. lr: Adam's learning rate, scaled units.
    pairs: antithetic pairs per iteration; each is 2 renders. More, where renders that run side by side leave room.
    """

    batch_settings = ("pairs",)
    ranges: ClassVar = {
        "sigma": Range(0.003, 3.0, log=True),
        "lr": Range(0.0003, 0.1, log=True),
        "pairs": Range(1, 50, log=True, integer=True),
    }

    def __init__(self, sigma: float = 0.05, lr: float = 0.01, pairs: int = 10) -> None:
        check_positive(sigma=sigma, lr=lr)
        check_whole(pairs=pairs)
        self.sigma, self.lr, self.pairs = sigma, lr, pairs

    def build(self, theta: Tensor) -> None:
        super().build(theta)
        self.drawn = self.problem.filled(2 * self.pairs, 2) // 2

    def ask(self) -> Tensor:
        self.offsets = antithetic(self.drawn, self.space.n, self.generator, self.theta.dtype)
        return self.theta.detach() + self.sigma * self.offsets

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        derivatives = normalised(differences(evaluation.losses, self.drawn))  # along the offsets
        if count := len(derivatives):
            self.descend(derivatives.to(self.theta.dtype) @ self.offsets[:count] / count)

    def status(self) -> dict[str, float]:
        return {"sigma": self.sigma, **super().status()}
