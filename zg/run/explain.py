"""Why a run moved as far as it did, and how sure each parameter is: from what the run recorded.

Each finding is a sentence with its numbers and what can be done. The numbers come from the renders that were kept
(`zg.run.evidence`), a quadratic of the loss around the result (`zg.run.local_model`), the row and the history.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zg.run.evidence import Evidence
from zg.run.explanation import LISTED, Explanation, Finding, Parameter
from zg.run.local_model import SEEN, SURE, LocalModel, local_model, noise_of

#: Share of the kept renders with one and the same loss from which that is a plateau.
PLATEAU = 0.5
#: Deviation of the losses of samples over noise, below which noise hides the slope.
DROWNED = 2.0
#: Ratio of the effects of one scaled unit of two parameters from which units differ.
UNITS = 1e4
#: σ at the end over σ at the start, below which it has collapsed, and above which it has grown.
COLLAPSED, GROWN = 1e-6, 10.0
#: Distance of the minimum of the model, over that of the farthest render, from which it is outside the data.
OUTSIDE = 2.0
#: Largest exponent of a spread that is told as a number; beyond, a parameter counts as not determined.
FARTHEST = 30.0
#: Share of its farthest distance in the run from which a constraint is at its edge.
EDGE = 1e-2
#: Effect of a parameter over the largest one, below which it is rounding.
ROUNDING = 1e-7
#: Most parameters for which renders of single changes are advised.
FEW = 100


@dataclass(frozen=True)
class Case:
    """A run, as the questions see it. gain: by how much the loss fell. noise: of one render; None where not known."""

    evidence: Evidence
    row: Mapping[str, Any]
    records: Sequence[Mapping[str, float]]
    model: LocalModel | None
    gain: float
    noise: float | None

    def label(self, k: int) -> str:
        """The name of the k-th parameter of the model."""
        assert self.model is not None
        return self.evidence.label(int(self.model.changed[k]))

    @property
    def is_number(self) -> Tensor:
        """Whether the parameters of the model are numbers, and not choices, of which slopes say nothing."""
        assert self.model is not None
        return ~self.evidence.is_choice[self.model.changed]


def explain(evidence: Evidence | None, row: Mapping[str, Any], records: Sequence[Mapping[str, float]]) -> Explanation:
    """Explain a run by its evidence, its row and the rows of its history. It renders nothing."""
    if evidence is None:
        return Explanation(f"{_ending(row)} It ended before its first render was told, so nothing can be said.")
    first, last = (_number(row.get(name)) for name in ("init_loss", "final_loss"))
    gain = max(0.0, first - last) if math.isfinite(first - last) else 0.0
    noise = noise_of(evidence)
    case = Case(evidence, row, records, local_model(evidence, gain, noise or 0.0), gain, noise)
    findings = [Finding(kind, text) for kind, ask in QUESTIONS.items() for text in ask(case)]
    if any(finding.kind == "flat" and "all" in finding.text for finding in findings):
        findings = [finding for finding in findings if finding.kind in ("flat", "failed", "bound")]
        return Explanation(_summary(case, first, last), findings)
    seen, said = (noise, "the noise of one render") if noise else (SEEN * gain, f"{SEEN:.0%} of what the run gained")
    parameters = _parameters(case, seen)
    return Explanation(_summary(case, first, last), findings, parameters, f"{said}, {seen:.2g}" if parameters else "")


def _ending(row: Mapping[str, Any]) -> str:
    return f"{row.get('method', 'the run')} stopped after {row.get('renders', 0)} renders: {row.get('stop_reason')}."


def _number(value: Any) -> float:
    """A number of a row; NaN where there is none."""
    return math.nan if value is None else float(value)


def _summary(case: Case, first: float, last: float) -> str:
    evidence = case.evidence
    moved = (evidence.end - evidence.start).abs()
    i = int(moved.argmax())
    start, end = evidence.said(evidence.start, i), evidence.said(evidence.end, i)
    said = f"{_ending(case.row)} The loss went from {first:.4g} to {last:.4g}"
    said += ", no lower than at the start" if last >= first else ""
    if float(moved[i]) == 0:
        return f"{said}, and no parameter moved."
    return f"{said}; {evidence.label(i)} moved farthest, from {start} to {end}."


def _parameters(case: Case, seen: float) -> list[Parameter]:
    """Every parameter that the model knows, the least sure first."""
    model, evidence = case.model, case.evidence
    if model is None or not model.is_believed or seen <= 0:
        return []
    found = []
    value, unit = evidence.to_user(evidence.end), evidence.scale
    room = (evidence.high - evidence.low)[model.changed]
    uncertainties = model.uncertainty(seen)
    uncertainties = torch.where(uncertainties < room, uncertainties, math.inf)  # any value of the bounds would do
    for k in case.is_number.nonzero()[:, 0].tolist():
        i, uncertainty = int(model.changed[k]), float(uncertainties[k])
        x = float(value[i])
        spread = uncertainty * float(unit[i])
        spread = math.inf if evidence.log[i] and spread > FARTHEST else spread
        spread = abs(x) * math.expm1(spread) if evidence.log[i] else spread
        found.append((uncertainty, Parameter(evidence.label(i), x, spread)))
    return [parameter for _, parameter in sorted(found, key=lambda pair: -pair[0])]


def _flat(case: Case) -> list[str]:
    """Whether the loss changes at all."""
    losses = case.evidence.losses[case.evidence.losses.isfinite()]
    if len(losses) < 2:
        return []
    values, counts = torch.unique(losses, return_counts=True)
    farthest = (case.evidence.theta - case.evidence.start).abs().amax(0)
    i = int(farthest.argmax())
    reach = f"{case.evidence.label(i)}{_distance(case.evidence, i, float(farthest[i]))}"
    if len(values) == 1:
        return [
            f"The loss is flat: all {len(losses)} kept renders gave {float(values[0]):.6g}, with changes of {reach}. "
            "Does the renderer use its parameters? Does anything of it show in the picture? Else start elsewhere, or "
            "give larger scales."
        ]
    most = int(counts.argmax())
    share = float(counts[most]) / len(losses)
    is_solved = float(values[most]) <= float(values[0])
    if share < PLATEAU or is_solved or bool(case.evidence.discrete.all()):
        return []
    return [
        f"The loss has a plateau: {share:.0%} of the kept renders gave exactly {float(values[most]):.6g}, whatever "
        "was changed. A blurred loss (loss='multiscale'), a start that overlaps the reference, or larger scales may "
        "give a slope."
    ]


def _distance(evidence: Evidence, i: int, scaled: float) -> str:
    """` by up to` a distance along coordinate i, in the user's units; a choice has none."""
    if evidence.is_choice[i]:
        return ""
    along = scaled * float(evidence.scale[i])
    return f" by up to {f'a factor of {math.exp(min(along, 700.0)):.3g}' if evidence.log[i] else f'{along:.3g}'}"


