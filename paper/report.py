"""report.html: every table, figure and verdict on one page that needs no network, in the look of a comparison's."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import imageio.v3 as imageio
from markupsafe import Markup
from skimage.transform import rescale
from skimage.util import img_as_ubyte

from baselines.compare import page
from baselines.compare.markup import Cell, Line, render
from baselines.compare.markup import Table as Sortable
from baselines.compare.rows import Run
from baselines.compare.summary import are_of_different_code, describe_budget
from paper import formats
from paper.cells import Table
from paper.claims import VIEWS, Verdict
from paper.names import name_of
from paper.order import NOT
from paper.reported import read_reported
from paper.rows import Material

# Where `report.html`, the shape of the page, is.
TEMPLATES = Path(__file__).with_name("templates")
# The chapters of the page: {id: what a link to it says}. The chapters of tables and figures have links of their own.
CHAPTERS = {
    "claims": "claims",
    "tables": "tables",
    "figures": "figures",
    "published": "published",
    "tasks": "tasks",
    "endings": "how runs ended",
    "settings": "settings",
    "provenance": "machine and revision",
}
# What stands under each figure.
CAPTIONS = {
    "pictures": "First seed: start, methods, reference; below each picture the loss of its row. Tasks with images.",
    "convergence-renders": "Loss of the recommended θ against renders: median over seeds, quartiles as a band. In "
    "colour: ours, and the four whose median is lowest at the end. Axes begin where the first of them moves. A "
    "triangle: the line leaves the axis, which ends at 1e-12 of the initial loss; its end stands below the panel.",
    "convergence-seconds": "The same against seconds of rendering and method.",
    "passing": "The paper's experiments, up to the paper's number of renders (vertical line). Horizontal line: a loss "
    "that more than half of the runs of the published algorithm reach. Points: the median over runs of the renders "
    "until they first are at or below it; no point where fewer than half of them get there. Table 5 has the numbers.",
    "frames": "The toy early in a run and at its end: true loss, surrogate, sampling Gaussian, current and best point.",
    "cost": "What a method costs by itself, and its memory, against the number of parameters.",
    "sensitivity": "Final loss, as a share of the initial one, when σ or the step is multiplied: median over seeds, "
    "95 % bootstrap interval; a triangle is below the axis. σ of ZeroGrads' default is a first guess only.",
}
# Figures are reduced by this factor for the page: they have 200 dots an inch, for print.
SHRINK = 0.75
# What a reader has to know first.
NOT_AT_HAND = (
    "The paper's own tables were not at hand: claims are those of the project page, and what is known of the published "
    "experiments is listed below, blank where it is not known."
)
# How claims are judged.
JUDGED = (
    "A picture's claim is two: the order of its methods, pair by pair, and how far each of them comes. The thresholds "
    "of the second are this project's. How a picture looks is for the reader. Tests are corrected for all pairs of a "
    "claim (Holm); a method without randomness is one sample. Tuned views need settings under configs/tuned."
)


class Figure(NamedTuple):
    """A figure of the page: its name, its caption, and its picture as a data URI."""

    name: str
    caption: str
    uri: str


def html(
    title: str,
    material: Material,
    tables: Sequence[Table],
    made: Mapping[str, Path],
    kept: Mapping[str, Path],
    verdicts: list[Verdict],
) -> str:
    """The page, with figures made from the material, and figures kept from earlier runs."""
    runs = material.everything
    figures = [figure(name, path) for name, path in made.items()]
    figures += [figure(name, path, " Of earlier runs, whose images these are.") for name, path in kept.items()]
    return render(
        "report.html",
        TEMPLATES,
        title=title,
        said=said(runs),
        notes=notes(runs),
        links=links(tables, figures),
        judged=JUDGED,
        claims=claims(verdicts),
        tables=[formats.block(table) for table in tables],
        figures=figures,
        published=published(),
        sizes=sizes(material),
        endings=page.endings(runs),
        settings=page.settings([run for run in runs if "~" not in run.row["method"]]),
        provenance=page.provenance(runs),
    )


def links(tables: Sequence[Table], figures: Sequence[Figure]) -> list[tuple[str, str]]:
    """(id, what a link says) of the chapters, and of each table and figure."""
    below = {"tables": [table.name for table in tables], "figures": [figure.name for figure in figures]}
    return [
        item
        for name, text in CHAPTERS.items()
        for item in [(name, text), *((one, one.replace("-", ", ")) for one in below.get(name, []))]
    ]


def said(runs: Sequence[Run]) -> str:
    """How much there is."""
    tasks, methods = (len({run.row[key] for run in runs}) for key in ("task", "method"))
    seeds = ", ".join(map(str, sorted({run.row["seed"] for run in runs})))
    return f"{len(runs)} runs: {tasks} tasks, {methods} methods and variants, seeds {seeds}"


def notes(runs: Sequence[Run]) -> list[str]:
    """What a reader has to know before comparing."""
    found = [NOT_AT_HAND]
    found += budgets(runs)
    if any(run.row["jobs"] != 1 for run in runs):
        found.append("Runs were made side by side: seconds are not to be compared.")
    if are_of_different_code([run.row for run in runs]):
        found.append("Rows are of different states of the code.")
    return found


def budgets(runs: Sequence[Run]) -> list[str]:
    """The budget of the runs of each task."""
    tasks: dict[str, list[str]] = {}
    for run in runs:
        of_task = tasks.setdefault(run.row["task"], [])
        if (budget := describe_budget(run.row)) not in of_task:
            of_task.append(budget)
    alike: dict[str, list[str]] = {}
    for task, several in tasks.items():
        alike.setdefault(" or ".join(several), []).append(task)
    said = [f"{', '.join(of)}: {budget}" for budget, of in alike.items()]
    return [f"Budgets of a run: {'; '.join(said)}."] if said else []


def claims(verdicts: Sequence[Verdict]) -> Sortable:
    """The claims and their verdicts; views with the same verdict and numbers share a line."""
    alike: dict[tuple[str, str, str, str], list[str]] = {}
    for one in verdicts:
        alike.setdefault((one.text, one.kind, one.verdict, one.numbers), []).append(one.view)
    lines = [
        Line(
            [
                Cell(text, kind="wrap"),
                Cell(kind),
                Cell("any" if len(views) == len(VIEWS) else Markup("<br>").join(views)),
                Cell(verdict, kind="bad" if verdict == NOT else "wrap narrow", tag="b"),
                Cell(numbers, kind="wrap wide"),
            ]
        )
        for (text, kind, verdict, numbers), views in alike.items()
    ]
    return Sortable(["claim", "of", "settings", "verdict", "numbers"], lines)


def figure(name: str, path: Path, note: str = "") -> Figure:
    """A figure with its caption, as a WebP small enough for git. Its background stays white."""
    plain = name.removesuffix("-tuned")
    caption = CAPTIONS[plain] + (" At tuned settings." if plain != name else "") + note
    picture = img_as_ubyte(rescale(imageio.imread(path)[..., :3], SHRINK, channel_axis=2, anti_aliasing=True))
    content = base64.b64encode(imageio.imwrite("<bytes>", picture, extension=".webp", quality=70)).decode()
    return Figure(name, caption, f"data:image/webp;base64,{content}")


def published() -> Sortable:
    """What the authors published, as far as it is known."""
    rows = read_reported()
    heads = list(rows[0])
    kinds = {head: "wrap" if head == "source" else "wrap narrow" for head in heads}
    return Sortable(heads, [Line([Cell(cell, kind=kinds[head]) for head, cell in row.items()]) for row in rows])


def sizes(material: Material) -> Sortable:
    """The tasks, with n and the time of a render. A task that could not be built has the reason instead."""
    lines = []
    for row in material.tasks:
        if row["error"]:
            cells = [Cell("–"), Cell("–"), Cell(row["error"], kind="wrap")]
        else:
            kind = "low" if material.low(row["task"]) else "high"
            milliseconds = 1000 * row["seconds_render"]
            cells = [Cell(f"{row['n']:,}", row["n"]), Cell(f"{milliseconds:.3g}", milliseconds), Cell(kind)]
        lines.append(Line([Cell(name_of(row["task"])), *cells]))
    return Sortable(["task", "n", "ms a render", "dimension"], lines)
