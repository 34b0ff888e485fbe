"""The ranked surrogate: a bowl whose shape is learned from the order of losses, for jagged ones and for counts.

    h(θ) = f + b |A⁻¹ (θ − m)|² / (2 σ²)

Samples are drawn from N(m, σ² A Aᵀ). The better half of them, by rank alone, moves m, shapes A and sets σ: the
covariance matrix adaptation of Hansen ("The CMA Evolution Strategy: A Tutorial", 2016), whose C = A Aᵀ is the inverse
curvature of this bowl. Three things are added. Coordinates that the renderer rounds keep a width that reaches the next
count (Marty et al. 2024 do likewise), and some renders try another count at the best θ. A run that has
come to rest is begun anew from the best θ, wider and with more samples (Auger and Hansen 2005): what is left of the
budget looks farther. With noise the samples double instead, for the order of few is luck.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from zg.sampling import gaussian
from zg.surrogates.base import LocalSurrogate


class RankedSurrogate(LocalSurrogate):
    """m [n], σ and C [n, n]: O(n²) memory, `population` renders an iteration, a quarter more with counts.

    population: at first, by default 4 + ⌊3 ln n⌋; at least 4.
    lattice: [n], scaled distance between neighbouring counts, 0 for real coordinates. noisy: whether two renders of the
    same θ differ; then m is what it recommends, else the best θ seen.
    """

    REACH = 0.3  # least width of sampling in counts: a count that m stands on is left by every tenth sample
    SCOUTED = 4  # samples for each render that tries another count
    DRAWS = 8  # for each of those, to find a count that was not tried
    WIDER, WIDEST = 3.0, 27.0  # σ of each new beginning / σ of the last; / first σ
    STILL = 1e-3  # relative decrease of the loss, over PATIENCE, below which it has come to rest
    SMALL = 0.1  # share of its first width, below which stillness is rest and not a valley's bend
    LONGER, NOISY = 6, 2  # times PATIENCE that may be still above it: over ripples σ stays wide, and the best is luck
    PLATEAU = 2.0  # σ times so much where all samples look the same

    def __init__(
        self,
        theta: Tensor,
        sigma: float,
        project: Callable[[Tensor], Tensor],
        generator: torch.Generator,
        lattice: Tensor | None = None,
        noisy: bool = False,
        population: int | None = None,
    ) -> None:
        super().__init__(project, generator)
        self.n, self.noisy = theta.numel(), noisy
        self.lattice = torch.zeros_like(theta) if lattice is None else lattice
        self.floor = self.REACH * self.lattice
        self.scouted: list[int] = []
        self.tried: list[list[int]] = []  # [coordinate, count] that were tried at the best θ
        self.theta, self.lowest = theta.clone(), math.inf
        self.first = self.began = sigma
        self.f = self.bend = math.nan
        self._begin(theta, sigma, max(4, population or 4 + int(3 * math.log(self.n))))

    def _begin(self, mean: Tensor, sigma: float, population: int) -> None:
        """Stand at `mean` with a round Gaussian."""
        self.mean, self.sigma, self.began = mean.clone(), sigma, sigma
        self.C = torch.eye(self.n).to(mean)
        self.axes, self.widths, self.stretch = self.C, torch.ones_like(mean), torch.ones_like(mean)
        self.path_sigma, self.path_c = torch.zeros_like(mean), torch.zeros_like(mean)
        self.age, self.decomposed, self.population = 0, 0, population
        self.record: list[float] = []

    @property
    def patience(self) -> int:
        """Iterations without a decrease that mean rest."""
        return 10 + 30 * self.n // self.population

    def ask(self) -> Tensor:
        """Samples [population, n]; where rounding would hide them, wider."""
        width = self.sigma * self.C.diagonal().sqrt()
        self.stretch = (self.floor / width).clamp_min(1.0)
        u = gaussian(self.population, self.n, self.generator, self.mean.dtype)
        samples = self.project(self.mean + self.sigma * self.stretch * ((u * self.widths) @ self.axes.T))
        if math.isinf(self.lowest):
            samples[0] = self.theta  # the start, so that nothing worse is recommended
        return torch.cat([samples, self._scouts()])

    def _scouts(self) -> Tensor:
        """[k, n]: the best θ with another count each, as often the next as any within its bounds; none twice."""
        counts = self.lattice.nonzero()[:, 0]
        wanted = 0 if self.noisy or not len(counts) else -(-self.population // self.SCOUTED)
        low, high = (self.project(torch.full_like(self.theta, edge)) for edge in (-math.inf, math.inf))
        draws = torch.rand(self.DRAWS * wanted, 4, generator=self.generator, dtype=low.dtype, device=low.device)
        known = {(int(k), self._count(self.theta, k)) for k in counts} | {(k, count) for k, count in self.tried}
        self.scouted = []
        scouts: list[Tensor] = []
        for which, near, up, share in draws.tolist():
            k, scout = int(counts[int(which * len(counts))]), self.theta.clone()
            span = float(high[k] - low[k])
            if near < 0.5 or not math.isfinite(span):
                scout[k] += self.lattice[k] * (1 if up < 0.5 else -1)
            else:
                scout[k] = low[k] + share * span
            scout = self.project(scout)
            found = (k, self._count(scout, k))
            if found not in known and len(scouts) < wanted:
                known.add(found)
                scouts.append(scout)
                self.scouted.append(k)
        return torch.stack(scouts) if scouts else self.theta.new_empty(0, self.n)

    def _count(self, theta: Tensor, k: int | Tensor) -> int:
        """The count that the renderer is given for coordinate k of θ [n]."""
        return round(float(theta[k] / self.lattice[k]))

    def tell(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        losses = torch.where(valid, losses, math.inf)
        if not losses.isfinite().any():
            self.sigma /= self.PLATEAU
            return
        best = int(losses.argmin())
        if float(losses[best]) < self.lowest:
            self.lowest, self.theta, self.tried = float(losses[best]), theta[best].clone(), []
        else:
            scouts = zip(self.scouted, theta[self.population :], strict=False)
            self.tried += [[k, self._count(scout, k)] for k, scout in scouts]
        if len(losses) < self.population:
            return  # a cut batch is the last one
        found = best >= self.population and bool((theta[best] == self.theta).all())  # by a scout
        theta, losses = theta[: self.population], losses[: self.population]
        if (losses == losses[0]).all():
            self.sigma *= self.PLATEAU
        else:
            self._adapt(theta, losses)
            self._calibrate(theta, losses)
        if found:
            changed = self.scouted[best - self.population]
            self.mean[changed] = self.theta[changed]
        self._rest(float(losses.median()) if self.noisy else float(losses.min()))

    def _adapt(self, theta: Tensor, losses: Tensor) -> None:
        """Hansen's updates of m, σ and C, with his constants for this n and population."""
        n, half = self.n, self.population // 2
        weights = math.log((self.population + 1) / 2) - torch.arange(1, half + 1).to(self.mean).log()
        weights = weights / weights.sum()
        mass = float(1 / weights.square().sum())
        rate_sigma = (mass + 2) / (n + mass + 5)
        damping = 1 + 2 * max(0.0, math.sqrt((mass - 1) / (n + 1)) - 1) + rate_sigma
        rate_path = (4 + mass / n) / (n + 4 + 2 * mass / n)
        rate_one = 2 / ((n + 1.3) ** 2 + mass)
        rate_many = min(1 - rate_one, 2 * (mass - 2 + 1 / mass) / ((n + 2) ** 2 + mass))
        expected = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n))

        better = (theta[losses.argsort()[:half]] - self.mean) / (self.sigma * self.stretch)
        step = weights @ better
        self.age += 1
        self.mean = self.project(self.mean + self.sigma * self.stretch * step)
        white = self.axes @ ((step @ self.axes) / self.widths)
        self.path_sigma = (1 - rate_sigma) * self.path_sigma + math.sqrt(rate_sigma * (2 - rate_sigma) * mass) * white
        length = float(self.path_sigma.norm()) / math.sqrt(1 - (1 - rate_sigma) ** (2 * self.age))
        straight = length < (1.4 + 2 / (n + 1)) * expected  # else σ is still growing: do not stretch C meanwhile
        self.path_c = (1 - rate_path) * self.path_c
        if straight:
            self.path_c = self.path_c + math.sqrt(rate_path * (2 - rate_path) * mass) * step
        lost = 0.0 if straight else rate_one * rate_path * (2 - rate_path)
        self.C = (
            (1 - rate_one - rate_many + lost) * self.C
            + rate_one * torch.outer(self.path_c, self.path_c)
            + rate_many * (better.T * weights) @ better
        )
        self.sigma *= math.exp(min(1.0, rate_sigma / damping * (length / expected - 1)))
        self.decomposed += 1
        if self.decomposed * 10 * n * (rate_one + rate_many) > 1:  # what has changed less can wait
            eigenvalues, self.axes = torch.linalg.eigh(0.5 * (self.C + self.C.T))
            self.widths = eigenvalues.clamp_min(torch.finfo(self.C.dtype).tiny).sqrt()
            self.decomposed = 0

    def _calibrate(self, theta: Tensor, losses: Tensor) -> None:
        """f and b: the line through these losses against half the squared distance from m."""
        seen = losses.isfinite()
        distance, losses = 0.5 * self._local(theta[seen]).square().sum(1), losses[seen]
        spread = distance - distance.mean()
        self.bend = float((spread @ losses) / spread.square().sum().clamp_min(torch.finfo(losses.dtype).tiny))
        self.f = float(losses.mean() - self.bend * distance.mean())

    def _rest(self, loss: float) -> None:
        """Begin anew where the record of this run's losses no longer falls, or nothing is left to tell apart."""
        longest = (self.NOISY if self.noisy else self.LONGER) * self.patience
        self.record = [*self.record, min([loss, *self.record[-1:]])][-longest:]
        width = self.sigma * float((self.C.diagonal().sqrt() * self.stretch).max())
        resting = self._still(self.patience) and self.sigma < self.SMALL * self.began
        if not (resting or self._still(longest) or width < 4 * self.resolution(1.0)):
            return
        if self.noisy:
            self.population, self.record = 2 * self.population, []
        else:
            self._begin(self.theta, min(self.WIDER * self.began, self.WIDEST * self.first), 2 * self.population)

    def _still(self, span: int) -> bool:
        """Whether the record has not fallen for so many iterations."""
        return len(self.record) >= span and self.record[-span] - self.record[-1] <= self.STILL * abs(self.record[-1])

    def _local(self, theta: Tensor) -> Tensor:
        """θ [B, n] -> A⁻¹ (θ − m)/σ."""
        return ((theta - self.mean) / (self.sigma * self.stretch)) @ self.axes / self.widths

    def recommend(self) -> Tensor:
        return self.mean if self.noisy else self.theta

    def predict(self, theta: Tensor) -> Tensor:
        return self.f + 0.5 * self.bend * self._local(theta).square().sum(1)

    def gradient(self, theta: Tensor) -> Tensor:
        back = self.axes @ (self._local(theta[None])[0] / self.widths)
        return self.bend * back / (self.sigma * self.stretch)

    @property
    def converged(self) -> bool:
        return False

    def status(self) -> dict[str, float]:
        width = self.sigma * float(self.C.diagonal().mean().sqrt())
        return {"sigma": width, "population": float(self.population)}
