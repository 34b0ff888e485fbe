"""A path-traced Cornell box: find the positions of the boxes and of the light from one picture.

Visibility and shadows make the integrand of a pixel discontinuous. The plain gradients of a path tracer miss that.
"""

import math

import torch
from torch import Tensor

from tasks.renderers.mitsuba import Scene, use_variant
from zg.errors import check_whole
from zg.losses import Losses
from zg.memory import PIXEL_BYTES, check_memory
from zg.pictures import srgb
from zg.space import Block, ParameterSpace
from zg.task import Task

# The bundled scene: x and z of a centre, and rotation about the vertical in degrees.
SMALL, LARGE, LIGHT = (0.335, 0.38, -17.0), (-0.33, -0.28, 18.25), (0.0, 0.01)
# The start, and how far a seed moves its positions at most.
START_SMALL, START_LARGE, START_LIGHT = (0.0, 0.55, 10.0), (-0.05, -0.45, -15.0), (0.3, 0.35)
JITTER = 0.05


class CornellBox(Task):
    """Position and rotation of the two boxes, position of the light: n = 8, with Monte-Carlo noise.

    Images are display values (sRGB, clipped). In linear radiance the few pixels of the light would dominate the loss,
    and the dark sides of the boxes would not count.
    size: pixels along a side. samples: paths a pixel. variant: of Mitsuba; `llvm_ad_rgb` needs an LLVM library that
    Dr.Jit can use.
    """

    noisy = True

    def __init__(
        self, size: int = 64, samples: int = 16, variant: str = "scalar_rgb", loss: Losses = "multiscale"
    ) -> None:
        super().__init__(loss)
        check_whole(size=size, samples=samples)
        check_memory(PIXEL_BYTES * size**2, size=size)
        self.size, self.samples, self.variant = size, samples, variant

    def build(self) -> None:
        mi = use_variant(self.variant)
        self.scene = Scene(mi.cornell_box(), self.variant, self.size, self.samples)
        self.small, self.large = (self.scene.points(f"{name}.vertex_positions") for name in ("small-box", "large-box"))

        def start(values: tuple[float, ...]) -> Tensor:
            jitter = 2 * torch.rand(2, generator=generator, dtype=torch.float64) - 1
            return torch.tensor(values[:2], dtype=torch.float64) + JITTER * jitter

        generator = self.generator("start")
        self.space = ParameterSpace(
            small_position=Block(start(START_SMALL), low=-0.7, high=0.7),
            small_rotation=Block(START_SMALL[2], low=-45, high=45),
            large_position=Block(start(START_LARGE), low=-0.7, high=0.7),
            large_rotation=Block(START_LARGE[2], low=-45, high=45),
            light_position=Block(start(START_LIGHT), low=-0.7, high=0.7),
        )
        self.solution = torch.tensor([*SMALL, *LARGE, *LIGHT], dtype=torch.float64)
        self.scene.samples = 16 * self.samples
        self.set_reference(self.render_one(self.solution, torch.tensor(0)))
        self.scene.samples = self.samples

    def render_one(self, x: Tensor, *seed: Tensor) -> Tensor:
        small_x, small_z, small_turn, large_x, large_z, large_turn, light_x, light_z = x.tolist()
        self.scene.set_points("small-box.vertex_positions", moved(self.small, SMALL, small_x, small_z, small_turn))
        self.scene.set_points("large-box.vertex_positions", moved(self.large, LARGE, large_x, large_z, large_turn))
        transform = self.scene.mi.ScalarTransform4f()
        light = transform.translate([light_x, 0.99, light_z]).rotate([1, 0, 0], 90).scale([0.23, 0.19, 0.19])
        self.scene.parameters["light.to_world"] = light
        return srgb(self.scene.render(int(seed[0])).clamp(0, 1)).to(self.device)


def moved(points: Tensor, pose: tuple[float, float, float], x: float, z: float, turn: float) -> Tensor:
    """Points [V, 3] of a box with the pose (x, z, degrees), moved to the pose (x, z, turn)."""
    centre = torch.tensor([pose[0], 0.0, pose[1]], dtype=points.dtype)
    angle = math.radians(turn - pose[2])
    cos, sin = math.cos(angle), math.sin(angle)
    rotation = torch.tensor([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], dtype=points.dtype)
    return (points - centre) @ rotation.T + torch.tensor([x, 0.0, z], dtype=points.dtype)
