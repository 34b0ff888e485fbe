import math
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch

from tasks.brdf import directions
from tasks.cameras import GREY, SKY, draw
from tasks.heads import make_head
from tasks.mesh import Mesh
from tasks.mesh_gradient import MeshGradient
from tasks.meshes import SmoothCoordinates, chamfer, icosphere, laplacian, normals, sample_surface
from tasks.renderers.mitsuba import AUTO, Scene, backend_works, resolve_variant
from tests.processes import growth_mb
from tests.tasks.golden import built
from zg.budget import Budget
from zg.errors import SettingError
from zg.pictures import HEADING
from zg.run.run import run
from zg.zerograds.method import ZeroGrads

NEEDS_BPY = pytest.mark.skipif(not find_spec("bpy"), reason="needs bpy")
DIFFERENTIABLE = next((name for name in AUTO[:2] if backend_works(name.partition("_")[0])), None)


def small(**settings):
    """A task that renders quickly: 162 vertices, three views of 24 pixels."""
    return Mesh(**{"subdivisions": 2, "views": 3, "size": 24, "samples": 4, "head": "blob"} | settings)


@pytest.fixture(scope="module")
def mesh():
    return built(small())


def volume(vertices, faces):
    return float(torch.linalg.det(vertices[faces]).sum() / 6)


def edges_and_counts(faces):
    """Edges [E, 2], and how many faces each edge has [E]."""
    return faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).sort(1).values.unique(dim=0, return_counts=True)


@pytest.mark.parametrize("subdivisions", range(5))
def test_an_icosphere_is_closed_and_has_the_known_counts(subdivisions):
    vertices, faces = icosphere(subdivisions)
    assert len(vertices) == 10 * 4**subdivisions + 2
    assert len(faces) == 20 * 4**subdivisions
    assert torch.allclose(vertices.norm(dim=1), torch.ones(len(vertices), dtype=torch.float64))
    edges, counts = edges_and_counts(faces)
    assert (counts == 2).all()
    assert len(vertices) - len(edges) + len(faces) == 2
    assert (torch.linalg.det(vertices[faces]) > 0).all()
    assert volume(vertices, faces) == pytest.approx(4 / 3 * math.pi, rel=0.6 / 4**subdivisions)


def test_the_laplacian_is_symmetric_and_its_kernel_is_the_constants():
    _, faces = icosphere(1)
    matrix = torch.from_numpy(laplacian(faces, 42).toarray())
    assert torch.equal(matrix, matrix.T)
    _, counts = matrix.diagonal().unique(return_counts=True)
    assert counts.tolist() == [12, 30], "expected 12 vertices with 5 neighbours and 30 with 6"
    values = torch.linalg.eigvalsh(matrix)
    assert values[0].abs() < 1e-12
    assert values[1] > 0.1
    assert torch.equal(matrix @ torch.ones(42, dtype=torch.float64), torch.zeros(42, dtype=torch.float64))


@pytest.mark.parametrize("smoothness", [0.05, 0.2, 1.0])
def test_decoding_inverts_encoding(smoothness):
    vertices, faces = icosphere(3)
    coordinates = SmoothCoordinates(faces, len(vertices), smoothness)
    assert torch.allclose(coordinates.decode(coordinates.encode(vertices)), vertices, atol=1e-12)
    shift = torch.tensor([[1.0, -2.0, 3.0]], dtype=torch.float64).expand_as(vertices)
    assert torch.allclose(coordinates.encode(shift), shift)


