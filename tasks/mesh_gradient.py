"""Gradient descent on the mesh task by a differentiable renderer, as an upper bound for methods that see losses only.

    python -m tasks.mesh_gradient --steps 200 --out runs/mesh_gradient

It is the upper bound in the paper's figure. It is not a method of the comparison, because a method may not look inside
a task. Mitsuba differentiates visibility at silhouettes by projective sampling (Zhang, Roussel and Jakob, "Projective
Sampling for Differentiable Rendering of Geometry", ACM TOG 2023). Smooth coordinates descend by Adam with one step
size for all of them (Nicolet et al. 2021, section 3.4). Where no variant of Mitsuba can differentiate, the row holds
that error.
"""

import argparse
import json
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
import yaml
from torch import Tensor

from tasks.cameras import COLOUR, radiance
from tasks.mesh import Mesh
from tasks.meshes import normals
from tasks.renderers.mitsuba import AUTO
from zg.errors import SettingError, check_positive
from zg.pictures import write_png
from zg.run.provenance import machine


class MeshGradient:
    """Gradients of the loss of a built `Mesh`, by Mitsuba's derivative of the same views.

    samples: rays a pixel for the interior, and as many for silhouettes. Raises SettingError where the variant of the
    task cannot differentiate.
    """

    def __init__(self, task: Mesh, samples: int = 16) -> None:
        check_positive(samples=samples)
        variant = task.cameras.variant
        if "_ad_" not in variant:
            raise SettingError(f"variant must be one that differentiates ({', '.join(AUTO[:2])}), got '{variant}'")
        self.task, self.samples = task, samples
        self.mi: Any = task.scene.mi
        self.mi.set_variant(variant)
        self.sensors = [
            self.mi.load_dict(sensor | {"film": task.cameras.film() | {"sample_border": True}})
            for sensor in task.cameras.sensors(self.mi).values()
        ]
        self.integrator = self.mi.load_dict({"type": "prb_projective", "max_depth": 1, "sppi": 0})

    def __call__(self, x: Tensor, seed: int) -> tuple[float, Tensor]:
        """x [n] in the user's units -> (loss with the regulariser, its gradient [n])."""
        image = self.task.render_one(x, torch.tensor(seed))[None].requires_grad_()
        loss = self.task.loss(image, self.task.reference())[0]
        (image_gradient,) = torch.autograd.grad(loss, image)
        vertices = self.task.vertices(x).requires_grad_()
        colours = radiance(normals(vertices, self.task.faces))
        by_visibility, at_colours = self.through_mitsuba(image_gradient[0].cpu(), seed)
        (by_shading,) = torch.autograd.grad(colours, vertices, at_colours)
        by_bending = self.task.coordinates.curvature(self.task.coordinates.curvature(vertices.detach()))
        by_bending = by_bending * 2 * self.task.bending / len(vertices)
        loss = loss.detach() + self.task.regulariser(x[None])[0]
        return float(loss), self.task.coordinates.decode(by_visibility + by_shading + by_bending).flatten()

    def through_mitsuba(self, image_gradient: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Gradient [views, 3, H, W] with respect to the last views -> with respect to positions and colours [V, 3]."""
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
            weights = self.mi.TensorXf(image_gradient[view].permute(1, 2, 0).contiguous().numpy())
            dr.backward(dr.sum(picture * weights, axis=None))
        found = [torch.from_numpy(dr.grad(scene.parameters[key]).numpy()).double().reshape(-1, 3) for key in keys]
        for key in keys:
            dr.disable_grad(scene.parameters[key])
        return found[0], found[1]


def descend(task: Mesh, steps: int, step: float, samples: int) -> tuple[Tensor, list[float]]:
    """`steps` of Adam from the task's start -> (x [n] in the user's units, the loss at each step).

    The descent is in (I + λL) x, as in Nicolet et al. The task's own coordinates (I + λL)² x are smoother, for methods
    with random steps; a gradient needs no such smoothing, and would need several times as many steps for details.
    step: how far the fastest coordinate moves in one step, in radii of the head. It decays to 0 along a cosine.
    """
    differentiate = MeshGradient(task, samples)
    sharpen = task.coordinates.sharpen
    smooth = sharpen(task.vertices(task.space.to_user(task.space.init)))
    first, second = torch.zeros_like(smooth), torch.zeros_like(smooth)
    losses = []
    for i in range(steps):
        loss, g = differentiate(sharpen(smooth).flatten(), i)
        losses.append(loss)
        g = sharpen(g.reshape(-1, 3))
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g.square()
        mean, square = first / (1 - 0.9 ** (i + 1)), second / (1 - 0.999 ** (i + 1))
        decay = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * i / steps)))
        smooth = smooth - step * decay * mean / square.max().sqrt().clamp_min(1e-12)
    return sharpen(smooth).flatten(), losses


def main() -> None:
    """Descend, and write the picture and a row; the row of an error where Mitsuba cannot differentiate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200, help="steps of Adam")
    parser.add_argument("--step", type=float, default=0.03, help="length of the first step, in radii of the head")
    parser.add_argument("--samples", type=int, default=16, help="rays a pixel for the gradient")
    parser.add_argument("--config", type=Path, default=Path("configs/mesh.yaml"), help="configuration of the mesh task")
    parser.add_argument("--seed", type=int, default=0, help="of the start")
    parser.add_argument("--out", type=Path, required=True, help="folder for row.json and panel.png")
    given = parser.parse_args()
    start = perf_counter()
    data = yaml.safe_load(given.config.read_text())["data"]
    task = Mesh(**{key: value for key, value in data.items() if key != "name"} | {"variant": "auto"})
    task.seed = given.seed
    task.setup()
    given.out.mkdir(parents=True, exist_ok=True)
    row: dict[str, Any] = {"steps": given.steps, "variant": task.cameras.variant, "machine": machine()}
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
