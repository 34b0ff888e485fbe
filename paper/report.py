"""report.html: every table, figure and verdict on one page that needs no network, in the look of a comparison's."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import imageio.v3 as imageio
from skimage.transform import rescale
from skimage.util import img_as_ubyte

from baselines.compare import page
from baselines.compare.rows import Run, unique
from baselines.compare.summary import describe_budget
from paper import formats
from paper.claims import NOT, VIEWS, Verdict
from paper.names import name_of
from paper.published import read_published
from paper.rows import Material
from paper.tables import Table

CAPTIONS = {
    "pictures": "First seed: start, methods, reference; under each picture its loss.",
    "convergence-renders": "Loss of the recommended θ against renders: median over seeds, quartiles as a band.",
    "convergence-seconds": "The same against seconds of rendering and method.",
    "frames": "The toy along a run: true loss, surrogate, sampling Gaussian, current and best point.",
    "cost": "What a method costs by itself, and its memory, against the number of parameters.",
    "sensitivity": "Final loss, as a share of the initial one, when σ or the step is multiplied; σ of ZeroGrads' "
    "default is a first guess only, and it has no step to set.",
}
SHRINK = 0.6  # figures are of 150 dots an inch, for print
NOT_AT_HAND = (
    "The paper's own tables were not at hand: claims are those of the project page, and what is known of the published "
    "experiments is listed below, blank where it is not known."
)


def html(
    title: str,
    material: Material,
    tables: Sequence[Table],
    made: Mapping[str, Path],
    kept: Mapping[str, Path],
    verdicts: list[Verdict],
) -> str:
    """The page, with figures that were made of the material and such as are kept of earlier runs."""
    runs = material.everything
    figures = [figure(name, path) for name, path in made.items()]
    figures += [figure(name, path, " Of earlier runs, whose images these are.") for name, path in kept.items()]
    body = [
        opening(title, runs),
        claims(verdicts),
        '<h2 id="tables">Tables</h2>' + "".join(formats.html(table) for table in tables),
        '<h2 id="figures">Figures</h2>' + "".join(figures),
        published(),
        sizes(material),
        page.endings(runs),
        page.settings([run for run in runs if "~" not in run.row["method"]]),
        page.provenance(runs),
    ]
    template = page.TEMPLATE.read_text(encoding="utf-8")
    return template.replace("@TITLE@", escape(title)).replace("@BODY@", "\n".join(body))


def opening(title: str, runs: Sequence[Run]) -> str:
    """Title, how much there is, and where to find it."""
    tasks, methods = (len({run.row[key] for run in runs}) for key in ("task", "method"))
    seeds = sorted({run.row["seed"] for run in runs})
    budgets = unique(runs, lambda run: describe_budget(run.row))
    links = {"claims": "claims", "tables": "tables", "figures": "figures", "published": "published", "tasks": "tasks"}
    links |= {"endings": "how runs ended", "settings": "settings", "provenance": "machine and revision"}
    notes = [
        NOT_AT_HAND,
        *([f"Budgets: {'; '.join(budgets[:12])}{' …' if len(budgets) > 12 else ''}."] if budgets else []),
    ]
    if any(run.row["jobs"] != 1 for run in runs):
        notes.append("Runs were made side by side: seconds are not to be compared.")
    if len(unique(runs, lambda run: run.row["code_hash"])) > 1:
        notes.append("Rows are of different states of the code.")
    return (
        f'<header><h1>{escape(title)}</h1><p class="soft">{len(runs)} runs: {tasks} tasks, {methods} methods and '
        f'variants, seeds {", ".join(map(str, seeds))}</p><ul class="notes">'
        + "".join(f"<li>{escape(note)}</li>" for note in notes)
        + "</ul><nav>"
        + "".join(f'<a href="#{anchor}">{escape(word)}</a>' for anchor, word in links.items())
        + "</nav></header>"
    )


def claims(verdicts: Sequence[Verdict]) -> str:
    """The claims and what became of them at each setting."""
    kinds = {NOT: "bad"}
    alike: dict[tuple[str, str, str], list[str]] = {}
    for one in verdicts:
        alike.setdefault((one.text, one.verdict, one.numbers), []).append(one.view)
    lines = [
        (
            "",
            [
                page.Cell(escape(text), kind="wrap"),
                page.Cell("any" if len(views) == len(VIEWS) else "<br>".join(map(escape, views))),
                page.Cell(f"<b>{escape(verdict)}</b>", kind=kinds.get(verdict, "left")),
                page.Cell(escape(numbers), kind="wrap"),
            ],
        )
        for (text, verdict, numbers), views in alike.items()
    ]
    said = (
        "An order of methods is what is judged, by the share of pairs of runs in that order: how a picture looks is "
        "for the reader. Tuned views need settings under configs/tuned."
    )
    table = page.table(["claim", "settings", "verdict", "numbers"], lines)
    return f'<h2 id="claims">Claims of the project page</h2><p class="soft">{escape(said)}</p>{table}'


def figure(name: str, path: Path, note: str = "") -> str:
    """A figure under its caption, as a WebP small enough for git; it keeps its own white ground."""
    plain = name.removesuffix("-tuned")
    caption = CAPTIONS[plain] + (" At tuned settings." if plain != name else "") + note
    picture = rescale(imageio.imread(path)[..., :3], SHRINK, channel_axis=2, anti_aliasing=True)
    content = base64.b64encode(
        imageio.imwrite("<bytes>", img_as_ubyte(picture), extension=".webp", quality=70)
    ).decode()
    style = "image-rendering:auto;background:#fff"
    return (
        f'<figure class="panel" id="{escape(name)}"><img style="{style}" alt="{escape(caption, quote=True)}" '
        f'src="data:image/webp;base64,{content}"><figcaption>{escape(caption)}</figcaption></figure>'
    )


def published() -> str:
    """What the authors published, as far as it is known."""
    rows = read_published()
    lines = [("", [page.Cell(escape(cell), kind="wrap") for cell in row.values()]) for row in rows]
    return f'<h2 id="published">Published</h2>{page.table(list(rows[0]), lines)}'


def sizes(material: Material) -> str:
    """The tasks, with n and the time of a render; those that could not be made, with the reason."""
    lines = []
    for row in material.tasks:
        if row["error"]:
            cells = [page.Cell("–"), page.Cell("–"), page.Cell(escape(row["error"]), kind="wrap")]
        else:
            kind = "low" if material.low(row["task"]) else "high"
            milliseconds = 1000 * row["seconds_render"]
            cells = [
                page.Cell(f"{row['n']:,}", row["n"]),
                page.Cell(f"{milliseconds:.3g}", milliseconds),
                page.Cell(kind),
            ]
        lines.append(("", [page.Cell(escape(name_of(row["task"]))), *cells]))
    table = page.table(["task", "n", "ms a render", "dimension"], lines)
    return f'<h2 id="tasks">Tasks</h2>{table}'
