"""The order of methods that a claim states, judged pair by pair.

A pair is in the claimed order if a run of the better method has the larger gain with a probability above one half, and
contrary to it below one half. The p values of all pairs of a claim are corrected together, after Holm (`paper.pairs`).
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import numpy as np

from baselines.compare.rows import Run
from paper.marks import LEVEL, holm
from paper.names import name_of
from paper.pairs import Pair, compare

# The verdicts.
REPRODUCED, PARTLY, NOT, UNTESTED = "reproduced", "partly", "not reproduced", "not tested"
# The least gain that counts, in orders of magnitude: the loss falls by about a tenth.
MOVED = 0.05


def judge_order(
    tiers: Sequence[Sequence[str]], by_method: Mapping[str, Sequence[Run]], gains: Mapping[Run, float], ours: str
) -> tuple[str, str]:
    """Verdict and numbers.

    Reproduced: all pairs are in order, at least half of them significantly. Partly: at least half are in order, and
    half of the pairs with ours. Else not. A pair without rows is not counted. Where no method lowered the loss by a
    tenth there is no order to judge.
    """
    pairs = [pair for upper, lower in combinations(tiers, 2) for pair in product(upper, lower)]
    known = [compare(*pair, by_method, gains) for pair in pairs if all(name in by_method for name in pair)]
    if not known:
        return UNTESTED, "no pair of methods has rows"
    best = max(float(np.median([gains[run] for run in by_method[name]])) for pair in known for name in pair[:2])
    if best < MOVED:
        return UNTESTED, "no method lowered the loss by a tenth"
    told = significant(known)
    held, against = ([pair for pair in known if sign * (pair.better - 0.5) > 0] for sign in (1, -1))
    own, own_held = ([pair for pair in of if ours in pair[:2]] for of in (known, held))
    verdict = PARTLY if 2 * len(held) >= len(known) and 2 * len(own_held) >= len(own) else NOT
    if len(held) == len(pairs) and 2 * sum(pair in told for pair in held) >= len(held):
        verdict = REPRODUCED
    numbers = f"of {len(known)} pairs {count(held, told)} in the claimed order, {count(against, told)} contrary to it"
    if level := len(known) - len(held) - len(against):
        numbers += f", {level} level"
    if untested := sum(pair.p is None for pair in known):
        numbers += f"; {untested} without a test, for a method has one sample"
    if missing := len(pairs) - len(known):
        numbers += f"; {missing} pairs have no rows"
    wrong = "; ".join(f"{name_of(pair.lower)} is better than {name_of(pair.upper)}" for pair in against)
    return verdict, numbers + (f": {wrong}" if wrong else "")


def significant(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs that a test distinguishes, corrected for the number of all pairs of the claim."""
    p_values = {f"{pair.upper} {pair.lower}": 1.0 if pair.p is None else pair.p for pair in pairs}
    corrected = holm(p_values)
    return [pair for pair in pairs if corrected[f"{pair.upper} {pair.lower}"] <= LEVEL]


def count(pairs: Sequence[Pair], told: Sequence[Pair]) -> str:
    """`5 (2 significant)`."""
    return f"{len(pairs)} ({sum(pair in told for pair in pairs)} significant)"
