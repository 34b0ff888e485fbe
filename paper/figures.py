"""The figures, as PNG and PDF: picture rows, convergence, the toy's frames, cost against n, sensitivity."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import imageio.v3 as imageio
import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from baselines.compare import style
from baselines.compare.figures import curves, picture_of
from baselines.compare.rows import Row, Run, unique
from paper.marks import middle
from paper.names import NAMES, PAGE_METHODS, name_of, ordered
from paper.rows import Material
from paper.tables import final_loss

# The number of the toy's frames in a row.
FRAMES = 4
# The least share of the initial loss that is drawn; smaller shares are drawn there.
LEAST = 1e-12
# Figures made from the images of runs. Kept rows have no images.
OF_IMAGES = ("pictures", "pictures-tuned", "frames")


def write(material: Material, out: Path) -> dict[str, Path]:
    """Write every figure for which there is material; {name: its PNG}."""
    out.mkdir(parents=True, exist_ok=True)
    found = {}
    with matplotlib.rc_context(style.FONT):
        for name, figure in all_figures(material):
            figure.savefig(out / f"{name}.png", dpi=150)
            figure.set_layout_engine("none")  # the layout is made already, and takes longer than the drawing
            figure.savefig(out / f"{name}.pdf")
            found[name] = out / f"{name}.png"
    return found


def kept(out: Path, made: Mapping[str, Path]) -> dict[str, Path]:
    """The figures from images of earlier runs that are still in the folder and were not made again; {name: its PNG}."""
    return {name: out / f"{name}.png" for name in OF_IMAGES if name not in made and (out / f"{name}.png").is_file()}


def all_figures(material: Material) -> Iterator[tuple[str, Figure]]:
    """(name, figure) of each figure. A method looks the same in all of them."""
    drawn = [
        run.row["method"].split("~")[0] for part, runs in material.parts.items() if part != "ablations" for run in runs
    ]
    looks = style.looks([*drawn, *(row["method"] for row in material.cost)])
    for part in ("published", "tuned"):
        suffix = "" if part == "published" else "-tuned"
        runs = material.runs(part)
        made = {f"pictures{suffix}": pictures(runs)}
        measured = [run for run in runs if run.curve is not None]
        for axis in ("renders", "seconds"):
            made[f"convergence-{axis}{suffix}"] = curves(measured, axis, looks, name_of) if measured else None
        yield from ((name, figure) for name, figure in made.items() if figure is not None)
    if (figure := frames(material.runs("frames"))) is not None:
        yield "frames", figure
    if any(not row["error"] for row in material.cost):
        yield "cost", cost(material.cost, looks)
    if material.runs("sensitivity"):
        yield "sensitivity", sensitivity(material.runs("sensitivity"), looks)


def pictures(runs: Sequence[Run]) -> Figure | None:
    """start | SA | GA | SPSA | CMA-ES | FR22 | ours | reference, a row for each task, as on the project page.

    Methods of other packages stand before ours. The loss stands below each picture.
    """
    first = min((run.row["seed"] for run in runs), default=0)
    runs = [run for run in runs if run.row["seed"] == first]
    others = {run.row["method"] for run in runs} - set(NAMES)
    methods = [name for name in ordered([*PAGE_METHODS, *others]) if any(run.row["method"] == name for run in runs)]
    rows = []
    for task in unique(runs, lambda run: run.row["task"]):
        own = {run.row["method"]: run for run in runs if run.row["task"] == task}
        if any(picture_of(run.folder).is_file() for run in own.values()):
            rows.append((task, own))
    if not rows:
        return None
    heads = ["start", *map(name_of, methods), "reference"]
    figure = Figure(figsize=(1.3 * len(heads), 1.5 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(heads), squeeze=False)
    for axes, (task, own) in zip(grid, rows, strict=True):
        folder = next(run.folder for run in own.values() if picture_of(run.folder).is_file())
        show(axes[0], folder / "start.png")
        show(axes[-1], folder / "reference.png")
        for cell, method in zip(axes[1:-1], methods, strict=True):
            run = own.get(method)
            show(cell, picture_of(run.folder) if run else None)
            said = "–" if run is None else "failed" if run.failed else f"{final_loss(run):.2g}"
            cell.set_xlabel(said, fontsize=7, labelpad=2)
        axes[0].set_ylabel(task)
    for cell, head in zip(grid[0], heads, strict=True):
        cell.set_title(head.replace(", ", ",\n"), fontsize=7)
    return figure


def show(cell: Axes, path: Path | None) -> None:
    """Draw a picture without axes; leave the cell empty where there is none."""
    cell.set_xticks([])
    cell.set_yticks([])
    cell.spines[:].set_visible(False)
    if path is not None and path.is_file():
        picture = np.asarray(imageio.imread(path))
        cell.imshow(picture, interpolation="nearest", cmap="gray" if picture.ndim == 2 else None)


def frames(runs: Sequence[Run]) -> Figure | None:
    """The toy at FRAMES points of a run: true loss, surrogate, sampling Gaussian, current and best point."""
    found = {run.row["method"]: sorted((run.folder / "frames").glob("*.png")) for run in runs}
    methods = [method for method in ordered(found) if found[method]]
    if not methods:
        return None
    figure = Figure(figsize=(3.0 * FRAMES, 2.4 * len(methods)), layout="constrained")
    grid = figure.subplots(len(methods), FRAMES, squeeze=False)
    for axes, method in zip(grid, methods, strict=True):
        own = found[method]
        chosen = [own[round(place)] for place in np.linspace(0, len(own) - 1, FRAMES)]
        for cell, path in zip(axes, chosen, strict=True):
            show(cell, path)
        axes[0].set_ylabel(name_of(method))
    return figure


def cost(rows: Sequence[Row], looks: Mapping[str, style.Look]) -> Figure:
    """Seconds of an iteration, seconds of a render, and memory, against n."""
    methods = ordered({row["method"] for row in rows if not row["error"]})
    figure = Figure(figsize=(11.5, 3.4), layout="constrained")
    panels = figure.subplots(1, 3)
    titles = ("seconds an iteration", "seconds a render", "memory beyond the process's own, MB")
    for panel, title in zip(panels, titles, strict=True):
        panel.set(xscale="log", yscale="log", title=title, xlabel="n")
        style.quiet(panel)
    for method in methods:
        own = sorted((row for row in rows if row["method"] == method and not row["error"]), key=lambda row: row["n"])
        n = np.array([row["n"] for row in own])
        taken = np.array([row["seconds"] for row in own])
        renders = np.array([row["renders"] for row in own])
        for panel, values in zip(panels, (taken, taken / renders, [max(row["mb"], 0.1) for row in own]), strict=True):
            draw(panel, n, values, looks[method], method)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", handlelength=3.5)
    return figure


def draw(
    panel: Axes, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, look: style.Look, method: str
) -> None:
    """Draw a line with its points in a method's look."""
    house = method == style.HOUSE
    (line,) = panel.plot(x, y, "o-", color=look.colour, label=name_of(method), markersize=4, zorder=4 if house else 3)
    line.set_linewidth(2.2 if house else 1.3)
    if look.dashes:
        line.set_dashes(look.dashes)


