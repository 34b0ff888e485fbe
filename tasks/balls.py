"""Photos of balls: the ball of `tasks.brdf` once for each row, in one scene of Mitsuba, each with a camera of its own.

    photo = log(1 + GAIN · radiance) / log(1 + GAIN · WHITE)        as of film; highlights are a hundred times as bright

The balls are so far apart that none sees another. To Mitsuba all of them are one picture, because a call of it costs
as much as thousands of paths. Each photo has its own noise, and counts as a render.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tasks.brdf import HIDDEN, description
from tasks.renderers.mitsuba import Scene, resolve_variant, use_variant
from zg.errors import SettingError, check_whole, nearest
from zg.space import Block, ParameterSpace

#: The curve of the film: radiance 1 / GAIN is where it bends, and WHITE is 1.
GAIN, WHITE = 10.0, 10.0
# Distance of balls, in radii. Each fills less than a ten-thousandth of the sky of its neighbour.
APART = 100.0
#: Roughest and smoothest of the materials: on a matt ball other parameters cannot be seen.
ROUGHNESS = (0.1, 0.6)


def material_space(names: Sequence[str]) -> ParameterSpace:
    """The parameters of the principled BSDF with these names, over their range; the start is its middle."""
    check_whole(parameters=len(names))
    for name in names:
        if name not in HIDDEN:
            raise SettingError(f"parameters must be of {', '.join(HIDDEN)}, got '{name}'{nearest(name, HIDDEN)}")
    blocks = {}
    for name in names:
        low, high = ROUGHNESS if name == "roughness" else (0.0, 1.0)
        blocks[name] = Block(torch.full_like(torch.as_tensor(HIDDEN[name].init), (low + high) / 2), low=low, high=high)
    return ParameterSpace(blocks)


class Balls:
    """Renders photos of materials. A parameter that is not given is that of `tasks.brdf`.

    size: pixels of a side. samples: paths a pixel. variant: of Mitsuba, or `auto`. together: balls of the scene.
    calls: number of calls of Mitsuba so far, from which their seeds come; a training keeps it in its checkpoint.
    """

    def __init__(self, size: int = 24, samples: int = 4, variant: str = "auto", together: int = 32) -> None:
        check_whole(size=size, samples=samples, together=together)
        self.together, self.calls = together, 0
        variant = resolve_variant(variant)
        self.scene = Scene(_many(use_variant(variant), together), variant, size, samples)

    def __call__(self, **materials: Tensor) -> Tensor:
        """Parameters [K, ...] by name, in the user's units -> photos [K, 3, H, W]."""
        return self.photos(materials)

    def photos(self, materials: Mapping[str, Tensor], seed: int | None = None, samples: int | None = None) -> Tensor:
        """As a call. seed: of the first call of Mitsuba, for photos that no run depends on. samples: another number."""
        return torch.cat([developed(part) for part in self._parts(materials, seed, samples)])

    def differentiable(self, materials: Mapping[str, Tensor]) -> Tensor:
        """As a call, with Mitsuba's own derivative for the parameters. It needs a variant with derivatives."""
        if "_ad_" not in self.scene.variant:
            raise SettingError(f"gradient 'mitsuba' needs a variant with derivatives, got '{self.scene.variant}'")
        return torch.cat([developed(self._differentiable(part)) for part in self._split(materials)])

    def _differentiable(self, materials: Mapping[str, Tensor]) -> Tensor:
        """Radiance of one call of Mitsuba. Backward has another seed, so that the gradient has none of that noise."""
        import drjit as dr

        mi, seed, count = self.scene.mi, self.calls, len(next(iter(materials.values())))
        sizes = [value[0].numel() for value in materials.values()]
        mi.set_variant(self.scene.variant)
        self.calls += 2

        @dr.wrap(source="torch", target="drjit")
        def render(numbers: Any) -> Any:
            for ball in range(count):
                at = 0
                for name, size in zip(materials, sizes, strict=True):
                    entries = [numbers[ball, at + k].array for k in range(size)]
                    self.scene.parameters[_key(ball, name)] = mi.Color3f(*entries) if size == 3 else entries[0]
                    at += size
            self.scene.parameters.update()
            picture = mi.render(
                self.scene.scene, self.scene.parameters, spp=self.scene.samples, seed=seed, seed_grad=seed + 1
            )
            return mi.TensorXf(picture)

        picture = render(torch.cat([value.flatten(1).float() for value in materials.values()], dim=1))
        return self.scene.in_views(picture)[:count]

    def _parts(self, materials: Mapping[str, Tensor], seed: int | None, samples: int | None) -> Iterator[Tensor]:
        """Radiance [≤ together, 3, H, W] of one call of Mitsuba after the other."""
        usual, first = self.scene.samples, self.calls if seed is None else seed
        self.scene.samples = samples or usual
        try:
            for number, part in enumerate(self._split(materials)):
                self._set(part)
                self.calls += seed is None
                yield self.scene.render(first + number)[: len(next(iter(part.values())))]
        finally:
            self.scene.samples = usual

    def _split(self, materials: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
        """The rows of each call of Mitsuba."""
        for parts in zip(*(value.split(self.together) for value in materials.values()), strict=True):
            yield dict(zip(materials, parts, strict=True))

    def _set(self, materials: Mapping[str, Tensor]) -> None:
        """Set the materials of the first balls."""
        for name, values in materials.items():
            for ball, value in enumerate(values.flatten(1).tolist()):
                given = self.scene.mi.Color3f(value) if len(value) == 3 else value[0]
                self.scene.parameters[_key(ball, name)] = given


def _key(ball: int, name: str) -> str:
    """The name of a parameter in Mitsuba's scene."""
    return f"ball{ball}.bsdf.{name}" + (".value" if name != "specular" else "")


def _many(mi: Any, count: int) -> dict[str, Any]:
    """The scene of `tasks.brdf` with that many balls and cameras, side by side."""
    scene, transform = description(mi), mi.ScalarTransform4f()
    ball, sensor = scene.pop("ball"), scene.pop("sensor")
    cameras: dict[str, Any] = {"type": "batch", "film": sensor["film"], "sampler": sensor["sampler"]}
    for number in range(count):
        move = transform.translate([APART * (number - (count - 1) / 2), 0, 0])
        scene[f"ball{number}"] = {**ball, "to_world": move @ ball["to_world"]}
        camera = {key: sensor[key] for key in ("type", "fov", "film")}
        cameras[f"camera{number}"] = {**camera, "to_world": move @ sensor["to_world"]}
    return {**scene, "sensor": cameras}


def developed(radiance: Tensor) -> Tensor:
    """Radiance -> the values of a photo, 0 … 1 up to WHITE."""
    return torch.log1p(GAIN * radiance) / math.log1p(GAIN * WHITE)


def undeveloped(photo: Tensor) -> Tensor:
    """The radiance of a photo."""
    return torch.expm1(photo * math.log1p(GAIN * WHITE)) / GAIN
