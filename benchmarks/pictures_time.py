"""What a surrogate of the picture costs itself, beside a renderer of 10 ms at 128² RGB.

    python -m benchmarks.pictures_time SCENE --n 100 [--renders 400] [--seed 0] [--out FILE]

`lights`: each parameter changes all pixels, smoothly (a light; the sum is exposed like a film). `lamps`: each changes
the pixels around it. The scenes are cheap to render here; what is measured is the CPU time of `ask` and `tell`, with
one thread, divided by 10 ms for each render. It ends where the surrogate of the picture gives way.

One command is one row, appended: scene, n, seed, renders, ms of the method for each of them, ratio, the share of the
start's loss that is left, peak memory of the process and that of it before the first render, surrogate, revision,
command, machine.
"""

import argparse
import csv
import resource
import shlex
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.pictures_table import cell, line
from benchmarks.profiles.runs import Clock
from benchmarks.rows import append
from zg.budget import Budget
from zg.loop import Loop
from zg.objective import Objective
from zg.run.provenance import machine, revision
from zg.space import Block, ParameterSpace
from zg.task import Task
from zg.zerograds.image import LOSSES, ImageZeroGrads

ROWS = Path(__file__).parents[1] / "results" / "pictures" / "time.csv"
SIZE, RENDER_SECONDS = 128, 0.01
COLUMNS = ("scene n seed renders ms_method ratio share peak_mb before_mb surrogate revision command machine").split()


class Lights(Task):
    """Each of n lights brightens all pixels, most of all around its place, in its colour."""

    #: Width of a light, of the whole picture.
    width = 0.4

    def __init__(self, n: int) -> None:
        super().__init__("mse")
        self.n = n

    def build(self) -> None:
        generator = self.generator("lights")
        at = (torch.arange(SIZE) + 0.5) / SIZE
        place = torch.rand(self.n, 2, generator=generator)
        down, across = (-(((at - place[:, k : k + 1]) / self.width) ** 2) for k in range(2))
        colour = 0.2 + torch.rand(self.n, 3, 1, 1, generator=generator)
        self.shown = (colour * (down[:, None, :, None] + across[:, None, None, :]).exp()).flatten(1)
        self.shown /= self.shown.sum(0).mean()
        self.space = ParameterSpace(light=Block(torch.full((self.n,), 0.5), low=0, high=1))
        self.set_reference(self.render(torch.rand(1, self.n, generator=generator))[0])

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return 1 - (-2 * x.float() @ self.shown).exp().reshape(-1, 3, SIZE, SIZE)


class Lamps(Lights):
    """The same, but a lamp lights its neighbourhood only."""

    width = 0.03


SCENES: dict[str, type[Lights]] = {"lights": Lights, "lamps": Lamps}


def peak_mb() -> int:
    """The most memory that this process has had, MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measure(scene: str, n: int, renders: int, seed: int) -> dict[str, object]:
    """What a row says of one run."""
    torch.set_num_threads(1)
    task, method, clock = SCENES[scene](n), ImageZeroGrads(), Clock()
    task.seed = seed
    task.setup()
    loop, objective = Loop(method, Budget(renders), seed), Objective(task, renders, seed)
    start = objective.measure(objective.start, "start")[0]
    before, surrogate = peak_mb(), ""
    with clock("method"):
        loop.start(objective)
    while loop.stop_reason() is None and method.present != LOSSES and not method.is_solved:
        surrogate = method.present
        with clock("method"):
            theta = loop.ask()
        evaluation = objective.evaluate(theta, loop.iteration, images=True)
        with clock("method"):
            loop.tell(theta, evaluation)
    each = clock.seconds["method"] / loop.renders
    return {
        "scene": scene,
        "n": n,
        "seed": seed,
        "renders": loop.renders,
        "ms_method": f"{1e3 * each:.3g}",
        "ratio": f"{each / RENDER_SECONDS:.3g}",
        "share": f"{objective.measure(method.recommend(), 'end')[0] / start:.3g}",
        "peak_mb": peak_mb(),
        "before_mb": before,
        "surrogate": surrogate,
    }


def table(path: Path) -> str:
    """A line for each scene and n."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    heads = "scene|n|surrogate|seeds|renders|ms of the method a render|over 10 ms|left|MB|MB before".split("|")
    lines = [line(heads), "|" + "---|" * len(heads)]
    for scene, n in sorted({(row["scene"], int(row["n"])) for row in rows}):
        own = [row for row in rows if (row["scene"], int(row["n"])) == (scene, n)]
        names = ("renders", "ms_method", "ratio", "share", "peak_mb", "before_mb")
        lines.append(line([scene, str(n), own[0]["surrogate"], str(len(own)), *(cell(own, name) for name in names)]))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", choices=list(SCENES))
    parser.add_argument("--n", type=int, required=True)
    parser.add_argument("--renders", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROWS)
    options = parser.parse_args()
    words = [options.scene, "--n", str(options.n), "--renders", str(options.renders), "--seed", str(options.seed)]
    row = measure(options.scene, options.n, options.renders, options.seed)
    row |= {"revision": revision(), "machine": machine()}
    row["command"] = f"python -m benchmarks.pictures_time {shlex.join(words)}"
    append(options.out, COLUMNS, [row])
    print(", ".join(f"{name} {row[name]}" for name in COLUMNS[:10]))


if __name__ == "__main__":
    main()
