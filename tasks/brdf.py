"""Find a material from one picture: the principled BSDF on a ball under soft coloured lights, rendered by Mitsuba.

Several parameters change the picture in nearly the same way, for example the tint of a weak lobe, or clear-coat gloss
and roughness. The picture has Monte-Carlo noise. Highlights are a hundred times as bright as the rest, so the loss is
the relative error of linear radiance.
"""

import math
from typing import Any

import torch
from torch import Tensor

from tasks.hidden import guess_around
from tasks.renderers.mitsuba import Scene, resolve_variant, use_variant
from zg.errors import check_positive
from zg.losses import Losses
from zg.memory import PIXEL_BYTES, check_memory
from zg.space import Block
from zg.task import Task

# The parameters of the reference. None is 0: Mitsuba drops a lobe for good whose weight is 0 when a scene is loaded.
HIDDEN = {
    "base_color": Block([0.45, 0.12, 0.06], low=0, high=1),
    "roughness": Block([0.3], low=0.0625, high=1),
    "metallic": Block([0.2], low=0, high=1),
    "anisotropic": Block([0.7], low=0, high=1),
    "specular": Block([0.6], low=0, high=1),
    "spec_tint": Block([0.5], low=0, high=1),
    "sheen": Block([0.8], low=0, high=1),
    "clearcoat": Block([0.8], low=0, high=1),
    "clearcoat_gloss": Block([0.6], low=0, high=1),
}
# Soft lights in the sky: direction (x to the right, y up, z towards the camera), radiance, sharpness (1 / angle²).
LIGHTS = [
    ((-0.7, 0.6, 0.6), (30.0, 24.0, 18.0), 60.0),
    ((0.9, 0.2, 0.4), (5.0, 10.0, 20.0), 60.0),
    ((0.2, 0.8, 0.7), (200.0, 200.0, 200.0), 400.0),
    ((0.5, -0.5, 0.7), (2.0, 0.7, 1.6), 12.0),
    ((-0.8, 0.1, -0.6), (3.0, 15.0, 6.0), 30.0),
]
ZENITH, HORIZON, GROUND = (0.12, 0.20, 0.35), (0.38, 0.35, 0.31), (0.06, 0.05, 0.045)
# Rows of the environment map. The sharpest light covers six rows.
ROWS = 64


class Brdf(Task):
    """Colour, roughness, metallic, anisotropic, specular and its tint, sheen, clear coat and its gloss: n = 11.

    size: pixels along a side. samples: paths a pixel. far: largest distance of a coordinate from the solution at the
    start, as a fraction of its range. fixed_seed: whether all renders use the same random numbers, so that the loss has
    no noise. variant: of Mitsuba, or `auto`.
    """

    linear = True

    def __init__(
        self,
        size: int = 64,
        samples: int = 16,
        far: float = 0.4,
        fixed_seed: bool = False,
        variant: str = "auto",
        loss: Losses = "relative_mse",
    ) -> None:
        super().__init__(loss)
        self.noisy = not fixed_seed
        check_positive(size=size, samples=samples, far=far)
        check_memory(PIXEL_BYTES * size**2, size=size)
        self.size, self.samples, self.far, self.variant = size, samples, far, variant

    def build(self) -> None:
        self.space, self.solution = guess_around(HIDDEN, self.far, self.generator("start"))
        variant = resolve_variant(self.variant)
        self.scene = Scene(description(use_variant(variant)), variant, self.size, self.samples)
        self.scene.samples = 36 * self.samples
        self.set_reference(self.draw(self.solution, 0))
        self.scene.samples = self.samples

    def render_one(self, x: Tensor, *seed: Tensor) -> Tensor:
        return self.draw(x, int(seed[0]) if seed else 0)

    def draw(self, x: Tensor, seed: int) -> Tensor:
        """x [n] in the user's units -> [3, H, W], linear radiance."""
        for name, part in self.space.split(x).items():
            value = part.tolist()
            if name == "base_color":
                self.scene.parameters["ball.bsdf.base_color.value"] = self.scene.mi.Color3f(value)
            else:
                key = "ball.bsdf.specular" if name == "specular" else f"ball.bsdf.{name}.value"
                self.scene.parameters[key] = value[0]
        return self.scene.render(seed).to(self.device)

    def metrics(self, x: Tensor, image: Tensor) -> dict[str, float]:
        """Mean absolute error of each parameter. Some are hardly visible, so one distance would say little."""
        assert self.solution is not None
        found, hidden = self.space.split(x), self.space.split(self.solution.to(x))
        return {f"{name}_error": float((part - hidden[name]).abs().mean()) for name, part in found.items()}


def description(mi: Any) -> dict[str, Any]:
    """The scene as Mitsuba's dictionary. y is up, and the camera is at +z."""
    transform = mi.ScalarTransform4f()
    material: dict[str, Any] = {"type": "principled"}
    for name, block in HIDDEN.items():
        value = torch.as_tensor(block.init).tolist()
        material[name] = {"type": "rgb", "value": value} if len(value) == 3 else value[0]
    return {
        "type": "scene",
        "integrator": {"type": "direct", "hide_emitters": True},
        "ball": {"type": "sphere", "to_world": transform.rotate([1, 0, 0], -90), "bsdf": material},
        "sky": {"type": "envmap", "bitmap": mi.Bitmap(environment().float().numpy())},
        "sensor": {
            "type": "perspective",
            "fov": 29,
            "to_world": transform.look_at(origin=[0, 0.8, 4.2], target=[0, 0, 0], up=[0, 1, 0]),
            "film": {"type": "hdrfilm", "pixel_format": "rgb", "component_format": "float32"},
            "sampler": {"type": "multijitter"},
        },
    }


def environment() -> Tensor:
    """Radiance [ROWS, 2 ROWS, 3] of the sky with its soft lights, float64."""
    seen = directions()
    up = seen[..., 1:2]
    zenith, horizon, ground = (torch.tensor(colour, dtype=torch.float64) for colour in (ZENITH, HORIZON, GROUND))
    sky = horizon + (zenith - horizon) * up.clamp_min(0).sqrt()
    radiance = torch.lerp(ground, sky, torch.sigmoid(20 * up))
    for where, colour, sharpness in LIGHTS:
        centre = torch.nn.functional.normalize(torch.tensor(where, dtype=torch.float64), dim=0)
        near = torch.exp(sharpness * ((seen * centre).sum(-1, keepdim=True) - 1))
        radiance = radiance + near * torch.tensor(colour, dtype=torch.float64)
    return radiance


def directions() -> Tensor:
    """Unit directions [ROWS, 2 ROWS, 3] of the pixel centres of an environment map, in the layout of Mitsuba."""
    polar = (torch.arange(ROWS, dtype=torch.float64) + 0.5) * math.pi / ROWS
    around = (torch.arange(2 * ROWS, dtype=torch.float64) + 0.5) * math.pi / ROWS
    polar, around = torch.meshgrid(polar, around, indexing="ij")
    return torch.stack([around.sin() * polar.sin(), polar.cos(), -around.cos() * polar.sin()], -1)
