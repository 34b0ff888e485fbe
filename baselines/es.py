"""Evolution strategies: antithetic Gaussian slopes and Adam, the plain control that a surrogate must beat.

The slope of pair k along ε_k is y_k = (f(θ + σε_k) − f(θ − σε_k)) / 2σ, and the gradient estimate the mean of
y_k ε_k (Salimans et al. 2017, "Evolution Strategies as a Scalable Alternative to Reinforcement Learning").
Slopes are divided by their root mean square, so the step does not depend on the scale of the loss.
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
    pairs: antithetic pairs an iteration (2 · pairs renders).
    """

    ranges: ClassVar = {
        "sigma": Range(0.003, 3.0, log=True),
        "lr": Range(0.0003, 0.1, log=True),
        "pairs": Range(1, 50, log=True, integer=True),
    }

    def __init__(self, sigma: float = 0.05, lr: float = 0.01, pairs: int = 10) -> None:
        check_positive(sigma=sigma, lr=lr)
        check_whole(pairs=pairs)
        self.sigma, self.lr, self.pairs = sigma, lr, pairs

    def ask(self) -> Tensor:
        self.offsets = antithetic(self.pairs, self.space.n, self.generator, self.theta.dtype)
        return self.theta.detach() + self.sigma * self.offsets

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        slopes = differences(evaluation.losses, self.pairs)
        if count := len(slopes):
            self.descend(normalised(slopes).to(self.theta.dtype) @ self.offsets[:count] / count)

    def status(self) -> dict[str, float]:
        return {"sigma": self.sigma, **super().status()}
