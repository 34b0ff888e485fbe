"""Mitsuba 3: which variants work on this machine, and scenes that are loaded once and then updated."""

import subprocess
import sys
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from zg.errors import SettingError, nearest
from zg.extras import load_package

# Dr.Jit ends the process when it cannot use the LLVM library that it finds, so another process tries it first.
PROBE = """
import drjit as dr
from drjit.{backend} import Float
x = dr.minimum(dr.arange(Float, 16), dr.opaque(Float, 3.0))
dr.eval(x)
print("WORKS")
"""
# Integral over a pixel of a Gaussian with a standard deviation of 0.5 pixels: at the neighbour, and at its centre;
# normalised to neighbour + centre + neighbour = 1.
FILTER = (0.1577, 0.6846)
BACKENDS = {"llvm": "an LLVM library that Dr.Jit can use, such as Debian's libllvm19", "cuda": "an NVIDIA GPU"}
#: The variants that `auto` tries, in this order.
AUTO = ("cuda_ad_rgb", "llvm_ad_rgb", "scalar_rgb")


@cache
def backend_works(backend: str) -> bool:
    """Whether Dr.Jit can use `llvm` or `cuda` on this machine. Every other backend (`scalar`) works without it."""
    if backend not in BACKENDS:
        return True
    command = [sys.executable, "-c", PROBE.format(backend=backend)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and "WORKS" in done.stdout


def resolve_variant(variant: str) -> str:
    """`auto` -> the first variant of AUTO that works on this machine; any other name is returned as it is."""
    if variant != "auto":
        return variant
    return next(name for name in AUTO if backend_works(name.partition("_")[0]))


def use_variant(variant: str) -> Any:
    """Select a variant and return the module. Raises SettingError when it is unknown or does not run here."""
    mi = load_package("mitsuba", f"variant '{variant}'")
    if variant not in mi.variants():
        raise SettingError(f"variant '{variant}' is unknown{nearest(variant, ['auto', *mi.variants()])}")
    backend = variant.partition("_")[0]
    if not backend_works(backend):
        raise SettingError(f"variant '{variant}' needs {BACKENDS[backend]}; scalar_rgb runs everywhere")
    mi.set_variant(variant)
    return mi


class Scene:
    """A scene that is loaded once. Set values in `parameters`, then `render` returns a linear RGB image.

    The pixel filter is a Gaussian with a standard deviation of 0.5 pixels, applied to the pixels of a box filter.
    Mitsuba's own Gaussian adds to neighbouring blocks in the order in which threads finish, so that no seed would
    repeat an image.
    description: Mitsuba's dictionary; its names stay valid, because shapes are not merged. A `batch` sensor renders all
    of its views at once. size: pixels along a side of each view. samples: paths a pixel.
    """

    def __init__(self, description: dict[str, Any], variant: str, size: int, samples: int) -> None:
        self.mi = use_variant(variant)
        self.variant = variant
        self.samples = samples
        sensor = description["sensor"]
        batch = sensor["type"] == "batch"
        self.views = sum(isinstance(part, dict) and "to_world" in part for part in sensor.values()) if batch else None
        sensor["film"]["width"], sensor["film"]["height"] = size * (self.views or 1), size
        sensor["film"]["rfilter"] = {"type": "box"}
        self.scene = self.mi.load_dict(description, optimize=False)
        self.parameters = self.mi.traverse(self.scene)

    def points(self, name: str) -> Tensor:
        """The parameter of that name, a flat list of points, as [V, 3] float64."""
        return torch.tensor([float(value) for value in self.parameters[name]], dtype=torch.float64).reshape(-1, 3)

    def set_points(self, name: str, points: Tensor) -> None:
        """Set the parameter of that name to points [V, 3]."""
        self.parameters[name] = type(self.parameters[name])(points.reshape(-1).float().cpu().numpy())

    def render(self, seed: int) -> Tensor:
        """Update the scene and render: [3, H, W], or [V, 3, H, W] for V views; float32, linear radiance."""
        self.mi.set_variant(self.variant)
        self.parameters.update()
        image = self.mi.render(self.scene, spp=self.samples, seed=seed)
        return self.in_views(from_dlpack(self.mi.TensorXf(image)).cpu())

    def in_views(self, image: Tensor) -> Tensor:
        """Mitsuba's picture [H, V · W, 3] -> [3, H, W], or [V, 3, H, W] for V views, filtered."""
        pixels = image.permute(2, 0, 1).contiguous().float()
        if self.views is None:
            return filtered(pixels)
        views = pixels.unflatten(-1, (self.views, -1)).movedim(-2, 0)
        return filtered(views.flatten(0, 1)).unflatten(0, (self.views, -1))


def filtered(image: Tensor) -> Tensor:
    """image [C, H, W] filtered by a Gaussian with a standard deviation of 0.5 pixels, integrated over pixels."""
    neighbour, own = FILTER
    kernel = torch.tensor([neighbour, own, neighbour])
    channels = torch.nn.functional.pad(image[:, None], (1, 1, 1, 1), mode="replicate")
    return torch.nn.functional.conv2d(channels, (kernel[:, None] * kernel)[None, None])[:, 0]