def test_decoding_is_the_inverse_matrix_and_spread_is_its_root_mean_square():
    vertices, faces = icosphere(2)
    coordinates = SmoothCoordinates(faces, len(vertices), 0.4)
    u = torch.randn(5, len(vertices), 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    inverse = torch.linalg.matrix_power(torch.linalg.inv(torch.from_numpy(coordinates.matrix.toarray())), 2)
    solved = inverse @ u
    assert torch.allclose(coordinates.decode(u), solved)
    assert torch.allclose(coordinates.decode(u[2]), solved[2])
    assert coordinates.spread == pytest.approx(float(inverse.square().sum(1).mean().sqrt()), rel=0.05)


def test_a_bump_in_one_coordinate_moves_a_neighbourhood():
    vertices, faces = icosphere(3)
    coordinates = SmoothCoordinates(faces, len(vertices), 0.2)
    bump = torch.zeros_like(vertices)
    bump[7, 0] = 1
    moved = coordinates.decode(bump)[:, 0]
    assert moved.argmax() == 7
    assert (moved > 0.05 * moved.max()).sum() > 10
    assert moved.sum() == pytest.approx(1)


def test_smoothness_is_a_length_that_does_not_depend_on_the_mesh():
    """A harmonic of degree l shrinks to 1 / (1 + smoothness² l (l + 1))²."""
    for subdivisions in (3, 4):
        vertices, faces = icosphere(subdivisions)
        coordinates = SmoothCoordinates(faces, len(vertices), 0.3)
        harmonic = vertices * vertices[:, [1, 2, 0]]  # x y, y z, z x: degree 2
        shrunk = coordinates.decode(harmonic)
        assert (shrunk * harmonic).sum() / harmonic.square().sum() == pytest.approx(1 / 1.54**2, rel=0.05)
        assert (coordinates.curvature(vertices) / (2 * vertices)).nanmedian() == pytest.approx(1, rel=0.05)


def test_the_normals_of_a_sphere_are_its_radial_directions():
    vertices, faces = icosphere(3)
    assert (normals(2 * vertices, faces) * vertices).sum(1).min() > 0.999


def test_the_chamfer_distance_equals_that_computed_by_hand():
    line = torch.arange(10, dtype=torch.float64)[:, None] * torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    assert chamfer(line, line) == 0
    assert chamfer(line, line + torch.tensor([0, 0.3, 0.4])) == pytest.approx(0.5)
    one, two = torch.zeros(1, 3, dtype=torch.float64), torch.tensor([[0, 0, 0], [0, 0, 3.0]], dtype=torch.float64)
    assert chamfer(one, two) == chamfer(two, one) == pytest.approx((0 + 1.5) / 2)


def test_points_on_a_surface_are_uniform_by_area():
    vertices = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 5], [3, 0, 5], [0, 1, 5]], dtype=torch.float64)
    points = sample_surface(vertices, torch.tensor([[0, 1, 2], [3, 4, 5]]), 4000)
    upper = points[:, 2] == 5
    assert upper.sum() == 3000
    assert torch.allclose(points[upper].mean(0), torch.tensor([1, 1 / 3, 5], dtype=torch.float64), atol=0.05)
    assert (points[~upper][:, :2].sum(1) <= 1).all()


def test_the_chamfer_distance_of_two_spheres_is_the_difference_of_their_radii():
    vertices, faces = icosphere(4)
    here, there = (sample_surface(radius * vertices, faces, 5000) for radius in (1.0, 1.5))
    assert chamfer(here, there) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("kind", ["blob", pytest.param("monkey", marks=NEEDS_BPY)])
def test_a_head_is_centred_symmetric_and_inside_the_unit_sphere(kind):
    head = make_head(kind)
    vertices, faces = head.vertices, head.faces
    assert head.kind == kind
    assert vertices.norm(dim=1).max() == pytest.approx(1)
    assert torch.allclose(vertices.amin(0), -vertices.amax(0))
    assert (vertices.amax(0) - vertices.amin(0)).argmax() == 0  # x, from ear to ear, is the longest axis
    assert volume(vertices, faces) > 0.5
    mirrored = vertices * torch.tensor([-1, 1, 1])
    assert chamfer(mirrored, vertices) < 1e-6


def test_the_blob_is_closed():
    assert (edges_and_counts(make_head("blob").faces)[1] == 2).all()


