"""SIGINT, SIGTERM and SIGHUP, sent to this process during a run."""

import itertools
import json
import os
import signal
import threading

import pytest

import zg
from baselines.es import ES
from tests.problems import Quadratic
from zg.budget import Budget
from zg.cli.main import main
from zg.errors import Interrupted
from zg.run.checkpoint import renders_in
from zg.run.run import run

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signalled(Quadratic):
    """Sends signals to this process in the middle of the third batch."""

    def __init__(self, *numbers: int) -> None:
        super().__init__()
        self.numbers, self.batches = numbers, 0

    def render(self, x, *seeds):
        self.batches += len(x) > 1  # renders of the curve have one row
        if self.batches == 3:
            self.batches += 1
            for number in self.numbers:
                os.kill(os.getpid(), number)
        return super().render(x)


class Killed(Signalled):
    """Sends a signal once or twice in the third batch, or once while it is built."""

    def __init__(self, number: int, moment: str) -> None:
        super().__init__(*[number] * {"building": 0, "once": 1, "twice": 2}[moment])
        self.number, self.moment = number, moment

    def build(self):
        super().build()
        if self.moment == "building":
            os.kill(os.getpid(), self.number)


@pytest.fixture(autouse=True)
def handlers():
    """The handlers of the caller are the same before and after each test."""
    before = [signal.getsignal(number) for number in SIGNALS]
    yield before
    assert [signal.getsignal(number) for number in SIGNALS] == before, "the run must restore the handlers"


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("in_lightning", [False, True], ids=["bare loop", "Lightning"])
def test_one_signal_ends_the_run_after_the_present_iteration(number, in_lightning, tmp_path):
    folder = tmp_path / "run" if in_lightning else None
    result = run(Signalled(number), ES(pairs=5), Budget(200), folder=folder)
    assert (result.stop_reason, result.renders) == ("interrupted", 30), "the third batch of 10 renders is completed"
    assert result.records[-1]["renders"] == 30


def test_a_second_signal_interrupts_at_once():
    with pytest.raises(Interrupted, match="by SIGINT"):
        run(Signalled(signal.SIGINT, signal.SIGINT), ES(pairs=5), Budget(200))


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("moment", ["building", "once", "twice"])
def test_the_exit_code_is_128_and_the_signal_and_the_run_can_go_on(number, moment, tmp_path, capsys):
    data = ["--data", f"{__name__}.Killed", "--data.number", str(int(number)), "--data.moment", moment]
    words = ["fit", *data, "--model", "es", "--max-renders", "200", "--video", "false", "--out", "run"]
    assert main(words) == 128 + number
    if moment == "building":
        assert not (tmp_path / "run").exists(), "the same command can be given again"
    else:
        assert renders_in(tmp_path / "run" / "last.ckpt") == {"once": 60, "twice": 40}[moment]
        assert json.loads((tmp_path / "run" / "row.json").read_text())["stop_reason"] == "interrupted"
    assert ("to continue: zg fit --out" in capsys.readouterr().out) == (moment == "once")


def test_a_signal_that_is_ignored_stays_ignored(handlers):
    """As after `nohup`."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(Signalled(signal.SIGHUP), ES(pairs=5), Budget(100)).stop_reason == "budget"
    finally:
        signal.signal(signal.SIGHUP, handlers[SIGNALS.index(signal.SIGHUP)])


def test_handlers_are_restored_after_an_exception():
    class Broken(ES):
        def tell(self, theta, evaluation):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(Quadratic(), Broken(), Budget(200))


def test_a_handler_of_the_caller_is_restored(handlers):
    def mine(number, frame):
        """Never called."""

    signal.signal(signal.SIGTERM, mine)
    try:
        result = run(Signalled(signal.SIGTERM), ES(), Budget(200))
        assert result.stop_reason == "interrupted"
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, handlers[1])


def test_a_run_in_another_thread_leaves_the_handlers_alone(handlers):
    seen, results = [], []

    class Looking(ES):
        def tell(self, theta, evaluation):
            seen.append([signal.getsignal(number) for number in SIGNALS])
            super().tell(theta, evaluation)

    thread = threading.Thread(target=lambda: results.append(run(Quadratic(), Looking(), Budget(60))))
    thread.start()
    thread.join()
    assert results[0].renders == 60
    assert all(during == handlers for during in seen)


@pytest.mark.parametrize("has_folder", [False, True])
def test_a_call_that_is_interrupted_says_what_is_kept_and_how_to_go_on(has_folder, tmp_path, capsys):
    folder = tmp_path / "run" if has_folder else None

    calls = itertools.count(1)

    def f(x):
        if next(calls) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return float(x @ x)

    with pytest.raises(KeyboardInterrupt):
        zg.minimize(f, [2.0, 1.0], folder=folder, method={"name": "random_search", "batch": 1}, max_renders=200)
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("stopped by a signal after ")
    if has_folder:
        assert said.endswith(f"; kept in {folder}: the same call with resume=True goes on")
    else:
        assert " at x = [" in said and "catch_signals=True" in said
    calls = itertools.count(1)
    result = zg.minimize(f, [2.0, 1.0], method="random_search", max_renders=200, catch_signals=True)
    assert result.stop_reason == "interrupted" and not capsys.readouterr().err
