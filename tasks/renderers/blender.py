"""Blender: where it is installed, and tasks whose scenes are scripts that Blender runs."""

import importlib.util
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zg.errors import SettingError, check_positive, nearest
from zg.losses import Losses
from zg.scenes import WorkerTask
from zg.workers.pool import PYTHON

SCENES = Path(__file__).parent / "scenes"
ENGINES = ("workbench", "cycles")
EXECUTABLE = "blender"
# Without the user's preferences and add-ons, and without scripts in files: the same picture on every machine.
OPTIONS = ("--background", "--factory-startup", "--disable-autoexec", "--python-exit-code", "1", "--python")


def blender_argv(blender: str | None = None) -> tuple[str, ...]:
    """The command that runs a Python file inside Blender.

    blender: path of an executable; by default the package bpy if it is installed, else `blender` on the PATH.
    Raises SettingError where Blender is not installed.
    """
    if blender is None and importlib.util.find_spec("bpy"):
        return PYTHON
    found = shutil.which(blender or EXECUTABLE)
    if found:
        return (found, *OPTIONS)
    if blender is None:
        raise SettingError(
            "Blender must be installed: pip install 'zerograds[blender]' (Python 3.11), or Debian's packages blender "
            "and python3-numpy, or set blender to the path of an executable"
        )
    raise SettingError(f"blender must be the path of an executable, got '{blender}'")


class BlenderTask(WorkerTask):
    """A task that Blender renders, in processes of its own.

    engine: `workbench`, which is fast and without noise, or `cycles`, which traces paths on the CPU. oversample:
    samples along each side of a pixel. blender: path of an executable, as in `blender_argv`. All others: as in
    `WorkerTask`.
    """

    def __init__(
        self,
        loss: Losses = "multiscale",
        engine: str = "workbench",
        oversample: int = 2,
        blender: str | None = None,
        workers: int = 2,
        timeout: float = 60.0,
        recycle_renders: int = 5000,
    ) -> None:
        super().__init__(loss, workers=workers, timeout=timeout, recycle_renders=recycle_renders)
        check_positive(oversample=oversample)
        if engine.lower().startswith("eevee"):
            raise SettingError(
                f"engine must be workbench or cycles, got '{engine}', which takes a minute a frame without a GPU"
            )
        if engine not in ENGINES:
            raise SettingError(f"engine '{engine}' is unknown{nearest(engine, ENGINES)}")
        self.engine, self.oversample, self.blender = engine, oversample, blender
        self.noisy = engine == "cycles"

    def open_scene(self, scene: Path, width: int, height: int, settings: Mapping[str, Any] | None = None) -> None:
        """Start the processes with a scene file. settings: for its `load`, besides those of the stage."""
        stage = {"scenes": str(SCENES), "engine": self.engine, "oversample": self.oversample}
        stage |= {"width": width, "height": height}
        self.open_workers(blender_argv(self.blender), scene, {**stage, **(settings or {})}, (3, height, width))
