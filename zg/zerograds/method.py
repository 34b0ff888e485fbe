"""ZeroGrads: learn a surrogate h of the loss around θ, online, and let it drive θ.

After Fischer and Ritschel, "ZeroGrads: Learning Local Surrogates for Non-Differentiable Graphics" (ACM TOG 2024); the
published algorithm itself is in `zg.zerograds.published`. The idea is kept, a local surrogate with memory; σ, step and
forgetting, which the published algorithm leaves to the user, are measured on the problem.

`zg.zerograds.choose` says which surrogate runs, `zg.zerograds.surrogates` holds one file for each.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from types import UnionType
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

from torch import Tensor

from zg.errors import SettingError, check_positive, nearest
from zg.ledger import Evaluation, Ledger
from zg.memory import check_memory
from zg.method import THETA_BYTES, Method, Range, Sample
from zg.problem import Problem
from zg.zerograds.choose import FEW, Situation, choose
from zg.zerograds.parts.gate import Gate
from zg.zerograds.parts.noise import differ
from zg.zerograds.surrogates import RENAMED, SURROGATES
from zg.zerograds.surrogates.base import Surrogate

AUTO = "auto"
#: Renders after a minimum was found / renders that the best θ needed, from which a run has converged.
SEARCHED = 5


class ZeroGrads(Method):
    """The default method: nothing has to be set.

    sigma: a first guess at how far to sample, in scaled units. surrogate: auto, or a name in
    `zg.zerograds.surrogates.SURROGATES`. options: settings of the surrogate that is named, such as `{pairs: 4}` for the
    neural one (its `Settings` in `zg/zerograds/surrogates`); `auto` takes none. Raises SettingError for a surrogate or
    an option that is unknown, and for an option of the wrong type.

    Few parameters: the start is rendered twice first, for two losses that differ mean noise. After a minimum a search
    for a lower one goes on, farther and farther away, until there were five times the renders that the best θ needed.
    """

    ranges: ClassVar = {"sigma": Range(0.003, 0.5, log=True)}

    def __init__(self, sigma: float = 0.05, surrogate: str = AUTO, options: dict[str, Any] | None = None) -> None:
        check_positive(sigma=sigma)
        self.sigma, self.wanted, self.options = sigma, surrogate, dict(options or {})
        check_surrogate(surrogate)
        self.settings = None if surrogate == AUTO else make_settings(surrogate, self.options)
        if surrogate == AUTO and self.options:
            raise SettingError(
                f"options must go with a surrogate by name, got surrogate 'auto' with {', '.join(self.options)}"
            )

    def build(self, theta: Tensor) -> None:
        if self.wanted == "coordinate_search" and not self.problem.all_discrete:
            raise SettingError(
                "surrogate 'coordinate_search' must have integers or binaries alone, and there are real parameters"
            )
        self.problem = self.problem.with_noise(False)  # what a task declares is not used: noise is measured
        self.has_converged = False
        self.gate, self.drawn_at = Gate(theta[None][:0]), self.generator.get_state()
        self.known: tuple[Tensor, Tensor] | None = None
        few = self.problem.n <= FEW
        self.measuring_noise = few if self.wanted == AUTO else SURROGATES[self.wanted].needs_noise
        self._begin(theta)

    def go_on(self, problem: Problem, ledger: Ledger, theta: Tensor) -> None:
        """In place of `start`: go on from θ [n], where another method has found whether the renderer is noisy."""
        self.problem, self.space, self.generator, self.ledger = problem, problem.space, problem.generator, ledger
        self.gate, self.drawn_at = Gate(theta[None][:0]), self.generator.get_state()
        self.has_converged = self.measuring_noise = False
        self.known = None
        self._begin(theta)

    def ask(self) -> Tensor:
        return self.surrogate.theta.expand(2, -1) if self.measuring_noise else self.surrogate.ask()

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        losses = evaluation.losses
        if self.measuring_noise:
            self.measuring_noise = False
            noisy = len(losses) == 2 and differ(losses[0], losses[1])
            self.problem = self.problem.with_noise(noisy)
            self._begin(self.surrogate.theta)
            if self.known is not None:
                self.surrogate.take_known(*self.known)
            return
        self.surrogate.tell(theta, losses, evaluation.valid)
        if self.wanted == AUTO:
            self._hand_over()

    @property
    def asynchronous(self) -> bool:
        """Whether the surrogate takes results as they come. One that takes over later may wait for whole batches."""
        return self.surrogate.takes_late

    def ask_one(self) -> Sample | None:
        if not self.gate.is_open:
            self.drawn_at = self.generator.get_state()
            rows = self.ask()
            waits_for = (len(rows), 0.0) if self.measuring_noise else self.surrogate.waits_for(len(rows))
            self.gate.begin(rows, *waits_for)
        return self.gate.next(surrogate=self.present, **self.surrogate.origin())

    def tell_one(self, sample: Sample, evaluation: Evaluation) -> None:
        if not self.gate.enter(sample, evaluation):
            is_same = sample.origin["surrogate"] == self.present
            if is_same and evaluation.valid[0]:
                self.surrogate.tell_late(sample.theta, float(evaluation.losses[0]), sample.origin)
        elif not self.gate.is_open:
            self.tell(self.gate.rows, self.gate.padded())

    def take_known(self, theta: Tensor, losses: Tensor) -> str:
        self.known = theta, losses  # for the surrogate that is chosen once noise was measured
        is_used = self.surrogate.take_known(theta, losses)
        return "all of them are samples of the surrogate, and are not rendered again" if is_used else ""

    def recommend(self) -> Tensor:
        return self.surrogate.recommend()

    def predict(self, theta: Tensor) -> Tensor:
        return self.surrogate.predict(theta)

    def surrogate_gradient(self, theta: Tensor) -> Tensor:
        return self.surrogate.gradient(theta)

    def finished(self) -> str | None:
        surrogate, ledger = self.surrogate, self.ledger
        has_found_minimum = self.has_converged or surrogate.has_found_minimum
        has_searched = surrogate.has_searched_widely and ledger.renders >= SEARCHED * ledger.improved_at
        return "converged" if surrogate.converged or (has_found_minimum and has_searched) else None

    def status(self) -> dict[str, float]:
        return {"sigma": self.surrogate.sigma} | self.surrogate.status()

    def state(self) -> dict[str, Any]:
        one_by_one = {"gate": self.gate.state_dict(), "drawn_at": self.drawn_at} if self.problem.asynchronous else {}
        return one_by_one | {
            "present": self.present,
            "surrogate": self.surrogate.state_dict(),
            "noisy": self.problem.noisy,
            "measuring_noise": self.measuring_noise,
            "has_converged": self.has_converged,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        drawn = self.generator.get_state()  # making a network draws its weights
        self.measuring_noise, self.has_converged = state["measuring_noise"], state["has_converged"]
        self.problem = self.problem.with_noise(state["noisy"])
        self._make(state["present"], self.space.init, self.sigma)
        self.surrogate.load_state_dict(state["surrogate"])
        if "gate" in state:
            self.gate.load_state_dict(state["gate"])
            self.drawn_at = state["drawn_at"].cpu()
            if self.gate.is_open:  # a surrogate keeps some of what it has asked for, and asks for the same again
                self.generator.set_state(self.drawn_at)
                self.ask()
        self.generator.set_state(drawn)

    def _begin(self, theta: Tensor) -> None:
        """Put the first surrogate to work at θ [n]."""
        if self.wanted != AUTO:
            return self._make(self.wanted, theta, self.sigma)
        rule = choose(Situation.at_start(self.problem))
        assert rule is not None and rule.sigma is not None, "the table has a rule for every start"
        return self._make(rule.surrogate, theta, rule.sigma * self.sigma)

    def _make(self, name: str, theta: Tensor, sigma: float) -> None:
        """Put a new surrogate at θ [n] with that σ to work."""
        self.present = name
        matrices = 8.0 * SURROGATES[name].matrices * self.problem.n**2
        check_memory(matrices, **{f"surrogate '{name}'": f"{self.problem.n} parameters"})
        settings = self.settings if name == self.wanted else None
        # A surrogate that waits for whole batches fills them, for its workers idle at the end of each.
        problem = replace(self.problem, asynchronous=self.problem.asynchronous and SURROGATES[name].takes_late)
        self.surrogate: Surrogate = SURROGATES[name](problem, theta, sigma, settings)  # type: ignore[call-arg]

    def _hand_over(self) -> None:
        """Let another surrogate go on from here where the table says so."""
        before = self.surrogate
        rule = choose(Situation.at_work(self.problem, self.present, before, self.ledger.renders))
        if rule is None:
            return
        self.has_converged = before.converged
        self._make(rule.surrogate, before.recommend(), before.sigma if rule.sigma is None else rule.sigma * self.sigma)
        if rule.keeps_shape and before.hessian is not None:
            self.surrogate.take_shape(before.sigma, before.hessian)


def check_surrogate(name: str) -> None:
    """Raise SettingError unless there is a surrogate of that name."""
    if name in RENAMED:
        raise SettingError(f"surrogate '{name}' is now called '{RENAMED[name]}'")
    if name not in (AUTO, *SURROGATES):
        raise SettingError(f"surrogate '{name}' is unknown{nearest(str(name), (AUTO, *SURROGATES))}")


def make_settings(surrogate: str, options: Mapping[str, Any]) -> Any:
    """The settings of a surrogate with these options. Raises SettingError for an unknown name or a wrong value."""
    return settings_of(SURROGATES[surrogate].Settings, options, surrogate)


def settings_of(kind: type, options: Mapping[str, Any], surrogate: str) -> Any:
    """A settings dataclass with these options. Raises SettingError for an unknown name or a wrong value."""
    return _settings(kind, options, surrogate, "options")


def _settings(kind: type, options: Any, surrogate: str, where: str) -> Any:
    """A settings dataclass, and those within it, from nested options."""
    if not isinstance(options, Mapping):
        raise SettingError(f"{where} must be settings by name, got {options!r}")
    types, known = get_type_hints(kind), [field.name for field in fields(kind)]
    given = {}
    for name, value in options.items():
        place = f"{where}.{name}"
        if name not in known:
            raise SettingError(f"{place} is unknown for surrogate '{surrogate}'{nearest(name, known)}")
        if is_dataclass(types[name]):
            given[name] = _settings(types[name], value, surrogate, place)
        else:
            given[name] = _checked(types[name], value, place)
    return kind(**given)


def _checked(kind: Any, value: Any, place: str) -> Any:
    """A value of a setting's type: true or false, a number above 0, or a list of numbers."""
    takes = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if value is None and type(None) in takes:
        return None
    if bool in takes:
        if not isinstance(value, bool):
            raise SettingError(f"{place} must be true or false, got {value!r}")
        return value
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple) or not value:
            raise SettingError(f"{place} must be a list of numbers, got {value!r}")
        return tuple(value)
    is_whole = int in takes and float not in takes
    if isinstance(value, bool) or not isinstance(value, int if is_whole else (int, float)):
        raise SettingError(f"{place} must be {'a whole number' if is_whole else 'a number'}, got {value!r}")
    check_positive(**{place: value})
    if is_whole:
        check_memory(value * THETA_BYTES, **{place: value})  # most of them are numbers of θ
    return value
