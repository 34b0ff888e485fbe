"""The mesh by true gradients: what a differentiable renderer finds where all other methods are told losses only.

    python -m tasks.mesh_gradient --steps 200 --out runs/mesh_gradient

The upper bound of the paper's figure, and no method of the comparison: a method may not look inside a task. Mitsuba
differentiates visibility at the silhouettes by projective sampling (Zhang, Roussel and Jakob, "Projective Sampling for
Differentiable Rendering of Geometry", ACM TOG 2023), and smooth coordinates descend by Adam with one step size for all
of them (Nicolet et al. 2021, section 3.4). Where no variant of Mitsuba differentiates, the row says so.
"""

import argparse
import json
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
import yaml
from torch import Tensor

from tasks.mesh import COLOUR, Mesh, radiance
from tasks.meshes import normals
from tasks.renderers.mitsuba import AUTO
from zg.errors import SettingError, check_positive
from zg.pictures import write_png
from zg.run.provenance import machine


class MeshGradient:
    """Gradients of the loss of a built `Mesh`, by Mitsuba's derivative of the same pictures.

    samples: rays a pixel for the inside, and as many for the silhouettes. Raises SettingError where the task's variant
    cannot differentiate.
    """

    def __init__(self, task: Mesh, samples: int = 16) -> None:
        check_positive(samples=samples)
        if "_ad_" not in task.variant:
            raise SettingError(f"variant must be one that differentiates ({', '.join(AUTO[:2])}), got '{task.variant}'")
        self.task, self.samples = task, samples
        self.mi: Any = task.scene.mi
        self.mi.set_variant(task.variant)
        self.sensors = [
            self.mi.load_dict(camera | {"film": task.frame() | {"sample_border": True}})
            for camera in task.cameras(self.mi).values()
        ]
        self.integrator = self.mi.load_dict({"type": "prb_projective", "max_depth": 1, "sppi": 0})

    def __call__(self, x: Tensor, seed: int) -> tuple[float, Tensor]:
        """x [n] in the user's units -> (loss with its regulariser, its gradient [n])."""
        image = self.task.render_one(x, torch.tensor(seed))[None].requires_grad_()
        loss = self.task.loss(image, self.task.reference())[0]
        (towards,) = torch.autograd.grad(loss, image)
        vertices = self.task.vertices(x).requires_grad_()
        colours = radiance(normals(vertices, self.task.faces))
        moved, coloured = self.through_mitsuba(towards[0].cpu(), seed)
        (shaded,) = torch.autograd.grad(colours, vertices, coloured)
        bent = self.task.coordinates.curvature(self.task.coordinates.curvature(vertices.detach()))
        bent = bent * 2 * self.task.bending / len(vertices)
        loss = loss.detach() + self.task.regulariser(x[None])[0]
        return float(loss), self.task.coordinates.decode(moved + shaded + bent).flatten()

    def through_mitsuba(self, towards: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Gradient [views, 3, H, W] at the pictures last drawn -> at positions [V, 3] and at colours [V, 3]."""
        import drjit as dr

        scene = self.task.scene
        keys = "head.vertex_positions", f"head.{COLOUR}"
        for key in keys:
            dr.enable_grad(scene.parameters[key])
        scene.parameters.update()
        for view, sensor in enumerate(self.sensors):
            picture = self.mi.render(
                scene.scene,
                scene.parameters,
                sensor=sensor,
                integrator=self.integrator,
                spp=self.samples,
                seed=2 * (seed * len(self.sensors) + view),
                seed_grad=2 * (seed * len(self.sensors) + view) + 1,
            )
            weights = self.mi.TensorXf(towards[view].permute(1, 2, 0).contiguous().numpy())
            dr.backward(dr.sum(picture * weights, axis=None))
        found = [torch.from_numpy(dr.grad(scene.parameters[key]).numpy()).double().reshape(-1, 3) for key in keys]
        for key in keys:
            dr.disable_grad(scene.parameters[key])
        return found[0], found[1]


def descend(task: Mesh, steps: int, step: float, samples: int) -> tuple[Tensor, list[float]]:
    """`steps` of Adam from the task's start -> (x [n] in the user's units, the losses along the way).

    A gradient has no chance in it to smooth away, so it descends in (I + λL) x, as Nicolet et al. do: in the task's
    own coordinates, smoother by one power, detail would take it several times as long.
    step: how far the fastest coordinate moves in one, in radii of the head. It falls to nothing along a cosine.
    """
    gradient = MeshGradient(task, samples)
    sharpen = task.coordinates.sharpen
    half = sharpen(task.vertices(task.space.to_user(task.space.init)))
    first, second = torch.zeros_like(half), torch.zeros_like(half)
    losses = []
    for i in range(steps):
        loss, slope = gradient(sharpen(half).flatten(), i)
        losses.append(loss)
        slope = sharpen(slope.reshape(-1, 3))
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope.square()
        mean, square = first / (1 - 0.9 ** (i + 1)), second / (1 - 0.999 ** (i + 1))
        falling = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * i / steps)))
        half = half - step * falling * mean / square.max().sqrt().clamp_min(1e-12)
    return sharpen(half).flatten(), losses


def main() -> None:
    """Descend, and write the picture and what a row would say: of an error, where there is no such derivative."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--step", type=float, default=0.03)
    parser.add_argument("--samples", type=int, default=16, help="rays a pixel")
    parser.add_argument("--config", type=Path, default=Path("configs/mesh.yaml"), help="of the mesh")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    start = perf_counter()
    data = yaml.safe_load(given.config.read_text())["data"]
    task = Mesh(**{key: value for key, value in data.items() if key != "name"} | {"variant": "auto"})
    task.seed = given.seed
    task.setup()
    given.out.mkdir(parents=True, exist_ok=True)
    row: dict[str, Any] = {"steps": given.steps, "variant": task.variant, "machine": machine()}
    try:
        x, losses = descend(task, given.steps, given.step, given.samples)
    except SettingError as error:
        row["error"] = str(error)
    else:
        image = task.render_one(x)
        final = task.loss(image[None], task.reference())[0] + task.regulariser(x[None])[0]
        row |= {"init_loss": losses[0], "final_loss": float(final), "seconds": perf_counter() - start}
        row |= task.metrics(x, image)
        write_png(given.out / "panel.png", task.picture(x, image))
    (given.out / "row.json").write_text(json.dumps(row, indent=2))
    print(json.dumps(row, indent=2))


if __name__ == "__main__":
    main()
