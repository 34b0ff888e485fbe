"""ZeroGrads: fit a surrogate h(θ, φ) to the loss around θ, and let its gradient drive θ.

After Fischer and Ritschel, "ZeroGrads: Learning Local Surrogates for Non-Differentiable Graphics" (ACM TOG 2024).
Each iteration samples the loss in a Gaussian of width σ around θ, fits h to these samples and to a window of earlier
ones (the surrogate's memory), and descends h inside the region where it can be trusted. What the published
algorithm leaves to the user is measured here: σ grows while h predicts the decrease of the loss that is then
seen, and shrinks while it does not (a trust region; Conn, Gould and Toint 2000), with the noise of the renderer,
if it has any, taken into account.
"""

import math

import torch
from torch import Tensor

from zg.errors import check_positive
from zg.method import Method
from zg.objective import Evaluation
from zg.sampling import antithetic
from zg.surrogates.neural import NeuralSurrogate

# Trust region: below POOR of the predicted decrease σ shrinks, above GOOD it grows; shrinking is the faster.
POOR, GOOD = 0.1, 0.5
SHRINK, GROW = 0.7, 1.2
# Samples count for the fit by their distance, as a Gaussian that is this many times wider than σ.
LOCALITY = 2.0


class ZeroGrads(Method):
    """A neural surrogate in local coordinates with memory, and a trust region.

    sigma: initial width of the sampling Gaussian, scaled units; measured from then on.
    pairs: antithetic pairs an iteration, by default n + 1 within [2, 10]; the centre is rendered besides.
    window: samples the surrogate remembers. k_phi, k_theta: surrogate and parameter steps an iteration.
    lr_phi, hidden, layers: the surrogate's learning rate and size.
    """

    def __init__(
        self,
        sigma: float = 0.05,
        pairs: int | None = None,
        window: int = 80,
        k_phi: int = 20,
        k_theta: int = 20,
        lr_phi: float = 3e-3,
        hidden: int = 64,
        layers: int = 2,
    ) -> None:
        super().__init__()
        check_positive(sigma=sigma, window=window, k_phi=k_phi, k_theta=k_theta, lr_phi=lr_phi)
        check_positive(hidden=hidden, layers=layers, **({} if pairs is None else {"pairs": pairs}))
        self.initial_sigma, self.pairs, self.window = sigma, pairs, window
        self.k_phi, self.k_theta, self.lr_phi = k_phi, k_theta, lr_phi
        self.hidden, self.layers = hidden, layers

    def build(self, theta: Tensor) -> None:
        n = self.space.n
        self.draws = self.pairs or min(max(n + 1, 2), 10)
        self.surrogate = NeuralSurrogate(n, self.hidden, self.layers, self.lr_phi, self.random, theta.dtype)
        self.inner_optimizers = [self.surrogate.optimizer] if self.surrogate.optimizer else []
        self.theta: Tensor
        self.previous: Tensor
        self.samples: Tensor
        self.losses: Tensor
        self.register_buffer("theta", theta)
        self.register_buffer("previous", theta.clone())
        self.register_buffer("samples", theta.expand(self.window, n).clone())
        self.register_buffer("losses", torch.full((self.window,), math.nan, dtype=torch.float64, device=theta.device))
        self.sigma = self.initial_sigma
        self.centre_loss = math.nan
        self.predicted = math.nan
        self.noise = math.nan
        self.misfit = math.nan

    # The iteration

    def ask(self) -> Tensor:
        """The centre (twice while the renderer is, or may be, noisy) and antithetic samples around it."""
        self.centres = 1 if self.noise == 0 else 2
        offsets = antithetic(self.draws, self.space.n, self.random, self.theta.dtype)
        return torch.cat([self.theta.expand(self.centres, -1), self.theta + self.sigma * offsets])

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        self.remember(theta[self.centres - 1 :], evaluation.losses[self.centres - 1 :])
        self.judge_step(evaluation.losses[: self.centres])
        if self.losses.isfinite().sum() > 1:
            self.fit()
            self.step()

    def remember(self, theta: Tensor, losses: Tensor) -> None:
        """Let the newest samples of the window replace the oldest."""
        self.samples = torch.cat([self.samples, theta])[-self.window :]
        self.losses = torch.cat([self.losses, losses])[-self.window :]

    def judge_step(self, centre: Tensor) -> None:
        """Compare the decrease that h predicted for the last step with the one that is seen; set σ by it."""
        if len(centre) > 1:
            spread = float((centre[0] - centre[-1]).abs()) / math.sqrt(2)
            self.noise = spread if math.isnan(self.noise) else math.hypot(0.9**0.5 * self.noise, 0.1**0.5 * spread)
        loss = float(centre.nanmean())
        if math.isnan(self.predicted) or math.isnan(loss):
            self.centre_loss = self.centre_loss if math.isnan(loss) else loss
            return
        decrease = self.centre_loss - loss
        if self.predicted <= self.noise or decrease > GOOD * self.predicted:  # the signal drowns: look farther
            self.sigma *= GROW
        elif decrease < POOR * self.predicted - self.noise:
            self.sigma *= SHRINK
        if decrease < -2 * self.noise:
            self.theta = self.previous.clone()
        else:
            self.centre_loss = loss

    def fit(self) -> None:
        """k_phi steps on the surrogate, over the window, near samples first."""
        self.surrogate.centre = self.theta.clone()
        self.surrogate.sigma.fill_(self.sigma)
        known = self.losses.isfinite()
        samples, losses = self.samples[known], self.losses[known]
        distance = self.surrogate.local(samples).square().mean(1).double()
        weights = (-distance / (2 * LOCALITY**2)).exp()
        self.misfit = self.surrogate.fit(samples, losses, weights, self.k_phi)

    def step(self) -> None:
        """k_theta steps down h, inside the ball that the samples fill: radius σ√n."""
        self.previous = self.theta.clone()
        radius = self.sigma * math.sqrt(self.space.n)
        theta = self.theta
        for k in range(self.k_theta):
            slope = self.surrogate.gradient(theta)
            length = 2 * radius / self.k_theta * (1 - k / self.k_theta)
            theta = theta - length * slope / slope.norm().clamp_min(torch.finfo(slope.dtype).tiny)
            move = theta - self.theta
            theta = self.theta + move * (radius / move.norm().clamp_min(radius))
        theta = self.space.project(theta)
        with torch.no_grad():
            here, there = self.surrogate(torch.stack([self.theta, theta])).tolist()
        self.predicted = here - there
        self.theta = theta

    # What it says

    def recommend(self) -> Tensor:
        """The last centre whose loss was seen; the newest step is still to be judged."""
        return self.previous

    @torch.no_grad()
    def predict(self, theta: Tensor) -> Tensor:
        return self.surrogate(theta)

    def surrogate_gradient(self, theta: Tensor) -> Tensor:
        return self.surrogate.gradient(theta)

    def finished(self) -> str | None:
        """θ ± σ and θ are the same numbers, or nearly: there is nothing left to see."""
        resolution = torch.finfo(self.theta.dtype).eps * float(self.theta.abs().max().clamp_min(1e-3))
        return "converged" if self.sigma < 4 * resolution else None

    def status(self) -> dict[str, float]:
        return {"sigma": self.sigma, "fit_error": self.misfit, "noise": self.noise}

    SCALARS = ("sigma", "centre_loss", "predicted", "noise", "misfit")

    def extra_state(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in self.SCALARS}

    def load_extra_state(self, state: dict[str, float]) -> None:
        for name in self.SCALARS:
            setattr(self, name, state[name])
