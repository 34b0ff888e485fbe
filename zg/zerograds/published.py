"""ZeroGrads as published: fixed σ, fixed learning rates, one batch of memory.

Fischer and Ritschel, "ZeroGrads: Learning Local Surrogates for Non-Differentiable Graphics" (ACM TOG 2024).

    x_j = θ − σ ε_j                           a sample, ε_j from N(0, I), each ε_j also negated
    y_j = loss of x_j − inner_σ σ ε'_j        its loss, smoothed by ε'_j from N(0, I)
    φ:  Adam on the mean of (h(x_j, φ) − y_j)², `k_phi` steps an iteration
    θ:  Adam on h(θ, φ), `k_theta` steps an iteration

θ steps before φ, as released: θ moves before h has seen the new samples. `order="phi_first"` swaps them. One more
render an iteration, of θ itself, decides which θ is recommended.

The algorithm knows no scaled units: σ, learning rates and input_scale are in the user's units, those of the logarithm
where a parameter has one. Cost: 2 · batch + 1 renders an iteration; memory of the surrogate (`paper_surrogates`).
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from zg import sampling
from zg.errors import SettingError, check_positive, check_whole
from zg.ledger import Evaluation
from zg.memory import check_memory
from zg.method import THETA_BYTES, Method, Range
from zg.zerograds.surrogates.paper_surrogates import Kind, PaperSurrogate, PaperSurrogateSettings

Order = Literal["theta_first", "phi_first"]


@dataclass(frozen=True)
class _Settings:
    """Settings of `PaperZeroGrads` that are not those of its surrogate; explained there."""

    sigma: float
    batch: int
    antithetic: bool
    inner_sigma: float
    lr_theta: float
    k_theta: int
    k_phi: int
    theta_first: bool
    memory: bool
    single: bool


class PaperZeroGrads(Method):
    """The published algorithm with all its options; `configs/paper` holds the settings of its experiments.

    "10 ×" says what a value ten times larger does. By default sigma, learning rates and k_phi are those of the
    published toy and Rosenbrock experiments, batch is that of the toy, k_theta that of Rosenbrock.

    sigma: width of the sampling Gaussian. 10 ×: h is smooth, and its minimum may be far from that of the loss.
    batch: draws an iteration, each rendered twice if antithetic. 10 ×: better gradients, fewer iterations.
    antithetic: whether each draw is also negated.
    inner_sigma: width of the smoothing kernel over sigma, 0 for none. 10 ×: h is fitted to a loss blurred as wide as σ.
    lr_theta: Adam's learning rate for θ, about the length of a step a coordinate. 10 ×: θ moves before h has followed.
    lr_phi: Adam's learning rate for φ. 10 ×: h follows each batch, also its noise.
    k_theta: steps on θ an iteration. 10 ×: as a larger lr_theta, on a better path.
    k_phi: steps on φ an iteration. 10 ×: h fits the batch more exactly, for ten times the seconds.
    order: which of θ and φ steps first.
    memory: whether φ goes on from the last iteration; without memory each iteration fits other, fresh weights.
    surrogate: neural (NP) or quadratic (QP).
    hidden: width of each hidden layer of NP. 10 ×: a hundred times the weights.
    layers: hidden layers of NP. 10 ×: gradients hardly reach the first layer.
    frequencies: of NP's positional encoding, 0 for none. 10 ×: sin and cos of 2ᵏ θ are noise for all but the first k.
    input_scale: what θ is divided by before h sees θ. 10 ×: h starts flatter and learns slopes more slowly.
    log_space: whether h is fitted to log(loss + 1), for losses of very different size; losses must be above −1.
    criterion: the misfit of h, mse, l1, huber or scale_independent.
    single: whether θ and its samples are in single precision, as released; else as the task's parameters are.
    """

    saved = ("theta", "best_theta", "best_loss", "fit_error", "surrogate", "adam_theta", "adam_phi")
    ranges: ClassVar = {
        "sigma": Range(0.01, 1.0, log=True),
        "lr_theta": Range(1e-5, 0.1, log=True),
        "lr_phi": Range(1e-4, 0.01, log=True),
    }

    def __init__(
        self,
        sigma: float = 0.33,
        batch: int = 10,
        antithetic: bool = True,
        inner_sigma: float = 0.1,
        lr_theta: float = 5e-4,
        lr_phi: float = 1e-3,
        k_theta: int = 1,
        k_phi: int = 3,
        order: Order = "theta_first",
        memory: bool = True,
        surrogate: Kind = "neural",
        hidden: int = 64,
        layers: int = 3,
        frequencies: int = 0,
        input_scale: float = 1.0,
        log_space: bool = False,
        criterion: str = "mse",
        single: bool = False,
    ) -> None:
        check_positive(sigma=sigma, lr_theta=lr_theta, lr_phi=lr_phi, input_scale=input_scale)
        check_whole(batch=batch, k_theta=k_theta, k_phi=k_phi, hidden=hidden, layers=layers)
        check_whole(0, frequencies=frequencies)
        check_memory(THETA_BYTES * batch, batch=batch)
        check_memory(8.0 * layers * hidden**2, hidden=hidden, layers=layers)
        if not 0 <= inner_sigma < math.inf:
            raise SettingError(f"inner_sigma must be >= 0 and finite, got {inner_sigma}")
        if order not in get_args(Order):
            raise SettingError(f"order must be theta_first or phi_first, got '{order}'")
        if surrogate not in get_args(Kind):
            raise SettingError(f"surrogate must be neural or quadratic, got '{surrogate}'")
        self.settings = _Settings(
            sigma, batch, antithetic, inner_sigma, lr_theta, k_theta, k_phi, order == "theta_first", memory, single
        )
        self.model = PaperSurrogateSettings(
            surrogate, hidden, layers, frequencies, input_scale, log_space, criterion, lr_phi
        )

    def build(self, theta: Tensor) -> None:
        self.surrogate = PaperSurrogate(self.space.n, self.model, self.generator)
        start = theta * self.space.scale
        self.theta = (start.float() if self.settings.single else start).requires_grad_()
        self.best_theta = self.theta.detach().clone()
        self.best_loss = math.inf
        self.fit_error = math.nan
        self.adam_theta = torch.optim.Adam([self.theta], lr=self.settings.lr_theta, fused=True)
        self.adam_phi = self.surrogate.optimizer

    def ask(self) -> Tensor:
        """The smoothed samples, then θ itself: [batch + 1 or 2 · batch + 1, n] scaled."""
        draw = sampling.antithetic if self.settings.antithetic else sampling.gaussian
        offsets = self.settings.sigma * draw(self.settings.batch, self.space.n, self.generator, self.theta.dtype)
        self.samples = self.theta.detach() - offsets
        rendered = self.samples
        if self.settings.inner_sigma > 0:
            smoothing = sampling.gaussian(len(offsets), self.space.n, self.generator, self.theta.dtype)
            rendered = rendered - self.settings.inner_sigma * self.settings.sigma * smoothing
        return torch.cat([rendered, self.theta.detach()[None]]) / self.space.scale

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        count = len(self.samples)
        losses, valid = evaluation.losses[:count], evaluation.valid[:count]
        samples, losses = self.samples[: len(losses)][valid], losses[valid]
        self._keep_best(evaluation.losses[count:])
        if self.settings.theta_first:
            self._step_theta()
            self._step_phi(samples, losses)
        else:
            self._step_phi(samples, losses)
            self._step_theta()

    def _keep_best(self, centre: Tensor) -> None:
        """Remember θ if the loss [1] of θ itself is the lowest yet; a cut batch has none, [0]."""
        is_best = len(centre) > 0 and float(centre[0]) < self.best_loss
        if is_best:
            self.best_loss = float(centre[0])
            self.best_theta = self.theta.detach().clone()

    def _step_theta(self) -> None:
        """k_theta steps of Adam down h."""
        for _ in range(self.settings.k_theta):
            self.theta.grad = self.surrogate.gradient(self.theta)
            self.adam_theta.step()

    def _step_phi(self, samples: Tensor, losses: Tensor) -> None:
        """k_phi steps of Adam on the misfit of h over this iteration's samples [B, n] and their losses [B]."""
        if len(samples):
            if not self.settings.memory:
                self.surrogate.forget(self.generator)
            self.fit_error = self.surrogate.fit(samples, losses, torch.ones_like(losses), self.settings.k_phi)

    def recommend(self) -> Tensor:
        """The θ whose own render had the lowest loss."""
        return self.space.project(self.best_theta / self.space.scale)

    def last(self) -> Tensor:
        """θ after the last step: the result of the released code, which keeps the best θ beside it."""
        return self.space.project(self.theta.detach() / self.space.scale)

    @torch.no_grad()
    def predict(self, theta: Tensor) -> Tensor:
        predicted: Tensor = self.surrogate(theta * self.space.scale)
        return predicted

    def surrogate_gradient(self, theta: Tensor) -> Tensor:
        return self.surrogate.gradient(theta * self.space.scale) * self.space.scale

    def status(self) -> dict[str, float]:
        sigma = self.settings.sigma / float(self.space.scale.mean())  # in scaled units, as every method tells it
        return {"sigma": sigma, "step": self.settings.lr_theta, "fit_error": self.fit_error}
