"""The claims of the project page, judged from rows: reproduced, partly, not reproduced or not tested.

The claim of a picture is an order of methods. A pair of methods is in the claimed order if a run of the better method
has the larger gain with a probability above one half (`probability_of_improvement`). How a picture looks is not judged.

Every verdict on runs says how many renders they had, and their share of the paper's. Below a tenth of them nothing is
tested, whatever the order is. "As published" means algorithm and experiment: our variant of an experiment does not test
it (`docs/paper.md`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from baselines.compare import statistics
from baselines.compare.rows import Run
from paper.experiments import TESTED_FROM, experiment_of, percent, share_tested
from paper.formats import REFUSED, number
from paper.marks import LEVEL, middle, p_lower
from paper.names import OURS, OURS_PUBLISHED, name_of, why_missing
from paper.plan import GB, read_variants
from paper.rows import Material
from paper.tables import final_loss
from paper.variance import MEMORY

# The claims as the project page has them.
CLAIMS = Path(__file__).with_name("claims.yaml")
# The least gain that counts, in orders of magnitude: the loss falls by about a tenth.
MOVED = 0.05
# The variance of a gradient is measured over at least this number of iterations.
LEAST_ITERATIONS = 100
# The verdicts.
REPRODUCED, PARTLY, NOT, UNTESTED = "reproduced", "partly", "not reproduced", "not tested"
# {view: (the part of the paper whose rows are judged, the form of ZeroGrads that is "ours" there)}.
VIEWS = {
    "as published": ("published", OURS_PUBLISHED),
    "the default": ("published", OURS),
    "as published, all tuned": ("tuned", OURS_PUBLISHED),
    "the default, all tuned": ("tuned", OURS),
}


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim in one view. numbers: the numbers that it is based on."""

    claim: str
    text: str
    view: str
    verdict: str
    numbers: str


def read_claims() -> list[dict[str, Any]]:
    """The claims of `claims.yaml`."""
    return yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))


def judge(material: Material) -> list[Verdict]:
    """A verdict for each claim and view. Claims about cost and variance have one view only."""
    found = []
    for claim in read_claims():
        if "variance" in claim:
            views = {"as published": judge_variance(material)}
        elif "cannot" in claim:
            views = {"any": judge_cost(claim["cannot"], material)}
        else:
            views = {view: judge_runs(claim, material, *of) for view, of in VIEWS.items()}
        found += [Verdict(claim["id"], claim["text"], view, *said) for view, said in views.items()]
    return found


def judge_runs(claim: Mapping[str, Any], material: Material, part: str, ours: str) -> tuple[str, str]:
    """Verdict and numbers of a claim about runs, on the first of its tasks that has runs."""
    task = next((task for task in claim["tasks"] if material.runs(part, task)), None)
    if task is None:
        return UNTESTED, f"no rows of {' or '.join(claim['tasks'])}"
    by_method: dict[str, list[Run]] = {}
    for run in material.runs(part, task):
        by_method.setdefault(run.row["method"], []).append(run)
    gains = statistics.gains([run for runs in by_method.values() for run in runs])
    of_method = {method: np.array([gains[run] for run in runs]) for method, runs in by_method.items()}
    if ours not in of_method:
        return UNTESTED, f"{task}: no rows of {name_of(ours)}"
    if "order" in claim:
        tiers = [[ours if name == "ours" else name for name in tier] for tier in claim["order"]]
        shown = [name for tier in tiers for name in tier if name in by_method]
        verdict, numbers = judge_order(tiers, of_method, ours)
    else:
        shown = [ours]
        verdict, numbers = judge_gain(claim, of_method[ours], material.sizes.get(task, 0))
    verdict, rests_on = limit(verdict, task, [run for name in shown for run in by_method[name]], ours)
    losses = ", ".join(loss_of(method, by_method[method]) for method in shown)
    start = number(middle([run.row["init_loss"] or np.nan for run in by_method[ours]]).value)
    seeds = len(by_method[ours])
    basis = f"{rests_on}, {seeds} seed{'s' * (seeds > 1)}"
    return verdict, f"{task} ({basis}): {numbers}; final losses (start {start}): {losses}"


def limit(verdict: str, task: str, runs: Sequence[Run], ours: str) -> tuple[str, str]:
    """A verdict after the renders that it rests on, and what it rests on.

    The share is that of the run with the fewest renders; a run that converged counts with its whole budget.
    """
    renders = sorted(run.row["renders"] or 0 for run in runs)
    said = f"{renders[0]:,}" + (f" to {renders[-1]:,}" if renders[-1] > renders[0] else "") + " renders"
    experiment = experiment_of(task)
    if experiment is None:
        return verdict, f"{said}, the paper's number is not known"
    part = min((share_tested(run) for run in runs if not run.failed), default=0.0)
    said += f", at least {percent(part)} of the paper's {experiment.renders:,}"
    if not experiment.is_released:
        said += ", our variant of the experiment"
        if ours == OURS_PUBLISHED:
            return f"{UNTESTED} (our variant)", said
    return (verdict, said) if part >= TESTED_FROM else (f"{UNTESTED} ({percent(part)})", said)


