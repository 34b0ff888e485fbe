"""What the outside does to a run: disks, devices, exceptions half-way."""

import errno
import resource
import signal
from functools import partial

import pytest
import torch

from baselines.es import ES
from tests.problems import Quadratic
from zg.budget import Budget
from zg.errors import SettingError
from zg.run.run import run
from zg.zerograds.method import ZeroGrads


class Fragile(Quadratic):
    """Raises KeyboardInterrupt, as a second Ctrl-C does, in the middle of the seventh batch."""

    batches = 0

    def render(self, x, *seeds):
        self.batches += len(x) > 1  # measurements render one
        if self.batches == 7:
            raise KeyboardInterrupt
        return super().render(x, *seeds)


NAMED = ("bayesian_quadratic", "dd_cmaes", "neural", "sketched_gradient")


@pytest.mark.parametrize(
    "method",
    [ZeroGrads, *(partial(ZeroGrads, surrogate=name) for name in NAMED), ES],
    ids=["default", *NAMED, "es"],
)
def test_an_exception_in_a_render_leaves_a_checkpoint_to_go_on_from(method, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit):
        run(Fragile(), method(), Budget(150), folder=tmp_path / "broken")
    assert signal.getsignal(signal.SIGINT) is before
    resumed = run(Quadratic(), method(), Budget(150), folder=tmp_path / "broken", resume=True)
    unbroken = run(Quadratic(), method(), Budget(150))
    assert torch.equal(resumed.theta, unbroken.theta)


def test_a_checkpoint_that_is_none_is_told_in_one_line(tmp_path):
    run(Quadratic(), ES(), Budget(40), folder=tmp_path / "run")
    (tmp_path / "run" / "last.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(SettingError, match="resume needs a whole checkpoint of a run"):
        run(Quadratic(), ES(), Budget(80), folder=tmp_path / "run", resume=True)


@pytest.mark.parametrize("settings", [{"max_steps": 3}, {"devices": 2}, {"strategy": "ddp"}])
def test_settings_of_the_trainer_that_would_end_or_spread_a_run_are_refused(settings):
    with pytest.raises(SettingError, match=f"trainer.{next(iter(settings))} "):
        run(Quadratic(), ES(), Budget(20), trainer=settings)


@pytest.fixture
def small_files():
    """No file may grow beyond 4 KiB: the kernel's own way to have no room."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_no_room_on_the_disk_is_told_in_one_line(tmp_path):
    with pytest.raises(SettingError, match=r"out must have room for a run, .*File too large") as caught:
        run(Quadratic(n=2000), ES(), Budget(400), folder=tmp_path / "run")
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EFBIG


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match=r"out must be a folder that can be written, got .*Not a directory"):
        run(Quadratic(), ES(), Budget(20), folder=tmp_path / "file" / "run")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_told_in_one_line():
    with pytest.raises(SettingError, match=r"trainer must suit this machine, got .*'accelerator': 'gpu'") as caught:
        run(Quadratic(), ES(), Budget(20), trainer={"accelerator": "gpu"})
    assert "\n" not in str(caught.value)
