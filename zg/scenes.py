"""A task whose renderer is a scene file, which runs in processes of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

import zg.workers.processes  # noqa: F401  # what renders belongs to the hash of a run's code, which follows imports
from zg.losses import Losses
from zg.task import Task
from zg.workers.pool import PoolSettings, Scene, open_pool


class WorkerTask(Task):
    """A task whose `render` asks a pool of renderer processes. Its `build` starts them with `open_workers`.

        def build(self):
            self.space = ...
            self.open_workers(PYTHON, Path(__file__).with_name("my_scene.py"), {"size": 64}, shape=(3, 64, 64))
            self.set_reference(self.render(self.solution[None], torch.tensor([0]))[0])

    workers: number of processes. timeout: seconds a render. recycle_renders, recycle_mb: when a process is replaced,
    as in `zg.workers.pool.PoolSettings`.

    The processes are on this machine, or where `use_pool` says, and end with the run, or with the task.
    """

    def __init__(
        self,
        loss: Losses = "mse",
        workers: int = PoolSettings.workers,
        timeout: float = 30.0,
        recycle_renders: int = PoolSettings.recycle_renders,
        recycle_mb: float = PoolSettings.recycle_mb,
    ) -> None:
        super().__init__(loss)
        self.use_pool(workers=workers, timeout=timeout, recycle_renders=recycle_renders, recycle_mb=recycle_mb)

    def open_workers(
        self,
        argv: Sequence[str],
        scene: str | Path,
        settings: Mapping[str, Any],
        shape: Sequence[int],
        start_timeout: float = PoolSettings.start_timeout,
        name: str = "",
    ) -> None:
        """Start the processes; arguments as in `zg.workers.pool.Scene`. Raises SettingError if they do not start."""
        self.close()
        self.use_pool(start_timeout=start_timeout)
        assert self.pool is not None
        self._scene = Scene(argv, scene, settings, shape, name)
        self.workers = open_pool(self._scene, self.pool)
        self.workers.start()

    def for_workers(self) -> Scene:
        return self._scene

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return self.render_in_pool(x, *seeds)

    def render_batch(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return self.render(x, *seeds)
