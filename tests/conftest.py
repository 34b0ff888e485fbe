"""Fixtures of all tests."""

import signal

import matplotlib
import pytest
import torch

matplotlib.use("Agg")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Every test runs in an empty folder, so that no test depends on the working directory or writes to the clone."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _untracked(monkeypatch):
    """W&B is disabled, as its start takes 1 s per run. The tests of tracking undo this."""
    monkeypatch.setenv("WANDB_MODE", "disabled")


@pytest.fixture(autouse=True)
def _signal_handlers_stay():
    """No test may leave a signal handler behind: a run restores those of its caller."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == before, "a signal handler was left behind"
