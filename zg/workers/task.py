"""A task whose renderer lives in processes of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zg.losses import Loss
from zg.task import Task
from zg.workers.pool import Workers


class WorkerTask(Task):
    """`render` asks a pool of processes; `build` says with `open_workers` what they are.

        def build(self):
            self.space = ...
            self.open_workers(PYTHON, Path(__file__).with_name("my_scene.py"), {"size": 64}, shape=(3, 64, 64))
            self.set_reference(self.render(self.solution[None], torch.tensor([0]))[0])

    workers: processes. timeout: seconds a render. recycle_renders, recycle_mb: when a process is replaced, as in
    `zg.workers.Workers`. The processes end with the run, or with the task.
    """

    def __init__(
        self,
        loss: str | Loss = "mse",
        workers: int = 1,
        timeout: float = 30.0,
        recycle_renders: int = 1000,
        recycle_mb: float = 64.0,
    ) -> None:
        super().__init__(loss)
        self.workers: Workers | None = None
        self.worker_count, self.timeout = workers, timeout
        self.recycle_renders, self.recycle_mb = recycle_renders, recycle_mb

    def open_workers(
        self,
        argv: Sequence[str],
        scene: str | Path,
        settings: Mapping[str, Any],
        shape: Sequence[int],
        start_timeout: float = 120.0,
        name: str = "",
    ) -> None:
        """Start the processes; arguments as of `zg.workers.Workers`.

        Raises SettingError, in one line, if they do not start.
        """
        self.close()
        self.workers = Workers(
            argv,
            scene,
            settings,
            shape,
            workers=self.worker_count,
            timeout=self.timeout,
            start_timeout=start_timeout,
            recycle_renders=self.recycle_renders,
            recycle_mb=self.recycle_mb,
            name=name,
        )
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
