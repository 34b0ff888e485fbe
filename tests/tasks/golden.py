"""Golden images: the render of each forward model at a fixed θ, checked by eye when it was written.

    python -m tests.tasks.golden      writes them again, after a change that is meant to change images

Images are 8-bit PNGs in tests/golden; flight paths are an npz. Tests compare them with a tolerance, because another
BLAS moves a few photons across the border of a pixel.
"""

from collections.abc import Callable
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import torch
from torch import Tensor

from tasks.brdf import Brdf
from tasks.caustic import Caustic
from tasks.led_display import LedDisplay
from tasks.mesh import Mesh
from tasks.mlp import Mlp
from tasks.mosaic import Mosaic
from tasks.procedural import Procedural
from tasks.rocket import Rocket
from tasks.wicker import Wicker
from zg.pictures import to_display
from zg.task import Task

FOLDER = Path(__file__).parent.parent / "golden"
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
BURNS = [0.02, 0.2, 0.38, 0.5]


def built(task: Task, seed: int = 0, device: str = "cpu") -> Task:
    """The task, set up with that seed on that device."""
    task.seed, task.device = seed, torch.device(device)
    task.setup()
    return task


def caustic(device: str) -> Tensor:
    task = built(Caustic(control_points=12, size=96), device=device)
    at = torch.linspace(-3, 3, 12, dtype=torch.float64, device=device)
    return task.render(0.3 * (at[:, None] + torch.sin(2 * at)).cos().reshape(1, -1))[0]


def mlp(device: str) -> Tensor:
    task = built(Mlp(), device=device)
    return task.render(0.3 * torch.arange(task.space.n, device=device).sin()[None])[0]


def mosaic(device: str) -> Tensor:
    task = built(Mosaic(size=96), device=device)
    return task.render(task.solution[None].to(device))[0]


def procedural(device: str) -> Tensor:
    task = built(Procedural(size=96), device=device)
    return task.render(task.solution[None].to(device))[0]


def rocket(device: str) -> Tensor:
    """Every tenth place of four flights [41, 4]."""
    task = built(Rocket(), device=device)
    assert isinstance(task, Rocket)
    return task.fly(torch.tensor(BURNS, dtype=torch.float64, device=device)[:, None])[0][::10]


def brdf(device: str) -> Tensor:
    """On any device by the variant that every machine has."""
    task = built(Brdf(size=48, variant="scalar_rgb", fixed_seed=True))
    return to_display(task.render(task.solution[None])[0], linear=True)


def mesh(device: str) -> Tensor:
    """A sphere with bumps above the reference."""
    task = built(Mesh(subdivisions=2, views=3, size=48, head="blob", variant="scalar_rgb", fixed_seed=True))
    assert isinstance(task, Mesh)
    bumps = 0.1 * torch.arange(task.space.n).sin() * task.space.scale
    seen = task.render_one(task.space.to_user(task.space.init) + bumps), task.reference()
    return torch.cat([to_display(views, linear=True) for views in seen if views is not None], dim=1)


IMAGES: dict[str, Callable[[str], Tensor]] = {f.__name__: f for f in (brdf, caustic, mesh, mlp, mosaic, procedural)}


def led_display(device: str) -> Tensor:
    return reference(LedDisplay(workers=1))


def wicker(device: str) -> Tensor:
    return reference(Wicker(workers=1))


def reference(task: Task) -> Tensor:
    """The reference of a task whose renderer is in processes of its own."""
    built(task)
    task.close()
    image = task.reference()
    assert image is not None
    return image


# Images by Blender. Their tests are skipped where it is not installed.
RENDERED: dict[str, Callable[[str], Tensor]] = {f.__name__: f for f in (led_display, wicker)}


def read(name: str) -> Tensor:
    """The golden image of that name, [C, H, W] in [0, 1]."""
    pixels = imageio.imread(FOLDER / f"{name}.png")
    return torch.from_numpy(np.atleast_3d(pixels)).permute(2, 0, 1) / 255


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, draw in {**IMAGES, **RENDERED}.items():
        pixels = (draw("cpu") * 255).round().byte().permute(1, 2, 0).squeeze(-1).numpy()
        imageio.imwrite(FOLDER / f"{name}.png", pixels)
    np.savez_compressed(FOLDER / "rocket.npz", path=rocket("cpu").numpy())
    print("\n".join(str(path) for path in sorted(FOLDER.iterdir())))
