"""Fixtures of all tests, and which tests may be skipped."""

import os
import signal
from collections.abc import Generator
from pathlib import Path

import matplotlib
import pytest
import torch

matplotlib.use("Agg")
torch.set_num_threads(1)

# Whoever runs the tests may track with W&B, or draw in windows; fixtures of modules and child processes must not.
for variable in [name for name in os.environ if name.startswith("WANDB_") or name == "MPLBACKEND"]:
    del os.environ[variable]
os.environ["WANDB_MODE"] = "disabled"

# A shell ignores SIGINT for what it runs in the background, and `nohup` SIGHUP; here both mean what they usually do.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

MAY_SKIP = {line for line in Path(__file__).with_name("may_skip.txt").read_text().splitlines() if "::" in line}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true a test fails that is skipped without a line in may_skip.txt."""
    report = yield
    names = {item.nodeid, item.nodeid.partition("[")[0]}
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail") and not names & MAY_SKIP:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped and is not in tests/may_skip.txt: {call.excinfo}"
    return report


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