def _failed(case: Case) -> list[str]:
    """Whether renders failed."""
    failed, renders = case.row.get("failed_renders") or 0, case.row.get("renders") or 0
    if not failed:
        return []
    error = case.row.get("error") or "a value that is not finite"
    return [f"{failed} of {renders} renders failed, the last with {error}. They tell nothing of the slope."]


def _noise(case: Case) -> list[str]:
    """Whether noise hides the slope."""
    losses = case.evidence.losses[case.evidence.losses.isfinite()]
    if not case.noise or len(losses) < 4:
        return []
    late = losses[len(losses) // 2 :]
    deviation = float(late.std())
    if deviation >= DROWNED * case.noise:
        return []
    return [
        f"Noise hides the slope: two renders of the same parameters differ by {case.noise:.3g}, and the losses of the "
        f"last {len(late)} kept renders by {deviation:.3g} in all. A renderer with 4 times the samples has half the "
        "noise; a larger sigma makes larger differences. If this is good enough, the run is at its end."
    ]


def _slope(case: Case) -> list[str]:
    """What the renders that were asked for say of single parameters."""
    evidence, noise = case.evidence, case.noise or 0.0
    theta, losses = evidence.theta[-evidence.asked :], evidence.losses[-evidence.asked :]
    changed, here = theta != evidence.end, losses[(theta == evidence.end).all(1)].nanmean()
    if not evidence.asked or not here.isfinite():
        return []
    # A choice that changes is two coordinates of one parameter.
    changed = torch.zeros_like(theta).index_add(1, evidence.parameter, changed.to(theta)) > 0
    singly = (changed.sum(1) == 1) & losses.isfinite()
    seen = max(SURE * noise, ROUNDING * float(here.abs()))
    falls, nothing, rest = [], [], []
    for i in changed[singly].any(0).nonzero()[:, 0].tolist():
        rows = singly & changed[:, i]
        lowest = int(torch.where(rows, losses, torch.inf).argmin())
        fall = float(here - losses[lowest])
        if fall > seen:
            falls.append((fall, f"{evidence.label(i)} = {evidence.said(theta[lowest], i)} (by {fall:.2g})"))
        elif float((losses[rows] - here).abs().max()) <= seen:
            nothing.append(evidence.label(i))
        else:
            rest.append(evidence.label(i))
    found = []
    if falls:
        found.append(
            f"Downhill of the result, one parameter at a time: {_listed([one for _, one in sorted(falls)[::-1]])}."
        )
    if rest:
        found.append(f"The result is lowest in {_listed(rest)}: each change raises the loss.")
    if nothing:
        found.append(f"Changes of {_listed(nothing)} alone show nothing{' above the noise' if noise else ''}.")
    return found


def _sigma(case: Case) -> list[str]:
    """What σ did."""
    sigmas = [row["sigma"] for row in case.records if row.get("sigma", 0) > 0]
    if len(sigmas) < 2:
        return []
    ratio = sigmas[-1] / sigmas[0]
    change = f"σ went from {sigmas[0]:.3g} to {sigmas[-1]:.3g} scaled units"
    if ratio < COLLAPSED and case.row.get("stop_reason") != "converged":
        return [f"{change}: samples are nearly equal. It has converged, or noise or kinks have misled it."]
    if ratio > GROWN:
        return [f"{change}: it grew, as it does where nearby samples show no difference, or in search of other minima."]
    return []


def _unvaried(case: Case) -> list[str]:
    """Parameters that no kept render has changed."""
    still = (case.evidence.theta == case.evidence.theta[0]).all(0) & (case.evidence.end == case.evidence.theta[0])
    names = case.evidence.labels(still.nonzero()[:, 0].tolist())
    return [f"No kept render has changed {_listed(names)}: nothing is known of them."] if names else []


def _inert(case: Case) -> list[str]:
    """Parameters that change nothing."""
    model = case.model
    if model is None or model.deviation == 0 or not model.is_believed:
        return []
    effects = model.effects()
    unsure = SURE * max(model.misfit, case.noise or 0.0) / math.sqrt(model.rows)
    threshold = max(unsure, ROUNDING * float(effects.max()))
    if threshold > 0.1 * model.deviation:
        return []  # too little is known to call an effect nothing
    counts = case.evidence.labels(model.changed[effects > threshold].tolist())
    names = [name for name in case.evidence.labels(model.changed.tolist()) if name not in counts]
    return [f"Near the result {_listed(names)} change{'s' * (len(names) == 1)} nothing in the loss."] if names else []


def _bound(case: Case) -> list[str]:
    """Bounds that hold."""
    evidence = case.evidence
    room = 1e-9 * (evidence.high - evidence.low).nan_to_num(posinf=1.0)
    found = []
    for name, limit in (("lower", evidence.low), ("upper", evidence.high)):
        held = (limit.isfinite() & ((evidence.end - limit).abs() <= room)).nonzero()[:, 0].tolist()
        if held:
            values = evidence.to_user(evidence.end)
            at = _listed([f"{evidence.label(i)} = {float(values[i]):.4g}" for i in held])
            found.append(f"At the {name} bound: {at}. The minimum may lie beyond.")
    return found


def _constraint(case: Case) -> list[str]:
    """Constraints at whose edge the result is, by how far from it the run has been, or that are not met."""
    found = {}
    for name in (name for name in case.row if name.startswith("metric_constraint_")):
        g, column = _number(case.row[name]), name.removeprefix("metric_")
        farthest = max(
            (abs(row[column]) for row in case.records if math.isfinite(row.get(column, math.nan))), default=0.0
        )
        if g > -EDGE * farthest:
            found[column.removeprefix("constraint_")] = g
    at = [f"{k} (g = {g:.2g})" for k, g in found.items() if g <= 0]
    not_met = [f"{k} (g = {g:.2g})" for k, g in found.items() if g > 0]
    said = (
        [f"No x that was rendered has met all constraints. The result does not meet {_listed(not_met)}."]
        if not_met
        else []
    )
    return said + ([f"At the edge of constraint {_listed(at)}. The loss may fall beyond."] if at else [])


def _units(case: Case) -> list[str]:
    """Whether one scaled unit of one parameter counts far more than that of another."""
    model = case.model
    if model is None or not model.is_believed:
        return []
    curvature = model.H.diagonal().clamp_min(0) / model.unit.square()
    effects = model.effects()
    counts = (
        case.is_number
        & (curvature > 0)
        & (effects > max(ROUNDING * float(effects.max()), model.misfit / math.sqrt(model.rows)))
    )
    if int(counts.sum()) < 2:
        return []
    sensitivity = torch.where(counts, curvature.sqrt(), torch.nan)
    strong = int(sensitivity.nan_to_num(nan=-math.inf).argmax())
    weak = int(sensitivity.nan_to_num(nan=math.inf).argmin())
    ratio = float(sensitivity[strong] / sensitivity[weak])
    if ratio < UNITS:
        return []
    scales = [float(case.evidence.scale[int(model.changed[k])]) for k in (strong, weak)]
    return [
        f"Units differ: one scaled unit of {case.label(strong)} counts as much as {ratio:.1g} of {case.label(weak)}. "
        f"Their scales are {scales[0]:.3g} and {scales[1]:.3g}; zg.Block(…, scale=…) with {ratio:.1g} times the second "
        "one, or bounds, would even them out."
    ]


def _outside(case: Case) -> list[str]:
    """Whether the minimum of the model is beyond all renders."""
    model = case.model
    if model is None or not model.is_believed or case.row.get("stop_reason") == "converged" or _constraint(case):
        return []  # the loss of a result at the edge of a constraint falls on behind it
    place = model.minimum()
    if place is None:
        fall = float(model.g.abs().max())
        is_seen = fall > max(SURE * (case.noise or model.misfit), SEEN * case.gain, ROUNDING * model.deviation)
        said = "The loss still falls along the renders near the result, and a model of them has no minimum."
        return [f"{said} More renders, or a larger sigma, would go on."] if is_seen else []
    farthest = (case.is_number * place.abs() / model.reach).max(0)
    if float(farthest.values) < OUTSIDE:
        return []
    k = int(farthest.indices)
    i = int(model.changed[k])
    x = case.evidence.end.double().clone()
    x[i] += float(place[k] * model.unit[k])
    there = float(case.evidence.to_user(x)[i])
    return [
        f"The minimum of a model of the loss lies outside of what was rendered, with {case.label(k)} near {there:.4g}: "
        "the run is on its way. More renders, or a larger sigma, would go on."
    ]


def _model(case: Case) -> list[str]:
    """Whether the loss near the result can be said anything about."""
    model, evidence = case.model, case.evidence
    if model is None:
        rows = f"{len(evidence.losses)} kept renders"
        said = (
            f"{rows} are too few, or too much alike, to tell {len(set(evidence.parameter.tolist()))} parameters apart."
        )
        asked = f"`zg explain DIR --renders {4 * evidence.n}` or result.explain(renders={4 * evidence.n})"
        more = f" {asked} changes each parameter on its own."
        return [said + (more if evidence.n <= FEW and not evidence.asked else "")]
    if model.is_believed or model.deviation == 0:
        return []
    if case.noise and model.misfit < SURE * case.noise:
        return []  # `_noise` says so
    return [
        f"Near the result the loss is no smooth bowl: a quadratic leaves {model.misfit:.3g} of {model.deviation:.3g} "
        "unexplained, when it is asked about renders that it was not fitted to. It is jagged, has kinks, bends, or has "
        "noise."
    ]


def _budget(case: Case) -> list[str]:
    """Whether there were fewer renders than parameters."""
    renders, n = case.row.get("renders") or 0, case.evidence.n
    if case.row.get("feedback") == "image" or renders >= 2 * n or case.row.get("stop_reason") not in ("budget", "time"):
        return []
    return [f"{renders} renders are few for {n} parameters: a method that is told losses needs some for each of them."]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


#: {kind of finding: what finds it}, the most important ones first.
QUESTIONS: dict[str, Callable[[Case], list[str]]] = {
    "failed": _failed,
    "flat": _flat,
    "noise": _noise,
    "slope": _slope,
    "inert": _inert,
    "unvaried": _unvaried,
    "bound": _bound,
    "constraint": _constraint,
    "units": _units,
    "outside": _outside,
    "sigma": _sigma,
    "budget": _budget,
    "model": _model,
}
