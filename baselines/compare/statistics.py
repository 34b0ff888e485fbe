"""Statistics over seeds × tasks, after Agarwal et al. 2021, "Deep RL at the Edge of the Statistical Precipice".

What is averaged is the *gain* of a run: the orders of magnitude between its start and its result,

    gain = log10(initial loss / final loss), at most 12.

A failed run counts as the worst run of its task, and never as better than its start. No run is dropped. Intervals hold
95 % of a stratified bootstrap: the seeds of each task are drawn again with replacement, the tasks stay. An interval
needs at least two seeds.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats

from baselines.compare.rows import Curve, Run
from zg.errors import SettingError

# The largest gain: below 10⁻¹² of the initial loss the rounding of floating-point numbers decides.
MOST_GAIN = 12.0
# Bootstrap samples of an interval.
RESAMPLES = 2000
# The share of the bootstrap samples that an interval holds.
LEVEL = 0.95
# The share of the runs that the interquartile mean leaves out at either end.
QUARTER = 0.25
# Where a logarithmic axis starts: at one render, at one millisecond.
LEAST = {"renders": 1.0, "seconds": 1e-3}


class Estimate(NamedTuple):
    """A number with its interval. The interval is None where there is only one seed."""

    value: float
    interval: tuple[float, float] | None


def gain(initial: float, final: float) -> float:
    """Orders of magnitude from the initial to the final loss, at most MOST_GAIN; negative where the loss grew.

    Raises SettingError for a loss below 0, for which there is no gain.
    """
    if min(initial, final) < 0:
        raise SettingError(f"loss must be >= 0 to be compared in orders of magnitude, got {min(initial, final):g}")
    if final == 0:
        return MOST_GAIN
    return min(MOST_GAIN, math.log10(initial / final)) if initial > 0 else 0.0


def gains(runs: Sequence[Run]) -> dict[Run, float]:
    """The gain of every run of one task. A failed run gets the gain of the worst run, and at most 0."""
    known = {id(run): gain(run.row["init_loss"], run.row["final_loss"]) for run in runs if not run.failed}
    worst = min(0.0, *known.values()) if known else 0.0
    return {run: known.get(id(run), worst) for run in runs}


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """The mean of the middle half of values [..., runs]: a quarter of the runs, rounded down, is cut at either end."""
    return scipy.stats.trim_mean(values, QUARTER, axis=-1)


def bootstrap(strata: Sequence[np.ndarray], statistic: Callable[..., np.ndarray]) -> list[Estimate]:
    """A statistic of strata [..., seeds], one stratum for each task, with bootstrap intervals over the seeds.

    statistic: called as SciPy's `bootstrap` calls it, with strata [..., resamples, seeds] and `axis`, the axis of the
    seeds. It returns one value, or an array of values, for each resample; each value gets an estimate.
    """
    known = np.atleast_1d(statistic(*strata, axis=-1))
    if min(stratum.shape[-1] for stratum in strata) < 2:
        return [Estimate(float(value), None) for value in known]
    low, high = scipy.stats.bootstrap(
        strata,
        statistic,
        n_resamples=RESAMPLES,
        vectorized=True,
        axis=-1,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    edges = zip(np.atleast_1d(low), np.atleast_1d(high), strict=True)
    return [Estimate(float(value), (float(a), float(b))) for value, (a, b) in zip(known, edges, strict=True)]


def overall_gain(by_task: Sequence[np.ndarray]) -> Estimate:
    """Interquartile mean of the gains [seeds] of all tasks."""

    def mean(*strata: np.ndarray, axis: int) -> np.ndarray:
        return interquartile_mean(np.concatenate(strata, axis=axis))

    return bootstrap(by_task, mean)[0]


def probability_of_improvement(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """P(a run of ours gains more than a run of theirs) from gains [..., runs]: Mann and Whitney's U / (n m).

    A tie counts as a half.
    """
    u = scipy.stats.mannwhitneyu(ours, theirs, axis=-1, method="asymptotic").statistic
    return u / (ours.shape[-1] * theirs.shape[-1])


def improvement(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> Estimate:
    """The probability of improvement, mean over tasks. The seeds of the two methods are drawn independently."""

    def mean(*strata: np.ndarray, axis: int) -> np.ndarray:
        half = len(strata) // 2
        pairs = zip(strata[:half], strata[half:], strict=True)
        return np.mean([probability_of_improvement(*pair) for pair in pairs], axis=0)

    return bootstrap([*ours, *theirs], mean)[0]


def average_ranks(by_task: Sequence[Mapping[str, Mapping[int, float]]]) -> dict[str, Estimate]:
    """{method: mean rank over tasks and seeds}, 1 the best, from {method: {seed: gain}} of each task.

    Runs from the same θ₀ are ranked together: seed by seed, over the seeds that all methods have. Tied runs share the
    mean of their ranks.
    """
    methods = sorted(by_task[0])
    strata = []
    for gains_of in by_task:
        seeds = sorted(set.intersection(*(set(gains_of[method]) for method in methods)))
        if not seeds:
            return {}
        losses = np.array([[-gains_of[method][seed] for seed in seeds] for method in methods])
        strata.append(scipy.stats.rankdata(losses, axis=0))

    def mean(*ranks: np.ndarray, axis: int) -> np.ndarray:
        return np.mean([of_task.mean(axis) for of_task in ranks], axis=0)

    return dict(zip(methods, bootstrap(strata, mean), strict=True))


def reached(curve: Curve | None, target: float) -> tuple[float, float]:
    """Renders and seconds at which a curve first was at or below the target loss; infinite where it never was."""
    places = np.flatnonzero(curve.losses <= target) if curve else np.array([], dtype=int)
    if curve is None or not len(places):
        return math.inf, math.inf
    return float(curve.renders[places[0]]), float(curve.seconds[places[0]])


def median_and_quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile. An infinite value is larger than every other value.

    Not `np.quantile`: it returns NaN where one of the two values that it interpolates between is infinite.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    found = []
    for share in (0.25, 0.5, 0.75):
        place = share * (len(ordered) - 1)
        low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
        found.append(float(low if low == high else low + (place % 1) * (high - low)))
    return found[0], found[1], found[2]


def floor(curves: Iterable[Curve]) -> float:
    """The loss at which drawn curves are cut off. Any, if there is no curve.

    It is that of the largest gain, or a tenth of the lowest loss that is not 0 if that is more.
    """
    curves = list(curves)
    largest_gain = max((float(curve.losses[0]) for curve in curves), default=0.0) * 10**-MOST_GAIN or 10**-MOST_GAIN
    positive = [float(curve.losses[curve.losses > 0].min()) for curve in curves if (curve.losses > 0).any()]
    return max(largest_gain, 0.1 * min(positive, default=0.0))


def quartile_band(
    curves: Sequence[Curve], axis: str, points: int = 160
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A grid along `renders` or `seconds` [points], and lower quartile, median and upper quartile of the losses there.

    Between its points a curve is constant. Before its first point it has the loss of the first point. After its last
    point it has the loss of the last point: a run that stopped early keeps its result.
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
