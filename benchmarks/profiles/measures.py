"""Data profiles, the area under them, and final losses against the best peer.

A target τ of a run is reached when f ≤ f* + τ (f₀ − f*), where f₀ is the loss of the start and f* the lowest one that
is known. The data profile d(α) of a method is the share of pairs (run, target) that it has reached after α n renders
(Moré and Wild 2009, "Benchmarking derivative-free optimization algorithms").

The area under it is the mean of d over log α between α = 0.1 and 200:

    A = 1 / log(200 / 0.1) ∫ d(α) d log α = mean over pairs of  clip(log(200 / α_hit) / log(200 / 0.1), 0, 1)

where α_hit is the first point of the curve that has reached the target. A is 1 if all is reached after 0.1 n renders,
0 if nothing ever is.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.profiles.bbob import BUDGETS
from benchmarks.profiles.bbob import TARGETS as BBOB_TARGETS
from benchmarks.profiles.peers import HINDSIGHT
from benchmarks.profiles.problems import CLOSEST
from benchmarks.profiles.runs import Row, key

#: Targets, as fractions of the distance of the start from the best known loss.
TARGETS = (0.1, 0.01, 0.001, CLOSEST)
#: The interval of renders per parameter over which the profile is integrated.
FIRST, LAST = 0.1, 200.0

#: {(problem, instance): f*}.
Floors = Mapping[tuple[str, int], float]


def latest(rows: Iterable[Row]) -> list[Row]:
    """The last row of every run that did not fail."""
    return [row for row in {key(row): row for row in rows}.values() if not row["error"]]


def movable(rows: Iterable[Row], floors: Floors) -> list[Row]:
    """The rows whose start is not already the best known θ: for the others no target is defined."""
    return [row for row in rows if row["start"] > floors[row["problem"], row["instance"]]]


def hits(row: Row, floor: float) -> list[float]:
    """Renders per parameter at which each target is reached; ∞ if it is not."""
    distance = row["start"] - floor
    return [hit(row["curve"], floor + target * distance, row["n"]) for target in TARGETS]


def hit(curve: Iterable[Sequence[float]], value: float, n: int) -> float:
    """Renders per parameter at which a curve is at or below a value for the first time."""
    return next((renders / n for renders, loss in curve if loss <= value), math.inf)


def profile(rows: Iterable[Row], floors: Floors) -> list[float]:
    """The sorted hits of all runs and targets, ∞ for those that are not reached: d(α) is the share that is ≤ α."""
    return sorted(one for row in rows for one in hits(row, floors[row["problem"], row["instance"]]))


def area(found: Sequence[float]) -> float:
    """The area under the profile of these hits."""
    shares = [math.log(LAST / one) / math.log(LAST / FIRST) for one in found if one < LAST]
    return sum(min(1.0, share) for share in shares) / len(found)


def by_method(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """{method: its rows}."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["method"]].append(row)
    return dict(found)


def by_problem(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """{problem: its rows}."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["problem"]].append(row)
    return dict(found)


def with_hindsight(methods: Mapping[str, list[Row]], floors: Floors) -> dict[str, list[Row]]:
    """The methods and the bounds of `HINDSIGHT`: for each problem, the rows of the σ with the largest area."""
    found = dict(methods)
    for bound, names in HINDSIGHT.items():
        choices = [by_problem(methods[name]) for name in names if name in methods]
        if len(choices) < len(names):
            continue  # not all values of σ were run
        found[bound] = []
        for problem in sorted(set.intersection(*map(set, choices))):
            found[bound] += max((choice[problem] for choice in choices), key=lambda rows: area(profile(rows, floors)))
    return found


def final(row: Row, floor: float) -> float:
    """The final loss of a run, clipped at 1e-6 of the start's distance from the best known loss."""
    return max(row["final"], CLOSEST * (row["start"] - floor))


def ratios(rows: Iterable[Row], others: Iterable[Row], floors: Floors) -> dict[str, float]:
    """{problem: final loss of a method over that of the best other one}.

    Final losses are geometric means over the instances that all of them have run; the best other method is the one with
    the lowest such mean on this problem.
    """
    mine, theirs = by_problem(rows), by_method(others)
    grouped = {name: by_problem(found) for name, found in theirs.items()}
    found = {}
    for problem, own in mine.items():
        present = {name: groups[problem] for name, groups in grouped.items() if problem in groups}
        instances = {row["instance"] for row in own}
        for group in present.values():
            instances &= {row["instance"] for row in group}
        if present and instances:

            def mean(group: Iterable[Row], instances: set[int] = instances) -> float:
                chosen = [row for row in group if row["instance"] in instances]
                return geometric_mean([final(row, floors[row["problem"], row["instance"]]) for row in chosen])

            found[problem] = mean(own) / min(mean(group) for group in present.values())
    return found


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean of positive numbers; 0 if one is 0."""
    return math.exp(sum(map(math.log, values)) / len(values)) if min(values) > 0 else 0.0


def bbob_shares(rows: Sequence[Row]) -> list[float]:
    """The share of (function, instance, target) that is reached at each of `BUDGETS` renders per parameter."""
    reached = [[loss_after(row, budget) <= target for row in rows for target in BBOB_TARGETS] for budget in BUDGETS]
    return [sum(one) / len(one) for one in reached]


def loss_after(row: Row, budget: int) -> float:
    """The loss after this many renders per parameter."""
    return min([row["start"], *(loss for renders, loss in row["curve"] if renders <= budget * row["n"])])
