"""The sign of life of a run in a process of its own."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from baselines.comparison.isolation import Beat
from zg.method import Method


class Heartbeat(Callback):
    """Says after every iteration how many renders are spent, of how many."""

    def __init__(self, beat: Beat) -> None:
        self.beat = beat

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, Method)
        self.beat(pl_module.objective.renders, pl_module.objective.max_renders)
