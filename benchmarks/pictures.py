"""What a surrogate of the picture saves: renders until the loss is down, beside the loss-only default and its peers.

    python -m benchmarks.pictures texture --seed 0 [--method zerograds] [--renders 200] [--out FILE]

The methods are those of `METHODS`: the surrogate of the picture, the default that is told losses, baselines that see
pictures, and the surrogate without one of its parts. Baselines have their tuned settings where `configs/tuned` has any.

One command is one row, appended: task, method, seed, n, renders, renders until the loss of what is recommended was
10 %, 1 % and 0.5 % of the start, the last share, seconds in all and of the method, peak memory of the process,
surrogates in their order with the render from which each was at work, revision, command, machine. The loss is rendered
again after each iteration, with seeds of its own, and not counted.

`view` is a texture of 64 × 64 in a random order of its parameters, seen in perspective and blurred: each pixel is moved
by 4 to 14 texels, and some texels are not seen. `splats` and `triangles` are those of the zoo, 200 and 100 of them
against a photo of 48 × 48: another photo, and another start, for each seed.
"""

import argparse
import resource
import shlex
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.rows import append
from benchmarks.zoo.hard_shapes import Triangles
from benchmarks.zoo.splats import DepthSplats
from tasks.images import load_image
from tasks.led_display import LedDisplay
from tasks.texture import Texture
from zg.budget import Budget
from zg.config.build import instantiate, parse_component
from zg.config.compose import compose, read_yaml, task_config
from zg.given import make_method
from zg.loop import Loop
from zg.method import Method
from zg.objective import Objective
from zg.run.provenance import machine, revision
from zg.space import Block, ParameterSpace
from zg.task import Task
from zg.zerograds.image import ImageZeroGrads
from zg.zerograds.method import ZeroGrads

TUNED = Path(__file__).parents[1] / "configs" / "tuned"
ROWS = Path(__file__).parents[1] / "results" / "pictures" / "rows.csv"
SHARES = (0.1, 0.01, 0.005)
COLUMNS = (
    "task method seed n renders renders_to_10 renders_to_1 renders_to_half share seconds seconds_method peak_mb"
    " surrogates revision command machine"
).split()
WORDS = "THE SURROGATE THAT SEES  THE WHOLE PICTURE AT ONCE"[:48]


class Shuffled(Texture):
    """The texture of the gallery with its parameters in a random order."""

    def build(self) -> None:
        super().build()
        (block,) = self.space.blocks.values()
        start = torch.as_tensor(block.init).reshape(-1)
        self.order = torch.randperm(len(start), generator=self.generator("order"))
        self.space = ParameterSpace(pixels=Block(start[self.order], low=0.0, high=1.0))

    def texels(self, x: Tensor) -> Tensor:
        """x [B, n] -> texture [B, 3, size, size]."""
        placed = torch.empty_like(x).index_copy_(1, self.order, x)
        return placed.reshape(len(x), 3, self.size, self.size).float()

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return self.texels(x)


class View(Shuffled):
    """The same, seen in perspective through a Gaussian of `blur` texels."""

    def __init__(self, size: int = 64, blur: float = 0.6) -> None:
        super().__init__(size, loss="mse")
        self.blur = blur

    def build(self) -> None:
        super().build()
        self.matrix = seen(self.size, self.blur)
        texture = load_image(self.reference_image, self.size)
        self.set_reference((texture.reshape(3, -1) @ self.matrix.T).reshape(3, self.size, self.size))

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return (self.texels(x).flatten(2) @ self.matrix.T).reshape(len(x), 3, self.size, self.size)


def seen(size: int, blur: float) -> Tensor:
    """The weights [pixels, texels] of a tilted plane's texels in the pixels of its view."""
    at = (torch.arange(size) + 0.5) / size * 2 - 1
    down, across = torch.meshgrid(at, at, indexing="ij")
    depth = 1 + 0.35 * down
    column = ((0.9 * across * depth + 1) * size / 2 - 0.5).reshape(-1, 1)
    row = ((0.96 * down / depth + 1) * size / 2 - 0.5).reshape(-1, 1)
    texel = torch.arange(size)
    distance = (texel[:, None] - row[:, None]).square() + (texel[None] - column[:, None]).square()
    weights = torch.exp(-distance / (2 * blur**2)).flatten(1)
    weights = torch.where(weights > 1e-3, weights, 0.0)
    return weights / weights.sum(1, keepdim=True).clamp_min(1e-3)  # beside the plane pixels are black


class ManySplats(DepthSplats):
    """200 splats against a photo; n = 2,000."""

    name = "splats"
    COUNT, SIZE = 200, 48

    def __init__(self) -> None:
        super().__init__(instance=0)

    def build(self) -> None:
        self.instance = self.seed
        super().build()


class ManyTriangles(Triangles):
    """100 triangles with hard edges against a photo; n = 1,000."""

    name = "triangles"
    COUNT = 100

    def __init__(self) -> None:
        super().__init__(instance=0)

    def build(self) -> None:
        self.instance = self.seed
        super().build()


