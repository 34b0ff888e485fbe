"""A renderer of one's own without a line of Python: a program, its parameters and a picture, all in one YAML.

See configs/external_demo.yaml, and docs/renderers.md.
"""

import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tasks.hidden import guess_around
from tasks.renderers import external
from zg.errors import SettingError, nearest
from zg.losses import Loss
from zg.space import Block, ParameterSpace
from zg.workers.pool import PYTHON
from zg.workers.task import WorkerTask

REPOSITORY = Path(__file__).resolve().parent.parent


class External(WorkerTask):
    """Runs a program once a render, several at once where there are workers.

    argv: the program and its words, with placeholders as in `tasks.renderers.external`. space: {block: {init, low,
    high, scale, kind, log}}. shape: [C, H, W] of the image. target: {block: values} whose render is the reference; or
    reference: the path of a picture. format: png, exr (then linear) or npy. folder: where the program runs; it and the
    reference are looked for here first, then in the repository. jitter: how far the seed moves the start, in scaled
    units. noisy: whether renders depend on the seed. version_argv, at_least: what prints a version, and the oldest that
    will do.
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
        loss: str | Loss = "mse",
        workers: int = 1,
        timeout: float = 30.0,
    ) -> None:
        super().__init__(loss, workers, timeout)
        if (target is None) == (reference is None):
            raise SettingError("target or reference must be given, and not both")
        if not argv or shutil.which(argv[0]) is None:
            raise SettingError(f"argv must start with a program that can be run, got {argv[:1]}")
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
            "integers": [name for name, block in self.blocks.items() if block.kind != "real"],
        }
        program = Path(self.renderer["argv"][0]).name
        self.open_workers(PYTHON, external.__file__, {**self.renderer, **blocks}, self.shape, name=program)
        if self.target is not None:
            self.solution = self.hidden(self.target)
            self.set_reference(self.render(self.solution[None])[0])
        else:
            self.set_reference(self.read_reference(str(self.reference_path)))

    def hidden(self, target: dict[str, Any]) -> Tensor:
        """The target's values as x [n]."""
        if target.keys() != self.blocks.keys():
            raise SettingError(f"target must name the blocks of space, {list(self.blocks)}, got {list(target)}")
        values = ParameterSpace({name: make_block(name, {"init": value}) for name, value in target.items()})
        if values.sizes != self.space.sizes:
            raise SettingError(f"target must have {self.space.sizes} values as space has, got {values.sizes}")
        return values.init

    def read_reference(self, path: str) -> Tensor:
        """A picture as [C, H, W]."""
        found = find("reference", path)
        try:
            image = torch.from_numpy(external.read_image(found))
        except (OSError, ValueError) as error:
            raise SettingError(f"reference must be a PNG, EXR or NPY file, got '{path}': {error}") from None
        if list(image.shape) != self.shape:
            raise SettingError(f"reference must have shape {self.shape}, got {list(image.shape)} in '{path}'")
        return image


def make_block(name: str, settings: dict[str, Any]) -> Block:
    """A block of the space from its settings. Raises SettingError for those it does not have."""
    known = [field.name for field in fields(Block)]
    for setting in settings:
        if setting not in known:
            raise SettingError(f"space.{name}.{setting} is unknown{nearest(setting, known)}")
    if "init" not in settings:
        raise SettingError(f"space.{name}.init must be given")
    try:
        init = torch.as_tensor(settings["init"], dtype=torch.float64)
        return Block(**{**settings, "init": init})
    except (TypeError, ValueError):
        raise SettingError(f"space.{name}.init must be numbers, got {settings['init']!r}") from None


def find(setting: str, path: str) -> Path:
    """A path here, else in the repository. Raises SettingError when it is at neither place."""
    for found in (Path(path), REPOSITORY / path):
        if found.exists():
            return found.resolve()
    raise SettingError(f"{setting} must be there, got '{path}'")
