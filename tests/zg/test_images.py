"""Pictures as people have them, at every door."""

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from PIL import Image

import zg
from tasks.external import External
from zg.errors import SettingError
from zg.images import as_image, as_numbers, mismatch, read_picture

GREY = np.full((8, 10, 3), 0.5)
BYTES = np.full((8, 10, 3), 128, np.uint8)


@pytest.mark.parametrize(
    "picture",
    [
        BYTES,
        torch.from_numpy(BYTES),
        Image.fromarray(BYTES),
        list(BYTES),
        [Image.fromarray(BYTES)] * 2,
        BYTES.astype(np.uint16) * 257,
        (BYTES.astype(np.uint16) * 257).astype(">u2"),
        (BYTES / 255).astype(">f4"),
        (BYTES / 255)[::-1, :, ::-1],
        torch.from_numpy(BYTES / 255).requires_grad_(),
    ],
    ids="bytes tensor PIL rows batch 16-bit big-endian-16-bit big-endian-float flipped graph".split(),
)
def test_half_grey_is_half_grey_in_every_wrapping(picture):
    values = as_image(picture, "the picture")
    assert values.is_floating_point() and not values.requires_grad
    assert torch.allclose(values.double(), torch.tensor(128 / 255, dtype=torch.float64), atol=1e-6)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_a_file_of_every_mode_is_read_without_alpha(mode, tmp_path):
    Image.fromarray(np.full((6, 7, 3), 255, np.uint8)).convert(mode).save(tmp_path / "picture.png")
    image = read_picture(tmp_path / "picture.png")
    assert image.shape == ((1 if mode in ("L", "LA", "1") else 3), 6, 7)
    assert (image == 1).all(), "white is 1"


@pytest.mark.parametrize("suffix", ["tif", "npy", "exr", "hdr", "pfm"])
def test_radiance_above_one_is_read_as_it_is(suffix, tmp_path):
    pixels = np.full((6, 7, 3), 2.0, np.float32)
    path = tmp_path / f"picture.{suffix}"
    if suffix == "npy":
        np.save(path, pixels)
    elif suffix == "tif":
        imageio.imwrite(path, pixels)
    else:
        mitsuba = pytest.importorskip("mitsuba")
        mitsuba.set_variant("scalar_rgb")
        mitsuba.Bitmap(pixels).write(str(path))
    assert read_picture(path) == pytest.approx(np.full((3, 6, 7), 2.0))


def test_the_orientation_of_a_camera_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(np.zeros((4, 9, 3), np.uint8)).save(tmp_path / "photo.jpg", exif=exif)
    assert read_picture(tmp_path / "photo.jpg").shape == (3, 9, 4)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "loss must be numbers, got None"),
        ("low", "loss must be numbers, got str 'low'"),
        (1j, "loss must be real numbers, got complex ones"),
        ([[1.0], [1.0, 2.0]], "loss must be numbers of one shape, got list"),
        ({"loss": 1.0}, "loss must be numbers, got dict"),
    ],
)
def test_what_is_no_number_is_refused_with_what_it_is(value, told):
    with pytest.raises(SettingError, match=told):
        as_numbers(value, "loss")


def test_a_mismatch_names_its_cause():
    assert mismatch((4, 8, 8), (3, 8, 8)) == "the render is RGB with alpha, and the reference is RGB"
    assert mismatch((3, 6, 8), (3, 8, 8)) == "the render is 8 × 6 pixels, and the reference is 8 × 8"
    with pytest.raises(SettingError, match="the render is RGB with alpha, and the reference is RGB"):
        zg.optimize(lambda x: np.ones((8, 10, 4)) * x[0], [0.2], reference=GREY, max_renders=10)


def test_a_reference_that_is_not_finite_is_told_with_its_file_and_what_was_found(tmp_path):
    picture = np.ones((3, 4), np.float32)
    picture[1, 2:] = np.nan, np.inf
    path = tmp_path / "mine.npy"
    np.save(path, picture)
    message = "reference must be finite, got NaN or infinity in 2 of 12 numbers"
    with pytest.raises(zg.SettingError, match=f"{message} of '{path}'$"):
        zg.optimize(lambda x: picture, [1.0], reference=path)
    with pytest.raises(zg.SettingError, match=f"{message}$"):
        zg.optimize(lambda x: picture, [1.0], reference=picture)
    settings = {"argv": ["true"], "space": {"x": {"init": 0.5}}, "shape": [1, 3, 4], "reference": str(path)}
    with pytest.raises(zg.SettingError, match=f"{message} of '{path}'$"):
        External(**settings).read_reference(str(path))
