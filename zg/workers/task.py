"""A task whose renderer runs in processes of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zg.losses import Loss
from zg.task import Task
from zg.workers.pool import PoolSettings, Workers


class WorkerTask(Task):
    """A task whose `render` asks a pool of renderer processes. Its `build` starts them with `open_workers`.

        def build(self):
            self.space = ...
            self.open_workers(PYTHON, Path(__file__).with_name("my_scene.py"), {"size": 64}, shape=(3, 64, 64))
            self.set_reference(self.render(self.solution[None], torch.tensor([0]))[0])

    workers: number of processes. timeout: seconds a render. recycle_renders, recycle_mb: when a process is replaced,
    as in `zg.workers.pool.PoolSettings`. The processes end with the run, or with the task.
    """

    def __init__(
        self,
        loss: str | Loss = "mse",
        workers: int = PoolSettings.workers,
        timeout: float = PoolSettings.timeout,
        recycle_renders: int = PoolSettings.recycle_renders,
        recycle_mb: float = PoolSettings.recycle_mb,
    ) -> None:
        super().__init__(loss)
        self.workers: Workers | None = None
        self.pool_settings = PoolSettings(workers, timeout, recycle_renders=recycle_renders, recycle_mb=recycle_mb)

    def open_workers(
        self,
        argv: Sequence[str],
        scene: str | Path,
        settings: Mapping[str, Any],
        shape: Sequence[int],
        start_timeout: float = PoolSettings.start_timeout,
        name: str = "",
    ) -> None:
        """Start the processes; arguments as in `zg.workers.pool.Workers`. Raises SettingError if they do not start."""
        self.close()
        pool = asdict(replace(self.pool_settings, start_timeout=start_timeout))
        self.workers = Workers(argv, scene, settings, shape, **pool, name=name)
        self.workers.start()

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        assert self.workers is not None, "build must call open_workers"
        images = self.workers.render(x.cpu().numpy(), *(seed.tolist() for seed in seeds))
        if self.workers.errors:
            self.last_error = self.workers.errors[-1]
        return torch.from_numpy(images).to(self.device)

    def close(self) -> None:
        if self.workers is not None:
            self.workers.close()
