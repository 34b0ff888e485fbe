"""The neural surrogate (NP) in local coordinates, with a window of memory and a trust region.

The network never sees θ or losses as they come. It sees u = (θ − centre)/σ and losses standardised over the samples at
hand, so one learning rate suits every problem, and it does not care where θ is, how wide σ is, or what a loss is worth.
σ grows while h predicts the decrease of the loss that is then seen, and shrinks while it does not (a trust region;
Conn, Gould and Toint 2000), with the renderer's noise, if it has any, taken into account.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from zg.sampling import antithetic
from zg.zerograds.surrogates.base import Regression, Surrogate

# Trust region: below POOR of the predicted decrease σ shrinks, above GOOD it grows; shrinking is the faster.
POOR, GOOD = 0.1, 0.5
SHRINK, GROW = 0.7, 1.2
# Below this power of θ's resolution a curvature drowns in rounding, and σ starts anew: the loss is jagged.
SMALLEST = 0.25
# On a plateau, and each time σ starts anew, it is so many times what it was.
WIDER = 2.0
# Samples count for the fit by their distance, as a Gaussian that is this many times wider than σ.
LOCALITY = 2.0


class Neural(Surrogate):
    """An MLP in local coordinates: O(n) memory, 2 · pairs + 1 renders an iteration (one more if the loss is noisy).

    pairs: antithetic pairs an iteration, by default n + 1 within [2, 10]. window: samples that it remembers.
    k_phi, k_theta: steps on φ and on θ an iteration. lr, hidden, layers: the network's.
    """

    FIXED = (*Surrogate.FIXED, "network")

    def __init__(
        self,
        theta: Tensor,
        sigma: float,
        project: Callable[[Tensor], Tensor],
        generator: torch.Generator,
        pairs: int | None = None,
        window: int = 80,
        k_phi: int = 20,
        k_theta: int = 20,
        lr: float = 3e-3,
        hidden: int = 64,
        layers: int = 2,
    ) -> None:
        super().__init__(project, generator)
        self.theta, self.sigma, self.first_sigma, self.n = theta.clone(), sigma, sigma, theta.numel()
        self.pairs, self.window, self.k_phi, self.k_theta = pairs or min(max(self.n + 1, 2), 10), window, k_phi, k_theta
        self.network = LocalNetwork(self.n, hidden, layers, lr, generator, theta.dtype)
        self.accepted = self.theta
        self.samples, self.losses = theta.new_empty(0, self.n), theta.new_empty(0, dtype=torch.float64)
        self.loss = self.predicted = self.noise = self.misfit = math.nan
        self.centres, self.length = 2, 0.0

    def ask(self) -> Tensor:
        """The centre (twice while the loss is, or may be, noisy) and antithetic samples around it."""
        self.centres = 1 if self.noise == 0 else 2
        offsets = antithetic(self.pairs, self.n, self.generator, self.theta.dtype)
        return torch.cat([self.theta.expand(self.centres, -1), self.theta + self.sigma * offsets])

    def tell(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        self.samples = torch.cat([self.samples, theta[self.centres - 1 :]])[-self.window :]
        self.losses = torch.cat([self.losses, losses[self.centres - 1 :]])[-self.window :]
        self._judge(losses[: self.centres])
        if len(losses) > self.centres and (losses == losses[0]).all():
            self.sigma *= WIDER  # a plateau: nothing to learn here
            self.theta = self.accepted
            return
        if self.losses.isfinite().sum() > 1:
            self._fit()
            self._step()

    def _judge(self, centre: Tensor) -> None:
        """Compare the decrease that h predicted for the last step with the one that is seen; set σ by it."""
        if len(centre) > 1 and centre.isfinite().all():
            spread = float((centre[0] - centre[1]).abs()) / math.sqrt(2)
            self.noise = spread if math.isnan(self.noise) else math.hypot(0.9**0.5 * self.noise, 0.1**0.5 * spread)
        loss, noise = float(centre.nanmean()), 0.0 if math.isnan(self.noise) else self.noise
        if math.isnan(loss):
            self.theta, self.sigma = self.accepted, SHRINK * self.sigma
            return
        decrease = self.loss - loss
        if not math.isnan(decrease):
            drowned = noise > 0 and self.predicted <= noise
            if drowned or decrease > GOOD * self.predicted:
                self.sigma *= GROW
            elif decrease < POOR * self.predicted - noise:
                self.sigma *= SHRINK
        if self.sigma < self.resolution(SMALLEST):
            self.first_sigma *= WIDER
            self.sigma = self.first_sigma
        if decrease < -2 * noise:
            self.theta = self.accepted
        else:
            self.loss, self.accepted = loss, self.theta

    def _fit(self) -> None:
        """k_phi steps on the network over the window, near samples first."""
        self.network.stand(self.theta, self.sigma)
        known = self.losses.isfinite()
        samples, losses = self.samples[known], self.losses[known]
        distance = self.network.local(samples).square().mean(1).double()
        self.misfit = self.network.fit(samples, losses, (-distance / (2 * LOCALITY**2)).exp(), self.k_phi)

    def _step(self) -> None:
        """k_theta steps down h, inside the ball that the samples fill: radius σ√n."""
        radius = self.sigma * math.sqrt(self.n)
        theta = self.theta
        for k in range(self.k_theta):
            slope = self.gradient(theta)
            length = 2 * radius / self.k_theta * (1 - k / self.k_theta)
            move = theta - length * slope / slope.norm().clamp_min(torch.finfo(slope.dtype).tiny) - self.theta
            theta = self.theta + move * (radius / move.norm().clamp_min(radius))
        theta = self.project(theta)
        here, there = self.predict(torch.stack([self.theta, theta])).tolist()
        self.predicted, self.length = here - there, float((theta - self.theta).norm())
        self.theta = theta

    @property
    def converged(self) -> bool:
        return False

    def recommend(self) -> Tensor:
        """The last centre whose loss was seen; the newest step is still to be judged."""
        return self.accepted

    @torch.no_grad()
    def predict(self, theta: Tensor) -> Tensor:
        return self.network(theta)

    def gradient(self, theta: Tensor) -> Tensor:
        return self.network.gradient(theta)

    def status(self) -> dict[str, float]:
        return {"sigma": self.sigma, "step": self.length, "fit_error": self.misfit, "noise": self.noise}

    def state(self) -> dict[str, Any]:
        return super().state() | {"network": self.network.state_dict(), "adam": self.network.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.network.optimizer.load_state_dict(state["adam"])
        super().load_state({name: value for name, value in state.items() if name not in ("network", "adam")})


class LocalNetwork(Regression):
    """h(θ, φ) = mean + spread · MLP((θ − centre)/σ).

    n: coordinates. hidden: width of each of the `layers` hidden layers. lr: Adam's learning rate for φ.
    `stand` sets centre [n] and σ before each fit.
    """

    def __init__(
        self,
        n: int,
        hidden: int,
        layers: int,
        lr: float,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        widths = [n, *[hidden] * layers, 1]
        modules: list[nn.Module] = []
        for width_in, width_out in pairwise(widths):
            modules += [make_linear(width_in, width_out, generator, dtype), nn.SiLU()]
        self.network = nn.Sequential(*modules[:-1])
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=lr)
        self.centre: Tensor
        self.sigma: Tensor
        self.mean: Tensor
        self.spread: Tensor
        self.register_buffer("centre", torch.zeros(n, dtype=dtype, device=generator.device))
        for name, value in (("sigma", 1.0), ("mean", 0.0), ("spread", 1.0)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64, device=generator.device))

    def stand(self, centre: Tensor, sigma: float) -> None:
        """Move the origin and the unit of the local coordinates."""
        self.centre = centre
        self.sigma.fill_(sigma)

    def local(self, theta: Tensor) -> Tensor:
        """θ [..., n] -> u [..., n]."""
        return (theta - self.centre) / self.sigma.to(theta.dtype)

    def fit(self, samples: Tensor, losses: Tensor, weights: Tensor, steps: int) -> float:
        u = self.local(samples)
        weights = weights / weights.sum()
        self.mean = weights @ losses
        self.spread = (weights @ (losses - self.mean).square()).sqrt().clamp_min(torch.finfo(torch.float64).tiny)
        target = ((losses - self.mean) / self.spread).clamp(-5, 5).to(u.dtype)
        weights = weights.to(u.dtype)
        with torch.enable_grad():
            for _ in range(steps):
                misfit = weights @ (self.network(u)[:, 0] - target).square()
                self.optimizer.zero_grad()
                misfit.backward()
                self.optimizer.step()
        return float(misfit.detach().sqrt() * self.spread)

    def forward(self, theta: Tensor) -> Tensor:
        return self.mean + self.spread * self.network(self.local(theta))[:, 0]


def make_linear(width_in: int, width_out: int, generator: torch.Generator, dtype: torch.dtype) -> nn.Linear:
    """A linear layer with PyTorch's default initialisation, drawn from `generator`."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, width_in, width_out, dtype=dtype, device=generator.device)
    draw_weights(layer, generator)
    return layer


@torch.no_grad()
def draw_weights(layer: nn.Linear, generator: torch.Generator) -> None:
    """Give a linear layer the weights of PyTorch's default initialisation anew, drawn from `generator`."""
    bound = layer.in_features**-0.5
    for parameter in layer.parameters():
        parameter.uniform_(-bound, bound, generator=generator)
