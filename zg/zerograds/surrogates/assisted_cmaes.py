"""Surrogate-assisted CMA-ES: a quadratic of past renders ranks the samples, and most of them are never rendered.

    h(θ) = f + g·(θ − c) + (θ − c)·H (θ − c) / 2

CMA-ES needs the order of its λ samples alone. h, fitted to the last renders, predicts it. Samples are rendered from the
best predicted one on, a few at a time, and h is fitted again, until h is believed, for one of two reasons:

    Kendall's τ(h₋ᵢ(θᵢ), L(θᵢ)) ≥ 0.7     h orders the last renders as the renderer does; h₋ᵢ is fitted without render i
    lowest L so far − L(θ) ≥ ½ (lowest L so far − h(θ)) > 0     a sample is as much better as h has promised

Then the order by h stands for all λ samples. On a smooth loss one render is enough; on a jagged one all are rendered,
and what is left is CMA-ES, which needs no model. One sample is the minimum of h inside the Gaussian: a Newton step
that ranks check.

Cost: O(p²) memory and O(p³) time for p terms of h (`parts.quadratic_model`), 1 to λ renders an iteration.
Source: Hansen 2019, "A Global Surrogate Assisted CMA-ES" (lq-CMA-ES), around dd-CMA-ES (`dd_cmaes`). There τ is of
renders that h was fitted to; with nearly as many terms as renders h then agrees with anything, also where the loss is
jagged. Leaving each render out, the second reason, and the coordinates of the fit are our own.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from zg.problem import Problem
from zg.zerograds.parts.quadratic_model import Quadratic, Terms, fit
from zg.zerograds.parts.trust_region import trusted
from zg.zerograds.surrogates.dd_cmaes import DDCMAES, DDCMAESSettings, DDCMAESState


@dataclass(frozen=True)
class AssistedCMAESSettings(DDCMAESSettings):
    """Meaning, unit and source of each; "10 ×" says what a value ten times larger does."""

    #: τ from which h is believed; above 1 it never is. Hansen 2019 has 0.85, for renders that h was fitted to.
    agreement: float = 0.7
    #: Actual over promised decrease from which h is believed. 10 ×: τ alone counts.
    kept_promise: float = 0.5
    #: Last renders that τ is over, at least (Hansen 2019). 10 ×: renders from far away decide whether h is good here.
    compared: int = 15
    #: The same, over the renders of the iteration (Hansen 2019). 10 ×: likewise.
    compared_to_rendered: float = 1.2
    #: Renders more than before, relative, where h is not believed (Hansen 2019: 1/2). 10 ×: all at once.
    more_renders: float = 0.5
    #: Terms of h for each render that the first look of an iteration takes. 10 ×: many fits, each for one more render.
    terms_per_render: int = 50
    #: Renders in memory for each term of h. 10 ×: h is fitted to what is far away.
    memory: float = 2.0
    #: Renders in memory, at most. 10 ×: fits take minutes.
    most_memory: int = 1000
    #: Terms of h up to which H is full: about 40 parameters. 10 ×: a fit takes seconds.
    most_terms: int = 900
    #: Weight of the best render in memory over that of the worst one (Hansen 2019). 10 ×: few of them count.
    best_weight: float = 20.0
    #: Neighbours that are drawn for each one that is rendered, the best by h. 10 ×: h, not the draw, decides.
    drawn_per_neighbour: int = 4
    #: Neighbours in one batch, at most. 10 ×: a batch of them alone, before the Gaussian learns again.
    most_neighbours: float = 10.0
    #: Whether the minimum of h is one of the samples. An ablation.
    proposes_minimum: bool = True


@dataclass
class AssistedCMAESState(DDCMAESState):
    """All that changes."""

    #: Memory: θ [N, n] scaled, oldest first, and their losses [N].
    past: Tensor = field(default_factory=lambda: torch.empty(0))
    past_losses: Tensor = field(default_factory=lambda: torch.empty(0))
    #: Samples of this iteration [λ, n], empty before its first render; their losses [λ], NaN where not rendered.
    samples: Tensor = field(default_factory=lambda: torch.empty(0))
    losses: Tensor = field(default_factory=lambda: torch.empty(0))
    #: Neighbours of the best θ that are due; a fraction is carried over.
    neighbours_due: float = 0.0
    #: Flags [n]: coordinates in which m follows the best θ after this iteration, for a neighbour was the best.
    won: Tensor = field(default_factory=lambda: torch.empty(0))
    #: How many of them are to be rendered next.
    wanted: int = 0
    #: Kendall's τ of h at the last fit.
    agreement: float = 0.0
    #: Whether it has come to rest where h was believed.
    has_found_minimum: bool = False
    #: h.
    model: Quadratic = field(default_factory=lambda: Quadratic.unknown(torch.empty(0)))


class AssistedCMAES(DDCMAES):
    """dd-CMA-ES, whose samples are ranked by h where h is good enough, and by renders where it is not."""

    Settings = AssistedCMAESSettings
    settings: AssistedCMAESSettings
    state: AssistedCMAESState

    def __init__(
        self, problem: Problem, theta: Tensor, sigma: float, settings: AssistedCMAESSettings | None = None
    ) -> None:
        super().__init__(problem, theta, sigma, settings)
        self.terms = Terms(self.n, self.settings.most_terms)
        none, no_loss = theta.new_empty(0, self.n), theta.new_empty(0, dtype=torch.float64)
        self.state = AssistedCMAESState(
            **vars(self.state),
            past=none,
            past_losses=no_loss,
            samples=none,
            losses=no_loss,
            won=torch.zeros_like(theta, dtype=torch.bool),
            model=Quadratic.unknown(theta),
        )
        #: What `ask` returned last: all samples of the iteration, and which of them are rendered.
        self.drawn, self.chosen = none, torch.empty(0, dtype=torch.long)

    def ask(self) -> Tensor:
        """The samples [k, n] that h predicts to be best among those that are not rendered yet; k ≤ λ. Then neighbours.

        k is filled to the renders that run side by side: more of them make h and the ranks better in the same time.
        """
        state, model = self.state, self.state.model
        has_samples = len(state.samples) > 0
        self.drawn = state.samples if has_samples else self._draw_with_minimum()
        every = torch.arange(len(self.drawn), device=self.drawn.device)
        unknown = state.losses.isnan().nonzero()[:, 0] if has_samples else every
        neighbours = self._neighbours()
        if not model.is_known:
            self.chosen = unknown
        else:
            wanted = state.wanted if has_samples else math.ceil(self.terms.count / self.settings.terms_per_render)
            order = model(self.problem.on_lattice(self.drawn[unknown])).argsort()
            wanted = self.problem.filled(wanted + len(neighbours)) - len(neighbours)
            self.chosen = unknown[order][:wanted]
        return torch.cat([self.drawn[self.chosen], neighbours])

    def _neighbours(self) -> Tensor:
        """Neighbours [k, n] of the best θ that are due: of those drawn, the best ones by h."""
        state, due = self.state, int(self.state.neighbours_due)
        if not due:
            return state.theta.new_empty(0, self.n)
        found = state.neighbours.ask(state.theta, self.settings.drawn_per_neighbour * due)
        if state.model.is_known and len(found) > due:
            order = state.model(found).argsort()[:due].tolist()
            state.neighbours.changed = [state.neighbours.changed[j] for j in order]
            return found[order]
        return found[:due]

    def tell(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        state = self.state
        losses = torch.where(valid, losses, math.inf).double()
        has_kept_promise = self._has_kept_promise(theta, losses)
        is_lower, asked = self._remember_best(theta, losses), len(self.chosen)
        is_cut = len(losses) < asked
        if is_cut:
            return  # the budget is spent
        if self.problem.any_discrete:
            self._tell_neighbours(theta, losses, asked, is_lower)
        if not len(state.samples):
            state.samples, state.losses = self.drawn, losses.new_full((len(self.drawn),), math.nan)
        state.losses = state.losses.index_copy(0, self.chosen, losses[:asked])
        is_rendered = ~state.losses.isnan()
        self._memorise(theta, losses)
        self._fit_model(int(is_rendered.sum()))
        is_believed = has_kept_promise or state.agreement >= self.settings.agreement
        if is_rendered.all():
            self._learn(state.samples, state.losses)
        elif state.model.is_known and is_believed:
            self._learn(state.samples, self._predicted(state.losses[is_rendered]))
        else:
            state.wanted = math.ceil(self.settings.more_renders * int(is_rendered.sum()))
            return
        state.samples, state.losses = state.samples[:0], state.losses[:0]
        state.distribution.mean[state.won] = state.theta[state.won]
        state.won = torch.zeros_like(state.won)

    def _tell_neighbours(self, theta: Tensor, losses: Tensor, asked: int, is_lower: bool) -> None:
        """What the rows behind the samples that were asked for tell, and how many are due next."""
        state = self.state
        state.won[self._learn_neighbours(theta, losses, asked, is_lower)] = True
        due = state.neighbours_due + asked * self._neighbours_per_sample() - (len(losses) - asked)
        state.neighbours_due = min(due, self.settings.most_neighbours)

    def take_known(self, theta: Tensor, losses: Tensor) -> bool:
        self._remember_best(theta, losses)
        self._memorise(theta, losses)
        self._fit_model(0)
        return True

    def _has_kept_promise(self, theta: Tensor, losses: Tensor) -> bool:
        """Whether the best of θ [k, n] is as much better than all before as h has said."""
        state = self.state
        if not state.model.is_known:
            return False
        promised = state.lowest - float(state.model(self.problem.on_lattice(theta)).min())
        return state.lowest - float(losses.min()) >= self.settings.kept_promise * promised > 0

    def _draw_with_minimum(self) -> Tensor:
        """λ samples [λ, n]; the last one is the minimum of h inside the Gaussian."""
        samples = self._draw()
        if self.state.model.is_known and self.settings.proposes_minimum:
            samples[-1] = self._minimum()
        return samples

    def _minimum(self) -> Tensor:
        """The minimum [n] of h among the θ that are not farther from m than long samples are (Hansen 2011)."""
        d, n = self.state.distribution, self.n
        A = d.sigma * d.transform(torch.eye(n).to(d.mean))  # row i: the sample for the i-th unit vector
        curvatures, axes = torch.linalg.eigh(A @ self.state.model.H @ A.T)
        slopes = axes.T @ (A @ self.state.model.gradient(d.mean))
        step, _ = trusted(curvatures, slopes, math.sqrt(n) + 2 * n / (n + 2))
        return self.problem.project(d.mean + (axes @ step) @ A)

    def _memorise(self, theta: Tensor, losses: Tensor) -> None:
        """Enter renders, and forget the oldest ones. Failed ones tell nothing of the shape."""
        state, settings = self.state, self.settings
        is_finite = losses.isfinite()
        wanted = max(int(settings.memory * self.terms.count), 3 * state.schedule.population)
        room = min(wanted, settings.most_memory)
        state.past = torch.cat([state.past, self.problem.on_lattice(theta[is_finite])])[-room:]
        state.past_losses = torch.cat([state.past_losses, losses[is_finite]])[-room:]

    def _fit_model(self, rendered: int) -> None:
        """h from the renders in memory, and τ. rendered: of the samples of this iteration.

        It is fitted in coordinates in which the Gaussian is round and the renders are of order 1.
        """
        state, d, settings = self.state, self.state.distribution, self.settings
        losses = state.past_losses
        if len(losses) < 2 or bool((losses == losses[0]).all()):
            return
        u = d.local(state.past)
        scale = max(1.0, float(u.square().mean().sqrt()))
        compared = max(settings.compared, int(settings.compared_to_rendered * rendered))
        fitted = fit(self.terms, u / scale, losses, settings.best_weight, compared)
        if fitted is None:
            return
        M = d.local(d.mean + torch.eye(self.n).to(d.mean)) / scale  # row i: the i-th unit vector in those coordinates
        state.model = Quadratic(d.mean.clone(), fitted.f, M @ fitted.g, M @ fitted.H @ M.T)
        state.agreement = kendall(fitted.left_out, losses[-compared:])

    def _predicted(self, known: Tensor) -> Tensor:
        """Losses [λ] by h alone, for values of two sources are in no order. The lowest one is the lowest known one."""
        predicted = self.state.model(self.problem.on_lattice(self.state.samples))
        return predicted - predicted.min() + known.min()

    def _restart(self) -> None:
        super()._restart()
        state = self.state
        state.has_found_minimum |= state.model.is_known and state.agreement >= self.settings.agreement
        state.past, state.past_losses = state.past[:0], state.past_losses[:0]
        state.model, state.agreement = Quadratic.unknown(state.theta), 0.0

    @property
    def has_found_minimum(self) -> bool:
        return self.state.has_found_minimum

    def predict(self, theta: Tensor) -> Tensor:
        return self.state.model(theta) if self.state.model.is_known else super().predict(theta)

    def gradient(self, theta: Tensor) -> Tensor:
        return self.state.model.gradient(theta) if self.state.model.is_known else super().gradient(theta)


def kendall(a: Tensor, b: Tensor) -> float:
    """Kendall's τ of two lists of numbers [N]: the share of pairs in the same order less that in the opposite one."""
    same = (a[:, None] - a).sign() * (b[:, None] - b).sign()
    return float(same.sum()) / max(len(a) * (len(a) - 1), 1)
