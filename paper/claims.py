"""The claims of the project page, judged from rows: reproduced, partly, not reproduced or not tested.

The claim of a picture is two: an order of methods, and how far each of them comes; each has a verdict of its own
(`paper.order` judges orders). How a picture looks is not judged.

Every verdict on runs says how many renders and iterations they had, and the share of the paper's renders. Below a tenth
of them nothing is tested, whatever the order is. "As published" means algorithm and experiment: our variant of an
experiment does not test it (`docs/paper.md`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from baselines.compare import statistics
from baselines.compare.names import OURS, OURS_PUBLISHED
from baselines.compare.rows import Run
from paper.cells import final_loss
from paper.experiments import TESTED_FROM, experiment_of, iterations, percent, share_tested
from paper.formats import REFUSED, number
from paper.marks import middle
from paper.names import name_of, why_missing
from paper.order import MOVED, NOT, PARTLY, REPRODUCED, UNTESTED, judge_order
from paper.plan import GB, read_variants
from paper.rows import Material
from paper.variance import CONTROL, MEMORY, WITH
from zg.budget import StopReason

# The claims as the project page has them.
CLAIMS = Path(__file__).with_name("claims.yaml")
# The variance of a gradient is measured over at least this number of iterations.
LEAST_ITERATIONS = 100
# The kinds of claims about runs.
KINDS = ("order", "absolute", "gain")
# {view: (the part of the paper whose rows are judged, the form of ZeroGrads that is "ours" there)}.
VIEWS = {
    "as published": ("published", OURS_PUBLISHED),
    "the default": ("published", OURS),
    "as published, all tuned": ("tuned", OURS_PUBLISHED),
    "the default, all tuned": ("tuned", OURS),
}


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim in one view. kind: which of its sides. numbers: the numbers that it is based on."""

    claim: str
    text: str
    kind: str
    view: str
    verdict: str
    numbers: str


def read_claims() -> list[dict[str, Any]]:
    """The claims of `claims.yaml`."""
    return yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))


def judge(material: Material) -> list[Verdict]:
    """A verdict for each claim, kind and view. Claims about cost, variance and models have one view."""
    found = []
    for claim in read_claims():
        if "variance" in claim:
            said = {("variance", "as published"): judge_variance(material)}
        elif "cannot" in claim:
            said = {("cost", "any"): judge_cost(claim["cannot"], material)}
        elif "model" in claim:
            said = {("model", "any"): judge_model(claim["model"], material.autoencoder)}
        else:
            kinds = [kind for kind in KINDS if kind in claim]
            said = {
                (kind, view): judge_runs(claim, kind, material, *of) for kind in kinds for view, of in VIEWS.items()
            }
        found += [Verdict(claim["id"], claim["text"], *key, *verdict) for key, verdict in said.items()]
    return found


def judge_runs(claim: Mapping[str, Any], kind: str, material: Material, part: str, ours: str) -> tuple[str, str]:
    """Verdict and numbers of one side of a claim about runs, on the first of its tasks that has runs."""
    task = next((task for task in claim["tasks"] if material.runs(part, task)), None)
    if task is None:
        return UNTESTED, f"no rows of {' or '.join(claim['tasks'])}"
    by_method: dict[str, list[Run]] = {}
    for run in material.runs(part, task):
        by_method.setdefault(run.row["method"], []).append(run)
    if ours not in by_method:
        return UNTESTED, f"{task}: no rows of {name_of(ours)}"
    gains = statistics.gains([run for runs in by_method.values() for run in runs])
    middles = {method: float(np.median([gains[run] for run in runs])) for method, runs in by_method.items()}
    asked = claim[kind]
    if kind == "order":
        tiers = [renamed(tier, ours) for tier in asked]
        named = [name for tier in tiers for name in tier]
        verdict, numbers = judge_order(tiers, by_method, gains, ours)
    elif kind == "absolute":
        named = renamed([*asked["reach"], *asked["miss"]], ours)
        verdict, numbers = judge_absolute(asked, middles, ours)
    else:
        named = [ours]
        verdict, numbers = judge_gain(asked, middles[ours], material.sizes.get(task, 0))
    shown = [name for name in named if name in by_method]
    verdict, rests_on = limit(verdict, task, [run for name in shown for run in by_method[name]], ours)
    losses = ", ".join(loss_of(method, by_method[method]) for method in shown)
    start = number(middle([run.row["init_loss"] or np.nan for run in by_method[ours]]).value)
    seeds = len(by_method[ours])
    basis = f"{rests_on}, {seeds} seed{'s' * (seeds > 1)}"
    return verdict, f"{task} ({basis}): {numbers}; final losses (start {start}): {losses}"


def renamed(names: Sequence[str], ours: str) -> list[str]:
    """The methods of a claim, with the form of ZeroGrads that is judged."""
    return [ours if name == "ours" else name for name in names]


def limit(verdict: str, task: str, runs: Sequence[Run], ours: str) -> tuple[str, str]:
    """A verdict after the renders that it rests on, and what it rests on.

    The share is that of the run with the fewest renders; a run that converged counts with its whole budget.
    """
    renders = sorted(run.row["renders"] or 0 for run in runs)
    said = f"{renders[0]:,}" + (f" to {renders[-1]:,}" if renders[-1] > renders[0] else "") + " renders"
    made = [count for run in runs if run.row["method"] == ours and (count := iterations(run))]
    said += f" ({round(float(np.median(made))):,} iterations of {name_of(ours)})" if made else ""
    if any(run.row["stop_reason"] == StopReason.TIME for run in runs):
        said += ", some cut by the limit of time"
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


