"""SIGINT and SIGTERM, sent to this process during a run."""

import os
import signal
import threading

import pytest

from baselines.es import ES
from tests.problems import Quadratic
from zg.budget import Budget
from zg.run.run import run

SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
    with pytest.raises(KeyboardInterrupt):
        run(Signalled(signal.SIGINT, signal.SIGINT), ES(pairs=5), Budget(200))


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
