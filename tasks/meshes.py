"""Triangle meshes: spheres to deform, smooth coordinates of their vertices, and the distance between two surfaces.

Smooth coordinates are from Nicolet, Jacobson and Jakob, "Large Steps in Inverse Rendering of Geometry" (ACM TOG 2021):
u = (I + λL)ᵖ x with the combinatorial Laplacian L, so that a change of one u moves a whole neighbourhood of x. Their
power is p = 1, for gradients. Here p = 2, for methods that also take random steps: the normals then stay continuous
under noise of equal size in every u, however fine the mesh is, and with p = 1 they do not. Their package `largesteps`
makes its matrices on a GPU only; here SciPy factorises the matrix once.
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree
from torch import Tensor

# Random vectors that estimate how far noise moves a vertex, to about 2 %.
PROBES = 64


def icosphere(subdivisions: int) -> tuple[Tensor, Tensor]:
    """A unit sphere: V = 10 · 4^subdivisions + 2 vertices [V, 3] float64, and faces [F, 3] with outward normals."""
    golden = (1 + 5**0.5) / 2
    signs = [(-1, 1), (1, 1), (-1, -1), (1, -1)]
    corners: list[tuple[float, float, float]] = [(a, b * golden, 0) for a, b in signs]
    corners += [(0, a, b * golden) for a, b in signs] + [(b * golden, 0, a) for a, b in signs]
    points = torch.tensor(corners, dtype=torch.float64)
    near = torch.cdist(points, points) < 2.1  # edges of the icosahedron have length 2
    triples = [
        (a, b, c)
        for a in range(12)
        for b in range(a + 1, 12)
        for c in range(b + 1, 12)
        if near[a, b] and near[b, c] and near[a, c]
    ]
    faces = torch.tensor(
        [(a, b, c) if torch.linalg.det(points[[a, b, c]]) > 0 else (a, c, b) for a, b, c in triples], dtype=torch.long
    )
    vertices = points / points.norm(dim=1, keepdim=True)
    for _ in range(subdivisions):
        vertices, faces = subdivided(vertices, faces)
        vertices = vertices / vertices.norm(dim=1, keepdim=True)
    return vertices, faces


def subdivided(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Vertices [V, 3] and faces [F, 3] -> each face cut into four at the midpoints of its edges."""
    sides = faces[:, [[1, 2], [2, 0], [0, 1]]].sort(-1).values.reshape(-1, 2)
    edges, which = sides.unique(dim=0, return_inverse=True)
    middle = len(vertices) + which.reshape(-1, 3)
    a, b, c = faces.unbind(1)
    opposite_a, opposite_b, opposite_c = middle.unbind(1)
    corners = [(a, opposite_c, opposite_b), (b, opposite_a, opposite_c), (c, opposite_b, opposite_a)]
    corners.append((opposite_a, opposite_b, opposite_c))
    return torch.cat([vertices, vertices[edges].mean(1)]), torch.cat([torch.stack(corner, 1) for corner in corners])


def laplacian(faces: Tensor, count: int) -> sparse.csc_matrix:
    """The combinatorial Laplacian [V, V] of a closed mesh: degree matrix minus adjacency matrix."""
    pairs = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    edges = torch.cat([pairs, pairs.flip(1)]).unique(dim=0).numpy()
    adjacency = sparse.coo_matrix((np.ones(len(edges)), edges.T), shape=(count, count))
    return (sparse.diags(np.asarray(adjacency.sum(1)).ravel()) - adjacency).tocsc()


class SmoothCoordinates:
    """u = (I + λL)² x and its inverse, for all meshes with these faces [F, 3]; λL is −smoothness² Δ on the unit sphere.

    count: number of vertices V. smoothness: distance up to which a change of one u moves the surface, in radii of the
    sphere; it does not depend on the number of vertices.
    spread: root mean square movement of a vertex when independent noise of variance 1 is added to every u.
    """

    def __init__(self, faces: Tensor, count: int, smoothness: float) -> None:
        # With six neighbours a vertex and edges of length e, L = −3/2 e² Δ, and e² = 8 π / (√3 V) on the unit sphere.
        self.laplacian = count / (4 * np.pi * np.sqrt(3)) * laplacian(faces, count)
        self.matrix = (sparse.identity(count) + smoothness**2 * self.laplacian).tocsc()
        self.factors = splu(self.matrix)
        noise = np.random.default_rng(0).standard_normal((count, PROBES))
        self.spread = float(np.sqrt(np.mean(self._solve(noise) ** 2)))

    def _solve(self, u: np.ndarray) -> np.ndarray:
        return self.factors.solve(self.factors.solve(u))

    def encode(self, x: Tensor) -> Tensor:
        """x [V, 3] -> u [V, 3], float64."""
        return self.sharpen(self.sharpen(x))

    def sharpen(self, x: Tensor) -> Tensor:
        """x [..., V, 3] -> (I + λL) x, half of the way to u; self-adjoint."""
        return along_vertices(self.matrix.__matmul__, x)

    def decode(self, u: Tensor) -> Tensor:
        """u [..., V, 3] -> x [..., V, 3], float64 on the CPU, by one solve for all; self-adjoint."""
        return along_vertices(self._solve, u)

    def curvature(self, x: Tensor) -> Tensor:
        """x [..., V, 3] -> −Δx [..., V, 3] with Δ of the unit sphere, where −Δx = 2 x; self-adjoint."""
        return along_vertices(self.laplacian.__matmul__, x)


def along_vertices(operator: Callable[[np.ndarray], np.ndarray], values: Tensor) -> Tensor:
    """Apply a linear operator on columns [V, k] to values [..., V, 3]: float64 on the CPU."""
    columns = values.double().cpu().movedim(-2, 0)
    result = operator(np.ascontiguousarray(columns.reshape(len(columns), -1).numpy()))
    return torch.from_numpy(result).reshape(columns.shape).movedim(0, -2)


def normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals [V, 3] at vertices [V, 3]: the mean of the normals of the faces around, weighted by area."""
    a, b, c = vertices[faces].unbind(1)
    across = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices).index_add(0, faces.flatten(), across.repeat_interleave(3, 0))
    return torch.nn.functional.normalize(total, dim=1)


def sample_surface(vertices: Tensor, faces: Tensor, count: int) -> Tensor:
    """Points [count, 3], uniform over the surface. The same mesh gives the same points."""
    a, b, c = vertices[faces].unbind(1)
    area = torch.linalg.cross(b - a, c - a).norm(dim=1)
    generator = torch.Generator().manual_seed(0)
    strata = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    face = torch.searchsorted(area.cumsum(0) / area.sum(), strata).clamp_max(len(faces) - 1)
    u, v = torch.rand(2, count, 1, generator=generator, dtype=torch.float64)
    u, v = torch.where(u + v > 1, 1 - u, u), torch.where(u + v > 1, 1 - v, v)
    return a[face] + u * (b - a)[face] + v * (c - a)[face]


def chamfer(a: Tensor, b: Tensor) -> float:
    """Chamfer distance of point sets [A, 3] and [B, 3]: mean distance to the nearest point of the other, both ways."""
    there, _ = cKDTree(b.numpy()).query(a.numpy())
    back, _ = cKDTree(a.numpy()).query(b.numpy())
    return float(there.mean() + back.mean()) / 2
