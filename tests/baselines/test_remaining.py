"""The remaining time of a comparison."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from baselines.compare import display
from baselines.compare.display import GridDisplay
from baselines.compare.grid import Job
from baselines.compare.remaining import FIGURES, FIGURES_A_TASK, Remaining


def job(task: str, method: str, seed: int = 0) -> Job:
    return Job(task, method, seed, {}, Path(), "default", "")


def test_a_run_is_expected_to_take_as_long_as_its_like():
    remaining = Remaining(1, tasks=2)
    assert remaining.expected(job("a", "slow")) is None
    for method, seconds in (("slow", 30.0), ("fast", 2.0), ("fast", 4.0)):
        remaining.note(job("a", method), seconds)
    assert remaining.expected(job("a", "fast")) == 3.0
    assert remaining.expected(job("b", "slow")) == 30.0, "of its method, where its task is new"
    assert remaining.expected(job("a", "other")) == 12.0, "of its task, where its method is new"
    remaining.note(job("b", "fast"), 30.0)
    of_all = (30.0 + 2.0 + 4.0 + 30.0) / 4
    assert remaining.expected(job("b", "slow")) == pytest.approx(30.0 * 30.0 / of_all)


def test_runs_that_go_on_and_the_figures_count():
    remaining = Remaining(2, tasks=3)
    figures = FIGURES + 3 * FIGURES_A_TASK
    waiting = [job("a", "es", seed) for seed in range(4)]
    assert remaining.seconds(waiting, [(job("a", "es"), 1.0, 0.0)]) is None
    # One tenth of the renders in 2 s: 20 s a run, of which 18 are left of this one.
    assert remaining.seconds(waiting, [(job("a", "es"), 2.0, 0.1)]) == pytest.approx((4 * 20 + 18) / 2 + figures)
    assert remaining.seconds([], []) == figures


def test_the_imports_before_the_first_run_are_not_taken_for_runs(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    jobs = [job("a", "es", seed) for seed in range(11)]
    shown = GridDisplay(jobs, 1)
    row = {"seconds_render": 1.0, "seconds_method": 0.0, "final_loss": 0.0, "stop_reason": "budget", "renders": 9}
    for number, one in enumerate(jobs[:2]):
        shown.start(one)
        now[0] += 60.0 if number == 0 else 5.0
        if number == 1:
            shown.tell([SimpleNamespace(name=one, renders=5, total=10)])
        shown.end(one, row)
    assert shown.time_left() == f"{9 * 5.0 + FIGURES + FIGURES_A_TASK:.0f} s left"