def sensitivity(runs: Sequence[Run], looks: Mapping[str, style.Look]) -> Figure:
    """The final loss, as a share of the initial loss, when σ or the step is multiplied."""
    found: dict[tuple[str, str], dict[str, dict[float, list[float]]]] = {}
    for run in runs:
        method, setting, factor = run.row["method"].split("~")
        share = final_loss(run) / run.row["init_loss"] if run.row["init_loss"] else np.inf
        panel = found.setdefault((run.row["task"], setting), {})
        panel.setdefault(method, {}).setdefault(float(factor), []).append(share)
    tasks = unique(found, lambda key: key[0])
    words = {"sigma": "σ", "step": "step"}
    figure = Figure(figsize=(9.5, 3.0 * len(tasks)), layout="constrained")
    grid = figure.subplots(len(tasks), len(words), squeeze=False)
    handles: dict[str, Artist] = {}
    for line, task in zip(grid, tasks, strict=True):
        for panel, (setting, word) in zip(line, words.items(), strict=True):
            panel.set(xscale="log", yscale="log", title=task, xlabel=f"{word} × its setting")
            style.quiet(panel)
            for method, by_factor in found.get((task, setting), {}).items():
                factors = sorted(by_factor)
                values = [middle(by_factor[factor]) for factor in factors]
                draw(panel, factors, [max(one.value, LEAST) for one in values], looks[method], method)
                edges = [(one.low, one.high) for one in values]
                if all(low is not None for low, _ in edges):
                    low, high = ([max(edge or 0.0, LEAST) for edge in side] for side in zip(*edges, strict=True))
                    panel.fill_between(factors, low, high, color=looks[method].colour, alpha=0.12, linewidth=0)
            handles |= {label: handle for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
        line[0].set_ylabel("final loss / initial loss")
    figure.legend(list(handles.values()), list(handles), loc="outside right upper", handlelength=3.5)
    return figure
