import pytest
import torch

from tasks.cornell_box import CornellBox
from zg.budget import Budget
from zg.errors import SettingError
from zg.pictures import srgb
from zg.run.run import run
from zg.zerograds.method import ZeroGrads


@pytest.fixture(scope="module")
def box():
    task = CornellBox(size=24, samples=16)
    task.setup()
    return task


def test_the_reference_is_the_bundled_scene(box):
    mi = box.scene.mi
    scene = mi.cornell_box()
    scene["sensor"]["film"]["width"] = scene["sensor"]["film"]["height"] = 24
    image = torch.from_dlpack(mi.TensorXf(mi.render(mi.load_dict(scene), spp=128, seed=7))).permute(2, 0, 1)
    assert (box.reference() - srgb(image.clamp(0, 1))).abs().mean() < 0.01


def test_the_noise_depends_on_the_seed_alone(box):
    x = box.space.to_user(box.space.init).expand(3, -1)
    first, again, other = box.render(x, torch.tensor([5, 5, 6]))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("coordinate", range(8))
def test_every_coordinate_raises_the_loss_when_it_is_moved(box, coordinate):
    moved = box.solution.clone()
    moved[coordinate] += 30 if coordinate in (2, 5) else 0.3
    seed = torch.tensor([0])
    losses = [float(box.loss(box.render(x[None], seed), box.reference())[0]) for x in (box.solution, moved)]
    assert losses[1] > 1.2 * losses[0]


def test_a_render_does_not_depend_on_earlier_renders(box):
    seed = torch.tensor([3])
    before = box.render(box.solution[None], seed)
    box.render(box.space.to_user(box.space.init)[None], seed)
    assert torch.allclose(box.render(box.solution[None], seed), before, atol=1e-4)


def test_the_start_depends_on_the_seed_and_is_inside_the_bounds(box):
    other = CornellBox(size=24, samples=8)
    other.seed = 1
    other.setup()
    assert not torch.equal(other.space.init, box.space.init)
    assert (other.space.low <= other.space.init).all() and (other.space.init <= other.space.high).all()


def test_an_unknown_variant_raises_an_error_with_the_nearest_name():
    with pytest.raises(SettingError, match="variant 'scalar_rbg' is unknown; did you mean 'scalar_rgb'"):
        CornellBox(variant="scalar_rbg").setup()


@pytest.mark.slow
def test_the_default_method_finds_the_boxes_and_the_light():
    task = CornellBox()
    result = run(task, ZeroGrads(), Budget(2000), seed=1)
    off = (result.theta - task.solution).abs()
    assert off[[0, 1, 3, 4, 6, 7]].max() < 0.05
    assert off[[2, 5]].max() < 6
    assert result.loss < 0.05 * result.row["init_loss"]