def test_the_shading_of_a_sphere_equals_path_tracing_under_the_same_sky(mesh):
    """A sphere does not occlude its own sky, so both must give the same picture."""
    mi = mesh.scene.mi
    vertices, faces = icosphere(4)
    ours = replace(mesh.cameras, samples=64).picture(0.8 * vertices, faces)[0]
    # In Mitsuba's environment maps y is up; in this scene z is up.
    seen = directions()[..., [0, 2, 1]] * torch.tensor([1, -1, 1])
    sky = (GREY + seen @ SKY.T).clamp_min(0).float()
    sensor = mesh.cameras.sensors(mi)["view0"]
    scene = {
        "type": "scene",
        "integrator": {"type": "direct", "hide_emitters": True},
        "ball": {
            "type": "sphere",
            "radius": 0.8,
            "bsdf": {"type": "diffuse", "reflectance": {"type": "rgb", "value": 1}},
        },
        "sky": {
            "type": "envmap",
            "bitmap": mi.Bitmap(sky.numpy()),
            "to_world": mi.ScalarTransform4f().rotate([1, 0, 0], 90),
        },
        "sensor": sensor,
    }
    theirs = Scene(scene, "scalar_rgb", 24, 1024).render(0)
    assert ours.amax() > 0.5
    assert (ours - theirs).abs().mean() < 0.005
    assert (ours - theirs)[:, 8:16, 8:16].abs().max() < 0.05


def test_the_noise_depends_on_the_seed_alone(mesh):
    x = mesh.space.to_user(mesh.space.init).expand(3, -1)
    first, again, other = mesh.render(x, torch.tensor([5, 5, 6]))
    assert first.shape == mesh.reference().shape == (3, 3, 24, 24)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_fixed_seed_removes_the_noise():
    task = built(small(fixed_seed=True))
    first, again = task.render(task.space.to_user(task.space.init).expand(2, -1))
    assert not task.noisy
    assert torch.equal(first, again)


@pytest.mark.parametrize("variant", ["llvm_ad_rgb", "cuda_ad_rgb"])
def test_variants_give_the_same_images(mesh, variant):
    if not backend_works(variant.partition("_")[0]):
        pytest.skip("this variant does not run on this machine")
    other = built(small(variant=variant))
    assert (mesh.reference() - other.reference()).abs().mean() < 3e-3
    x = mesh.space.to_user(mesh.space.init)
    assert (mesh.render_one(x) - other.render_one(x)).abs().mean() < 0.0125


def test_auto_selects_a_variant_that_works():
    assert backend_works(resolve_variant("auto").partition("_")[0])


