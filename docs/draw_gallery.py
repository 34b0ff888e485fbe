"""Runs the commands of gallery.md and puts their pictures in place: python docs/draw_gallery.py [NAME ...]

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
from PIL import Image

from zg.cli.main import main

PAGE = Path(__file__).with_name("gallery.md")
ENTRY = re.compile(r"^!\[(?P<text>[^\]]*)\]\((?P<path>[^)]*)\)\n\n    zg (?P<command>.*)$", re.MULTILINE)
# A panel is a few pictures and little text: this number of colours looks the same and takes a third of the room.
COLOURS = 128
# Levels of 255 by which the most changed hundredth of all pixels may differ then; else all colours are kept.
MOST_CHANGE = 12


def draw(text: str, path: Path, command: str, folder: Path) -> None:
    """Run one command in `folder` and write its picture to `path`."""
    if status := main([*command.split(), "--out", str(folder), "--wandb", "disabled"]):
        raise SystemExit(status)
    name = "footprints.png" if "footprints" in text else "panel.png"
    picture = moments(folder / "frames") if "four moments" in text else imageio.imread(folder / name)
    path.parent.mkdir(exist_ok=True)
    reduced = Image.fromarray(picture).quantize(COLOURS)
    change = np.abs(np.asarray(reduced.convert("RGB")).astype(int) - picture).max(2)
    print(f"{path.name}: {np.quantile(change, 0.99):.0f} of 255 changed by {COLOURS} colours")
    (reduced if np.quantile(change, 0.99) <= MOST_CHANGE else Image.fromarray(picture)).save(path, optimize=True)


def moments(frames: Path) -> np.ndarray:
    """Four frames, evenly along the run, as 2 × 2."""
    paths = sorted(frames.glob("*.png"))
    a, b, c, d = (imageio.imread(paths[round(k * (len(paths) - 1) / 3)]) for k in range(4))
    return np.vstack([np.hstack([a, b]), np.hstack([c, d])])


if __name__ == "__main__":
    chosen = sys.argv[1:]
    for entry in ENTRY.finditer(PAGE.read_text()):
        target = PAGE.parent / entry["path"]
        if not chosen or target.stem in chosen:
            with tempfile.TemporaryDirectory() as temporary:
                draw(entry["text"], target, entry["command"], Path(temporary) / "run")
            print(target)
