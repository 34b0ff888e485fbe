"""Which method is best, and which cannot be told from it: by a test, not by eye.

A one-sided Mann–Whitney U test asks of each method whether the best one's seeds are lower than its own; the p values of
a column are corrected after Holm, and a method that is not told from the best at 5 % is tied with it. With few seeds
the test cannot tell anything whatever the numbers are: then nothing is called best, the lowest median is only pointed
at, and the table says so.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import PermutationMethod, mannwhitneyu

from baselines.compare import statistics

LEVEL = 0.05
# p values of tied ranks are counted over all permutations, or so many drawn ones where there are more.
PERMUTATIONS = 9999
BEST, TIED, LOWEST = "best", "tied", "lowest"


class Middle(NamedTuple):
    """A median over seeds with the 95 % interval of drawing the seeds anew; one seed has none."""

    value: float
    low: float | None = None
    high: float | None = None


def middle(values: Sequence[float], seed: int = 0) -> Middle:
    """Median and interval; infinities count as what they are, and NaN as infinite."""
    found = np.nan_to_num(np.asarray(values, dtype=float), nan=math.inf, posinf=math.inf, neginf=-math.inf)
    if len(found) < 2:
        return Middle(float(found[0]) if len(found) else math.nan)
    drawn = np.random.default_rng(seed).integers(len(found), size=(statistics.RESAMPLES, len(found)))
    medians = np.sort(np.median(found[drawn], axis=1))
    edge = round((1 - statistics.LEVEL) / 2 * statistics.RESAMPLES)
    return Middle(float(np.median(found)), float(medians[edge]), float(medians[-1 - edge]))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p values corrected for their number, after Holm (1979)."""
    corrected: dict[str, float] = {}
    highest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[name]))
        corrected[name] = highest
    return corrected


def can_tell(seeds: int, methods: int) -> bool:
    """Whether the test could part the best of so many methods from all others: its smallest p value, corrected."""
    return methods > 1 and (methods - 1) / math.comb(2 * seeds, seeds) <= LEVEL


def marks(values: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """{method: BEST, TIED or LOWEST} of a column, lower is better; {method: values over seeds}, infinite for failures.

    Methods without a finite median are neither; where no method has one, nothing is marked.
    """
    clean = {
        name: np.nan_to_num(np.asarray(of, dtype=float), nan=math.inf, posinf=math.inf) for name, of in values.items()
    }
    medians = {name: float(np.median(of)) for name, of in clean.items() if len(of)}
    finite = [name for name, value in medians.items() if math.isfinite(value)]
    if not finite:
        return {}
    best = min(finite, key=lambda name: (medians[name], float(np.max(clean[name]))))
    others = [name for name in clean if name != best and len(clean[name])]
    if not others:
        return {}
    if not can_tell(min(len(of) for of in clean.values() if len(of)), len(clean)):
        return {name: LOWEST for name in finite if medians[name] == medians[best]}
    p_values = {name: p_lower(clean[best], clean[name]) for name in others}
    told = {name for name, p in holm(p_values).items() if p <= LEVEL}
    return {best: BEST} | {name: TIED for name in finite if name != best and name not in told}


def p_lower(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The p value of `ours` being lower than `theirs` by luck."""
    if set(ours) == set(theirs) and len(set(ours)) == 1:
        return 1.0
    both = np.concatenate([ours, theirs])
    exact = "exact" if len(np.unique(both)) == len(both) else PermutationMethod(PERMUTATIONS, rng=0)
    return float(mannwhitneyu(ours, theirs, alternative="less", method=exact).pvalue)