def test_noise_of_one_unit_in_theta_moves_a_vertex_by_one_radius(mesh):
    start = mesh.vertices(mesh.space.to_user(mesh.space.init))
    noise = torch.randn(50, mesh.space.n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = torch.stack([mesh.vertices(x) for x in mesh.space.to_user(mesh.space.init + 0.05 * noise)])
    assert (moved - start).square().mean().sqrt() == pytest.approx(0.05, rel=0.1)


def test_the_regulariser_is_the_mean_squared_curvature(mesh):
    """The mean of |Δx|² is 4 r² on a sphere of radius r, up to the unevenness of its triangles."""
    shapes = torch.stack([scale * icosphere(2)[0] for scale in (1.0, 0.5)])
    costs = mesh.regulariser(torch.stack([mesh.coordinates.encode(shape).flatten() for shape in shapes]))
    assert costs[0] == pytest.approx(4 * mesh.bending, rel=0.2)
    assert costs[1] == pytest.approx(costs[0] / 4)
    assert small(bending=0).bending == 0


def test_the_start_is_a_sphere_that_depends_on_the_seed_and_the_reference_does_not(mesh):
    other = built(small(), seed=1)
    start, turned = (task.vertices(task.space.to_user(task.space.init)) for task in (mesh, other))
    for vertices in (start, turned):
        radius = vertices.norm(dim=1)
        assert 0.85 <= radius.min() <= radius.max() + 1e-9 <= 0.95 + 1e-6
        assert volume(vertices, mesh.faces) > 0
    assert (start - turned).abs().max() > 0.1
    assert torch.equal(mesh.reference(), other.reference())


def test_metrics_are_those_of_the_blob_and_the_picture_has_two_rows_of_views(mesh):
    x = mesh.space.to_user(mesh.space.init)
    metrics = mesh.metrics(x, mesh.reference())
    assert metrics["monkey"] == 0
    assert 0.15 < metrics["chamfer"] < 0.4
    assert mesh.picture(x, mesh.reference()).shape == (3, 2 * (2 * 96 + HEADING), 3 * 2 * 96)


@pytest.mark.parametrize(
    "settings",
    [
        {"subdivisions": 7},
        {"views": 0},
        {"size": 0},
        {"smoothness": 0.0},
        {"bending": -1.0},
        {"head": "horse"},
        {"variant": "scalar"},
    ],
)
def test_a_wrong_setting_raises_an_error_of_one_line(settings):
    with pytest.raises(SettingError, match=next(iter(settings))) as raised:
        built(small(**settings))
    assert "\n" not in str(raised.value)


def test_a_short_run_lowers_the_loss_and_the_distance():
    task = small(size=16, samples=2, fixed_seed=True)
    result = run(task, ZeroGrads(), Budget(800), seed=0)
    assert result.loss < 0.7 * result.row["init_loss"]
    assert result.row["metric_chamfer_of_start"] < 0.95


@pytest.mark.parametrize(
    ("variant", "renders"), [("scalar_rgb", 300), pytest.param("auto", 2000, marks=pytest.mark.slow)]
)
def test_memory_stays_bounded(variant, renders):
    task = built(small(variant=variant))
    x = task.space.to_user(task.space.init)
    generator = torch.Generator().manual_seed(0)

    def render(i):
        task.render_one(x + torch.randn(task.space.n, generator=generator), torch.tensor(i))

    assert growth_mb(render, renders, warm_up=100) < 100 * renders / 2000 + 15


@pytest.mark.skipif(DIFFERENTIABLE is None, reason="needs a differentiable variant: libllvm19 or a GPU")
def test_the_gradient_equals_central_differences():
    """Along moves that change the silhouette, the interior, or both."""
    task = built(small(variant=DIFFERENTIABLE, samples=64, fixed_seed=True, bending=1e-3))
    x = task.space.to_user(task.space.init)
    _, gradient = MeshGradient(task, samples=64)(x, 0)
    sphere = task.vertices(x)
    moves = {
        "grow": sphere,
        "squash": sphere * torch.tensor([1, -1, 0.5]),
        "stretch": sphere * sphere[:, :1].square(),
    }
    for name, move in moves.items():
        step = 0.02 * task.coordinates.encode(move).flatten()
        ways = torch.stack([x + step, x - step])
        up, down = (task.loss(task.render(ways), task.reference()) + task.regulariser(ways)).tolist()
        assert float(gradient @ step) == pytest.approx((up - down) / 2, rel=0.1), name


def test_the_gradient_needs_a_differentiable_variant(mesh):
    with pytest.raises(SettingError, match="variant must be one that differentiates"):
        MeshGradient(mesh)


def test_a_mesh_is_drawn_at_its_position(mesh):
    vertices, faces = icosphere(2)
    shifted = draw(mesh.scene, 0.3 * vertices + torch.tensor([0.5, 0, 0]), faces, 0)[0].sum(0)
    column = (shifted.sum(0) * torch.arange(24)).sum() / shifted.sum()
    assert column > 14  # right of the middle, 11.5, seen from the front


@pytest.mark.slow
def test_the_default_method_finds_the_head():
    task = Mesh(fixed_seed=True)
    result = run(task, ZeroGrads(), Budget(8000), seed=1)
    assert result.loss < 0.1 * result.row["init_loss"]
    assert result.row["metric_chamfer_of_start"] < 0.25
