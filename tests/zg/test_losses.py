import pytest
import torch

from zg.errors import SettingError
from zg.losses import LOSSES, multiscale, relative_mse, resolve_loss, scale_independent

images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_loss_is_zero_at_the_reference_positive_elsewhere_and_one_number_a_sample(loss):
    losses = loss(images, images[1])
    assert losses.shape == (3,)
    assert losses.dtype == torch.float64
    assert losses[1] == 0
    assert losses[0] > 0
    for k in range(3):
        assert loss(images[k : k + 1], images[1])[0] == pytest.approx(float(losses[k]))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_views_are_averaged(loss):
    views = images[None].expand(2, -1, -1, -1, -1)
    assert loss(views, images).tolist() == [0, 0]


def test_the_scale_independent_loss_is_blind_to_brightness():
    assert scale_independent(images * 0.3, images[1])[1] == pytest.approx(0, abs=1e-12)


def test_the_relative_loss_weighs_a_dark_pixel_like_a_bright_one():
    reference = torch.tensor([[[10.0, 0.5]]])
    errors = torch.tensor([[[[11.0, 0.5]]], [[[10.0, 0.55]]]])
    bright, dark = relative_mse(errors, reference).tolist()
    assert bright == pytest.approx(dark, rel=0.05)


def test_the_pyramid_sees_how_far_a_spot_is():
    def spot(column):
        image = torch.zeros(1, 1, 32, 32)
        image[..., 10:14, column : column + 4] = 1
        return image

    near, far = (float(multiscale(spot(column), spot(4)[0])[0]) for column in (10, 24))
    assert near < far


def test_an_unknown_loss_is_told_with_the_nearest_name():
    with pytest.raises(SettingError, match="loss 'multi_scale' is unknown; did you mean 'multiscale'"):
        resolve_loss("multi_scale")
