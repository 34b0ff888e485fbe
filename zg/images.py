"""Pictures as people have them -> images as losses want them: [C, H, W] float, 8- and 16-bit pictures in 0 … 1.

One function for every door: what a user's `render` returns, references as numbers and as files, and the files that
external programs write.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zg.arrays import as_array, described, pixels_of
from zg.errors import SettingError, warn_user
from zg.extras import load_package

#: The value that is white in a picture of these integers.
WHITE = {"uint8": 255, "uint16": 65535}
#: Numbers of channels that a picture may have: grey, grey and alpha, RGB, RGBA.
CHANNELS = (1, 2, 3, 4)
#: What a number of channels usually means, for messages.
MEANING = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGB with alpha"}
RADIANCE = (".exr", ".hdr", ".pfm")


def as_numbers(value: Any, setting: str) -> Tensor:
    """Real numbers of any kind as a tensor of their own type, without a graph.

    Arrays may be views, flipped, big-endian or masked in memory; lists may hold arrays, tensors or PIL pictures.
    Raises SettingError, which names the setting and what it got, for anything that is not numbers.
    """
    return _checked(as_array(value, setting), value, setting)


def _checked(array: NDArray[Any], value: Any, setting: str) -> Tensor:
    """An array of real numbers as a tensor. value: what the user gave, for the message."""
    if array.dtype.kind == "c":
        raise SettingError(f"{setting} must be real numbers, got complex ones")
    if array.dtype.kind not in "biuf":
        raise SettingError(f"{setting} must be numbers, got {described(value)}")
    if array.dtype == np.uint16:  # PyTorch can do little with them
        array = array.astype(np.int32)
    elif array.dtype == np.uint64:  # and nothing with those beyond 2⁶³
        array = array.astype(np.float64)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    # Pictures of PIL are read-only, and PyTorch warns of such memory.
    return torch.from_numpy(np.require(native, requirements=["C", "W"]).reshape(array.shape))


def as_image(value: Any, setting: str) -> Tensor:
    """The values of one picture or of a batch: 8- and 16-bit pictures in 0 … 1, other numbers as they are, floating.

    A PIL picture, an array, a tensor, or a list of these. Losses, numbers without axes, pass through, too.
    """
    array = as_array(value, setting)
    white = WHITE.get(array.dtype.name) if array.ndim >= 2 else None
    numbers = _checked(array, value, setting)
    if white is not None:
        return numbers.double() / white
    return numbers if numbers.is_floating_point() else numbers.double()


def channels_first(image: Tensor) -> Tensor:
    """An image as [C, H, W]: grey [H, W] gets a channel, [H, W, C] is turned; else as it is."""
    if image.ndim == 2:
        return image[None]
    is_last = image.ndim == 3 and image.shape[-1] in CHANNELS and image.shape[0] not in CHANNELS
    return image.permute(2, 0, 1).contiguous() if is_last else image


def read_picture(path: Path) -> NDArray[Any]:
    """A picture file as [C, H, W] float32 without alpha: PNG, JPEG, TIFF and their like, NPY, EXR, HDR, PFM.

    8- and 16-bit values become 0 … 1, others stay as they are. Palettes become RGB, and a camera's orientation (EXIF)
    is applied. Raises OSError or ValueError for a file that is no picture, and SettingError for a package that lacks.
    """
    try:
        pixels = _decoded(path)
    except (OSError, ValueError):  # also SettingError
        raise
    except Exception as error:  # decoders raise what they like: EOFError, SyntaxError, errors of their own
        raise ValueError(f"its content cannot be read: {type(error).__name__}: {error}") from error
    if pixels.dtype.kind not in "biuf":
        raise ValueError(f"a picture has real numbers, and this one has {pixels.dtype.name}")
    if pixels.dtype.name in WHITE:
        pixels = pixels / WHITE[pixels.dtype.name]
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3:
        raise ValueError(f"a picture has 2 or 3 axes, and this one has {pixels.ndim}")
    colours = {2: 1, 4: 3}.get(pixels.shape[-1], pixels.shape[-1])
    return np.moveaxis(pixels[..., :colours], -1, 0).astype(np.float32)


def _decoded(path: Path) -> NDArray[Any]:
    """The pixels of a picture file as a library reads them. Raises what the library raises."""
    if path.suffix.lower() == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    if path.suffix.lower() in RADIANCE:
        return _read_radiance(path)
    if path.suffix.lower() in (".tif", ".tiff"):
        import imageio.v3 as imageio

        # Also floating-point ones, which PIL does not know. Given the path, imageio leaves a broken file open.
        return imageio.imread(path.read_bytes(), extension=path.suffix)
    from PIL import Image, ImageOps

    with Image.open(path) as picture:
        return pixels_of(ImageOps.exif_transpose(picture))


def read_reference(reference: Any, linear: bool) -> Tensor:
    """The reference as [C, H, W] float32, from numbers or a picture file.

    Warns of display values beyond [0, 1]; linear radiance may have them. Raises SettingError for what is no picture.
    """
    if isinstance(reference, str | Path):
        try:
            image = torch.from_numpy(read_picture(Path(reference)))
        except (OSError, ValueError) as error:
            raise SettingError(f"reference must be a picture that can be read, got '{reference}' ({error})") from None
    else:
        image = channels_first(as_image(reference, "reference").float())
    if wrong := int((~image.isfinite()).sum()):
        of = f" of '{reference}'" if isinstance(reference, str | Path) else ""
        raise SettingError(f"reference must be finite, got NaN or infinity in {wrong} of {image.numel()} numbers{of}")
    if image.ndim == 0:
        raise SettingError(f"reference must be a picture, got one number, {float(image):g}")
    if not linear and image.ndim >= 3 and image.numel() and (image.min() < 0 or image.max() > 1):
        warn_user(
            f"reference has values from {image.min():g} to {image.max():g}; "
            "pictures and PSNR expect 0 … 1 (for linear radiance, set linear=True)"
        )
    return image


def mismatch(got: Sequence[int], wanted: Sequence[int]) -> str:
    """Why images [C, H, W] of these shapes cannot be compared, in words: channels, size, or number of axes."""
    if len(got) != len(wanted) or len(got) < 3:
        return f"they have {len(got)} and {len(wanted)} axes"
    reasons = []
    if got[-3] != wanted[-3]:
        kinds = [MEANING.get(count, f"{count} channels") for count in (got[-3], wanted[-3])]
        reasons.append(f"the render is {kinds[0]}, and the reference is {kinds[1]}")
    if tuple(got[-2:]) != tuple(wanted[-2:]):
        sizes = ["{1} × {0}".format(*size[-2:]) for size in (got, wanted)]
        reasons.append(f"the render is {sizes[0]} pixels, and the reference is {sizes[1]}")
    return "; ".join(reasons)


def _read_radiance(path: Path) -> NDArray[Any]:
    """EXR through OpenEXR; HDR and PFM through Mitsuba: [H, W, C] float32."""
    if path.suffix.lower() != ".exr":
        mitsuba = load_package("mitsuba", f"'{path.name}'")
        mitsuba.set_variant(mitsuba.variant() or "scalar_rgb")
        return np.array(mitsuba.Bitmap(str(path)))
    with load_package("OpenEXR", f"'{path.name}'").File(str(path), separate_channels=True) as file:
        channels = {name: channel.pixels for name, channel in file.channels().items()}
    names = [name for name in "RGB" if name in channels] or [name for name in channels if name != "A"]
    return np.stack([channels[name] for name in names], axis=-1)
