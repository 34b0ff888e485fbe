"""Runs of a task whose renderer is in other processes, and crashes or raises."""

from pathlib import Path

import pytest
import torch

from baselines.finite_differences import FiniteDifferences
from tests.processes import marked, nothing_left  # noqa: F401
from tests.zg.workers.scenes import disk
from zg.budget import Budget
from zg.cli.main import main
from zg.objective import Objective
from zg.run.run import run
from zg.scenes import WorkerTask
from zg.space import Block, ParameterSpace
from zg.workers.pool import PYTHON
from zg.zerograds.method import ZeroGrads

pytestmark = pytest.mark.usefixtures("nothing_left")
REFUSED = "ValueError: the centre is too high (disk.py, line 20)"


class Disk(WorkerTask):
    noisy = True

    def __init__(self, workers: int = 1, crash: float = -1.0, refuse: float = -1.0, program: str = "") -> None:
        super().__init__("multiscale", workers)
        self.settings = {"crash": crash, "refuse": refuse, "log": "log"}
        self.argv = [program] if program else PYTHON

    def build(self) -> None:
        self.space = ParameterSpace(position=Block([0.3, 0.3], low=0, high=1))
        self.solution = torch.tensor([0.6, 0.55], dtype=torch.float64)
        self.open_workers(self.argv, disk.__file__, self.settings, (1, disk.SIZE, disk.SIZE))
        self.set_reference(self.render(self.solution[None])[0])


def started():
    """x[0] of every render that has started."""
    return [float(line) for line in Path("log").read_text().splitlines()]


def test_a_run_finds_the_disk_and_ends_its_processes(tmp_path):
    task = Disk(workers=2)
    result = run(task, ZeroGrads(), Budget(200), seed=1)
    assert (result.theta - task.solution).abs().max() < 0.05
    assert result.renders == 200
    assert not marked(tmp_path)


def test_a_run_with_two_processes_gives_the_result_of_one_if_the_method_does_not_fill_its_batch():
    one, two = (run(Disk(workers), FiniteDifferences(), Budget(60)) for workers in (1, 2))
    assert torch.equal(one.theta, two.theta)
    assert [row["best_loss"] for row in one.records[1:]] == [row["best_loss"] for row in two.records[1:]]


def test_a_failed_render_is_counted_once_and_its_reason_is_kept():
    task = Disk(crash=0.25, refuse=0.25)
    task.setup()
    objective = Objective(task, max_renders=6)
    theta = torch.tensor([[0.5, 0.5], [0.5, 0.1], [0.1, 0.5], [0.6, 0.6]], dtype=torch.float64)
    evaluation = objective.evaluate(theta, 0)
    task.close()
    assert evaluation.valid.tolist() == [True, False, False, True]
    assert (objective.ledger.renders, objective.ledger.failed) == (4, 2)
    # The render at 0.1 crashes and is tried twice. The reference is the other render at 0.6.
    assert sorted(started()) == [0.1, 0.1, 0.5, 0.5, 0.6, 0.6]
    assert task.workers.errors == [REFUSED, "disk.py ended with code 3"]
    assert objective.ledger.last_error == "disk.py ended with code 3"


def test_a_run_goes_on_when_renders_crash():
    result = run(Disk(workers=2, crash=0.28), ZeroGrads(), Budget(90))
    assert result.renders == 90 and result.row["failed_renders"] > 0
    assert result.row["error"] == "disk.py ended with code 3"
    assert result.loss < 0.5 * result.row["init_loss"]


def test_a_run_whose_renders_all_fail_stops_and_gives_the_reason():
    result = run(Disk(refuse=0.5), ZeroGrads(), Budget(200))
    assert result.stop_reason == "failed renders"
    assert result.renders < 40
    assert result.row["error"] == REFUSED


@pytest.mark.parametrize(
    "settings, said",
    [
        (["--data.program", "no-such-renderer"], "program must be an executable, got 'no-such-renderer'"),
        (["--data.program", "/bin/false"], "'/bin/false' must run a Python file: disk.py ended with code 1"),
        (["--data.crash", "0.9"], "the reference of Disk must be finite: disk.py ended with code 3"),
        (["--data.workers", "0"], "workers must be > 0, got 0"),
    ],
)
def test_a_renderer_that_does_not_start_ends_the_command_with_one_line(settings, said, capsys):
    words = ["fit", "--data", "tests.zg.workers.test_task.Disk", *settings, "--out", "run"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not Path("run").exists()


def test_an_exception_in_the_method_ends_the_processes(tmp_path):
    class Broken(ZeroGrads):
        def tell(self, theta, evaluation):
            assert len(marked(tmp_path)) == 3
            raise RuntimeError("a mistake in the method")

    with pytest.raises(RuntimeError, match="a mistake in the method"):
        run(Disk(workers=2), Broken(), Budget(300))
    assert not marked(tmp_path)
