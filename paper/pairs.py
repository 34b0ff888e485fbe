"""Whether one method gains more than another one, from runs that are samples only where something is random.

Where the start depends on the seed, runs with the same seed have the same start: they are paired, and Student's paired
t test compares their gains. (Wilcoxon's signed ranks have no p value below 0.03 with six pairs.) Where all runs have
the same start, Mann and Whitney's U test does. A method whose runs are equal in every number has no randomness there:
its runs are one sample, and no test is made. All tests are two-sided.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import PermutationMethod, mannwhitneyu, ttest_1samp, wilcoxon

from baselines.compare import statistics
from baselines.compare.rows import Run
from paper.marks import PERMUTATIONS


class Pair(NamedTuple):
    """Two methods. better: P(the upper one gains more), a tie counts half. p: None where no test is possible."""

    upper: str
    lower: str
    better: float
    p: float | None


def identity(run: Run) -> tuple[object, ...]:
    """Everything that a run has measured but seconds and memory. A failed run is like no other one."""
    if run.failed:
        return (id(run),)
    losses = () if run.curve is None else tuple(run.curve.losses)
    return run.row["init_loss"], run.row["final_loss"], run.row["renders"], losses


def distinct(runs: Sequence[Run]) -> list[Run]:
    """The runs that are samples of their own: runs that are equal in every number count once."""
    return list({identity(run): run for run in runs}.values())


def has_no_randomness(runs: Sequence[Run]) -> bool:
    """Whether several seeds gave one result: neither the start nor the method is random."""
    return len(runs) > 1 and len(distinct(runs)) == 1


def are_paired(upper: Sequence[Run], lower: Sequence[Run]) -> bool:
    """Whether the start depends on the seed, and is the same for the same seed."""
    starts = [{run.row["seed"]: run.row["init_loss"] for run in runs if not run.failed} for runs in (upper, lower)]
    common = starts[0].keys() & starts[1].keys()
    same = all(np.isclose(starts[0][seed], starts[1][seed], rtol=1e-3) for seed in common)
    return same and len({starts[0][seed] for seed in common}) > 1


def compare(upper: str, lower: str, by_method: Mapping[str, Sequence[Run]], gains: Mapping[Run, float]) -> Pair:
    """Two methods on one task. gains: {run: its gain}."""
    ours, theirs = by_method[upper], by_method[lower]
    if are_paired(ours, theirs):
        of = [{run.row["seed"]: gains[run] for run in runs} for runs in (ours, theirs)]
        seeds = sorted(of[0].keys() & of[1].keys())
        difference = np.array([of[0][seed] - of[1][seed] for seed in seeds])
        better = float(np.mean(difference > 0) + 0.5 * np.mean(difference == 0))
        return Pair(upper, lower, better, paired_p(difference))
    a, b = (np.array([gains[run] for run in distinct(runs)]) for runs in (ours, theirs))
    better = float(statistics.probability_of_improvement(a, b))
    return Pair(upper, lower, better, unpaired_p(a, b))


def paired_p(difference: np.ndarray) -> float | None:
    """The p value of no difference; None for fewer than two pairs."""
    if len(difference) < 2:
        return None
    if not difference.any():
        return 1.0
    if np.ptp(difference) == 0:  # Student's t would be infinite
        return float(wilcoxon(difference).pvalue)
    return float(ttest_1samp(difference, 0).pvalue)


def unpaired_p(a: np.ndarray, b: np.ndarray) -> float | None:
    """The p value that samples a and b are from one distribution; None where a or b is one sample."""
    if min(len(a), len(b)) < 2:
        return None
    if set(a) == set(b) and len(set(a)) == 1:
        return 1.0
    both = np.concatenate([a, b])
    method = "exact" if len(np.unique(both)) == len(both) else PermutationMethod(PERMUTATIONS, rng=0)
    return float(mannwhitneyu(a, b, method=method).pvalue)
