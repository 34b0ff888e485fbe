"""Reference images: an image file, or one of the images in scikit-image's package."""

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import torch
from skimage import data
from skimage.transform import resize
from torch import Tensor

from zg.errors import SettingError, nearest

# The images inside scikit-image's package. It would download its others.
# fmt: off
BUNDLED = (
    "astronaut", "brick", "camera", "chelsea", "clock", "coffee", "coins", "colorwheel", "grass", "gravel", "horse",
    "hubble_deep_field", "logo", "moon", "page", "retina", "rocket", "text",
)
# fmt: on


def load_image(image: str, size: int) -> Tensor:
    """An image as [3, size, size] in [0, 1]: its largest central square, resized with anti-aliasing.

    image: a path, or a name in BUNDLED. Raises SettingError when the image does not exist or cannot be read.
    """
    pixels = _read(image)
    white = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "iu" else 1
    pixels = pixels.astype(np.float64) / white
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    side = min(pixels.shape[:2])
    top, left = ((extent - side) // 2 for extent in pixels.shape[:2])
    square = pixels[top : top + side, left : left + side, :3]
    resized = resize(square, (size, size), anti_aliasing=side > size)
    return torch.from_numpy(np.ascontiguousarray(resized)).permute(2, 0, 1).float().clamp(0, 1)


def _read(image: str) -> np.ndarray:
    if image in BUNDLED:
        return np.asarray(getattr(data, image)())
    path = Path(image)
    if not path.is_file():
        raise SettingError(
            f"reference must be an image file or one of scikit-image's, got '{image}'" + nearest(image, BUNDLED)
        )
    try:
        pixels = np.asarray(imageio.imread(path.read_bytes(), index=0))  # given the path, it leaves a broken file open
    except Exception:  # each plugin of imageio raises exceptions of its own
        raise SettingError(f"reference must be an image that can be read, got '{image}'") from None
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] < 3 and pixels.shape[2] != 1):
        raise SettingError(f"reference must be a grey or RGB image, got '{image}' with shape {pixels.shape}")
    return pixels if pixels.ndim == 2 or pixels.shape[2] >= 3 else pixels[..., 0]