def from_config(name: str) -> Callable[[], Task]:
    """The task of a YAML in `configs`."""
    component = parse_component("data", compose(task_config(name))["data"])
    return partial(instantiate, "data", component)


#: Tasks with the renders of a row.
TASKS: dict[str, tuple[Callable[[], Callable[[], Task]], int]] = {
    "led_display": (lambda: LedDisplay, 120),
    "led_display, 1,344 lamps": (lambda: partial(LedDisplay, word=WORDS, columns=24), 200),
    "texture": (lambda: Texture, 60),
    "texture 256²": (lambda: partial(Texture, 256), 60),
    "shuffled": (lambda: Shuffled, 60),
    "view": (lambda: View, 200),
    "splats": (lambda: ManySplats, 2000),
    "triangles": (lambda: ManyTriangles, 2000),
    "brdf": (lambda: from_config("brdf"), 300),
    "cornell_box": (lambda: from_config("cornell_box"), 300),
} | {
    name: (partial(from_config, name), renders)
    for name, renders in {
        "external_demo": 400,
        "wicker": 400,
        "mosaic": 2000,
        "procedural": 2000,
        "caustic": 400,
        "mesh": 400,
        "mlp": 400,
        "rocket": 400,
    }.items()
}
#: The surrogate of the picture without one of its parts: {variant: settings}.
WITHOUT: dict[str, dict[str, Any]] = {
    "no memory": {"surrogate": "dense", "options": {"remembers": False}},
    "no noise correction": {"surrogate": "dense", "options": {"steps": {"corrects_noise": False}}},
    "no footprints": {"surrogate": "dense"},
    # One trial an iteration: λ a tenth after a success, a hundred times after a failure (Marquardt 1963).
    "no ladder": {"surrogate": "dense", "options": {"steps": {"ladder": [0.1]}}},
    "no ladder of footprints": {
        "surrogate": "footprints",
        "options": {"steps": {"ladder": [0.1], "first_damping": 0.01}},
    },
}
#: Baselines that see pictures.
PEERS = ("dfols", "fr22_image", "pixel_gradient")


def variant(task: str, settings: dict[str, Any]) -> Method:
    """The surrogate of the picture with these settings."""
    return ImageZeroGrads(**settings)


def peer(task: str, name: str) -> Method:
    """A baseline with its settings for a task, tuned if there are any in `configs/tuned`."""
    tuned = TUNED / task / f"{name}.yaml"
    return make_method(read_yaml(tuned)["model"] if tuned.is_file() else name)[0]


#: {name: a function of the name of the task}.
METHODS: dict[str, Callable[[str], Method]] = (
    {"zerograds-image": lambda task: ImageZeroGrads(), "zerograds": lambda task: ZeroGrads()}
    | {name: partial(peer, name=name) for name in PEERS}
    | {f"zerograds-image, {without}": partial(variant, settings=settings) for without, settings in WITHOUT.items()}
)


def measure(task: Task, method: Method, renders: int, seed: int) -> dict[str, object]:
    """What a row says of one run."""
    torch.set_num_threads(1)
    task.seed = seed
    begin = time.perf_counter()
    task.setup()
    loop = Loop(method, Budget(renders), seed)
    objective = Objective(task, renders, seed)
    loop.start(objective)
    start = objective.measure(objective.start, "start")[0]
    curve, stages = [(0, 1.0)], []
    while not loop.stop_reason():
        name = getattr(method, "present", "")
        if name and (not stages or stages[-1][1] != name):
            stages.append((loop.renders, name))
        loop.iterate()
        curve.append((loop.renders, objective.measure(method.recommend(), f"{loop.renders}")[0] / start))
    task.close()
    until = [next((count for count, share in curve if share <= aim), "") for aim in SHARES]
    return {
        "seed": seed,
        "n": task.space.n,
        "renders": loop.renders,
        "renders_to_10": until[0],
        "renders_to_1": until[1],
        "renders_to_half": until[2],
        "share": f"{curve[-1][1]:.3g}",
        "seconds": round(time.perf_counter() - begin, 1),
        "seconds_method": round(loop.seconds_method, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "surrogates": "; ".join(f"{name} from {count}" for count, name in stages),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=list(TASKS))
    parser.add_argument("--method", choices=list(METHODS), default="zerograds-image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--renders", type=int)
    parser.add_argument("--out", type=Path, default=ROWS)
    options = parser.parse_args()
    make, renders = TASKS[options.task]
    row = {"task": options.task, "method": options.method}
    row |= measure(make()(), METHODS[options.method](options.task), options.renders or renders, options.seed)
    row |= {"revision": revision(), "machine": machine()}
    words = [options.task, "--seed", str(options.seed), "--method", options.method, "--renders", str(row["renders"])]
    row["command"] = "python -m benchmarks.pictures " + shlex.join(words)
    append(options.out, COLUMNS, [row])
    print(", ".join(f"{name} {row[name]}" for name in COLUMNS[:13]))


if __name__ == "__main__":
    main()
