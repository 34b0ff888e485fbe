"""Pictures of a mesh by cameras around it: Mitsuba renders visibility, and shading is put on the vertices.

The surface is white and diffuse, under a sky whose radiance in direction ω is GREY + SKY ω, without occlusion. The sky
is three soft lamps in a grey world, one for each colour. The lamps stand at right angles to each other, around the
first camera, so that a picture changes by about the same amount in whichever direction the surface turns.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tasks.meshes import normals
from tasks.renderers.mitsuba import Scene, use_variant

GREY = 0.5
AZIMUTH = torch.tensor([210.0, 330.0, 90.0], dtype=torch.float64).deg2rad()
LAMPS = torch.stack(
    [math.sqrt(2) * AZIMUTH.cos(), -torch.ones(3, dtype=torch.float64), math.sqrt(2) * AZIMUTH.sin()], 1
)
SKY = GREY / math.sqrt(3) * LAMPS
# Distance of the cameras from the origin; their elevation and field of view in degrees. They see a little more than
# the unit sphere.
DISTANCE, ELEVATION, FIELD_OF_VIEW = 4.0, 25.0, 31.0
COLOUR = "vertex_color"


@dataclass(frozen=True)
class Cameras:
    """Cameras on a circle around the origin; z is up.

    The first camera is at −y and at the height of the origin. The others are below and above it in turn.
    """

    count: int
    size: int  # pixels along a side of each view
    samples: int  # rays a pixel
    variant: str  # of Mitsuba

    def scene(self, vertices: Tensor, faces: Tensor) -> Scene:
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
        description = {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": 1},
            "head": mesh,
            "sensor": {"type": "batch", "film": self.film(), **self.sensors(mi)},
        }
        return Scene(description, self.variant, self.size, self.samples)

    def picture(self, vertices: Tensor, faces: Tensor) -> Tensor:
        """The views [V, 3, H, W] of a mesh, in a scene of its own."""
        return draw(self.scene(vertices, faces), vertices, faces, 0)

    def sensors(self, mi: Any) -> dict[str, Any]:
        """The cameras as Mitsuba's dictionaries."""
        sensors = {}
        for view in range(self.count):
            azimuth = 2 * math.pi * view / self.count
            elevation = math.radians(ELEVATION) * (0 if view == 0 else (-1) ** view)
            across, up = DISTANCE * math.cos(elevation), DISTANCE * math.sin(elevation)
            origin = [across * math.sin(azimuth), -across * math.cos(azimuth), up]
            sensors[f"view{view}"] = {
                "type": "perspective",
                "fov": FIELD_OF_VIEW,
                "to_world": mi.ScalarTransform4f().look_at(origin=origin, target=[0, 0, 0], up=[0, 0, 1]),
                "film": self.film(),
            }
        return sensors

    def film(self) -> dict[str, Any]:
        """Linear RGB of one view, as Mitsuba's dictionary."""
        film = {"type": "hdrfilm", "pixel_format": "rgb", "component_format": "float32"}
        return film | {"width": self.size, "height": self.size, "rfilter": {"type": "box"}}


def radiance(normal: Tensor) -> Tensor:
    """Radiance [V, 3] that a white diffuse surface with normals [V, 3] reflects.

    It is the mean of GREY + SKY ω over the hemisphere around the normal n, weighted by the cosine: GREY + 2/3 SKY n.
    """
    return GREY + 2 / 3 * normal @ SKY.T


def draw(scene: Scene, vertices: Tensor, faces: Tensor, seed: int) -> Tensor:
    """The views [V, 3, H, W] of a mesh in a scene of `Cameras.scene`."""
    scene.set_points("head.vertex_positions", vertices)
    scene.set_points(f"head.{COLOUR}", radiance(normals(vertices, faces)))
    return scene.render(seed)
