"""The progress of a run: lines without a terminal, a bar on a terminal."""

import os
import pty
import re
import subprocess
import sys

from baselines.es import ES
from tests.problems import Quadratic
from zg.budget import Budget
from zg.run import progress
from zg.run.run import run

LINE = re.compile(r"(\d+)/(\d+) renders  batch loss (\S+)  best (\S+)  (\d+) s left")


def test_a_run_without_say_prints_nothing(capsys):
    run(Quadratic(), ES(), Budget(60))
    assert capsys.readouterr() == ("", "")


def test_the_last_line_has_the_whole_budget_and_no_time_left():
    said = []
    result = run(Quadratic(), ES(pairs=5), Budget(95), say=said.append)
    renders, budget, _, best, left = LINE.fullmatch(said[-1]).groups()
    assert (renders, budget, left) == ("95", "95", "0")
    assert float(best) == float(f"{result.row['best_loss']:.3g}")


def test_there_is_one_line_for_each_tenth_of_the_budget(monkeypatch):
    monkeypatch.setattr(progress, "UPDATE_SECONDS", 0.0)
    said = []
    run(Quadratic(), ES(pairs=5), Budget(1000), say=said.append)
    assert [int(LINE.fullmatch(line)[1]) for line in said] == list(range(100, 1001, 100))


def test_a_fast_run_prints_no_line_before_the_time_between_two_updates(monkeypatch):
    monkeypatch.setattr(progress, "UPDATE_SECONDS", 60.0)
    said = []
    run(Quadratic(), ES(pairs=5), Budget(1000), say=said.append)
    assert len(said) <= 2, "the first and the last"


def test_a_resumed_run_counts_from_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "UPDATE_SECONDS", 0.0)
    run(Quadratic(), ES(pairs=5), Budget(500), folder=tmp_path / "run")
    said = []
    run(Quadratic(), ES(pairs=5), Budget(1000), folder=tmp_path / "run", resume=True, say=said.append)
    assert [int(LINE.fullmatch(line)[1]) for line in said] == list(range(600, 1001, 100))


def test_on_a_terminal_there_is_a_bar_and_the_cursor_is_shown_again():
    script = """
import zg
zg.minimize(lambda x: float((x**2).sum()), [1.0, 2.0], max_renders=40, progress=True)
"""
    ours, terminal = pty.openpty()
    shown = b""
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", script], stdout=terminal, env=environment) as process:
        os.close(terminal)
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # the process has ended
                break
    os.close(ours)
    assert process.returncode == 0
    text = shown.decode()
    assert "40/40 renders" in text and "best" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is hidden at the end"
