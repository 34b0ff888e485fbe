"""Evolution strategies: antithetic Gaussian slopes and Adam, the plain control that a surrogate must beat.

The slope of pair k along ε_k is y_k = (f(θ + σε_k) − f(θ − σε_k)) / 2σ, and the gradient estimate the mean of
y_k ε_k (Salimans et al. 2017, "Evolution Strategies as a Scalable Alternative to Reinforcement Learning").
Slopes are divided by their root mean square, so the step does not depend on the scale of the loss.
"""

import torch
from torch import Tensor, nn

from zg.errors import check_positive
from zg.method import Method
from zg.objective import Evaluation
from zg.sampling import antithetic


class ES(Method):
    """Antithetic evolution strategies.

    sigma: width of the sampling Gaussian, scaled units. lr: Adam's learning rate, scaled units.
    pairs: antithetic pairs an iteration (2 · pairs renders).
    """

    def __init__(self, sigma: float = 0.05, lr: float = 0.01, pairs: int = 10) -> None:
        super().__init__()
        check_positive(sigma=sigma, lr=lr, pairs=pairs)
        self.sigma, self.lr, self.pairs = sigma, lr, pairs

    def build(self, theta: Tensor) -> None:
        self.theta = nn.Parameter(theta)
        self.inner_optimizers = [torch.optim.Adam([self.theta], lr=self.lr)]

    def ask(self) -> Tensor:
        self.offsets = antithetic(self.pairs, self.space.n, self.random, self.theta.dtype)
        return self.theta.detach() + self.sigma * self.offsets

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        pairs = len(theta) - self.pairs  # of a cut batch, the pairs that are whole
        if pairs <= 0:
            return
        up, down = evaluation.losses[:pairs], evaluation.losses[self.pairs :]
        slopes = torch.where(up.isfinite() & down.isfinite(), up - down, 0.0) / 2
        slopes = slopes / slopes.square().mean().sqrt().clamp_min(torch.finfo(slopes.dtype).tiny)
        self.theta.grad = slopes.to(self.theta.dtype) @ self.offsets[:pairs] / pairs
        self.inner_optimizers[0].step()
        self.theta.data = self.space.project(self.theta.data)

    def recommend(self) -> Tensor:
        return self.theta.detach()

    def status(self) -> dict[str, float]:
        return {"sigma": self.sigma, "step": self.lr}
