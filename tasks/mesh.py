"""A sphere deformed until it looks like a head from every side: positions of all vertices from a few small pictures.

Mitsuba renders what is visible. The shading is put on the vertices, a diffuse surface under a soft sky without
occlusion, as deferred shading does (Nicolet et al. 2021): one ray a sample and no noise but that of the edges. What the
edges do has no gradient in a plain path tracer; `tasks.mesh_gradient` has Mitsuba's own answer to that.
"""

import math
from typing import Any

import torch
from torch import Tensor

from tasks.heads import Head, head
from tasks.meshes import SmoothCoordinates, chamfer, icosphere, normals, sample_surface
from tasks.renderers.mitsuba import Scene, resolve_variant, use_variant
from zg import pictures
from zg.errors import SettingError, check_positive
from zg.losses import Loss
from zg.space import Block, ParameterSpace
from zg.task import RunView, Task

# Radiance of the sky in direction ω is GREY + SKY ω, one row a colour: three soft lamps in a grey world. They stand at
# right angles, around the first camera, so that however the surface turns, the picture changes as much.
GREY = 0.5
AROUND = torch.tensor([210.0, 330.0, 90.0], dtype=torch.float64).deg2rad()
LAMPS = torch.stack([math.sqrt(2) * AROUND.cos(), -torch.ones(3, dtype=torch.float64), math.sqrt(2) * AROUND.sin()], 1)
SKY = GREY / math.sqrt(3) * LAMPS
# The cameras look at the head from so far, up and down in turn, and see a little more than the unit sphere.
DISTANCE, ELEVATION, FIELD_OF_VIEW = 4.0, 25.0, 31.0
# The sphere at the start: within what seeds draw its radius.
RADIUS = (0.85, 0.95)
# Points on each surface for the Chamfer distance; they leave 0.01 between equal surfaces.
POINTS = 10_000
# The picture of a result: pixels along a side of a view, samples a pixel.
PICTURE = (96, 4)
COLOUR = "vertex_color"


