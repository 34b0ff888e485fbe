"""Deform a sphere until it looks like a head from every side. The parameters are all vertices of the sphere.

The reference is a few small pictures of the head. Mitsuba renders what is visible, and shading is put on the vertices,
as in deferred shading (Nicolet et al. 2021): one ray a sample is enough, and only the edges are noisy. A plain path
tracer has no gradient of edges; `tasks.mesh_gradient` uses Mitsuba's own derivative of them.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tasks.cameras import Cameras, draw
from tasks.heads import Head, HeadMesh, make_head
from tasks.meshes import SmoothCoordinates, chamfer, icosphere, sample_surface
from tasks.renderers.mitsuba import resolve_variant
from zg import pictures
from zg.errors import SettingError, check_positive
from zg.losses import Losses
from zg.memory import PIXEL_BYTES, check_memory
from zg.space import Block, ParameterSpace
from zg.task import RunView, Task

# Bounds of the radius of the sphere at the start; a seed draws it.
RADIUS = (0.85, 0.95)
# Points on each surface for the Chamfer distance. Two samples of equal surfaces have a distance of 0.01.
POINTS = 10_000
# The picture of a result: pixels along a side of a view, rays a pixel.
PICTURE_SIZE, PICTURE_SAMPLES = 96, 4


@dataclass(frozen=True)
class Target:
    """The head that the mesh must match."""

    head: HeadMesh
    points: Tensor  # [POINTS, 3] on its surface
    picture: Tensor  # [V, 3, H, W], its views in the size of the picture of a result


class Mesh(Task):
    """Smooth coordinates of every vertex: n = 3 V, with V = 642 for 3 subdivisions and 2,562 for 4.

    subdivisions: of the icosahedron. views: cameras around the head; the first one is in front of it. size: pixels
    along a side of each view. samples: rays a pixel. smoothness: distance from a vertex up to which its coordinate
    moves the surface, in radii of the head. bending: weight in the loss of the mean of |Δx|² over the vertices (4 on
    the unit sphere), which decides what no picture shows. fixed_seed: whether all renders use the same rays, so that
    the loss has no noise. head: `monkey` (needs bpy), `blob`, or `auto`. variant: of Mitsuba, or `auto`; for pictures
    this small, `scalar_rgb` is faster than a compiled variant.
    """

    linear = True

    def __init__(
        self,
        subdivisions: int = 3,
        views: int = 6,
        size: int = 32,
        samples: int = 2,
        smoothness: float = 0.15,
        bending: float = 5e-5,
        fixed_seed: bool = False,
        head: Head = "auto",
        variant: str = "scalar_rgb",
        loss: Losses = "mse",
    ) -> None:
        super().__init__(loss)
        self.noisy = not fixed_seed
        check_positive(views=views, size=size, samples=samples, smoothness=smoothness)
        check_memory(PIXEL_BYTES * views * size**2, size=size, views=views)
        if bending != 0:
            check_positive(bending=bending)
        if not 0 <= subdivisions <= 6:
            raise SettingError(f"subdivisions must be from 0 to 6, got {subdivisions}")
        self.subdivisions, self.smoothness, self.bending, self.head = subdivisions, smoothness, bending, head
        self.cameras = Cameras(views, size, samples, variant)

    def build(self) -> None:
        generator = self.generator("start")
        sphere, self.faces = icosphere(self.subdivisions)
        low, high = RADIUS
        radius = low + (high - low) * torch.rand(1, generator=generator, dtype=torch.float64)
        turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
        turn = turn * torch.linalg.det(turn)  # a rotation, not a reflection
        self.coordinates = SmoothCoordinates(self.faces, len(sphere), self.smoothness)
        # One unit of θ in every coordinate moves a vertex by the radius of the head (root mean square).
        start = self.coordinates.encode(radius * sphere @ turn)
        self.space = ParameterSpace(u=Block(start, scale=1 / self.coordinates.spread))

        self.cameras = replace(self.cameras, variant=resolve_variant(self.cameras.variant))
        panel = replace(self.cameras, size=PICTURE_SIZE, samples=PICTURE_SAMPLES)
        self.scene, self.panel_scene = (cameras.scene(sphere, self.faces) for cameras in (self.cameras, panel))
        head = make_head(self.head)
        points = sample_surface(head.vertices, head.faces, POINTS)
        self.target = Target(head, points, panel.picture(head.vertices, head.faces))
        careful = replace(self.cameras, samples=16 * self.cameras.samples)
        self.set_reference(careful.picture(head.vertices, head.faces))

    def vertices(self, x: Tensor) -> Tensor:
        """x [n] in the user's units (smooth coordinates) -> vertices [V, 3]."""
        return self.coordinates.decode(x.reshape(-1, 3))

    def regulariser(self, x: Tensor) -> Tensor:
        curvature = self.coordinates.curvature(self.coordinates.decode(x.reshape(len(x), -1, 3)))
        return self.bending * curvature.square().sum(2).mean(1)

    def render_one(self, x: Tensor, *seed: Tensor) -> Tensor:
        number = int(seed[0]) if seed else 0
        return draw(self.scene, self.vertices(x), self.faces, number).to(self.device)

    def metrics(self, x: Tensor, image: Tensor) -> dict[str, float]:
        """Chamfer distance to the head in radii, its ratio to that of the start, and whether the head is the monkey."""
        here, first = (self.distance(place) for place in (x, self.space.to_user(self.space.init)))
        return {"chamfer": here, "chamfer_of_start": here / first, "monkey": float(self.target.head.kind == "monkey")}

    def distance(self, x: Tensor) -> float:
        """Chamfer distance of x [n] to the head, in radii of the head."""
        return chamfer(sample_surface(self.vertices(x), self.faces, POINTS), self.target.points)

    def picture(self, x: Tensor, image: Tensor, view: RunView | None = None) -> Tensor:
        """All views of the result above those of the head, larger than the views that the loss compares."""
        result = draw(self.panel_scene, self.vertices(x), self.faces, 0)
        named = {f"render: {len(result)} views": result, "reference": self.target.picture}
        rows = [pictures.row_of({name: pictures.to_display(part, linear=True)}) for name, part in named.items()]
        return torch.cat(rows, dim=1)
