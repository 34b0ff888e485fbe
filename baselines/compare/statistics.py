"""Statistics over seeds × tasks, after Agarwal et al. 2021, "Deep RL at the Edge of the Statistical Precipice".

What is averaged is the *gain* of a run: how many orders of magnitude its result is below its start,
log10(initial loss / final loss), at most 12. A run that failed counts as the worst of its task, and never as better
than its start. Nothing is dropped. Intervals are 95 % of stratified bootstraps: the seeds of every task are drawn
anew, tasks stay. They need more than one seed.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from baselines.compare.rows import Curve, Run
from zg.errors import SettingError

# Nothing is lower than 10⁻¹² of the start: beyond it floating point decides.
MOST_GAIN = 12.0
RESAMPLES = 2000
LEVEL = 0.95


class Estimate(NamedTuple):
    """A number with its interval, which is None where there is one seed only."""

    value: float
    interval: tuple[float, float] | None


def gain(initial: float, final: float) -> float:
    """Orders of magnitude from the initial to the final loss, at most MOST_GAIN; negative where it got worse.

    Raises SettingError for a loss below 0, which has none.
    """
    if min(initial, final) < 0:
        raise SettingError(f"loss must be >= 0 to be compared in orders of magnitude, got {min(initial, final):g}")
    if final == 0:
        return MOST_GAIN
    return min(MOST_GAIN, math.log10(initial / final)) if initial > 0 else 0.0


def gains(runs: Sequence[Run]) -> dict[Run, float]:
    """The gain of every run of one task; failed ones get that of the worst, and 0 at most."""
    known = {id(run): gain(run.row["init_loss"], run.row["final_loss"]) for run in runs if not run.failed}
    worst = min(0.0, *known.values()) if known else 0.0
    return {run: known.get(id(run), worst) for run in runs}


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """The mean of the middle half of values [..., runs]: a quarter, rounded down, is cut off at either end."""
    ordered = np.sort(values, axis=-1)
    cut = ordered.shape[-1] // 4
    return ordered[..., cut : ordered.shape[-1] - cut].mean(-1)


def bootstrap(strata: Sequence[np.ndarray], statistic: Callable[[list[np.ndarray]], np.ndarray]) -> list[Estimate]:
    """A statistic of strata [seeds, ...], one a task, with the intervals of drawing the seeds of each anew.

    statistic: strata [resamples, seeds, ...] -> [resamples, values]; there is an estimate for each value.
    """
    known = statistic([stratum[None] for stratum in strata])[0]
    if min(len(stratum) for stratum in strata) < 2:
        return [Estimate(float(value), None) for value in known]
    random = np.random.default_rng(0)
    drawn = statistic([stratum[random.integers(len(stratum), size=(RESAMPLES, len(stratum)))] for stratum in strata])
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return [Estimate(float(value), (float(a), float(b))) for value, a, b in zip(known, low, high, strict=True)]


def overall_gain(by_task: Sequence[np.ndarray]) -> Estimate:
    """Interquartile mean of gains [seeds] of each task."""
    return bootstrap(by_task, lambda strata: interquartile_mean(np.concatenate(strata, axis=1))[:, None])[0]


def probability_of_improvement(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """P(a run of ours gains more than one of theirs [..., runs]), ties as a half: Mann and Whitney's U / (n m)."""
    difference = ours[..., :, None] - theirs[..., None, :]
    return ((difference > 0) + 0.5 * (difference == 0)).mean((-1, -2))


def improvement(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> Estimate:
    """The probability of improvement, mean over tasks; seeds of both methods are drawn anew, each on its own."""

    def mean(strata: list[np.ndarray]) -> np.ndarray:
        half = len(strata) // 2
        pairs = zip(strata[:half], strata[half:], strict=True)
        return np.mean([probability_of_improvement(*pair) for pair in pairs], axis=0)[:, None]

    return bootstrap([*ours, *theirs], mean)[0]


def average_ranks(by_task: Sequence[Mapping[str, Mapping[int, float]]]) -> dict[str, Estimate]:
    """{method: mean rank over tasks and seeds}, 1 the best, from {method: {seed: gain}} of each task.

    Runs that started from the same θ₀ are ranked together: seed by seed, over the seeds that all methods have. Ties
    share the mean of their ranks.
    """
    methods = sorted(by_task[0])
    strata = []
    for gains_of in by_task:
        seeds = sorted(set.intersection(*(set(gains_of[method]) for method in methods)))
        if not seeds:
            return {}
        strata.append(np.array([rankdata([-gains_of[method][seed] for method in methods]) for seed in seeds]))
    found = bootstrap(strata, lambda drawn: np.mean([stratum.mean(1) for stratum in drawn], axis=0))
    return dict(zip(methods, found, strict=True))


def reached(curve: Curve | None, target: float) -> tuple[float, float]:
    """Renders and seconds at which a curve was first at or below a loss; infinite where it never was."""
    places = np.flatnonzero(curve.losses <= target) if curve else np.array([], dtype=int)
    if curve is None or not len(places):
        return math.inf, math.inf
    return float(curve.renders[places[0]]), float(curve.seconds[places[0]])


def median_and_quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile; infinities count as what they are."""
    ordered = np.sort(np.asarray(values, dtype=float))
    found = []
    for share in (0.25, 0.5, 0.75):
        place = share * (len(ordered) - 1)
        low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
        found.append(float(low if low == high else low + (place % 1) * (high - low)))
    return found[0], found[1], found[2]


def floor(curves: Iterable[Curve]) -> float:
    """The loss below which no gain counts any more: where curves are cut off when drawn."""
    return max(float(curve.losses[0]) for curve in curves) * 10**-MOST_GAIN or 10**-MOST_GAIN


def quartile_band(
    curves: Sequence[Curve], axis: str, points: int = 160
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A grid along `renders` or `seconds` [points] with lower quartile, median and upper quartile of the losses there.

    Between its points a curve is held constant; it counts from its first point on, and after its last one: a run that
    stopped early keeps its result.
    """
    ends = [np.maximum(getattr(curve, axis), LEAST[axis]) for curve in curves]
    grid = np.geomspace(min(end[0] for end in ends), max(max(end[-1] for end in ends), LEAST[axis] * 1.001), points)
    held = np.array(
        [
            curve.losses[np.searchsorted(end, grid * (1 + 1e-9), side="right").clip(1) - 1]
            for curve, end in zip(curves, ends, strict=True)
        ]
    )
    low, middle, high = np.quantile(held, [0.25, 0.5, 0.75], axis=0)
    return grid, low, middle, high


# Where an axis in the logarithm begins: at one render, at a millisecond.
LEAST = {"renders": 1.0, "seconds": 1e-3}
