"""The zoo: small graphics-like problems that no method here was made with.

Each problem is a generator: `ZOO["circle"].make(7)` is a task, and every instance has another target and another
start. A run has `renders(n)` renders. A problem's `truth` is its loss without noise, and with `one_block=True` its
parameters have no names. Most targets are renders of hidden parameters (`reachable`: the lowest true loss is 0).

The families differ in kind, and half of them are held out: whoever works on a default looks at the problems and at
the results of DEVELOPMENT alone. Both halves have hard edges, noise, symmetric starts, whole numbers, thousands of
parameters, spaces without bounds, many minima, and photos that cannot be reached. n stands behind each problem; for
development:

    hard_shapes      circle 6, stamp 2, rectangles 48, grey_discs 72, triangles 200
    splats           depth_splats 800, blobs 60, point_cloud 280
    path_tracing     path_tracer 15, soft_shadow 9, room 80
    text             text_layout 25, scattered_letters 16, paragraph 7, headline 6
    colour           lut 648, fine_lut 3,993, palette 48, grading 11
    materials        brick 12, marble 14, wood 13
    fractals         julia 2, julia_view 12, chaos_game 18
    particles        fountain 9, cloth 10, orbits 12
    tiles            tile_map 64, lamps 27, skyline 36, pixel_art 168

and held out:

    strokes          brushwork 192, outline 20, ink 33, spirograph 6
    distance_scenes  orbit_camera 4, clay 36, colonnade 12
    plants           tree 9, rule 8, meadow 70
    rigid_bodies     throw 2, chain 9, arm 60
    sounds           frequency_modulation 5, partials 50, wind 16, drum_machine 68
    calibration      camera_pose 7, lens 9, projector 19
    printing         halftone 1,024, stipple 500, ascii_art 80, weave 62
    relief           height_field 2,500, normal_map 4,800, mirror 100
    volumes          x_ray 324, smoke 31

    python -m benchmarks.zoo [NAME]                 n, difficulties, milliseconds and the loss at the start
    python -m benchmarks.zoo --families             the lists above
    python -m benchmarks.zoo --draw OUT.png [NAME]  reference and start
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

from benchmarks.zoo import (
    calibration,
    colour,
    distance_scenes,
    fractals,
    hard_shapes,
    materials,
    particles,
    path_tracing,
    plants,
    printing,
    relief,
    rigid_bodies,
    sounds,
    splats,
    strokes,
    text,
    tiles,
    volumes,
)
from benchmarks.zoo.base import ZooTask

_DEVELOPMENT: tuple[ModuleType, ...] = (
    hard_shapes,
    splats,
    path_tracing,
    text,
    colour,
    materials,
    fractals,
    particles,
    tiles,
)
_HELD_OUT: tuple[ModuleType, ...] = (
    strokes,
    distance_scenes,
    plants,
    rigid_bodies,
    sounds,
    calibration,
    printing,
    relief,
    volumes,
)


@dataclass(frozen=True)
class Entry:
    """A problem. make: (instance, one_block=False) -> the task; the same instance gives the same bits."""

    name: str
    family: str
    make: Callable[..., ZooTask]


def _family(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


ZOO: dict[str, Entry] = {
    problem.name: Entry(problem.name, _family(module), problem)
    for module in (*_DEVELOPMENT, *_HELD_OUT)
    for problem in module.PROBLEMS
}
DEVELOPMENT: tuple[str, ...] = tuple(map(_family, _DEVELOPMENT))
HELD_OUT: tuple[str, ...] = tuple(map(_family, _HELD_OUT))


def names(half: Literal["development", "held_out", "all"]) -> list[str]:
    """Names of the problems of one half, or of both."""
    families = {"development": DEVELOPMENT, "held_out": HELD_OUT, "all": DEVELOPMENT + HELD_OUT}[half]
    return [entry.name for entry in ZOO.values() if entry.family in families]


def renders(n: int) -> int:
    """The budget of a problem with n parameters."""
    return min(200 * n, 5_000)
