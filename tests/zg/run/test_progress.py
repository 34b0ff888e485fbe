"""The progress of a run: one line on a terminal, lines of text where they are asked for, else nothing."""

import os
import pty
import re
import subprocess
import sys

import pytest

import zg
from baselines.es import ES
from tests.problems import Quadratic
from zg.budget import Budget
from zg.loop import Loop
from zg.run import progress
from zg.run.progress import Pace
from zg.run.run import run
from zg.space import Block, ParameterSpace

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


def test_a_resumed_run_counts_the_seconds_of_all_its_parts(tmp_path):
    first = run(Quadratic(), ES(pairs=5), Budget(500), folder=tmp_path / "run").row
    second = run(Quadratic(), ES(pairs=5), Budget(600), folder=tmp_path / "run", resume=True).row
    assert second["seconds"] > 0.8 * first["seconds"] + second["seconds_render"] - first["seconds_render"]
    assert first["seconds"] >= first["seconds_render"] + first["seconds_method"]


def test_the_time_left_follows_the_last_half_of_the_run():
    loop = Loop(ES(), Budget(100))
    loop.start_without_renderer(ParameterSpace(x=Block(0.0)))
    pace = Pace()
    for second in range(41):  # one render a second, and from the 20th second on two
        renders = second if second < 20 else 2 * second - 20
        pace.note(second, renders)
    loop.ledger.renders = renders
    assert pace.left(loop) == pytest.approx((100 - 60) / 2, rel=0.05)
    loop.budget = Budget(100, max_seconds=3.0)
    assert pace.left(loop) == 3.0


def test_many_updates_are_thinned_out():
    pace = Pace()
    for second in range(100_000):
        pace.note(second, second)
    assert len(pace._seen) <= progress.KEPT


SCRIPT = """
import os, signal, zg
def f(x):
    calls.append(1)
    if len(calls) == {kill_at}:
        os.kill(os.getpid(), signal.SIGINT)
    return float("nan") if len(calls) == 9 else float((x**2).sum())
calls = []
zg.minimize(f, [1.0, 2.0], max_renders=40, method="es", catch_signals=True{more})
"""


def on_a_terminal(kill_at=0, more=""):
    """What a script writes to standard error where that is a terminal, and to standard output."""
    ours, terminal = pty.openpty()
    shown = b""
    script = SCRIPT.format(kill_at=kill_at, more=more)
    command = [sys.executable, "-W", "ignore", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal) as process:
        os.close(terminal)
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # the process has ended
                break
        said = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0
    return shown.decode(), said.decode()


def test_on_a_terminal_there_is_one_line_on_standard_error_by_default():
    shown, said = on_a_terminal()
    assert said == ""
    assert shown.count("\n") == 1, "one line, which is written over"
    last = [part for part in shown.split("\r") if "renders" in part][-1]
    assert all(words in last for words in ("40/40 renders", "best", "1 failed", "stopped: budget"))


def test_a_run_that_is_refused_leaves_a_whole_line():
    script = "import zg; zg.minimize(lambda x: 1 / 0, [1.0])"
    ours, terminal = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", script], stderr=terminal) as process:
        os.close(terminal)
        shown = b""
        while b"ZeroDivisionError" not in shown:
            shown += os.read(ours, 4096)
    os.close(ours)
    assert process.returncode == 1
    assert re.search(r"starting *\r?\n|0/2000 renders[^\n]*\n", shown.decode())
    assert "\nTraceback" in shown.decode()


def test_after_an_interrupt_the_bar_stays_where_it_was():
    shown, _ = on_a_terminal(kill_at=21)
    renders = re.findall(r"(\d+)/(\d+) renders", shown)
    assert int(renders[-1][0]) < 40 and renders[-1][1] == "40"
    assert "stopped: interrupted" in shown


def test_progress_can_be_refused_on_a_terminal_and_wanted_in_a_script(capsys):
    assert on_a_terminal(more=", progress=False") == ("", "")
    zg.minimize(lambda x: float((x**2).sum()), [1.0], max_renders=20)
    assert capsys.readouterr() == ("", ""), "silent in a script"
    zg.minimize(lambda x: float((x**2).sum()), [1.0], max_renders=20, progress=True)
    shown = capsys.readouterr()
    assert shown.out == "" and LINE.fullmatch(shown.err.splitlines()[-1])
    with pytest.raises(zg.SettingError, match="progress must be True or False"):
        zg.minimize(lambda x: x**2, 1.0, progress="yes")
