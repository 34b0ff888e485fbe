"""Which method is best, and which methods the data do not distinguish from it: by a test, not by eye.

For each method a one-sided Mann–Whitney U test asks whether the losses of the best method are lower. The p values of a
column are corrected after Holm. A method whose p value stays above 5 % is tied with the best method. With few seeds no
p value can be below 5 %, whatever the numbers are: then no method is called best, the lowest median is marked as the
lowest, and the table says so.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import PermutationMethod, mannwhitneyu

from baselines.compare import statistics

# The significance level.
LEVEL = 0.05
# p values of tied ranks come from all permutations, or from this number of drawn permutations where there are more.
PERMUTATIONS = 9999
# The marks of a table.
BEST, TIED, LOWEST = "best", "tied", "lowest"


class Middle(NamedTuple):
    """A median over seeds with its 95 % bootstrap interval. One seed has no interval."""

    value: float
    low: float | None = None
    high: float | None = None


def middle(values: Sequence[float], seed: int = 0) -> Middle:
    """Median and percentile bootstrap interval. An infinite value is larger than all others; NaN counts as infinite.

    Not `scipy.stats.bootstrap`: it interpolates between medians, which gives NaN next to an infinite one.
    """
    found = np.nan_to_num(np.asarray(values, dtype=float), nan=math.inf, posinf=math.inf, neginf=-math.inf)
    if len(found) < 2:
        return Middle(float(found[0]) if len(found) else math.nan)
    drawn = np.random.default_rng(seed).integers(len(found), size=(statistics.RESAMPLES, len(found)))
    edges = (1 - statistics.LEVEL) / 2, (1 + statistics.LEVEL) / 2
    low, high = np.quantile(np.median(found[drawn], axis=1), edges, method="nearest")
    return Middle(float(np.median(found)), float(low), float(high))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p values corrected for their number, after Holm (1979). SciPy has no such correction."""
    corrected: dict[str, float] = {}
    highest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[name]))
        corrected[name] = highest
    return corrected


def can_tell(seeds: int, methods: int, others: int | None = None) -> bool:
    """Whether the test can reach LEVEL: with these seeds of two methods, by its smallest p value, corrected."""
    return methods > 1 and (methods - 1) / math.comb(seeds + (others or seeds), seeds) <= LEVEL


def marks(values: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """{method: BEST, TIED or LOWEST} from {method: values over seeds}, where lower is better and a failure is infinite.

    A method without a finite median gets no mark.
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
    if not any(can_tell(len(clean[best]), len(clean), len(clean[name])) for name in others):
        return {name: LOWEST for name in finite if medians[name] == medians[best]}
    p_values = {name: p_lower(clean[best], clean[name]) for name in others}
    worse = {name for name, p in holm(p_values).items() if p <= LEVEL}
    return {best: BEST} | {name: TIED for name in finite if name != best and name not in worse}


def p_lower(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The p value of the one-sided test that `ours` are lower than `theirs`."""
    if set(ours) == set(theirs) and len(set(ours)) == 1:
        return 1.0
    both = np.concatenate([ours, theirs])
    exact = "exact" if len(np.unique(both)) == len(both) else PermutationMethod(PERMUTATIONS, rng=0)
    return float(mannwhitneyu(ours, theirs, alternative="less", method=exact).pvalue)
