"""Two searches that share the renders: one keeps to its basin of the loss, the other looks for a lower one elsewhere.

Both are surrogate-assisted CMA-ES (`assisted_cmaes`). The first begins at θ. A search has settled in one basin once its
σ is a tenth of the first σ of all. While the first one has not settled, or gains, it has all renders to itself. Else
every second render belongs to the second search, from a random place of the box and with a wide σ.

The second search is given up, and begins again at another place,
  where it has settled at a higher loss than the first search had when it settled,
  where it has come to rest,
  where it has taken three times the renders after which the first search had settled.
Once it is lower than the first, it takes its place.

Cost: two searches' memory; the time of one.
Source: restarts in two regimes of equal budgets are those of BIPOP-CMA-ES (Hansen 2009, "Benchmarking a BI-population
CMA-ES on the BBOB-2009 function testbed"). Comparing searches when they settle, and giving all renders to one that
gains, are our own.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from zg.problem import Problem
from zg.zerograds.surrogates.assisted_cmaes import AssistedCMAES
from zg.zerograds.surrogates.base import Surrogate


@dataclass(frozen=True)
class TwoSearchesSettings:
    """Values are chosen by experience on the development half of the zoo. ×10: what ten times the value does."""

    #: σ / first σ from which a search has settled. ×10: the second search begins at once.
    settled: float = 0.1
    #: Renders from one look at the first search's gain to the next / n, or / λ if that is more. ×10: it hardly shares.
    look: float = 5.0
    #: Loss / loss at the last look up to which it gains. ×10 (above 1): it always gains, and never shares.
    gain: float = 0.9
    #: First σ of the second search / width of the box. ×10: all samples are clipped to the bounds.
    second_sigma: float = 0.2
    #: Half the width of the box where a coordinate has no bound, in first σ. ×10: places where the loss tells nothing.
    without_bounds: float = 10.0
    #: Renders after which a second search is given up / those until the first one settled. ×10: few places are tried.
    patience: float = 3.0


@dataclass
class TwoSearchesState:
    """All that changes."""

    #: The searches.
    first: AssistedCMAES
    second: AssistedCMAES
    #: Renders of the first search, until it settled; and whether it has.
    until_settled: int = 0
    has_settled: bool = False
    #: The loss at which the first search settled, or took the other's place.
    settled_at: float = math.inf
    #: Renders of the first search since the last look at its gain, the loss at that look, and what it showed.
    since_look: int = 0
    look_at: float = math.inf
    gains: bool = True
    #: Renders that the second search is behind.
    behind: int = 0
    #: Renders of the present second search, and whether it was compared with the first when it settled.
    renders_second: int = 0
    is_compared: bool = False


class TwoSearches(Surrogate):
    """It models the loss, and recommends, as the first search does."""

    Settings = TwoSearchesSettings
    needs_noise = True
    settings: TwoSearchesSettings
    state: TwoSearchesState
    matrices = 2 * AssistedCMAES.matrices

    def __init__(
        self, problem: Problem, theta: Tensor, sigma: float, settings: TwoSearchesSettings | None = None
    ) -> None:
        super().__init__(problem, settings)
        self.first_sigma = sigma
        reach = self.settings.without_bounds * sigma
        self.low = torch.where(problem.low.isfinite(), problem.low, theta - reach)
        self.high = torch.where(problem.high.isfinite(), problem.high, theta + reach)
        self.state = TwoSearchesState(AssistedCMAES(problem, theta, sigma), self._elsewhere())

    def _elsewhere(self) -> AssistedCMAES:
        """A search from a random place of the box."""
        width, generator = self.high - self.low, self.problem.generator
        place = torch.rand(self.n, generator=generator, dtype=width.dtype, device=width.device)
        sigma = self.settings.second_sigma * float(width.log().mean().exp())
        return AssistedCMAES(self.problem, self.low + place * width, sigma)

    @property
    def theta(self) -> Tensor:
        return self.state.first.theta

    @property
    def _is_second_next(self) -> bool:
        return self.state.behind > 0

    def ask(self) -> Tensor:
        return (self.state.second if self._is_second_next else self.state.first).ask()

    def tell(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        if self._is_second_next:
            self._tell_second(theta, losses, valid)
        else:
            self._tell_first(theta, losses, valid)

    def _tell_first(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        """Tell the first search, and see whether it has settled, and gains."""
        state, settings, renders = self.state, self.settings, len(losses)
        state.first.tell(theta, losses, valid)
        lowest = state.first.state.lowest
        if not state.has_settled:
            state.until_settled += renders
            if self._has_settled(state.first):
                state.has_settled, state.settled_at = True, lowest
        state.since_look += renders
        if state.since_look >= settings.look * max(self.n, state.first.state.schedule.population):
            state.gains = lowest < settings.gain * state.look_at
            state.since_look, state.look_at = 0, lowest
        if state.has_settled and not state.gains:
            state.behind += renders

    def _tell_second(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        """Tell the second search, and let it take the place of the first, go on, or begin again."""
        state, renders = self.state, len(losses)
        state.second.tell(theta, losses, valid)
        state.behind -= renders
        state.renders_second += renders
        lowest = state.second.state.lowest
        if lowest < state.first.state.lowest:
            state.first, state.settled_at = state.second, lowest
            state.since_look, state.look_at, state.gains = 0, lowest, True
            self._begin_second()
        elif self._is_second_hopeless(lowest):
            self._begin_second()

    def _is_second_hopeless(self, lowest: float) -> bool:
        """Whether the second search, with that lowest loss, is to be given up."""
        state = self.state
        is_worse = False
        if not state.is_compared and self._has_settled(state.second):
            state.is_compared, is_worse = True, lowest > state.settled_at
        has_taken_long = state.renders_second > self.settings.patience * state.until_settled
        return is_worse or state.second.has_restarted or has_taken_long

    def _begin_second(self) -> None:
        """The second search begins at another place."""
        state = self.state
        state.second, state.renders_second, state.is_compared = self._elsewhere(), 0, False

    def _has_settled(self, search: AssistedCMAES) -> bool:
        """Whether a search has chosen its basin."""
        return search.has_restarted or search.sigma < self.settings.settled * self.first_sigma

    def take_shape(self, sigma: float, H: Tensor) -> None:
        self.state.first.take_shape(sigma, H)

    def take_known(self, theta: Tensor, losses: Tensor) -> bool:
        return self.state.first.take_known(theta, losses)

    def recommend(self) -> Tensor:
        return self.state.first.recommend()

    def predict(self, theta: Tensor) -> Tensor:
        return self.state.first.predict(theta)

    def gradient(self, theta: Tensor) -> Tensor:
        return self.state.first.gradient(theta)

    @property
    def has_found_minimum(self) -> bool:
        return self.state.first.has_found_minimum

    @property
    def has_searched_widely(self) -> bool:
        return self.state.first.has_searched_widely

    @property
    def sigma(self) -> float:
        return self.state.first.sigma

    @property
    def converged(self) -> bool:
        return False

    def status(self) -> dict[str, float]:
        return self.state.first.status()
