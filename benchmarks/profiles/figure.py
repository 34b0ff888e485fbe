"""Data profiles as a figure: the method that is judged, and the peers and bounds with the largest areas."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.profiles.measures import FIRST, LAST, Floors, area, profile
from benchmarks.profiles.peers import HINDSIGHT, field_of
from benchmarks.profiles.tables import Methods

#: Number of peers that are drawn beside the default and the bounds.
PEERS_DRAWN = 4


def draw(methods: Methods, floors: Floors, path: Path) -> None:
    """Write the figure. methods: by area, the largest first. Their names stand at the ends of their lines."""
    field = field_of(methods)
    peers = [name for name in methods if name in field.others][:PEERS_DRAWN]
    names = [name for name in methods if name == field.ours or name in peers or name in HINDSIGHT]
    alpha = np.geomspace(FIRST, LAST, 400)
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    ends: list[tuple[float, str, str]] = []
    for number, name in enumerate(names):
        found = np.array(profile(methods[name], floors))
        share = np.searchsorted(found, alpha, side="right") / len(found)
        color, width = ("black", 2.2) if name == field.ours else (f"C{number}", 1.2)
        axes.plot(alpha, share, ls="--" if name in HINDSIGHT else "-", color=color, lw=width)
        ends.append((float(share[-1]), name, color))
    room = 0.045 * max(ends)[0]
    height = -np.inf
    for last, name, color in sorted(ends):  # a label stands at the end of its line, or above the label below
        height = max(last, height + room)
        label = f"{name} ({area(profile(methods[name], floors)):.3f})"
        axes.annotate(label, (LAST * 1.05, height), color=color, va="center", fontsize=8, annotation_clip=False)
    axes.set(xscale="log", xlim=(FIRST, LAST), ylim=(0, None), xlabel="renders / n", ylabel="share of targets reached")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(figure)
