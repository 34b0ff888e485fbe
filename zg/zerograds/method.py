"""ZeroGrads: learn a surrogate h of the loss around θ, online, and let it drive θ.

After Fischer and Ritschel, "ZeroGrads: Learning Local Surrogates for Non-Differentiable Graphics" (ACM TOG 2024); the
published algorithm itself is in `zg.zerograds.published`. The idea is kept, a local surrogate with memory; σ, step and
forgetting, which the published algorithm leaves to the user, are measured on the problem.

The surrogates share the contract of `zg.zerograds.surrogates.base`:

* curved: a quadratic, O(n²), for few parameters and a smooth loss, and for some hundreds in the end;
* ridge: a quadratic by regression over past samples, for few parameters and a noisy loss;
* ranked: a bowl learned from ranks alone, for few parameters and a jagged loss, or counts;
* linear: a gradient that remembers, O(n), for many parameters;
* switched: what each single change would do, O(n), for many counts or switches and nothing else;
* neural: the paper's network, in local coordinates; on request.

Above 128 parameters `auto` takes the linear or the switched one. Below, it renders the start twice: losses that differ
are noise.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from zg.errors import SettingError, check_positive, nearest
from zg.method import Method, Range
from zg.objective import Evaluation
from zg.zerograds.surrogates.base import Surrogate, differ
from zg.zerograds.surrogates.bayesian_quadratic import BayesianQuadratic
from zg.zerograds.surrogates.coordinate_search import CoordinateSearch
from zg.zerograds.surrogates.dd_cmaes import DDCMAES
from zg.zerograds.surrogates.neural import Neural
from zg.zerograds.surrogates.quasi_newton import QuasiNewton
from zg.zerograds.surrogates.sketched_gradient import SketchedGradient

Kind = Literal["auto", "curved", "ridge", "ranked", "neural", "linear", "switched"]
SURROGATES: dict[str, Callable[..., Surrogate]] = {
    "curved": QuasiNewton,
    "ridge": BayesianQuadratic,
    "ranked": DDCMAES,
    "neural": Neural,
    "linear": SketchedGradient,
    "switched": CoordinateSearch,
}
# Up to here n × n numbers and 2 n renders a sweep are cheap.
FEW = 128
# Up to here n × n numbers are (2 MB), and 2 n renders a sweep pay once the linear surrogate has had so many for each n.
SOME, EARLY = 512, 16
# From a minimum that the curved surrogate has found, the search for a lower one begins so many times wider than σ.
BEYOND = 3.0


class ZeroGrads(Method):
    """The default method: nothing has to be set.

    sigma: a guess, in scaled units, at how far to look at first. surrogate: auto, or one of SURROGATES. options:
    settings of the surrogate that is named, such as `{pairs: 4, hidden: 32}` for the neural one (each class in
    `zg/surrogates` says which it has); `auto` takes none. Raises SettingError for an option that the surrogate does not
    have, or that is not a number above 0.

    `auto` on few parameters: noise, and it is the ridge surrogate; counts or switches among the parameters, and it is
    the ranked one; else the curved one. Where that fails, the ranked one goes on. Where it finds a minimum, the ranked
    one looks farther for as many renders as were needed for the best θ so far, before the run counts as converged.
    On many it is the switched one, where all are counts or switches, or the linear one; up to 512, without noise or
    counts, the curved one goes on after 16 n renders.
    """

    ranges: ClassVar = {"sigma": Range(0.003, 0.5, log=True)}

    def __init__(self, sigma: float = 0.05, surrogate: Kind = "auto", options: dict[str, Any] | None = None) -> None:
        super().__init__()
        check_positive(sigma=sigma)
        if surrogate not in ("auto", *SURROGATES):
            raise SettingError(f"surrogate '{surrogate}' is unknown{nearest(surrogate, ('auto', *SURROGATES))}")
        self.sigma, self.kind, self.options = sigma, surrogate, dict(options or {})
        check_options(surrogate, self.options)

    def build(self, theta: Tensor) -> None:
        if self.kind == "switched" and not self.space.discrete.all():
            raise SettingError("surrogate 'switched' must have counts or switches alone, and there are real parameters")
        few = self.space.n <= FEW
        self.noisy = self.settled = False
        self.probing = self.kind == "ranked" or (self.kind == "auto" and few)
        many = "switched" if self.space.discrete.all() else "linear"
        kind = self.kind if self.kind != "auto" else "curved" if few else many
        self.surrogate = self.make(kind, theta, self.sigma)

    def make(self, kind: str, theta: Tensor, sigma: float) -> Surrogate:
        """A surrogate of that kind that stands at θ [n] and looks σ far, and is told what it takes of the problem."""
        self.present = kind
        lattice = torch.where(self.space.discrete, 1 / self.space.scale, 0.0)
        known = {"lattice": lattice, "blocks": self.space.sizes, "noisy": self.noisy}
        takes = inspect.signature(SURROGATES[kind]).parameters
        told = {name: what for name, what in known.items() if name in takes}
        return SURROGATES[kind](theta, sigma, self.space.project, self.random, **told, **self.options)

    def ask(self) -> Tensor:
        return self.surrogate.theta.expand(2, -1) if self.probing else self.surrogate.ask()

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        losses = evaluation.losses
        if self.probing:
            self.probing = False
            self.noisy = len(losses) == 2 and differ(losses[0], losses[1])
            kind = self.kind if self.kind != "auto" else self._suited()
            self.surrogate = self.make(kind, self.surrogate.theta, self.sigma)
            return
        self.surrogate.tell(theta, losses, evaluation.valid)
        if self.kind == "auto":
            self._hand_over()

    def _hand_over(self) -> None:
        """Go on with another surrogate where the present one is done, or another sees more from here."""
        done = self.surrogate
        if isinstance(done, SketchedGradient):
            late = self.objective.renders >= EARLY * self.space.n
            if late and self.space.n <= SOME and not (done.noisy or self.space.any_discrete):
                self.surrogate = self.make("curved", done.recommend(), done.status()["sigma"])
        elif self.present in ("curved", "ridge") and (done.converged or done.failed):
            self.settled = done.converged
            sigma = BEYOND * self.sigma if self.settled else self.sigma
            self.surrogate = self.make("ranked", done.recommend(), sigma)

    def _suited(self) -> str:
        """The surrogate for few parameters, when noise is known."""
        if self.space.any_discrete:
            return "ranked"
        return "ridge" if self.noisy else "curved"

    def recommend(self) -> Tensor:
        return self.surrogate.recommend()

    def predict(self, theta: Tensor) -> Tensor:
        return self.surrogate.predict(theta)

    def surrogate_gradient(self, theta: Tensor) -> Tensor:
        return self.surrogate.gradient(theta)

    def finished(self) -> str | None:
        searched = self.settled and self.objective.renders >= 2 * self.objective.improved_at
        return "converged" if self.surrogate.converged or searched else None

    def status(self) -> dict[str, float]:
        return self.surrogate.status()

    def extra_state(self) -> dict[str, Any]:
        names = ("probing", "noisy", "settled")
        return {"surrogate": self.present, "state": self.surrogate.state()} | {name: vars(self)[name] for name in names}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        drawn = self.random.get_state()  # making a network draws its weights
        self.probing, self.noisy, self.settled = state["probing"], state["noisy"], state["settled"]
        self.surrogate = self.make(state["surrogate"], self.space.init, self.sigma)
        self.surrogate.load_state(state["state"])
        self.random.set_state(drawn)


def check_options(surrogate: str, options: Mapping[str, Any]) -> None:
    """Raise SettingError unless each option is a number above 0 that the surrogate of that name takes."""
    if not options:
        return
    if surrogate == "auto":
        raise SettingError(f"options must go with a surrogate by name, got surrogate 'auto' with {', '.join(options)}")
    takes = {
        name: get_args(parameter.annotation) or (parameter.annotation,)
        for name, parameter in inspect.signature(SURROGATES[surrogate]).parameters.items()
        if parameter.default is not parameter.empty
    }
    known = {name: kinds for name, kinds in takes.items() if int in kinds or float in kinds}
    for name, value in options.items():
        if name not in known:
            raise SettingError(f"options.{name} is unknown for surrogate '{surrogate}'{nearest(name, known)}")
        whole = int in known[name]
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise SettingError(f"options.{name} must be {'a whole number' if whole else 'a number'}, got {value!r}")
        check_positive(**{f"options.{name}": value})
