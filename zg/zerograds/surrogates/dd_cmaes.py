"""The ranked surrogate: a bowl whose shape is learned from the order of losses, for jagged ones and for counts.

    h(θ) = f + b |A⁻¹ (θ − m)|² / (2 σ²),    A = D C^(1/2)

Samples are drawn from N(m, σ² A Aᵀ). Their ranks alone move m, shape A and set σ: the covariance matrix adaptation of
Hansen ("The CMA Evolution Strategy: A Tutorial", 2016), whose A Aᵀ is the inverse curvature of this bowl. D is a width
for each coordinate. It has n numbers where C has n², so it is learned faster: parameters of a renderer have scales of
their own (Akimoto and Hansen, "Diagonal Acceleration for Covariance Matrix Adaptation Evolution Strategies", 2020).

Three things are added. Coordinates that the renderer rounds keep a width that reaches the next count (Marty et al. 2024
do likewise), and some renders try another count at the best θ. A run that has come to rest is begun anew from the best
θ, wider, and with more samples where the last one found something or cannot be widened (Auger and Hansen 2005 always
take more): what is left of the budget looks farther. With noise the samples double instead: the order of few is luck.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from zg.sampling import gaussian
from zg.zerograds.surrogates.base import Surrogate

TINY = 1e-300


@dataclass(frozen=True)
class Rates:
    """How fast something is learned from its path and from samples, how fast the path fades, what bad samples count."""

    path: float
    samples: float
    fade: float
    against: float


@dataclass(frozen=True)
class Constants:
    """Akimoto's and Hansen's for n and population: signed weights [population] by rank, either sign summing to one."""

    weights: Tensor
    mass: float  # 1 / sum of the squares of the better half's weights
    rate_sigma: float
    damping: float
    expected: float  # length of a sample of N(0, I)
    D: Rates
    C: Rates

    def go_on(self, path: Tensor, fade: float, step: Tensor) -> Tensor:
        """A path [n] with one more step, as long as those of a random walk of the samples would be."""
        return (1 - fade) * path + math.sqrt(fade * (2 - fade) * self.mass) * step


@cache
def constants(n: int, population: int) -> Constants:
    """They change when a run begins."""
    weights = math.log((population + 1) / 2) - torch.arange(1, population + 1, dtype=torch.float64).log()
    better, worse = weights.clamp_min(0), -weights.clamp_max(0)
    mass, mass_worse = (float(part.sum().square() / part.square().sum()) for part in (better, worse))
    rate_sigma = (mass + 2) / (n + mass + 5)

    def rates(freedom: int) -> Rates:
        """Of something of so many numbers."""
        path = 1 / (2 * (freedom / n + 1) * (n + 1) ** 0.75 + mass / 2)
        samples = min(1 - path, path * (mass + 1 / mass - 2 + population / (2 * (population + 5))))
        against = min(1 + path / samples, 1 + 2 * mass_worse / (mass_worse + 2))
        if freedom > n:  # C takes off what D divides by, and has to stay positive
            against = min(against, (1 - path - samples) / (n * samples))
        return Rates(path, samples, math.sqrt(mass * path) / 2, against)

    return Constants(
        weights=better / better.sum() - worse / worse.sum(),
        mass=mass,
        rate_sigma=rate_sigma,
        damping=1 + 2 * max(0.0, math.sqrt((mass - 1) / (n + 1)) - 1) + rate_sigma,
        expected=math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n)),
        D=rates(n),
        C=rates(n * (n + 1) // 2),
    )


class DDCMAES(Surrogate):
    """m [n], σ, D [n] and C [n, n]: O(n²) memory, `population` renders an iteration, a quarter more with counts.

    population: at first, by default 4 + ⌊3 ln n⌋; at least 4.
    lattice: [n], scaled distance between neighbouring counts, 0 for real coordinates. noisy: whether two renders of the
    same θ differ; then m is what it recommends, else the best θ seen.
    """

    REACH = 0.3  # least width of sampling in counts: a count that m stands on is left by every tenth sample
    SCOUTED = 4  # samples for each render that tries another count
    DRAWS = 8  # for each of those, to find a count that was not tried
    WIDER, WIDEST = 3.0, 100.0  # σ of each new beginning / σ of the last; / first σ, at most
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
        self.axes, self.bent = self.C, 1.0
        self.D, self.widths, self.stretch = (torch.ones_like(mean) for _ in range(3))
        self.path_sigma, self.path_C, self.path_D = (torch.zeros_like(mean) for _ in range(3))
        self.age, self.decomposed, self.population = 0, 0, population
        self.record: list[float] = []
        self.before = self.lowest

    @property
    def patience(self) -> int:
        """Iterations without a decrease that mean rest."""
        return 10 + 30 * self.n // self.population

    def ask(self) -> Tensor:
        """Samples [population, n]; where rounding would hide them, wider."""
        self.stretch = (self.floor / (self.sigma * self._spread())).clamp_min(1.0)
        u = gaussian(self.population, self.n, self.generator, self.mean.dtype)
        offsets = self.D * ((u @ self.axes * self.widths) @ self.axes.T)
        samples = self.project(self.mean + self.sigma * self.stretch * offsets)
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
        """Move m, and learn σ, D and C."""
        known, n = constants(self.n, self.population), self.n
        weights = known.weights.to(self.mean)
        moved = (theta[losses.argsort()] - self.mean) / (self.sigma * self.stretch)
        step = weights.clamp_min(0) @ moved
        y = moved / self.D
        z = self._white(y)
        self.age += 1
        self.mean = self.project(self.mean + self.sigma * self.stretch * step)
        self.path_sigma = known.go_on(self.path_sigma, known.rate_sigma, self._white(step / self.D))
        length = float(self.path_sigma.norm()) / math.sqrt(1 - (1 - known.rate_sigma) ** (2 * self.age))
        if length >= (1.4 + 2 / (n + 1)) * known.expected:  # σ is behind: D and C shall not stretch meanwhile
            step = torch.zeros_like(step)
        self.path_D = known.go_on(self.path_D, known.D.fade, step)
        self.path_C = known.go_on(self.path_C, known.C.fade, step)
        # A bad sample counts by its direction, not by how far out it was.
        even = torch.where(weights < 0, n / z.square().sum(1).clamp_min(TINY), 1.0)

        signed = torch.where(weights < 0, known.D.against * weights, weights)
        turn = known.D.path * (self._white(self.path_D / self.D).square() - 1)
        turn += known.D.samples * (signed @ (even[:, None] * z.square() - 1))
        signed = torch.where(weights < 0, known.C.against * weights, weights)
        along = self.path_C / self.D
        self.C = (1 - known.C.path - known.C.samples * float(signed.sum())) * self.C
        self.C += known.C.path * torch.outer(along, along) + known.C.samples * (y.T * (signed * even)) @ y
        self.D = self.D * (turn / (2 * self.bent)).exp()
        self.sigma *= math.exp(min(1.0, known.rate_sigma / known.damping * (length / known.expected - 1)))
        self.decomposed += 1
        if self.decomposed * 10 * n * (known.C.path + known.C.samples) > 1:  # what has changed less can wait
            self._decompose()

    def _decompose(self) -> None:
        """C into axes and widths; its diagonal goes over into D."""
        diagonal = self.C.diagonal().clamp_min(TINY).sqrt()
        self.D, self.C = self.D * diagonal, self.C / torch.outer(diagonal, diagonal)
        eigenvalues, self.axes = torch.linalg.eigh(0.5 * (self.C + self.C.T))
        self.widths = eigenvalues.clamp_min(torch.finfo(self.C.dtype).eps).sqrt()
        self.bent = max(1.0, float(self.widths.max() / self.widths.min()) - 1)
        self.decomposed = 0

    def _spread(self) -> Tensor:
        """Width of sampling in each coordinate / σ: the root of the diagonal of A Aᵀ [n]."""
        return self.D * self.C.diagonal().clamp_min(TINY).sqrt()

    def _white(self, y: Tensor) -> Tensor:
        """C^(−1/2) y for y [..., n]."""
        return (y @ self.axes / self.widths) @ self.axes.T

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
        width = self.sigma * float((self._spread() * self.stretch).max())
        resting = self._still(self.patience) and self.sigma < self.SMALL * self.began
        if not (resting or self._still(longest) or width < 4 * self.resolution(1.0)):
            return
        if self.noisy:
            self.population, self.record = 2 * self.population, []
        else:
            lower = math.isfinite(self.before) and self.lowest < self.before - self.STILL * abs(self.before)
            more = 2 if lower or self.began >= self.WIDEST * self.first else 1
            self._begin(self.theta, min(self.WIDER * self.began, self.WIDEST * self.first), more * self.population)

    def _still(self, span: int) -> bool:
        """Whether the record has not fallen for so many iterations."""
        return len(self.record) >= span and self.record[-span] - self.record[-1] <= self.STILL * abs(self.record[-1])

    def _local(self, theta: Tensor) -> Tensor:
        """θ [B, n] -> A⁻¹ (θ − m)/σ."""
        return self._white((theta - self.mean) / (self.sigma * self.stretch * self.D))

    def recommend(self) -> Tensor:
        return self.mean if self.noisy else self.theta

    def predict(self, theta: Tensor) -> Tensor:
        return self.f + 0.5 * self.bend * self._local(theta).square().sum(1)

    def gradient(self, theta: Tensor) -> Tensor:
        back = self._white(self._local(theta[None])[0])
        return self.bend * back / (self.sigma * self.stretch * self.D)

    @property
    def converged(self) -> bool:
        return False

    def status(self) -> dict[str, float]:
        width = self.sigma * float(self._spread().square().mean().sqrt())
        return {"sigma": width, "population": float(self.population)}
