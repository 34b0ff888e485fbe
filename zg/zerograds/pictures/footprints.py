"""Many parameters, each of which moves its own part of the picture: a sparse J, found from few renders.

All parameters are moved at once by random amounts, in about ten to a hundred renders, and `pursuit` finds which few of
them each pixel follows. The number of renders depends on how many parameters share a pixel, and little on n;
their order, the form of footprints, overlaps and the number of views do not matter. It is compressed sensing of a
sparse Jacobian, in place of colouring one whose pattern is known (Curtis, Powell and Reid 1974).

Codes are rendered in batches until the pixels that are known hold most of the change. Two of the first are mirrored: if
the changes of both do not cancel, the picture is not linear over σ. If pixels all over the picture change together,
every parameter moves everything, and no number of codes below n helps. Both are seen after a handful of renders, and
mean that the surrogate does not fit. Each trial then corrects the rows of J it disagrees with (sparse Broyden update,
Schubert 1970); where a picture is not predicted well, codes are rendered again around the new θ.

Cost: renders as above. Memory: 12 bytes for each of up to `entries` · m entries of J, 4 (n + m) for each code, and
chunks of 32 MB. Time: that of `pursuit`, bounded by `work`.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from zg.problem import Problem
from zg.zerograds.parts.part import Group
from zg.zerograds.pictures.base import PictureSurrogate
from zg.zerograds.pictures.place import StepSettings, Trials
from zg.zerograds.pictures.pursuit import TREE_RENDERS, Sparse, pursue


@dataclass(frozen=True)
class FootprintSettings:
    """Meaning, unit and reason of each; "10 ×" says what a value ten times larger does."""

    #: Of the steps. J is soon exact where it is found at all, so the first steps are long.
    steps: StepSettings = field(default_factory=lambda: StepSettings(first_damping=1e-2))
    #: Codes in the first batch. 10 ×: a texture would need 5.
    first_codes: int = 5
    #: The same with integers or binaries, which say one bit a code.
    first_coins: int = 16
    #: Factor on the number of codes until the next attempt. 10 ×: fewer attempts, and renders too many.
    growth: float = 1.5
    #: Most codes. 10 ×: pixels of more parameters are found, of which differences along each would be cheaper.
    most_codes: int = 160
    #: Most codes over n: a tenth of what a method that is told losses needs. 10 ×: more than n differences.
    most_share: float = 0.2
    #: Most entries of a row of J. 10 ×: ten times the memory.
    entries: int = 16
    #: Most that a parameter saves in a code, in natural logarithms: the precision of a change of a picture.
    save: float = 9.0
    #: The same with integers or binaries: one bit.
    save_coin: float = 0.7
    #: Share of the change in pixels that are known from which steps begin. 10 ×, above 1: never.
    enough: float = 0.7
    #: The same of what is not known that more codes are not rendered for, where steps lead nowhere.
    little: float = 1e-3
    #: Share of the change that does not cancel between mirrored codes from which the picture is not linear.
    most_curved: float = 0.5
    #: Mean squared correlation of two pixels, beyond chance, from which all parameters move all pixels.
    most_overlap: float = 0.04
    #: Number of codes from which it is known. 10 ×: giving way takes ten times the renders.
    overlap_codes: int = 10
    #: Error of a predicted picture over its change, both energies, from which codes are rendered again.
    most_error: float = 0.3
    #: Smallest energy of a column of J over the mean one. 10 ×: parameters that hardly matter take shorter steps.
    flattest: float = 1e-3
    #: Most products n · m · T of one attempt: about two minutes of one core.
    work: float = 3e11
    #: Most bytes of codes, their pictures and J. 10 ×: larger pictures.
    memory: float = 2e9


@dataclass
class FootprintState(Group):
    """All that changes besides the `PlaceState`.

    codes, pictures: offsets [T, n] scaled, and the changes [T, m] they made. columns, values, left: J (`Sparse`).
    wanted: number of codes at the next attempt. unexplained: share of the change that J does not explain.
    """

    codes: Tensor
    pictures: Tensor
    columns: Tensor
    values: Tensor
    left: Tensor
    wanted: int = 0
    unexplained: float = 1.0


class Footprints(PictureSurrogate):
    """The picture as a linear function of many parameters, of which each pixel follows few."""

    Settings = FootprintSettings
    settings: FootprintSettings
    state: FootprintState

    def __init__(
        self, problem: Problem, theta: Tensor, sigma: float, settings: FootprintSettings | None = None
    ) -> None:
        super().__init__(problem, theta, sigma, settings)
        none = torch.empty(0, device=theta.device)
        self.state = FootprintState(none, none, none.long(), none, none)

    @property
    def J(self) -> Sparse:
        """J with its rows that are known; the others are 0."""
        return Sparse(self.state.columns, self.state.values, self.state.left)

    # The model

    def change(self, s: Tensor) -> Tensor:
        return self.J.times(s)

    def pull(self, u: Tensor) -> Tensor:
        return self.J.transposed(u, self.n)

    def squares(self) -> Tensor:
        weights = self.bowl.diagonal
        if weights is None:
            weights = torch.full_like(self.place.picture, self._mean_curvature())
        return self.J.column_sums(0.5 * weights, self.n)

    def influence(self, weights: Tensor) -> Tensor:
        return self.J.moved(weights)

    def _mean_curvature(self) -> float:
        """The mean of the diagonal of H, from the noise-like change of one code."""
        e = self.state.pictures[-1:]
        return float(2 * self.bowl.energy(e)[0]) / max(float(e.double().square().sum()), 1e-300)

    def uncertainty(self, s: Tensor) -> Tensor:
        wrong = max(self.state.unexplained, self.place.error)
        return wrong * self.bowl.energy(self.change(s)) + 0.5 * self.noise_variance

    def prediction_noise(self, s: Tensor) -> Tensor:
        return torch.full((len(s),), self.place.picture_noise, dtype=torch.float64, device=s.device)

    # Codes

    @property
    def has_model(self) -> bool:
        return len(self.state.columns) > 0

    def seen(self) -> tuple[Tensor, Tensor]:
        return self.state.codes, self.place.picture + self.state.pictures

    def probes(self) -> Tensor:
        """More codes until J is found, and again where it does not predict well, or does not lead on."""
        place, state, s = self.place, self.state, self.settings
        if self.has_model:
            is_stuck = (place.failures > 0 or place.slow > 0) and state.unexplained > s.little
            is_bent = place.error > max(s.most_error, 3 * state.unexplained)
            if is_bent:  # codes around the former θ say little here
                state.codes, state.pictures = state.codes[:0], state.pictures[:0]
                state.wanted = max(state.wanted, self._first)
            elif is_stuck and len(state.codes) < self._most:
                state.wanted = self._next_count()
            else:
                return place.asked[:0]
            state.columns = state.columns[:0]
        elif self._is_too_large(self._first):
            self._give_up()
            return place.asked[:0]
        elif state.wanted == 0:
            state.codes, state.pictures = place.theta.new_empty(0, self.n), place.picture.new_empty(0, self._pixels)
            state.wanted = self._first
        return self._draw(max(state.wanted - len(state.codes), 1))

    @property
    def _first(self) -> int:
        return self.settings.first_coins if self.problem.any_discrete else self.settings.first_codes

    @property
    def _most(self) -> int:
        return max(self._first, min(self.settings.most_codes, int(self.settings.most_share * self.n)))

    def _next_count(self) -> int:
        """Number of codes at the next attempt."""
        count = len(self.state.codes)
        return min(max(count + 1, int(self.settings.growth * count)), self._most)

    @property
    def _pixels(self) -> int:
        return len(self.place.picture)

    def _draw(self, count: int) -> Tensor:
        """θ moved by random amounts in all coordinates at once, [count, n]; the second row mirrors the first."""
        place, lattice, generator = self.place, self.problem.lattice, self.problem.generator
        size = (count, self.n)
        amounts = torch.rand(size, generator=generator, dtype=place.theta.dtype, device=place.theta.device)
        signs = 2.0 * torch.randint(2, size, generator=generator, device=place.theta.device) - 1
        offsets = place.sigma * signs * (0.5 + amounts)
        offsets = torch.where(lattice > 0, signs * (amounts < 0.5) * lattice, offsets)
        if len(self.state.codes) == 0 and count > 1:
            offsets[1] = -offsets[0]
        there = self.admissible(place.theta + offsets)
        is_cut = (there - place.theta).abs() < 0.5 * offsets.abs()
        return self.admissible(place.theta + torch.where(is_cut, -offsets, offsets))

    def learn(self, s: Tensor, pictures: Tensor) -> None:
        state, settings = self.state, self.settings
        is_first = len(state.codes) == 0
        state.codes = torch.cat([state.codes, s])
        state.pictures = torch.cat([state.pictures, pictures - self.place.picture])
        codes = len(state.codes)
        moves_together = codes >= settings.overlap_codes and self._overlap() > settings.most_overlap
        if (is_first and self._is_curved()) or moves_together:
            return self._give_up()
        self._find()
        if state.unexplained <= 1 - settings.enough:
            return
        state.columns, state.wanted = state.columns[:0], self._next_count()
        if codes >= self._most or self._is_too_large(state.wanted):
            self._give_up()

    def plan(self) -> None:
        self.place.fresh = self.place.fresh and self.has_model
        super().plan()

    def _give_up(self) -> None:
        self.place.failed = True

    def _is_too_large(self, codes: int) -> bool:
        s, m = self.settings, self._pixels
        is_long = codes > TREE_RENDERS and float(self.n) * m * codes > s.work
        return is_long or 8.0 * codes * (self.n + m) + 12.0 * s.entries * m > s.memory

    def _is_curved(self) -> bool:
        """Whether the changes of two mirrored codes do not cancel, beyond noise."""
        codes = self.state.codes[:2]
        is_mirrored = len(codes) == 2 and float(codes.sum(0).norm()) < 0.5 * float(codes[0].norm())
        if self.problem.any_discrete or not is_mirrored:
            return False
        changes = self.state.pictures[:2]
        both, noise = float(self.bowl.energy(changes).sum()), self.noise_variance
        left = float(self.bowl.energy(changes.sum(0)[None])) - 6 * noise
        return left > self.settings.most_curved * max(both - 3 * noise, 0.0)

    def _centred(self) -> tuple[Tensor, Tensor]:
        """Offsets [T + 1, n] and changes [T + 1, m] of the codes and of no offset, without their means."""
        X, Y = (torch.cat([part, torch.zeros_like(part[:1])]) for part in (self.state.codes, self.state.pictures))
        return X - X.mean(0), Y - Y.mean(0)

    def _find(self) -> None:
        """J from all codes."""
        state, s = self.state, self.settings
        X, Y = self._centred()
        J = pursue(X, Y, s.entries, s.save_coin if self.problem.any_discrete else s.save)
        weights = self.bowl.diagonal if self.bowl.diagonal is not None else torch.ones_like(self.place.picture)
        energy = 0.5 * (Y.square() * weights).sum(0, dtype=torch.float64)
        noise = len(Y) * self.noise_variance if self.bowl.diagonal is not None else 0.0
        total = max(float(energy.sum()), 1e-300)
        state.unexplained = max(float((energy * J.left.square()).sum()) - noise, 0.0) / total
        state.columns, state.values, state.left = J.columns, J.values, J.left

    def _overlap(self) -> float:
        """The mean squared correlation of the changes of two pixels, weighted by these, beyond chance (1 / T)."""
        _, Y = self._centred()
        together = float((Y @ Y.T).square().sum())  # the sum of (y_p · y_q)² over all pairs of pixels
        squares = Y.square().sum(0, dtype=torch.float64)
        same = float(squares.square().sum())
        return (together - same) / max(float(squares.sum()) ** 2 - same, 1e-300) - 1 / max(len(Y) - 2, 1)

    # Steps

    def move(self, trials: Trials, best: int) -> None:
        """Go to the best trial, and correct the rows of J by it: the least change that explains its picture."""
        if best < 0:
            return
        state, place = self.state, self.place
        s, fused = trials.offsets[best], trials.fused[best]
        error = fused - place.picture - self.change(s[None])[0]
        there = torch.where(state.values != 0, s.to(state.values)[state.columns], 0.0)
        length = there.square().sum(1)
        share = torch.where(length > 1e-3 * length.mean(), error / length.clamp_min(1e-30), 0.0)
        state.values = state.values + share[:, None] * there
        place.theta, place.picture, place.picture_noise = place.theta + s, fused, float(trials.noise[best])
