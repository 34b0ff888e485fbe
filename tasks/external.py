"""Your own renderer without Python code: a program, its parameters and a reference, all in one YAML file.

An example is configs/external_demo.yaml; docs/renderers.md explains it.
"""

import os
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tasks.hidden import guess_around
from tasks.renderers import external
from zg.block import named
from zg.errors import SettingError, nearest
from zg.extras import load_package
from zg.images import read_picture
from zg.losses import Losses
from zg.scenes import WorkerTask
from zg.space import Block, ParameterSpace
from zg.workers.pool import PYTHON

REPOSITORY = Path(__file__).resolve().parent.parent


class External(WorkerTask):
    """A task that runs a program once for every render; up to `workers` programs run side by side.

    argv: the program and its arguments, with placeholders as in `tasks.renderers.external`. space: {block: {init, low,
    high, scale, kind, log, choices}}, as in `zg.Block`. shape: [C, H, W] of the image. target: {block: values}; its
    render is the reference. reference: path of a picture, instead of target. format: png, exr (linear radiance) or npy.
    folder: where the program runs. jitter: how far a seed moves the start at most, in scaled units. noisy: whether
    renders depend on the seed. version_argv: the command that prints the program's version. at_least: the oldest
    version that is accepted. `folder` and `reference` are searched from the current folder, then from the repository.
    """

    def __init__(
        self,
        argv: list[str],
        space: dict[str, dict[str, Any]],
        shape: list[int],
        target: dict[str, Any] | None = None,
        reference: str | None = None,
        format: str = "png",
        folder: str | None = None,
        jitter: float = 0.0,
        noisy: bool = False,
        version_argv: list[str] | None = None,
        at_least: str = "",
        loss: Losses = "mse",
        workers: int = 1,
        timeout: float = 30.0,
    ) -> None:
        super().__init__(loss, workers, timeout)
        if (target is None) == (reference is None):
            raise SettingError("target or reference must be given, and not both")
        if not argv or shutil.which(argv[0]) is None:
            raise SettingError(f"argv must start with an executable program, got {argv[:1]}")
        if format == "exr":
            load_package("OpenEXR", "format exr")  # told here, before processes start
        if len(shape) != 3 or min(shape) < 1:
            raise SettingError(f"shape must be [C, H, W], three numbers > 0, got {shape}")
        self.blocks = {name: make_block(name, settings) for name, settings in space.items()}
        self.shape, self.target, self.reference_path, self.jitter = shape, target, reference, jitter
        self.noisy, self.linear = noisy, format == "exr"
        self.renderer: dict[str, Any] = {
            "argv": argv,
            "format": format,
            "shape": shape,
            "folder": str(find("folder", folder)) if folder else None,
            "version_argv": version_argv,
            "at_least": at_least,
        }

    def build(self) -> None:
        self.space, _ = guess_around(self.blocks, self.jitter, self.generator("start"))
        blocks = {
            "blocks": {name: list(shape) for name, shape in zip(self.space.names, self.space.shapes, strict=True)},
            "integers": [name for name, block in self.blocks.items() if block.is_whole],
            "choices": {name: list(block.choices) for name, block in self.blocks.items() if block.choices},
        }
        program = Path(self.renderer["argv"][0]).name
        self.open_workers(PYTHON, external.__file__, {**self.renderer, **blocks}, self.shape, name=program)
        if self.target is not None:
            self.solution = self.target_values(self.target)
            self.set_reference(self.render(self.solution[None])[0])
        else:
            self.set_reference(self.read_reference(str(self.reference_path)))

    def target_values(self, target: dict[str, Any]) -> Tensor:
        """The target as x [n] in the user's units."""
        if target.keys() != self.blocks.keys():
            raise SettingError(f"target must name the blocks of space, {list(self.blocks)}, got {list(target)}")
        choices = {name: {"choices": block.choices} for name, block in self.blocks.items() if block.choices}
        values = ParameterSpace(
            {name: make_block(name, {"init": value, **choices.get(name, {})}) for name, value in target.items()}
        )
        if values.sizes != self.space.sizes:
            raise SettingError(f"target must have {self.space.sizes} values as space has, got {values.sizes}")
        return values.to_user(values.init)

    def read_reference(self, path: str) -> Tensor:
        """The reference picture as [C, H, W]."""
        found = find("reference", path)
        try:
            image = torch.from_numpy(read_picture(found))
        except (OSError, ValueError) as error:
            raise SettingError(f"reference must be a PNG, EXR or NPY file, got '{path}': {error}") from None
        if wrong := int((~image.isfinite()).sum()):
            found_there = f"NaN or infinity in {wrong} of {image.numel()} numbers"
            raise SettingError(f"reference must be finite, got {found_there} of '{path}'")
        if list(image.shape) != self.shape:
            raise SettingError(f"reference must have shape {self.shape}, got {list(image.shape)} in '{path}'")
        return image


def make_block(name: str, settings: dict[str, Any]) -> Block:
    """A block of the space from its settings. Raises SettingError for an unknown or missing setting."""
    known = [field.name for field in fields(Block)]
    for setting in settings:
        if setting not in known:
            raise SettingError(f"space.{name}.{setting} is unknown{nearest(setting, known)}")
    if "init" not in settings:
        raise SettingError(f"space.{name}.init must be given")
    if "choices" in settings:
        with named(name):
            return Block(**settings)
    try:
        init = torch.as_tensor(settings["init"], dtype=torch.float64)
    except (TypeError, ValueError):
        raise SettingError(f"space.{name}.init must be numbers, got {settings['init']!r}") from None
    with named(name):
        return Block(**{**settings, "init": init})


def find(setting: str, path: str) -> Path:
    """The path from the current folder, else from the repository. Raises SettingError when neither exists."""
    for found in (Path(path), REPOSITORY / path):
        if os.path.exists(found):  # Path.exists raises for a name that is too long
            return found.resolve()
    raise SettingError(f"{setting} must be a path that exists, got '{path}'")
