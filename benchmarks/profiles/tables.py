"""The tables of a set of rows, in Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from benchmarks.profiles.bbob import BUDGETS, GROUPS
from benchmarks.profiles.measures import (
    TARGETS,
    Floors,
    area,
    bbob_shares,
    by_method,
    by_problem,
    final,
    geometric_mean,
    hits,
    latest,
    movable,
    profile,
    ratios,
    with_hindsight,
)
from benchmarks.profiles.peers import HINDSIGHT, field_of
from benchmarks.profiles.runs import Row

Methods = dict[str, list[Row]]


def zoo_methods(rows: Iterable[Row], floors: Floors, variant: str = "") -> Methods:
    """{method or bound: its rows on the zoo}, by area, the largest first."""
    chosen = [row for row in latest(rows) if row["suite"] == "zoo" and row["variant"] == variant]
    methods = with_hindsight(by_method(movable(chosen, floors)), floors)
    return dict(sorted(methods.items(), key=lambda item: -area(profile(item[1], floors))))


def zoo_table(methods: Methods, floors: Floors) -> str:
    """One line a method.

    area, targets: of its data profile, and the share of runs that reach each target in the end. ours there: the area of
    the method that is judged on the problems that this one has run. ratio: geometric mean over problems of the final
    loss over that of the best other method at its default; then on how many problems it is at most 1, 1.1 and 2, and
    the worst one. µs: median of the method's own time a render.
    """
    head = ["method", "area", "ours there", *(f"{target:g}" for target in TARGETS)]
    head += ["ratio", "best", "≤ 1.1", "≤ 2", "problems", "worst problem", "µs"]
    lines = [line(head), line(["---"] * len(head))]
    field = field_of(methods)
    defaults = (field.ours, *field.others)
    for name, rows in methods.items():
        others = [row for other in defaults if other != name for row in methods.get(other, [])]
        found = {} if name in HINDSIGHT or name not in defaults else ratios(rows, others, floors)
        ran = {(row["problem"], row["instance"]) for row in rows}
        ours = [row for row in methods.get(field.ours, []) if (row["problem"], row["instance"]) in ran]
        reached = [hits(row, floors[row["problem"], row["instance"]]) for row in rows]
        cells = [name, f"{area(profile(rows, floors)):.3f}", f"{area(profile(ours, floors)):.3f}" if ours else "–"]
        cells += [f"{sum(one[k] < float('inf') for one in reached) / len(reached):.2f}" for k in range(len(TARGETS))]
        cells += judged(found) if found else ["–"] * 4
        worst = max(found, key=lambda problem: found[problem]) if found else ""
        cells += [str(len(by_problem(rows))), f"{worst} {found[worst]:.3g}" if found else "–"]
        lines.append(line([*cells, f"{1e6 * median(row['seconds_method'] / row['renders'] for row in rows):.0f}"]))
    return "\n".join(lines)


def judged(found: Mapping[str, float]) -> list[str]:
    """The geometric mean of ratios, and how many are at most 1, 1.1 and 2."""
    within = [str(sum(ratio <= limit for ratio in found.values())) for limit in (1, 1.1, 2)]
    return [f"{geometric_mean(list(found.values())):.3g}", *within]


def problem_table(methods: Methods, floors: Floors) -> str:
    """One line a problem: the final loss of the method that is judged, of the three best others, and the ratio."""
    field = field_of(methods)
    name = field.ours
    others = {other: by_problem(methods[other]) for other in field.others if other in methods}
    mine = by_problem(methods[name])
    found = ratios(methods[name], [row for other in others for row in methods[other]], floors)
    lines = [line(["problem", "n", "ratio", "start", name, "best others"]), line(["---"] * 6)]
    for problem in sorted(found, key=lambda problem: -found[problem]):
        rows = mine[problem]

        def mean(rows: Sequence[Row]) -> float:
            return geometric_mean([final(row, floors[row["problem"], row["instance"]]) for row in rows])

        best = sorted((mean(groups[problem]), other) for other, groups in others.items() if problem in groups)[:3]
        start = geometric_mean([row["start"] for row in rows])
        cells = [problem, str(rows[0]["n"]), f"{found[problem]:.3g}", f"{start:.3g}", f"{mean(rows):.3g}"]
        lines.append(line([*cells, ", ".join(f"{other} {loss:.3g}" for loss, other in best)]))
    return "\n".join(lines)


def block_table(rows: Sequence[Row], floors: Floors) -> str:
    """Final loss with named blocks over that as one block: geometric mean, and the worst problem."""
    named, whole = (by_method(movable(select(rows, variant), floors)) for variant in ("", "one block"))
    lines = [line(["method", "named / one block", "≤ 1.2", "problems", "worst problem"]), line(["---"] * 5)]
    for name in whole.keys() & named.keys():
        found = ratios(named[name], whole[name], floors)
        worst = max(found, key=lambda problem: found[problem])
        within = sum(ratio <= 1.2 for ratio in found.values())
        mean = geometric_mean(list(found.values()))
        lines.append(line([name, f"{mean:.3g}", str(within), str(len(found)), f"{worst} {found[worst]:.3g}"]))
    return "\n".join(lines)


def select(rows: Iterable[Row], variant: str) -> list[Row]:
    """The last rows of the zoo in a variant."""
    return [row for row in latest(rows) if row["suite"] == "zoo" and row["variant"] == variant]


def bbob_table(rows: Iterable[Row]) -> str:
    """The share of (function, instance, target) reached at each budget; and of each group at the last budget."""
    grouped: dict[tuple[int, str, str], list[Row]] = {}
    for row in latest(rows):
        if row["suite"] == "bbob":
            grouped.setdefault((row["n"], row["variant"], row["method"]), []).append(row)
    head = ["n", "variant", "method", "runs", *(f"{budget} n" for budget in BUDGETS), *GROUPS]
    lines = [line(head), line(["---"] * len(head))]
    for (n, variant, method), found in sorted(grouped.items()):
        cells = [
            str(n),
            variant or "bounds",
            method,
            str(len(found)),
            *(f"{share:.3f}" for share in bbob_shares(found)),
        ]
        groups = [[row for row in found if row["family"] == name] for name in GROUPS]
        cells += [f"{bbob_shares(group)[-1]:.3f}" if group else "–" for group in groups]
        lines.append(line(cells))
    return "\n".join(lines)


def failures(rows: Iterable[Row]) -> list[str]:
    """One line for every kind of run that failed at last."""
    found: dict[str, int] = {}
    for row in {(row["problem"], row["instance"], row["variant"], row["method"]): row for row in rows}.values():
        if row["error"]:
            kind = f"{row['method']} on {row['problem']}: {row['error']}"
            found[kind] = found.get(kind, 0) + 1
    return [f"failed {count} times: {kind}" for kind, count in found.items()]


def line(cells: Sequence[str]) -> str:
    """A line of a table."""
    return "| " + " | ".join(cells) + " |"


def report(rows: Sequence[Row], floors: Floors, problems: bool = False) -> str:
    """All tables for which there are rows."""
    parts = []
    methods = zoo_methods(rows, floors)
    if methods:
        parts.append(zoo_table(methods, floors))
        if problems and field_of(methods).ours in methods:
            parts.append(problem_table(methods, floors))
    if select(rows, "one block"):
        parts.append(block_table(rows, floors))
    if any(row["suite"] == "bbob" for row in rows):
        parts.append(bbob_table(rows))
    return "\n\n".join([*parts, *failures(rows)])
