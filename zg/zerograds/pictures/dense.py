"""Few parameters: J as a dense matrix with a memory, by recursive least squares with one covariance for all pixels.

    y = A x + e,   x = (1, s),   A = (I, J) [1 + n, m]        every render is a row of one regression
    S = X P Xᵀ + Q(s, s) + v,   G = P Xᵀ S⁻¹,   A ← A + G (Y − X A),   P ← P − G X P

All pixels share the inputs x, so one covariance P [1 + n, 1 + n] serves all of them; its entries are energies. What
is not linear is a random second derivative of the picture, of variance κ in each entry and in each pair of directions:

    Q(s, s') = ½ κ (s·D s')²                 its covariance at two offsets, which renders on both sides of θ cancel
    P ← T P Tᵀ + κ (½ |s|⁴, |s|² s; |s|² s, |s|² + s sᵀ)     what it adds when θ moves by s: memory ages with step²

κ grows and shrinks with the errors of prediction. D is the energy of each column of J: a parameter that hardly changes
the picture is trusted to be linear farther. N is P without what is not noise of the renders: it says by how much noise
has raised the loss of A's picture, its slopes and Jᵀ J, and that is subtracted.

Source: the recursion is Kalman's (1960); Q is the kernel of a random quadratic (Rasmussen and Williams 2006, 2.7).
Cost: O(m n) memory, n + 1 pictures; O(m n B) time for B renders and O(m n²) for Jᵀ H J.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from zg.problem import Problem
from zg.zerograds.parts.part import Group
from zg.zerograds.pictures.base import PictureSurrogate
from zg.zerograds.pictures.bowl import Bowl
from zg.zerograds.pictures.place import StepSettings, Trials


@dataclass(frozen=True)
class DenseSettings:
    """Meaning, unit and reason of each; "10 ×" says what a value ten times larger does."""

    #: Of the steps.
    steps: StepSettings = field(default_factory=StepSettings)
    #: Variance of a slope over its energy, from which its direction is probed. 10 ×: fewer probes, worse steps.
    wide: float = 0.25
    #: The same before anything is known. 10 ×: the first probes count more, against nothing.
    unknown: float = 1e4
    #: Error of a prediction over the change, both energies, that is expected at the first probes. 10 ×: more aging.
    first_error: float = 0.05
    #: Smallest energy of a column of J over the mean one. 10 ×: parameters that hardly matter take shorter steps.
    flattest: float = 1e-2
    #: Least error of prediction over what was expected, energies, that one batch can say. 0.1 ×: κ falls faster.
    least_surprise: float = 1e-4
    #: The most of it. 10 ×: one bad prediction forgets everything.
    most_surprise: float = 10.0
    #: Most bytes of J and as many pictures in a batch; else the loss-only default runs. 10 ×: larger pictures.
    memory: float = 2e9
    #: Whether slopes are kept when θ moves. False: n probes before each step, for the ablation.
    remembers: bool = True
    #: Length of a probe over that of the last step. 10 ×: slopes are those of a wide surrounding.
    probe_share: float = 0.3
    #: Largest offset of a coordinate in a probe, over σ. 10 ×: probes in noise reach farther.
    longest_probe: float = 3.0


@dataclass
class DenseState(Group):
    """All that changes besides the `PlaceState`.

    J: slopes as rows [n, m], picture a scaled unit. P, N [1 + n, 1 + n]: energies. D [n]: energy of each row of J.
    bend: κ, 1/loss. stride: length √(s·D s) of the last step or of the first probes.
    """

    J: Tensor
    P: Tensor
    N: Tensor
    D: Tensor
    bend: float = 0.0
    stride: float = 0.0


class Dense(PictureSurrogate):
    """The picture as a linear function of few parameters, learned by recursive least squares."""

    Settings = DenseSettings
    settings: DenseSettings
    state: DenseState

    def __init__(self, problem: Problem, theta: Tensor, sigma: float, settings: DenseSettings | None = None) -> None:
        super().__init__(problem, theta, sigma, settings)
        square = torch.zeros(self.n + 1, self.n + 1, dtype=torch.float64, device=theta.device)
        self.state = DenseState(theta.new_empty(0).float(), square, square.clone(), theta.new_empty(0))

    @classmethod
    def after(cls, before: PictureSurrogate, problem: Problem) -> "Dense":
        """Go on where another surrogate has been, with the pictures that it has seen (`seen`), if any."""
        place = before.place
        dense = cls(problem, place.theta, place.sigma)
        dense.place = replace(place, failed=False, fresh=False, failures=0, damping=dense.place.damping)
        dense.picture_loss, dense.bowl = before.picture_loss, before.bowl
        dense._begin_memory()
        dense.place.failed = not dense.fits
        if dense.place.failed:
            return dense
        s, pictures = before.seen()
        if len(s):
            dense.learn(s, pictures)
        dense.plan()
        return dense

    @property
    def fits(self) -> bool:
        """Whether J and a batch of n pictures are within the memory that is allowed."""
        return 8.0 * (self.n + 1) * len(self.place.picture) <= self.settings.memory

    @property
    def has_model(self) -> bool:
        return len(self.state.J) > 0

    def begin(self, pictures: Tensor) -> None:
        super().begin(pictures)
        self._begin_memory()
        self.place.failed = not self.fits

    def _begin_memory(self) -> None:
        """What is known before anything but the start has been rendered."""
        self.state.N[0, 0] = self.place.picture_noise
        self.state.P[0, 0] = 0.5 * self.weighed_noise

    # The model

    def change(self, s: Tensor) -> Tensor:
        return s.to(self.state.J) @ self.state.J

    def pull(self, u: Tensor) -> Tensor:
        return (u @ self.state.J.T).double()

    def squares(self) -> Tensor:
        return self.state.D

    def influence(self, weights: Tensor) -> Tensor:
        return weights.T.to(self.state.J) @ self.state.J.abs()

    def uncertainty(self, s: Tensor) -> Tensor:
        x = with_one(s)
        return ((x @ self.state.P) * x).sum(1) + self._curved(s).diagonal()

    def prediction_noise(self, s: Tensor) -> Tensor:
        x = with_one(s)
        return ((x @ self.state.N) * x).sum(1)

    def _curved(self, s: Tensor) -> Tensor:
        """Q [B, B] at offsets s [B, n]."""
        z = s.double() * self.state.D.sqrt()
        return 0.5 * self.state.bend * (z @ z.T).square()

    def quadratic(self, s: Tensor, bowl: Bowl) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """As in the base, with H made once, and without what noise adds to slopes and curvature."""
        state, at = self.state, self.place.theta + s
        slopes, bend = self.picture_loss.penalty_bowl(at)
        N = self.correction * state.N
        noise = 2 * N[1:, 1:]
        g = self.pull(bowl.gradient[None])[0] - 2 * N[0, 1:] - noise @ s.double() + slopes
        H = self.pull(bowl.times(state.J))
        # What is subtracted is not known exactly: a direction whose slopes are mostly noise is not followed far.
        widths, axes = torch.linalg.eigh(0.5 * (H + H.T) - noise)
        H = (axes * widths.clamp_min(0.0)) @ axes.T + 0.5 * noise * math.sqrt(self.weighed_noise / self.noise_variance)
        if bend is not None:
            H = H + bend(torch.eye(self.n, dtype=at.dtype, device=at.device)).double()
        return g, lambda many: many @ H

    # Learning

    def learn(self, s: Tensor, pictures: Tensor) -> None:
        changes = pictures - self.place.picture
        if not self.has_model:
            self._make_prior(s.double(), changes)
        surprise = self._surprise(s, pictures)
        self._update(s, pictures)
        self._age(surprise)

    def tell_late(self, theta: Tensor, images: Tensor) -> None:
        """It is a row of the regression as every other one, at its own s from the present θ; Q says how far that is."""
        if self.has_model and not self.place.failed:
            self.bowl = self.picture_loss.bowl(self.place.picture)
            self._update((theta - self.place.theta)[None], self._cleaned(images))

    def _make_prior(self, s: Tensor, changes: Tensor) -> None:
        """D, κ and the first P, from the first changes [B, m] of the picture at s [B, n]."""
        state, settings = self.state, self.settings
        state.J = changes.new_zeros(self.n, changes.shape[1])
        energies = (self.bowl.energy(changes) - 1.5 * self.noise_variance).clamp_min(0.0)
        lengths = s.square().sum(1).clamp_min(torch.finfo(s.dtype).tiny)
        weights = s.square() / s.square().sum(0).clamp_min(torch.finfo(s.dtype).tiny)
        self._set_columns((weights * (energies / lengths)[:, None]).sum(0))
        state.stride = float((s.square() * state.D).sum(1).mean().sqrt())
        state.bend = 2 * settings.first_error / max(state.stride**2, torch.finfo(s.dtype).tiny)
        state.P[1:, 1:] = torch.diag(settings.unknown * state.D)

    def _set_columns(self, energies: Tensor) -> None:
        smallest = float(self.settings.flattest * energies.mean()) + torch.finfo(torch.float64).tiny ** 0.5
        self.state.D = energies.clamp_min(smallest)

    def _surprise(self, s: Tensor, pictures: Tensor) -> float:
        """Energy of the errors of prediction over what was expected, both without noise."""
        v = self.noise_variance
        errors = self.bowl.energy(pictures - self.place.picture - self.change(s)) - v
        return float(errors.sum()) / max(float(self.uncertainty(s).sum()), self.weighed_noise)

    def _age(self, surprise: float) -> None:
        """Make κ what the errors of prediction say: half of the way, in logarithms."""
        least, most = self.settings.least_surprise, self.settings.most_surprise
        self.state.bend *= math.sqrt(min(max(surprise, least), most))

    def _update(self, s: Tensor, pictures: Tensor) -> None:
        """The recursion, for pictures [B, m] at offsets s [B, n]."""
        state, place = self.state, self.place
        x = with_one(s)
        S = x @ state.P @ x.T + self._curved(s)
        S.diagonal().add_(self.weighed_noise + 1e-12 * float(S.diagonal().max()))
        G = torch.linalg.solve(S, x @ state.P).T
        errors = pictures - place.picture - self.change(s)
        gained = G.to(errors) @ errors
        place.picture, state.J = place.picture + gained[0], state.J + gained[1:]
        keeps = torch.eye(self.n + 1, dtype=x.dtype, device=x.device) - G @ x
        state.P = symmetric(state.P - G @ (x @ state.P))
        state.N = symmetric(keeps @ state.N @ keeps.T + self.noise_variance * (G @ G.T))
        place.picture_noise = float(state.N[0, 0])
        self._set_columns((self.bowl.energy(state.J) - state.N.diagonal()[1:]).clamp_min(0.0))

    def move(self, trials: Trials, best: int) -> None:
        self._age(self._surprise(trials.offsets, trials.pictures))
        others = torch.arange(len(trials.offsets), device=trials.offsets.device) != best
        if others.any():
            self._update(trials.offsets[others], trials.pictures[others])
        if best >= 0:
            self._go(trials.offsets[best], trials.pictures[best])

    def _go(self, s: Tensor, picture: Tensor) -> None:
        """Move by s [n], and learn from the picture [m] there."""
        state, place = self.state, self.place
        place.picture, place.theta = place.picture + self.change(s[None])[0], place.theta + s
        s = s.double()
        shift = torch.eye(self.n + 1, dtype=torch.float64, device=s.device)
        shift[0, 1:] = s
        z, root = s * state.D.sqrt(), state.D.sqrt()
        length = float(z.square().sum())
        aged = torch.empty_like(shift)
        aged[0, 0], aged[0, 1:] = 0.5 * length**2, length * z * root
        aged[1:, 0], aged[1:, 1:] = aged[0, 1:], torch.diag(length * state.D) + torch.outer(z * root, z * root)
        state.P = symmetric(shift @ state.P @ shift.T + state.bend * aged)
        state.N = symmetric(shift @ state.N @ shift.T)
        state.stride = math.sqrt(length)
        self._update(torch.zeros_like(s)[None], picture[None])
        if not self.settings.remembers:
            state.P = torch.diag(torch.cat([state.P.diagonal()[:1], self.settings.unknown * state.D]))
            state.N = torch.diag(torch.cat([state.N.diagonal()[:1], torch.zeros_like(state.D)]))

    # Probes

    def probes(self) -> Tensor:
        """Along every axis at first; later where slopes are not known well, relative to their size."""
        if not self.has_model:
            unit = torch.eye(self.n, dtype=self.place.theta.dtype, device=self.place.theta.device)
            return self._inside(self.place.sigma * unit)
        return self._inside(self._wide_directions())

    def _wide_directions(self) -> Tensor:
        """Offsets [k, n] along the axes of P, relative to D, in which it is wide; lattice coordinates alone."""
        state, s = self.state, self.settings
        root, is_real = state.D.sqrt(), ~self.problem.space.discrete
        relative = state.P[1:, 1:] / torch.outer(root, root)
        apart = torch.outer(is_real, is_real)
        relative = torch.where(apart, relative, torch.diag(relative.diagonal()))
        widths, axes = torch.linalg.eigh(relative)
        directions = axes.T[widths > s.wide] / root
        reach = max(s.probe_share * state.stride, (2 * self.weighed_noise / max(state.bend, 1e-300)) ** 0.25)
        longest = s.longest_probe * self.place.sigma / directions.abs().amax(1, keepdim=True).clamp_min(1e-300)
        offsets: Tensor = directions * longest.clamp_max(reach)
        return offsets.to(self.place.theta)

    def _inside(self, offsets: Tensor) -> Tensor:
        """θ + offsets [k, n] with random signs, away from bounds; a lattice coordinate moves by a spacing at least."""
        theta, lattice, generator = self.place.theta, self.problem.lattice, self.problem.generator
        coins = torch.randint(2, (len(offsets), 1), generator=generator, device=theta.device)
        offsets = (2 * coins - 1) * offsets
        is_lattice = (lattice > 0) & (offsets.abs() > 1e-3 * offsets.abs().amax(1, keepdim=True))
        offsets = torch.where(is_lattice, offsets.sign() * offsets.abs().maximum(lattice), offsets)
        there, back = self.admissible(theta + offsets), self.admissible(theta - offsets)
        is_cut = (there - theta).norm(dim=1) < 0.5 * offsets.norm(dim=1)
        found = torch.where(is_cut[:, None], back, there)
        return found[(found != theta).any(1)]


def with_one(s: Tensor) -> Tensor:
    """(1, s) [B, 1 + n] of s [B, n], float64."""
    return torch.cat([s.new_ones(len(s), 1), s], 1).double()


def symmetric(matrix: Tensor) -> Tensor:
    """A matrix without the rounding that makes it unsymmetric."""
    return 0.5 * (matrix + matrix.T)
