"""Runs the commands of gallery.md and puts their pictures in place: python -m docs.draw_gallery [NAME ...]

A picture is the run's `panel.png`; one whose text says "at four moments" is four frames of its video, and one of
"footprints" is the run's `footprints.png`. The command is the first indented line after it.
With names, only pictures of those stems are drawn.
"""

import re
import sys
import tempfile
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pandas as pd
from PIL import Image

from zg.cli.main import main

PAGE = Path(__file__).with_name("gallery.md")
ENTRY = re.compile(r"^!\[(?P<text>[^\]]*)\]\((?P<path>[^)]*)\)\n\n    zg (?P<command>.*)$", re.MULTILINE)
# A panel is a few pictures and little text: this number of colours looks the same and takes a third of the room.
COLOURS = 128
# Levels of 255 by which the most changed hundredth of all pixels may differ then; else all colours are kept.
MOST_CHANGE = 12
# The moments: the first frame, and the first ones at which no more than these shares of its loss are left.
LEFT = (0.5, 0.1, 1e-3)


def draw(text: str, path: Path, command: str, folder: Path) -> None:
    """Run one command in `folder` and write its picture to `path`."""
    if status := main([*command.split(), "--out", str(folder), "--wandb", "disabled"]):
        raise SystemExit(status)
    name = "footprints.png" if "footprints" in text else "panel.png"
    picture = moments(folder) if "four moments" in text else imageio.imread(folder / name)
    path.parent.mkdir(exist_ok=True)
    reduced = Image.fromarray(picture).quantize(COLOURS)
    change = np.abs(np.asarray(reduced.convert("RGB")).astype(int) - picture).max(2)
    print(f"{path.name}: {np.quantile(change, 0.99):.0f} of 255 changed by {COLOURS} colours")
    (reduced if np.quantile(change, 0.99) <= MOST_CHANGE else Image.fromarray(picture)).save(path, optimize=True)


def moments(folder: Path) -> np.ndarray:
    """Four frames of the run in a folder, along its descent, as 2 × 2."""
    curve = pd.read_csv(folder / "history.csv").dropna(subset="loss")
    first = curve.loss.iloc[0]
    found = [int(curve.renders[curve.loss <= left * first].iloc[0]) for left in (1, *LEFT)]
    a, b, c, d = (imageio.imread(folder / "frames" / f"{renders:09d}.png") for renders in found)
    return np.vstack([np.hstack([a, b]), np.hstack([c, d])])


if __name__ == "__main__":
    chosen = sys.argv[1:]
    for entry in ENTRY.finditer(PAGE.read_text()):
        target = PAGE.parent / entry["path"]
        if not chosen or target.stem in chosen:
            with tempfile.TemporaryDirectory() as temporary:
                draw(entry["text"], target, entry["command"], Path(temporary) / "run")
            print(target)
