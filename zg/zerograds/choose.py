"""Which surrogate runs, and when another takes over: one table and one function."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from zg.problem import Problem
from zg.zerograds.surrogates.base import Surrogate

#: n up to which n × n numbers and 2 n renders an iteration are cheap.
FEW = 128
#: n up to which a quadratic of past renders costs fewer renders than a sweep of differences for each step.
FEWEST = 10
#: n up to which a full quadratic of past renders can be fitted (`most_terms` of `assisted_cmaes`).
FULL = 40
#: Renders per parameter after which such a quadratic takes over from differences.
SWEPT = 40
#: n up to which n × n numbers are still cheap (2 MB each), for a surrogate that needs few iterations more.
SOME = 512
#: Renders per parameter after which differences along every axis have paid on problems of 130 to 512 parameters.
RENDERS_PER_PARAMETER = 16
#: First σ of samples that are ranked, over the user's σ: ranks need a wide look, and σ comes down in a few iterations.
SIGMA_RANKED = 2.0
#: First σ of the search beyond a minimum, over the user's σ: samples leave the basin of the minimum that was found.
SIGMA_BEYOND = 3.0


@dataclass(frozen=True)
class Situation:
    """All that the choice depends on.

    present: the name of the surrogate at work, "" before the first. converged, failed: what it says of itself.
    renders: counted so far.
    """

    n: int
    noisy: bool
    any_discrete: bool
    all_discrete: bool
    present: str = ""
    converged: bool = False
    failed: bool = False
    renders: int = 0
    any_categorical: bool = False

    @classmethod
    def at_start(cls, problem: Problem) -> "Situation":
        """Before the first surrogate."""
        known = problem.n, problem.noisy, problem.any_discrete, problem.all_discrete
        return cls(*known, any_categorical=bool(problem.space.groups))

    @classmethod
    def at_work(cls, problem: Problem, present: str, surrogate: Surrogate, renders: int) -> "Situation":
        """While a surrogate is at work."""
        return replace(
            cls.at_start(problem),
            noisy=problem.noisy or surrogate.noisy,
            present=present,
            converged=surrogate.converged,
            failed=surrogate.failed,
            renders=renders,
        )


@dataclass(frozen=True)
class Rule:
    """If the surrogate `present` is at work and `when` holds, `surrogate` takes over.

    sigma: its first σ, relative to the σ of the user; None for the σ of the one before. keeps_shape: it goes on with σ
    and the curvature of the one before, and σ is what its restarts begin from. because: the reason, in words.
    """

    present: str
    when: Callable[[Situation], bool]
    surrogate: str
    sigma: float | None
    because: str
    keeps_shape: bool = False


#: The first rule that holds is followed. (Where quasi-Newton has converged it has failed, too.)
TABLE = (
    Rule("", lambda s: s.n > FEW and s.all_discrete, "coordinate_search", 1.0, "rounding leaves no slope to follow"),
    Rule("", lambda s: FEW < s.n <= SOME and s.any_categorical, "dd_cmaes", 1.0, "a choice has no slope"),
    Rule("", lambda s: s.n > FEW, "sketched_gradient", 1.0, "O(n) memory"),
    Rule(
        "",
        lambda s: s.any_discrete and s.n <= FEW and not s.noisy,
        "assisted_cmaes",
        1.0,
        "a model of past renders ranks values without a slope, too",
    ),
    Rule("", lambda s: s.any_discrete, "dd_cmaes", 1.0, "ranks do not need a slope"),
    Rule("", lambda s: s.noisy, "bayesian_quadratic", 1.0, "regression averages noise away"),
    Rule("", lambda s: s.n <= FEWEST, "two_searches", SIGMA_RANKED, "a model of past renders saves most renders"),
    Rule("", lambda s: True, "quasi_newton", 1.0, "differences are exact without noise"),
    Rule(
        "sketched_gradient",
        lambda s: s.n <= SOME and s.renders >= RENDERS_PER_PARAMETER * s.n and not s.noisy and not s.any_discrete,
        "quasi_newton",
        None,
        "valleys of unequal curvature need H",
    ),
    Rule(
        "quasi_newton",
        lambda s: s.converged and s.n <= FULL,
        "two_searches",
        SIGMA_BEYOND,
        "another minimum may be lower",
    ),
    Rule(
        "quasi_newton",
        lambda s: s.converged and s.n <= FEW,
        "assisted_cmaes",
        SIGMA_BEYOND,
        "another minimum may be lower",
    ),
    Rule("quasi_newton", lambda s: s.converged, "dd_cmaes", SIGMA_BEYOND, "another minimum may be lower"),
    Rule(
        "quasi_newton",
        lambda s: s.failed and s.n <= FULL,
        "two_searches",
        SIGMA_RANKED,
        "the loss is jagged, or has kinks",
    ),
    Rule(
        "quasi_newton",
        lambda s: s.failed and s.n <= FEW,
        "assisted_cmaes",
        1.0,
        "the loss is jagged, or has kinks",
    ),
    Rule("quasi_newton", lambda s: s.failed, "dd_cmaes", 1.0, "the loss is jagged, or has kinks"),
    Rule(
        "quasi_newton",
        lambda s: s.n <= FULL and s.renders >= SWEPT * s.n,
        "two_searches",
        SIGMA_RANKED,
        "a model of past renders no longer needs sweeps",
        keeps_shape=True,
    ),
)


def choose(situation: Situation) -> Rule | None:
    """The rule to follow now: at the start the first surrogate, later None while the present one goes on."""
    return next((rule for rule in TABLE if rule.present == situation.present and rule.when(situation)), None)