def judge_absolute(asked: Mapping[str, Any], gains: Mapping[str, float], ours: str) -> tuple[str, str]:
    """Reproduced: each method comes as far as claimed. Partly: at least half of them do, and ours. Else not."""
    reach, miss = renamed(asked["reach"], ours), renamed(asked["miss"], ours)
    known = [name for name in [*reach, *miss] if name in gains]
    right = [name for name in known if (gains[name] >= asked["least_gain"]) == (name in reach)]
    wrong = [name for name in known if name not in right]
    half = 2 * len(right) >= len(known) and ours in right
    whole = not wrong and len(known) == len(reach) + len(miss)
    verdict = REPRODUCED if whole else PARTLY if half else NOT
    said = f"{len(right)} of {len(known)} methods come as far as claimed (a gain of {asked['least_gain']} or more: "
    said += f"{'; '.join(map(name_of, reach))}; the others less)"
    told = "; ".join(f"{name_of(name)} gains {gains[name]:.2f}" for name in wrong)
    return verdict, said + (f": {told}" if told else "")


def judge_gain(asked: Mapping[str, Any], gain: float, n: int) -> tuple[str, str]:
    """Whether the loss fell by at least `least_gain` orders of magnitude with at least `least_n` parameters."""
    if n < asked["least_n"]:
        return UNTESTED, f"n = {n:,} only"
    verdict = REPRODUCED if gain >= asked["least_gain"] else PARTLY if gain > MOVED else NOT
    return verdict, f"n = {n:,}: the loss fell by {gain:.2f} orders of magnitude (asked: {asked['least_gain']})"


def judge_variance(material: Material) -> tuple[str, str]:
    """Whether memory lowers the relative variance of the surrogate's gradient, for every seed on every task.

    It is compared with fresh weights that are trained as long. Fresh weights with the few steps of an iteration would
    have the gradient of random weights, whatever the loss is.
    """
    found: dict[str, dict[int, dict[str, dict[str, Any]]]] = {}
    for row in material.variance:
        if not row["error"] and row["iterations"] >= LEAST_ITERATIONS:
            found.setdefault(row["task"], {}).setdefault(row["seed"], {})[row["memory"]] = row
    if not found:
        return UNTESTED, f"not measured over {LEAST_ITERATIONS} iterations"
    whole = {
        task: pairs
        for task, seeds in found.items()
        if (pairs := [forms for forms in seeds.values() if {WITH, CONTROL} <= forms.keys()])
    }
    if not whole:
        return UNTESTED, "no trained control was measured"
    lower = [forms[WITH]["variance"] < forms[CONTROL]["variance"] for pairs in whole.values() for forms in pairs]
    verdict = REPRODUCED if all(lower) else PARTLY if any(lower) else NOT
    said = []
    for task, pairs in whole.items():
        for name in (name for name in MEMORY if all(name in forms for forms in pairs)):
            spread, bias = ([forms[name][key] for forms in pairs] for key in ("variance", "bias"))
            known = None not in bias
            shown = f", bias {number(middle(bias).value)}" if known else ""
            said.append(f"{task}, {name}: variance {number(middle(spread).value)}{shown}")
    return verdict, (
        "variance over squared mean, and bias (one minus the cosine between the mean and the gradient of the loss), "
        f"medians over seeds: {'; '.join(said)}"
    )


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


def judge_model(asked: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Reproduced: digits are read, and the error is near the bound and below the control. Partly: two of these."""
    names = [asked[name] for name in ("ours", "bound", "control")]
    renders = max((int(row["max_renders"]) for row in rows), default=0)
    by_name = {
        name: [row for row in rows if (row["variant"], int(row["max_renders"])) == (name, renders)] for name in names
    }
    if not all(by_name.values()):
        return UNTESTED, f"no rows of {', '.join(names)} with equal renders"
    ours, bound, control = (float(np.mean([float(row["reconstruction"]) for row in by_name[name]])) for name in names)
    read = float(np.mean([float(row["readable"]) for row in by_name[names[0]]]))
    most = asked["most_over_bound"], asked["most_over_control"]
    right = (read >= asked["least_read"]) + (ours <= most[0] * bound) + (ours <= most[1] * control)
    seeds = min(map(len, by_name.values()))
    said = f"{renders:,} renders (the paper's number is not stated by the paper), {seeds} seed{'s' * (seeds > 1)}: "
    said += f"{percent(read)} of held-out digits are read (asked: {percent(asked['least_read'])}); error "
    said += f"{ours / bound:.2f} × that with derivatives (asked: {most[0]}), {ours / control:.2f} × that of sampled "
    said += f"gradients (asked: {most[1]}); our variant: the paper's digits and networks are not known"
    revisions = sorted({row["revision"] for found in by_name.values() for row in found})
    said += f"; rows of revision {', '.join(revisions)}"
    return REPRODUCED if right == 3 else PARTLY if right == 2 else NOT, said
