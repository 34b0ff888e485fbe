"""Simulated annealing: random moves, uphill ones accepted with probability exp(−Δ/T) while T falls.

Kirkpatrick, Gelatt and Vecchi 1983, "Optimization by simulated annealing". T₀ is set so that the mean rise seen
is accepted with a given probability χ: T₀ = mean Δ⁺ / ln(1/χ) (Johnson et al. 1989), which makes it scale-free;
until enough rises are seen nothing is accepted uphill. Then T = T₀ r^p at the share p of the budget. Steps shrink
while too few moves are accepted and recover while many are, up to their initial width (after Corana et al. 1987).
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from zg.errors import SettingError, check_positive, check_whole
from zg.ledger import Evaluation
from zg.method import Method, Range
from zg.sampling import gaussian

# Rises that set the first temperature.
RISES = 20
# Share of moves accepted at which the steps stay as they are, and how fast they change otherwise.
TARGET, RATE = 0.25, 0.1


class SimulatedAnnealing(Method):
    """Parallel chains of Metropolis moves under one falling temperature.

    sigma: largest and initial width of a move, scaled units. chains: moves an iteration, one each. acceptance: χ,
    inside (0, 1). cooling: r, the last temperature relative to the first. The best θ seen is recommended.
    """

    saved = ("theta", "losses", "sigma", "rises")
    ranges: ClassVar = {
        "sigma": Range(0.01, 0.5, log=True),
        "chains": Range(1, 20, log=True, integer=True),
        "acceptance": Range(0.05, 0.9),
        "cooling": Range(1e-8, 1e-2, log=True),
    }

    def __init__(self, sigma: float = 0.1, chains: int = 4, acceptance: float = 0.5, cooling: float = 1e-4) -> None:
        check_positive(sigma=sigma, cooling=cooling)
        check_whole(chains=chains)
        if not 0 < acceptance < 1:
            raise SettingError(f"acceptance must be between 0 and 1, got {acceptance}")
        self.initial_sigma, self.chains, self.acceptance, self.cooling = sigma, chains, acceptance, cooling

    def build(self, theta: Tensor) -> None:
        self.theta = theta.expand(self.chains, -1).clone()
        self.losses = torch.full((self.chains,), math.nan, dtype=torch.float64, device=theta.device)
        self.sigma = self.initial_sigma
        self.rises: list[float] = []

    def temperature(self) -> float:
        """T at the present share of the budget; 0 until enough rises are seen."""
        if len(self.rises) < RISES:
            return 0.0
        return sum(self.rises) / RISES / -math.log(self.acceptance) * self.cooling**self.progress

    def ask(self) -> Tensor:
        offsets = gaussian(self.chains, self.space.n, self.generator, self.theta.dtype)
        if self.losses.isnan().all():
            offsets[0] = 0  # the start itself
        self.chances = torch.rand(self.chains, generator=self.generator, dtype=torch.float64, device=self.theta.device)
        return self.space.project(self.theta + self.sigma * offsets)

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        count = len(theta)
        rises = evaluation.losses - self.losses[:count]
        self.rises = (self.rises + rises[rises > 0].tolist())[:RISES]
        temperature = self.temperature()
        accepted = (rises <= 0) | (self.chances[:count] < (-rises / temperature).exp() if temperature else False)
        accepted |= evaluation.valid & self.losses[:count].isnan()
        self.theta[:count][accepted] = theta[accepted]
        self.losses[:count][accepted] = evaluation.losses[accepted]
        share = float(accepted.double().mean())
        self.sigma = min(self.initial_sigma, self.sigma * math.exp(RATE * (share - TARGET)))

    def recommend(self) -> Tensor:
        return self.space.project(self.ledger.best_theta)

    def status(self) -> dict[str, float]:
        return {"sigma": self.sigma, "temperature": self.temperature()}