class Mesh(Task):
    """Smooth coordinates of every vertex: n = 3 V, 642 vertices with 3 subdivisions and 2,562 with 4.

    subdivisions: of the icosahedron. views: cameras around the head, the first in front of it. size: pixels along a
    side of each. samples: rays a pixel. smoothness: in radii of the head, how far around it a coordinate moves the
    surface. bending: weight in the loss of the mean of |Δx|² over the vertices (4 on the unit sphere), for what no
    picture tells. fixed_seed: the same rays in every render, so that the loss has no noise. head: `monkey` (needs bpy),
    `blob`, or `auto`. variant: Mitsuba's; pictures this small take a compiled one longer than `scalar_rgb`.
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
        loss: str | Loss = "mse",
    ) -> None:
        super().__init__(loss)
        self.noisy = not fixed_seed
        check_positive(views=views, size=size, samples=samples, smoothness=smoothness)
        if bending != 0:
            check_positive(bending=bending)
        if not 0 <= subdivisions <= 6:
            raise SettingError(f"subdivisions must be from 0 to 6, got {subdivisions}")
        self.subdivisions, self.views, self.size, self.samples = subdivisions, views, size, samples
        self.smoothness, self.bending, self.head, self.variant = smoothness, bending, head, variant

    def build(self) -> None:
        self.variant = resolve_variant(self.variant)
        generator = self.generator("start")
        sphere, self.faces = icosphere(self.subdivisions)
        low, high = RADIUS
        radius = low + (high - low) * torch.rand(1, generator=generator, dtype=torch.float64)
        turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
        turn = turn * torch.linalg.det(turn)  # a rotation, not a mirror
        self.coordinates = SmoothCoordinates(self.faces, len(sphere), self.smoothness)
        # One unit of θ in every coordinate moves a vertex by one unit, root mean square: the radius of the head.
        start = self.coordinates.encode(radius * sphere @ turn)
        self.space = ParameterSpace(u=Block(start, scale=1 / self.coordinates.spread))
        self.which, self.head_vertices, self.head_faces = head(self.head)
        self.target_points = sample_surface(self.head_vertices, self.head_faces, POINTS)
        self.scene = self.scene_of(sphere, self.faces, self.size, self.samples)
        self.set_reference(self.portrait(self.head_vertices, self.head_faces, self.size, 16 * self.samples))
        self.shown = self.portrait(self.head_vertices, self.head_faces, *PICTURE)
        self.show = self.scene_of(sphere, self.faces, *PICTURE)

    def vertices(self, x: Tensor) -> Tensor:
        """x [n] in the user's units (smooth coordinates) -> vertices [V, 3]."""
        return self.coordinates.decode(x.reshape(-1, 3))

    def regulariser(self, x: Tensor) -> Tensor:
        bent = self.coordinates.curvature(self.coordinates.decode(x.reshape(len(x), -1, 3)))
        return self.bending * bent.square().sum(2).mean(1)

    def render_one(self, x: Tensor, *seed: Tensor) -> Tensor:
        number = int(seed[0]) if seed else 0
        return draw(self.scene, self.vertices(x), self.faces, number).to(self.device)

    def metrics(self, x: Tensor, image: Tensor) -> dict[str, float]:
        here, first = (self.distance(place) for place in (x, self.space.to_user(self.space.init)))
        return {"chamfer": here, "chamfer_of_start": here / first, "monkey": float(self.which == "monkey")}

    def distance(self, x: Tensor) -> float:
        """Chamfer distance of x [n] to the head, in radii."""
        return chamfer(sample_surface(self.vertices(x), self.faces, POINTS), self.target_points)

    def picture(self, x: Tensor, image: Tensor, view: RunView | None = None) -> Tensor:
        """All views of the result above those of the head, larger than what is compared."""
        result = draw(self.show, self.vertices(x), self.faces, 0)
        return torch.cat([pictures.to_display(part, linear=True) for part in (result, self.shown)], dim=1)

    def portrait(self, vertices: Tensor, faces: Tensor, size: int, samples: int) -> Tensor:
        """One picture [V, 3, H, W] of another mesh by the same cameras and light."""
        return draw(self.scene_of(vertices, faces, size, samples), vertices, faces, 0)

    def scene_of(self, vertices: Tensor, faces: Tensor, size: int, samples: int) -> Scene:
        """A scene with all cameras and one mesh, whose vertices can be moved."""
        mi = use_variant(self.variant)
        parts = mi.Properties()
        parts["light"] = mi.load_dict({"type": "area", "radiance": {"type": "mesh_attribute", "name": COLOUR}})
        parts["bsdf"] = mi.load_dict({"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.0}})
        mesh = mi.Mesh("head", len(vertices), len(faces), props=parts)
        mesh.add_attribute(COLOUR, 3, [1.0] * vertices.numel())
        parameters = mi.traverse(mesh)
        for name, values in (("vertex_positions", vertices.float()), ("faces", faces.int())):
            parameters[name] = type(parameters[name])(values.flatten().tolist())
        parameters.update()
        return Scene(
            {
                "type": "scene",
                "integrator": {"type": "path", "max_depth": 1},
                "head": mesh,
                "sensor": {"type": "batch", "film": self.frame(), **self.cameras(mi)},
            },
            self.variant,
            size,
            samples,
        )

    def cameras(self, mi: Any) -> dict[str, Any]:
        """Around the head; the first one looks straight at the face, the others from below and above in turn."""
        cameras = {}
        for view in range(self.views):
            azimuth = 2 * math.pi * view / self.views
            elevation = math.radians(ELEVATION) * (0 if view == 0 else (-1) ** view)
            across, up = DISTANCE * math.cos(elevation), DISTANCE * math.sin(elevation)
            at = [across * math.sin(azimuth), -across * math.cos(azimuth), up]
            cameras[f"view{view}"] = {
                "type": "perspective",
                "fov": FIELD_OF_VIEW,
                "to_world": mi.ScalarTransform4f().look_at(origin=at, target=[0, 0, 0], up=[0, 0, 1]),
                "film": self.frame(),
            }
        return cameras

    def frame(self) -> dict[str, Any]:
        """Linear RGB of one view."""
        film = {"type": "hdrfilm", "pixel_format": "rgb", "component_format": "float32"}
        return film | {"width": self.size, "height": self.size, "rfilter": {"type": "box"}}


def radiance(normal: Tensor) -> Tensor:
    """What a white diffuse surface with normals [V, 3] sends back of the sky, [V, 3].

    The mean of GREY + SKY ω over the hemisphere around n, weighed by its cosine, is GREY + 2/3 SKY n.
    """
    return GREY + 2 / 3 * normal @ SKY.T


def draw(scene: Scene, vertices: Tensor, faces: Tensor, seed: int) -> Tensor:
    """Pictures [views, 3, H, W] of that mesh, lit."""
    scene.set_points("head.vertex_positions", vertices)
    scene.set_points(f"head.{COLOUR}", radiance(normals(vertices, faces)))
    return scene.render(seed)
