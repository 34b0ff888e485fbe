"""Heads that a mesh must match: Blender's monkey where bpy is installed, else a head made of ellipsoids."""

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch
from skimage.measure import marching_cubes
from torch import Tensor

from zg.errors import SettingError

Head = Literal["auto", "monkey", "blob"]

# bpy takes a gigabyte of memory and changes signal handlers and threads, so it runs in a process of its own.
EXPORT = """
import sys
import bpy, numpy
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.mesh.primitive_monkey_add()
monkey = bpy.context.object
monkey.modifiers.new("smooth", "SUBSURF").levels = 1
mesh = monkey.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
mesh.calc_loop_triangles()
vertices = numpy.array([vertex.co[:] for vertex in mesh.vertices])
faces = numpy.array([triangle.vertices[:] for triangle in mesh.loop_triangles])
numpy.savez(sys.argv[1], vertices=vertices, faces=faces)
"""
# Centre and half axes of each ellipsoid. The head looks towards −y; x and −x are mirror images.
ELLIPSOIDS = [
    ((0.0, 0.1, 0.15), (0.62, 0.58, 0.60)),  # skull
    ((0.0, -0.25, -0.35), (0.34, 0.36, 0.30)),  # snout
    ((0.0, -0.60, -0.22), (0.10, 0.10, 0.07)),  # nose
    ((0.26, -0.38, 0.22), (0.17, 0.16, 0.17)),  # eye
    ((0.28, -0.33, 0.42), (0.22, 0.16, 0.08)),  # brow
    ((0.82, 0.15, 0.15), (0.26, 0.10, 0.32)),  # ear
    ((0.58, 0.12, 0.08), (0.20, 0.10, 0.14)),  # root of the ear
]
GRID = 72  # grid points along a side, for marching cubes
BLEND = 12.0  # sharpness of the seams between ellipsoids


@dataclass(frozen=True)
class HeadMesh:
    """A triangle mesh, centred and inside the unit sphere. z is up, and the head looks towards −y."""

    kind: Literal["monkey", "blob"]
    vertices: Tensor  # [V, 3] float64
    faces: Tensor  # [F, 3]


def make_head(kind: Head) -> HeadMesh:
    """kind: `monkey`, `blob`, or `auto`: the monkey where bpy is installed, else the blob.

    Raises SettingError for another kind, and for `monkey` where bpy is not installed.
    """
    if kind not in ("auto", "monkey", "blob"):
        raise SettingError(f"head must be auto, monkey or blob, got '{kind}'")
    if kind == "auto":
        kind = "monkey" if find_spec("bpy") else "blob"
    vertices, faces = (torch.from_numpy(part) for part in (monkey() if kind == "monkey" else blob()))
    vertices = vertices - 0.5 * (vertices.amin(0) + vertices.amax(0))
    return HeadMesh(kind, vertices / vertices.norm(dim=1).max(), faces)


@cache
def monkey() -> tuple[np.ndarray, np.ndarray]:
    """Blender's monkey, subdivided once: vertices [2012, 3] and faces [3936, 3]."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "monkey.npz"
        command = [sys.executable, "-c", EXPORT, str(path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        except subprocess.TimeoutExpired:
            reason = "no answer within 120 s"
        if not path.is_file():
            raise SettingError(
                f"head 'monkey' needs bpy (pip install 'zerograds[blender]'), got: {reason}; head 'blob' does not"
            )
        mesh = np.load(path)
        return mesh["vertices"].astype(np.float64), mesh["faces"].astype(np.int64)


@cache
def blob() -> tuple[np.ndarray, np.ndarray]:
    """Ellipsoids blended into one closed surface: vertices [V, 3] and faces [F, 3]."""
    line = np.linspace(-1.25, 1.25, GRID)
    place = np.stack(np.meshgrid(line, line, line, indexing="ij"), -1)
    place[..., 0] = np.abs(place[..., 0])
    # Distance to an ellipsoid to first order: (|p| − 1) · |p| / |p / axes|, where p is in units of the half axes.
    total = np.zeros(place.shape[:-1])
    for centre, axes in ELLIPSOIDS:
        within = (place - centre) / axes
        radius = np.linalg.norm(within, axis=-1) + 1e-9
        distance = (radius - 1) * radius / (np.linalg.norm(within / axes, axis=-1) + 1e-9)
        total += np.exp(np.clip(-BLEND * distance, -50, 50))
    field = np.log(total)
    vertices, faces, _, _ = marching_cubes(field, 0.0, gradient_direction="ascent")
    return vertices.astype(np.float64) * (line[1] - line[0]) + line[0], faces.astype(np.int64)
