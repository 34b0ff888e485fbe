"""Simulated annealing: random moves. A move that increases the loss by Δ is accepted with probability exp(−Δ/T).

    T₀ = mean Δ⁺ / ln(1/χ),   T = T₀ r^p at the fraction p of the budget

(Kirkpatrick, Gelatt and Vecchi 1983, "Optimization by simulated annealing"). With this T₀, the mean increase Δ⁺ of the
first moves has the acceptance probability χ, whatever the scale of the loss is (Johnson et al. 1989). T is 0 until
enough increases have been seen. σ of the moves decreases while fewer moves than a target fraction are accepted, and
increases again up to its initial value while more are (after Corana et al. 1987).
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from zg.errors import SettingError, check_positive, check_whole
from zg.ledger import Evaluation
from zg.method import Method, Range
from zg.sampling import gaussian

# Number of increases of the loss from which T₀ is computed.
INCREASES = 20
# Target fraction of accepted moves, and rate of the adaptation of σ.
TARGET, RATE = 0.25, 0.1


class SimulatedAnnealing(Method):
    """Parallel chains of Metropolis moves with one temperature. The best θ seen is recommended.

    sigma: initial and largest standard deviation of a move, scaled units.
    chains: number of chains; each makes one move per iteration.
    acceptance: χ, in (0, 1).
    cooling: r, the ratio of the final and the initial temperature.
    """

    saved = ("theta", "losses", "sigma", "increases")
    batch_settings = ("chains",)
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
        self.increases: list[float] = []

    def temperature(self) -> float:
        """T at the present fraction of the budget, in units of the loss; 0 until enough increases have been seen."""
        if len(self.increases) < INCREASES:
            return 0.0
        return sum(self.increases) / INCREASES / -math.log(self.acceptance) * self.cooling**self.progress

    def ask(self) -> Tensor:
        offsets = gaussian(self.chains, self.space.n, self.generator, self.theta.dtype)
        if self.losses.isnan().all():
            offsets[0] = 0  # render θ₀ itself
        self.u = torch.rand(self.chains, generator=self.generator, dtype=torch.float64, device=self.theta.device)
        return self.space.project(self.theta + self.sigma * offsets)

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        count = len(theta)
        changes = evaluation.losses - self.losses[:count]
        self.increases = (self.increases + changes[changes > 0].tolist())[:INCREASES]
        temperature = self.temperature()
        accepted = (changes <= 0) | (self.u[:count] < (-changes / temperature).exp() if temperature else False)
        accepted |= evaluation.valid & self.losses[:count].isnan()  # the first valid θ of a chain
        self.theta[:count][accepted] = theta[accepted]
        self.losses[:count][accepted] = evaluation.losses[accepted]
        fraction = float(accepted.double().mean())
        self.sigma = min(self.initial_sigma, self.sigma * math.exp(RATE * (fraction - TARGET)))

    def take_known(self, theta: Tensor, losses: Tensor) -> str:
        self.losses[0] = losses[-1]
        return "the first chain goes on from it, and does not render it again"

    def recommend(self) -> Tensor:
        return self.space.project(self.ledger.best_theta)

    def status(self) -> dict[str, float]:
        return {"sigma": self.sigma, "temperature": self.temperature()}
