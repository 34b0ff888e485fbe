import imageio.v3 as imageio
import numpy as np
import pytest
import torch

from tasks.images import BUNDLED, load_image
from tasks.texture import Texture
from zg.errors import SettingError


def built(seed=0, **settings):
    task = Texture(**settings)
    task.seed = seed
    task.setup()
    return task


def test_every_pixel_is_a_parameter_and_the_render_shows_it():
    task = built(size=8)
    assert task.space.n == 192
    x = torch.rand(3, 192, generator=torch.Generator().manual_seed(0))
    assert torch.equal(task.render(x).flatten(1), x)


def test_the_start_is_noise_around_grey_and_depends_on_the_seed_alone():
    start = built(size=64).space.init
    assert start.mean() == pytest.approx(0.5, abs=0.002)
    assert start.std() == pytest.approx(0.05, abs=0.002)
    assert torch.equal(start, built(size=64).space.init)
    assert not torch.equal(start, built(size=64, seed=1).space.init)


def test_the_loss_of_the_reference_is_zero_at_any_brightness():
    task = built(size=16)
    reference = task.reference()
    assert task.loss(torch.stack([reference, 0.5 * reference]), reference).tolist() == pytest.approx([0, 0], abs=1e-9)


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_images_are_read(name):
    image = load_image(name, 16)
    assert image.shape == (3, 16, 16)
    assert 0 <= image.min() < image.max() <= 1


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3), (20, 30, 4)])
def test_a_reference_may_be_any_image_file(tmp_path, shape):
    imageio.imwrite(tmp_path / "mine.png", np.full(shape, 51, np.uint8))
    assert load_image(str(tmp_path / "mine.png"), 8) == pytest.approx(torch.full((3, 8, 8), 0.2))


def test_a_reference_that_is_not_an_image_raises_an_error(tmp_path):
    (tmp_path / "mine.png").write_text("not an image")
    with pytest.raises(SettingError, match="must be an image that can be read"):
        load_image(str(tmp_path / "mine.png"), 8)
    with pytest.raises(SettingError, match="did you mean 'coffee'"):
        load_image("cofee", 8)
