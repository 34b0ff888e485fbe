"""What all tests share."""

import matplotlib
import pytest
import torch

matplotlib.use("Agg")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Every test runs in an empty folder: nothing may depend on the working directory, or write into the clone."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _untracked(monkeypatch):
    """Starting W&B costs a second a run; the tests of tracking take this back."""
    monkeypatch.setenv("WANDB_MODE", "disabled")