def loss_of(method: str, runs: Sequence[Run]) -> str:
    """A method with the median of its final losses, and `(untuned)` where it has no tuned settings but should."""
    untuned = " (untuned)" if runs[0].row.get("settings_from") == "untuned" else ""
    return f"{name_of(method)}{untuned} {number(middle([final_loss(run) for run in runs]).value)}"


def judge_order(tiers: Sequence[Sequence[str]], gains: Mapping[str, np.ndarray], ours: str) -> tuple[str, str]:
    """Reproduced: all pairs are in order. Partly: at least half are, and half of the pairs with ours. Else not.

    A pair without rows is not counted. Where no method lowered the loss by a tenth there is no order to judge.
    """
    pairs = [pair for upper, lower in combinations(tiers, 2) for pair in product(upper, lower)]
    known = [pair for pair in pairs if all(name in gains for name in pair)]
    against = [pair for pair in known if statistics.probability_of_improvement(*(gains[name] for name in pair)) <= 0.5]
    if not known:
        return UNTESTED, "no pair of methods has rows"
    if max(float(np.median(gains[name])) for pair in known for name in pair) < MOVED:
        return UNTESTED, "no method lowered the loss by a tenth"
    held = len(known) - len(against)
    own, own_against = (sum(ours in pair for pair in pairs) for pairs in (known, against))
    half = 2 * held >= len(known) and 2 * own_against <= own
    verdict = REPRODUCED if not against else PARTLY if half else NOT
    significant = sum(p_lower(-gains[upper], -gains[lower]) <= LEVEL for upper, lower in known)
    if len(known) < len(pairs) and verdict == REPRODUCED:
        verdict = PARTLY
    numbers = f"{held} of {len(known)} pairs in the claimed order, {significant} of them significant at 5 %" + (
        f" ({len(pairs) - len(known)} without rows)" if len(known) < len(pairs) else ""
    )
    wrong = "; ".join(f"{name_of(upper)} is not better than {name_of(lower)}" for upper, lower in against)
    return verdict, numbers + (f": {wrong}" if wrong else "")


def judge_gain(claim: Mapping[str, Any], gains: np.ndarray, n: int) -> tuple[str, str]:
    """Whether the loss fell by at least `least_gain` orders of magnitude with at least `least_n` parameters."""
    if n < claim["least_n"]:
        return UNTESTED, f"n = {n:,} only"
    gain, asked = float(np.median(gains)), claim["least_gain"]
    verdict = REPRODUCED if gain >= asked else PARTLY if gain > MOVED else NOT
    return verdict, f"n = {n:,}: the loss fell by {gain:.2f} orders of magnitude (asked: {asked})"


def judge_variance(material: Material) -> tuple[str, str]:
    """Whether memory lowers the relative variance of the surrogate's gradient, for every seed on every task."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for row in material.variance:
        if not row["error"] and row["iterations"] >= LEAST_ITERATIONS:
            found.setdefault(row["task"], {}).setdefault(row["seed"], {})[row["memory"]] = row["variance"]
    whole = {
        task: pairs for task, seeds in found.items() if (pairs := [both for both in seeds.values() if len(both) == 2])
    }
    if not whole:
        return UNTESTED, f"not measured over {LEAST_ITERATIONS} iterations"
    lower = [both["with memory"] < both["without memory"] for pairs in whole.values() for both in pairs]
    verdict = REPRODUCED if all(lower) else PARTLY if any(lower) else NOT
    said = []
    for task, pairs in whole.items():
        kept, drawn = (number(middle([both[name] for both in pairs]).value) for name in MEMORY)
        said.append(f"{task}: {kept} with memory, {drawn} without (median of {len(pairs)})")
    return verdict, "variance over squared mean: " + "; ".join(said)


def judge_cost(claim: Mapping[str, Any], material: Material) -> tuple[str, str]:
    """Whether CMA-ES cannot run with the full covariance at an n where its separable form can."""
    full, other, n = claim["full"], claim["other"], claim["n"]
    variant = read_variants("extra")[full]
    needed = 8 * variant.matrices * n**2 / GB
    rows = [row for row in material.cost if row["method"] in (full, other) and row["n"] >= n]
    ran = {row["method"] for row in rows if not row["error"]}
    failed = [row for row in rows if row["method"] == full and str(row["error"]).startswith(REFUSED)]
    if not failed and full not in ran:
        return UNTESTED, f"no n of at least {n:,} was measured; {variant.matrices} n × n matrices need {needed:.3g} GB"
    said = f"the full covariance needs {needed:.3g} GB at n = {n:,}"
    if full in ran:
        return NOT, f"{said}, and ran"
    said += f" ({why_missing(failed)})"
    if other in ran:
        return PARTLY, f"{said}; its separable form runs at n = {max(row['n'] for row in rows):,}"
    return REPRODUCED, said
