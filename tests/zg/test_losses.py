"""Losses between images and a reference."""

import numpy as np
import pytest
import torch

import zg
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


@pytest.mark.parametrize(
    ("returned", "got"),
    [
        (lambda images: float(images.mean()), "got float"),
        (lambda images: images.numpy().mean((1, 2, 3)), "got ndarray"),
        (lambda images: None, "got None"),
        (lambda images: images.mean(), r"got a tensor of shape \[\]"),
        (lambda images: images.flatten(1).mean(1) < 1, "got True or False"),
    ],
)
@pytest.mark.parametrize("name", ["loss", "mine"])
def test_a_loss_of_ones_own_that_is_no_tensor_of_a_number_an_image_is_told_in_words(returned, got, name):
    """A loss of one image, or in NumPy, is what people bring first."""

    def mine(images, reference):
        return returned(images)

    loss = mine if name == "loss" else {"mse": 1.0, "mine": (mine, 0.5)}
    with pytest.raises(SettingError, match=rf"^{name} must .*{got}"):
        zg.optimize(lambda x: x[0] * torch.ones(4, 4), [0.2], reference=np.ones((4, 4)), loss=loss, max_renders=4)
    optimizer = zg.Optimizer(x0=[0.2], reference=np.ones((4, 4)), loss=loss)
    with pytest.raises(SettingError, match=rf"^{name} must .*{got}"):
        optimizer.tell(images=[np.ones((4, 4))] * len(optimizer.ask()))
