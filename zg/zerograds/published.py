"""ZeroGrads as published: fixed σ, fixed learning rates, one batch of memory.

Fischer and Ritschel, "ZeroGrads: Learning Local Surrogates for Non-Differentiable Graphics" (ACM TOG 2024).

Each iteration draws `batch` offsets from N(0, σ²I), makes them antithetic, and renders θ − offset, smoothed by a second
draw from N(0, (inner_σ σ)²I); the pairs (unsmoothed sample, loss) are what h(θ, φ) is fitted to. θ takes `k_theta` Adam
steps down h and φ takes `k_phi` Adam steps on the misfit: in this order, as released, so θ moves before h has seen the
new samples; `order="phi_first"` swaps them. One more render, of θ itself, picks the best.

The algorithm knows no scaled units: σ and learning rates are in the user's units.
"""

import math
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from zg import sampling
from zg.errors import SettingError, check_positive, check_whole
from zg.method import Method, Range
from zg.objective import Evaluation
from zg.zerograds.surrogates.paper_surrogates import Kind, PaperSurrogate


class PaperZeroGrads(Method):
    """The published algorithm with all its options; `configs/paper` holds the settings of its experiments.

    sigma: width of the sampling Gaussian. batch: draws an iteration (twice as many renders if antithetic).
    inner_sigma: width of the smoothing kernel relative to sigma, 0 for no smoothing. lr_theta, lr_phi: Adam's
    learning rates. k_theta, k_phi, order: inner steps, and which come first. memory: whether the surrogate goes on from
    the last iteration; without it each one fits a fresh one. surrogate: neural (NP) or quadratic (QP). hidden, layers,
    frequencies, input_scale, log_space, criterion: the surrogate's (`PaperSurrogate`).
    """

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
        order: Literal["theta_first", "phi_first"] = "theta_first",
        memory: bool = True,
        surrogate: Kind = "neural",
        hidden: int = 64,
        layers: int = 3,
        frequencies: int = 0,
        input_scale: float = 1.0,
        log_space: bool = False,
        criterion: str = "mse",
    ) -> None:
        super().__init__()
        check_positive(sigma=sigma, lr_theta=lr_theta, lr_phi=lr_phi, input_scale=input_scale)
        check_whole(batch=batch, k_theta=k_theta, k_phi=k_phi, hidden=hidden, layers=layers)
        check_whole(0, frequencies=frequencies)
        if not 0 <= inner_sigma < math.inf:
            raise SettingError(f"inner_sigma must be >= 0 and finite, got {inner_sigma}")
        if order not in ("theta_first", "phi_first"):
            raise SettingError(f"order must be theta_first or phi_first, got '{order}'")
        if surrogate not in get_args(Kind):
            raise SettingError(f"surrogate must be neural or quadratic, got '{surrogate}'")
        self.sigma, self.batch, self.antithetic, self.inner_sigma = sigma, batch, antithetic, inner_sigma
        self.lr_theta, self.lr_phi, self.k_theta, self.k_phi, self.order = lr_theta, lr_phi, k_theta, k_phi, order
        self.memory, self.kind = memory, surrogate
        self.network = {"hidden": hidden, "layers": layers, "frequencies": frequencies, "input_scale": input_scale}
        self.fitting = {"log_space": log_space, "criterion": criterion, "lr": lr_phi}

    def build(self, theta: Tensor) -> None:
        settings = {"kind": self.kind, **self.network, **self.fitting, "generator": self.random}
        self.surrogate = PaperSurrogate(self.space.n, **settings)  # type: ignore[arg-type]
        self.best_theta: Tensor
        self.theta = nn.Parameter(theta * self.space.scale)
        self.register_buffer("best_theta", self.theta.detach().clone())
        self.best_loss = math.inf
        self.misfit = math.nan
        self.optimizer_theta = torch.optim.Adam([self.theta], lr=self.lr_theta)
        self.inner_optimizers = [self.optimizer_theta, self.surrogate.optimizer]

    def ask(self) -> Tensor:
        draw = sampling.antithetic if self.antithetic else sampling.gaussian
        offsets = self.sigma * draw(self.batch, self.space.n, self.random, self.theta.dtype)
        self.samples = self.theta.detach() - offsets
        rendered = self.samples
        if self.inner_sigma > 0:
            smoothing = sampling.gaussian(len(offsets), self.space.n, self.random, self.theta.dtype)
            rendered = rendered - self.inner_sigma * self.sigma * smoothing
        return torch.cat([rendered, self.theta.detach()[None]]) / self.space.scale

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        count = len(self.samples)
        losses, valid = evaluation.losses[:count], evaluation.valid[:count]
        self.keep_best(evaluation.losses[count:])
        stages = {"theta_first": (self.step_theta, self.step_phi), "phi_first": (self.step_phi, self.step_theta)}
        for stage in stages[self.order]:
            stage(self.samples[: len(losses)][valid], losses[valid])

    def keep_best(self, centre: Tensor) -> None:
        """Remember θ if its own render is the lowest yet (one is missing from a cut batch)."""
        if len(centre) and float(centre[0]) < self.best_loss:
            self.best_loss = float(centre[0])
            self.best_theta.copy_(self.theta.detach())

    def step_theta(self, samples: Tensor, losses: Tensor) -> None:
        """k_theta Adam steps down the surrogate."""
        for _ in range(self.k_theta):
            self.theta.grad = self.surrogate.gradient(self.theta)
            self.optimizer_theta.step()

    def step_phi(self, samples: Tensor, losses: Tensor) -> None:
        """k_phi Adam steps on the surrogate's misfit over this iteration's samples."""
        if len(samples):
            if not self.memory:
                self.surrogate.forget(self.random)
            self.misfit = self.surrogate.fit(samples, losses, torch.ones_like(losses), self.k_phi)

    def recommend(self) -> Tensor:
        return self.space.project(self.best_theta / self.space.scale)

    @torch.no_grad()
    def predict(self, theta: Tensor) -> Tensor:
        return self.surrogate(theta * self.space.scale)

    def surrogate_gradient(self, theta: Tensor) -> Tensor:
        return self.surrogate.gradient(theta * self.space.scale) * self.space.scale

    def status(self) -> dict[str, float]:
        return {"sigma": self.sigma / float(self.space.scale.mean()), "step": self.lr_theta, "fit_error": self.misfit}

    def extra_state(self) -> dict[str, float]:
        return {"best_loss": self.best_loss, "misfit": self.misfit}

    def load_extra_state(self, state: dict[str, float]) -> None:
        self.best_loss, self.misfit = state["best_loss"], state["misfit"]
