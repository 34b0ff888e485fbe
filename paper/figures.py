"""The figures, as PNG and PDF: picture rows, convergence, renders to the published end, frames, cost, sensitivity.

They are as wide as the text of a page with two columns, and are printed at their own size.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from baselines.compare import pictures, style
from baselines.compare.curves import OTHERS, curves
from baselines.compare.names import OURS, OURS_PUBLISHED
from baselines.compare.rows import Row, Run, unique, write_csv
from paper import passing, sensitivity
from paper.names import PAGE_METHODS, name_of, ordered
from paper.rows import Material

# The number of the toy's frames in a row.
FRAMES = 2
# Figures made from the images of runs, each with its part of the paper. Kept rows have no images.
OF_IMAGES = {"pictures": "published", "pictures-tuned": "tuned", "frames": "frames"}
# The rows whose images stand in the figures of images, beside these figures.
SHOWN = "shown.csv"
# The methods in colour in the figure of cost; the others are grey.
COLOURED = ("cmaes", "cmaes-full", "fr22", "es", OURS_PUBLISHED, OURS)


def write(material: Material, out: Path) -> dict[str, Path]:
    """Write every figure for which there is material; {name: its PNG}."""
    out.mkdir(parents=True, exist_ok=True)
    found = {}
    with matplotlib.rc_context(style.FONT):
        for name, figure in all_figures(material):
            style.save(figure, out / f"{name}.png")
            found[name] = out / f"{name}.png"
    fresh = [row for name, part in OF_IMAGES.items() if name in found for row in shown_rows(name, material.runs(part))]
    if fresh:
        write_csv(out / SHOWN, [row for row in read_shown(out) if row["figure"] not in found] + fresh)
    return found


def kept(material: Material, out: Path, made: Mapping[str, Path]) -> dict[str, Path]:
    """The figures from images of earlier runs whose rows are all still here; {name: its PNG}.

    Such a figure is removed where a row has changed since: its pictures would not be those of the numbers.
    """
    found = {}
    there = {name: {identity(row) for row in shown_rows(name, material.runs(part))} for name, part in OF_IMAGES.items()}
    for name in OF_IMAGES:
        picture = out / f"{name}.png"
        if name in made or not picture.is_file():
            continue
        shown = {identity(row) for row in read_shown(out) if row["figure"] == name}
        if shown and shown <= there[name]:
            found[name] = picture
            continue
        print(f"{picture} is removed: its pictures are not of the rows that are here", flush=True)
        for suffix in (".png", ".pdf"):
            picture.with_suffix(suffix).unlink(missing_ok=True)
    return found


def shown_rows(name: str, runs: Sequence[Run]) -> list[Row]:
    """What a figure of images shows: the rows of the first seed, by their keys."""
    first = min((run.row["seed"] for run in runs), default=0)
    columns = ("task", "method", "seed", "key", "final_loss")
    return [{"figure": name} | {key: run.row[key] for key in columns} for run in runs if run.row["seed"] == first]


def read_shown(out: Path) -> list[Row]:
    """The rows whose images stand in the figures of a folder."""
    if not (out / SHOWN).is_file():
        return []
    with (out / SHOWN).open(newline="") as file:
        return list(csv.DictReader(file))


def identity(row: Row) -> tuple[str, ...]:
    """What says that two rows are of the same run."""
    return tuple(str(row[name]) for name in ("task", "method", "seed", "key", "final_loss"))


def all_figures(material: Material) -> Iterator[tuple[str, Figure]]:
    """(name, figure) of each figure. A method looks the same in all of them."""
    for part in ("published", "tuned"):
        suffix = "" if part == "published" else "-tuned"
        runs = material.runs(part)
        others = ordered({run.row["method"] for run in runs} - set(style.LOOKS))
        shown = [name for name in PAGE_METHODS if any(run.row["method"] == name for run in runs)]
        made = {f"pictures{suffix}": pictures.images(runs, [*shown[:-2], *others, *shown[-2:]])}
        for axis in ("renders", "seconds"):
            made[f"convergence-{axis}{suffix}"] = curves(runs, axis)
        if part == "published":
            made["passing"] = passing.figure(runs)
        yield from ((name, figure) for name, figure in made.items() if figure is not None)
    if (figure := frames(material.runs("frames"))) is not None:
        yield "frames", figure
    if any(not row["error"] for row in material.cost):
        yield "cost", cost(material.cost)
    if material.runs("sensitivity"):
        yield "sensitivity", sensitivity.figure(material.runs("sensitivity"))


def frames(runs: Sequence[Run]) -> Figure | None:
    """The toy early in a run and at its end: true loss, surrogate, sampling Gaussian, current and best point."""
    found = {run.row["method"]: sorted((run.folder / "frames").glob("*.png")) for run in runs}
    methods = [method for method in ordered(found) if found[method]]
    if not methods:
        return None
    side = style.WIDTH / FRAMES
    figure = Figure(
        figsize=(style.WIDTH, 0.75 * side * len(methods)), layout=ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.01)
    )
    grid = figure.subplots(len(methods), FRAMES, squeeze=False)
    for axes, method in zip(grid, methods, strict=True):
        own = found[method]
        for cell, path in zip(axes, (own[len(own) // 3], own[-1]), strict=True):
            pictures.show(cell, path)
        axes[0].set_ylabel(name_of(method))
    return figure


def cost(rows: Sequence[Row]) -> Figure:
    """Seconds of an iteration, seconds of a render, and memory, against n."""
    methods = ordered({row["method"] for row in rows if not row["error"]})
    figure = Figure(figsize=(style.WIDTH, 2.6), layout="constrained")
    panels = figure.subplots(1, 3)
    titles = ("seconds an iteration", "seconds a render", "memory of the method, MB")
    for panel, title in zip(panels, titles, strict=True):
        panel.set(xscale="log", yscale="log", title=title, xlabel="n")
        panel.minorticks_off()
        style.quiet(panel)
    for method in methods:
        own = sorted((row for row in rows if row["method"] == method and not row["error"]), key=lambda row: row["n"])
        n = np.array([row["n"] for row in own])
        taken = np.array([row["seconds"] for row in own])
        renders = np.array([row["renders"] for row in own])
        memory = np.array([max(row["mb"], 0.1) for row in own])
        for panel, values in zip(panels, (taken, taken / renders, memory), strict=True):
            draw(panel, n, values, method)
    label(figure, panels)
    return figure


def draw(panel: Axes, n: np.ndarray, values: np.ndarray, method: str) -> None:
    """The line of a method against n: in its look, or grey."""
    if method in COLOURED:
        line = style.plot(panel, n, values, style.LOOKS[method], method, "o")
        line.set_label(name_of(method))
    else:
        panel.plot(n, values, color=style.FAINT, linewidth=0.7, zorder=2, label=OTHERS)


def label(figure: Figure, panels: Sequence[Axes]) -> None:
    """A legend below the panels, with each name once."""
    handles, labels = panels[0].get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    names = unique([*(name_of(method) for method in COLOURED), OTHERS], str)
    there = [name for name in names if name in named]
    figure.legend([named[name] for name in there], there, loc="outside lower center", ncols=4, handlelength=2.6)
