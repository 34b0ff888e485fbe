"""Losses between images and a reference."""

import pytest
import torch

from zg.errors import SettingError
from zg.losses import LOSSES, multiscale, relative_mse, resolve_loss, scale_independent

images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_loss_is_one_number_per_image_and_zero_only_at_the_reference(loss):
    losses = loss(images, images[1])
    assert losses.shape == (3,)
    assert losses.dtype == torch.float64
    assert losses[1] == 0
    assert losses[0] > 0
    for k in range(3):
        assert loss(images[k : k + 1], images[1])[0] == pytest.approx(float(losses[k]))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_loss_accepts_images_with_several_views(loss):
    views = images[None].expand(2, -1, -1, -1, -1)
    assert loss(views, images).tolist() == [0, 0]


def test_the_scale_independent_loss_does_not_depend_on_brightness():
    assert scale_independent(images * 0.3, images[1])[1] == pytest.approx(0, abs=1e-12)


def test_equal_relative_errors_of_dark_and_bright_pixels_have_equal_relative_mse():
    reference = torch.tensor([[[10.0, 0.5]]])
    errors = torch.tensor([[[[11.0, 0.5]]], [[[10.0, 0.55]]]])
    bright, dark = relative_mse(errors, reference).tolist()
    assert bright == pytest.approx(dark, rel=0.05)


def test_the_multiscale_loss_grows_with_the_displacement_of_a_spot():
    def spot(column):
        image = torch.zeros(1, 1, 32, 32)
        image[..., 10:14, column : column + 4] = 1
        return image

    near, far = (float(multiscale(spot(column), spot(4)[0])[0]) for column in (10, 24))
    assert near < far


def test_an_unknown_loss_raises_a_setting_error_with_the_nearest_name():
    with pytest.raises(SettingError, match="loss 'multi_scale' is unknown; did you mean 'multiscale'"):
        resolve_loss("multi_scale")
