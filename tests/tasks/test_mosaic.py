import pytest
import torch

from tasks.mosaic import JOINT_COLOUR, Mosaic
from tests.tasks.golden import built
from zg.errors import SettingError


@pytest.fixture(scope="module")
def mosaic():
    return built(Mosaic(size=60))


def with_values(task, **values):
    """The hidden parameters [1, n] with some of them replaced."""
    parts = {name: part.clone() for name, part in task.space.split(task.solution[None]).items()}
    for name, value in values.items():
        parts[name] = torch.as_tensor(value, dtype=torch.float64).expand_as(parts[name])
    return task.space.join(parts)


def test_the_image_has_a_gradient_in_the_colours_and_in_no_other_parameter(mosaic):
    x = with_values(mosaic).requires_grad_()
    weights = torch.rand(3, 60, 60, generator=torch.Generator().manual_seed(0))
    (slope,) = torch.autograd.grad((mosaic.render(x)[0] * weights).sum(), x)
    parts = mosaic.space.split(slope)
    assert (parts.pop("colours") > 0).all()
    assert all((part == 0).all() for part in parts.values())


def test_without_rotation_and_jitter_the_tiles_are_a_grid(mosaic):
    image = mosaic.render(with_values(mosaic, tiles=[6.0, 4.0], rotation=0, jitter=0, joint=0))[0]
    tiles = image.unfold(1, 15, 15).unfold(2, 10, 10)  # [3, 4, 6, 15, 10]
    assert tiles.shape[1:3] == (4, 6)
    assert (tiles == tiles[..., :1, :1]).all()


def test_the_joint_covers_the_expected_fraction_of_the_image(mosaic):
    image = mosaic.render(with_values(mosaic, tiles=[3.0, 3.0], rotation=0, jitter=0, joint=0.2))[0]
    fraction = (image == JOINT_COLOUR).all(0).double().mean()
    assert fraction == pytest.approx(1 - 0.8**2, abs=0.02)


def test_rotations_by_45_and_minus_45_degrees_are_mirror_images(mosaic):
    left, right = (
        mosaic.render(with_values(mosaic, tiles=[8.0, 4.0], rotation=turn, jitter=0, joint=0.1))[0]
        for turn in (45.0, -45.0)
    )
    joints = [(image == JOINT_COLOUR).all(0) for image in (left, right)]
    assert (joints[0].flip(0) == joints[1]).double().mean() > 0.98


def test_with_jitter_no_joint_is_straight(mosaic):
    image = mosaic.render(with_values(mosaic, rotation=0, jitter=1.0))[0]
    joint = (image == JOINT_COLOUR).all(0)
    assert joint.any()
    assert not joint.all(0).any()
    assert not joint.all(1).any()


@pytest.mark.parametrize("settings", [{"size": 0}, {"size": 513}, {"far": -0.1}, {"loss": "pyramid"}])
def test_a_wrong_setting_raises_an_error_of_one_line(settings):
    with pytest.raises(SettingError, match=next(iter(settings))) as raised:
        built(Mosaic(**settings))
    assert "\n" not in str(raised.value)
