import math

import pytest
import torch

from tasks.brdf import HIDDEN, Brdf, description, directions, environment
from tasks.renderers.mitsuba import Scene, use_variant
from tests.processes import growth_mb
from tests.tasks.golden import built
from zg.budget import Budget
from zg.errors import SettingError
from zg.run.run import run
from zg.zerograds.method import ZeroGrads

# The block of each coordinate, and how far the test moves it. Some parameters are hardly visible.
MOVED = [("base_color", 0.1)] * 3 + [(name, 0.5) for name in list(HIDDEN)[1:]]


@pytest.fixture(scope="module")
def ball():
    return built(Brdf(size=24, samples=16, variant="scalar_rgb"))


@pytest.mark.parametrize("eye", [(0.0, 0.0, 4.2), (3.0, 0.0, -3.0), (0.3, 4.0, 0.2), (-3.0, -2.0, 1.0)])
def test_a_white_diffuse_ball_reflects_the_cosine_weighted_mean_of_the_sky(eye):
    mi = use_variant("scalar_rgb")
    scene = description(mi)
    scene["ball"]["bsdf"] = {"type": "diffuse", "reflectance": {"type": "rgb", "value": 1.0}}
    scene["sensor"]["to_world"] = mi.ScalarTransform4f().look_at(origin=eye, target=[0, 0, 0], up=[0.1, 1, 0.1])
    scene["sensor"]["fov"] = 2  # only the middle of the ball, whose normal points to the camera
    seen = Scene(scene, "scalar_rgb", 8, 1024).render(0).mean((1, 2)).double()
    sky = directions()
    cosine = (sky @ torch.nn.functional.normalize(torch.tensor(eye, dtype=torch.float64), dim=0)).clamp_min(0)
    solid_angle = (1 - sky[..., 1].square()).sqrt() * (math.pi / len(sky)) ** 2
    expected = (environment() * (cosine * solid_angle)[..., None]).sum((0, 1)) / math.pi
    assert torch.allclose(seen, expected, rtol=0.03)


def test_the_brightest_direction_of_the_sky_is_that_of_its_brightest_light():
    brightest = environment().sum(-1).flatten().argmax()
    expected = torch.nn.functional.normalize(torch.tensor([0.2, 0.8, 0.7], dtype=torch.float64), dim=0)
    assert directions().reshape(-1, 3)[brightest] @ expected > 0.999


@pytest.mark.parametrize("coordinate", range(len(MOVED)))
def test_every_coordinate_changes_the_image(ball, coordinate):
    seed = torch.tensor([0])
    middle = ball.render(ball.solution[None], seed)[0]
    moved = ball.solution.clone()
    step = MOVED[coordinate][1]
    moved[coordinate] += step if moved[coordinate] + step <= 1 else -step
    # Both renders have the same seed, so the difference is not noise.
    assert ball.loss(ball.render(moved[None], seed), middle) > 1e-5


def test_the_noise_depends_on_the_seed_alone(ball):
    x = ball.space.to_user(ball.space.init).expand(3, -1)
    first, again, other = ball.render(x, torch.tensor([5, 5, 6]))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_fixed_seed_removes_the_noise():
    task = built(Brdf(size=12, samples=4, fixed_seed=True, variant="scalar_rgb"))
    first, again = task.render(task.solution.expand(2, -1))
    assert not task.noisy
    assert torch.equal(first, again)


def test_a_render_does_not_depend_on_earlier_renders(ball):
    seed = torch.tensor([3])
    before = ball.render(ball.solution[None], seed)
    ball.render(torch.ones(1, 11, dtype=torch.float64), seed)
    ball.render(torch.zeros(1, 11, dtype=torch.float64), seed)
    assert torch.equal(ball.render(ball.solution[None], seed), before)


def test_the_solution_has_a_loss_of_noise_only_and_no_error(ball):
    start = ball.space.to_user(ball.space.init)
    images = ball.render(torch.stack([ball.solution, start]), torch.tensor([1, 2]))
    at_solution, at_start = ball.loss(images, ball.reference()).tolist()
    assert at_solution < 0.01 * at_start
    assert set(ball.metrics(ball.solution, images[0]).values()) == {0.0}
    assert max(ball.metrics(start, images[1]).values()) > 0.1


def test_the_start_depends_on_the_seed_and_the_reference_does_not(ball):
    other = built(Brdf(size=24, samples=16, variant="scalar_rgb"), seed=1)
    assert not torch.equal(other.space.init, ball.space.init)
    assert torch.equal(other.reference(), ball.reference())


@pytest.mark.parametrize("settings", [{"size": 0}, {"samples": 0}, {"far": 0.0}, {"variant": "scalar_rbg"}])
def test_a_wrong_setting_raises_an_error_of_one_line(settings):
    with pytest.raises(SettingError, match=next(iter(settings))) as raised:
        built(Brdf(**settings))
    assert "\n" not in str(raised.value)


def test_a_short_run_lowers_the_loss():
    task = Brdf(size=16, samples=9, variant="scalar_rgb")
    result = run(task, ZeroGrads(), Budget(120), seed=0)
    assert result.loss < 0.3 * result.row["init_loss"]


@pytest.mark.parametrize("renders", [300, pytest.param(2000, marks=pytest.mark.slow)])
def test_memory_stays_bounded(renders):
    task = built(Brdf(size=16, samples=4))
    x = task.space.to_user(task.space.init)
    generator = torch.Generator().manual_seed(0)

    def render(i):
        task.render_one((x + 0.1 * torch.rand(11, generator=generator)).clamp(0, 1), torch.tensor(i))

    assert growth_mb(render, renders, warm_up=100) < 100 * renders / 2000 + 15


@pytest.mark.slow
def test_the_default_finds_the_material():
    result = run(Brdf(), ZeroGrads(), Budget(2000), seed=0)
    assert result.loss < 0.01 * result.row["init_loss"]
    assert result.row["metric_base_color_error"] < 0.05
    assert result.row["metric_roughness_error"] < 0.05
