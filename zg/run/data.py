"""The LightningDataModule around a task."""

from collections.abc import Iterator
from itertools import count

import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, IterableDataset

from zg.task import Task


class TaskData(LightningDataModule):
    """Builds the task on the device of the run. A batch is only a number: the data of an iteration come from `ask`."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task

    def setup(self, stage: str) -> None:
        self.task.setup(self.trainer.strategy.root_device if self.trainer else None)

    def train_dataloader(self) -> DataLoader[int]:
        return DataLoader(Counter(), batch_size=None, generator=torch.Generator())


class Counter(IterableDataset[int]):
    """0, 1, 2, … without end."""

    def __iter__(self) -> Iterator[int]:
        return count()
