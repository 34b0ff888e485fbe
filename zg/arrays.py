"""What holds numbers -> an array of NumPy. No import of PyTorch: a worker of a function that needs none has none."""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zg.errors import SettingError


def as_array(value: Any, setting: str) -> NDArray[Any]:
    """Anything that holds numbers as an array. Raises SettingError for lists that are ragged."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        numbers: NDArray[Any] = value.detach().cpu().resolve_conj().resolve_neg().numpy()
        return numbers
    if hasattr(value, "getbands") and hasattr(value, "convert"):
        return pixels_of(value)
    if isinstance(value, list | tuple):
        value = [as_array(item, setting) if not isinstance(item, int | float) else item for item in value]
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        raise SettingError(f"{setting} must be numbers of one shape, got {described(value)}") from None
    if array.dtype == object and array.ndim == 0 and isinstance(value, int):  # beyond 64 bits
        return np.asarray(float(value))
    return array


def check_number(array: Any, setting: str) -> None:
    """Raise SettingError for truths where losses are wanted: of a comparison by mistake, they would count as 1 and 0.

    array: of NumPy, or a tensor.
    """
    if str(array.dtype).removeprefix("torch.") == "bool":
        raise SettingError(f"{setting} must be a number, got True or False; float(…) makes it one, if it is meant")


def pixels_of(picture: Any) -> NDArray[Any]:
    """The pixels of a PIL picture; palettes as RGB, black and white as grey."""
    mode = {"P": "RGBA" if "transparency" in picture.info else "RGB", "PA": "RGBA", "1": "L"}.get(picture.mode)
    pixels = np.asarray(picture.convert(mode) if mode else picture)
    return pixels.astype(np.uint16) if picture.mode.startswith("I;16") else pixels


def described(value: Any) -> str:
    """What was given, for a message."""
    if isinstance(value, list | tuple) and value:
        return f"{type(value).__name__} of {', '.join(type(one).__name__ for one in value[:4])}"
    return "None" if value is None else f"str {value!r:.40}" if isinstance(value, str) else type(value).__name__
