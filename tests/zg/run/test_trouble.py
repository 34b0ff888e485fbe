"""Errors from outside during a run: of the disk, of devices, and exceptions in a render."""

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
    """Raises KeyboardInterrupt in the seventh batch, as a second Ctrl-C does."""

    batches = 0

    def render(self, x, *seeds):
        self.batches += len(x) > 1  # renders of the curve have one row
        if self.batches == 7:
            raise KeyboardInterrupt
        return super().render(x, *seeds)


NAMED = ("bayesian_quadratic", "dd_cmaes", "neural", "sketched_gradient")


@pytest.mark.parametrize(
    "method",
    [ZeroGrads, *(partial(ZeroGrads, surrogate=name) for name in NAMED), ES],
    ids=["default", *NAMED, "es"],
)
def test_a_run_resumes_after_an_exception_in_a_render(method, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(Fragile(), method(), Budget(150), folder=tmp_path / "broken")
    assert signal.getsignal(signal.SIGINT) is before
    resumed = run(Quadratic(), method(), Budget(150), folder=tmp_path / "broken", resume=True)
    unbroken = run(Quadratic(), method(), Budget(150))
    assert torch.equal(resumed.theta, unbroken.theta)


@pytest.fixture
def small_files():
    """Limits every file to 4 KiB: the kernel then raises an error as for a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_raises_a_setting_error(tmp_path):
    with pytest.raises(SettingError, match=r"out must be on a disk with room for a run, .*File too large") as caught:
        run(Quadratic(n=2000), ES(), Budget(400), folder=tmp_path / "run")
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EFBIG


def test_a_folder_that_cannot_be_made_raises_a_setting_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match=r"out must be a folder that can be written, got .*Not a directory"):
        run(Quadratic(), ES(), Budget(20), folder=tmp_path / "file" / "run")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_missing_device_raises_a_setting_error_of_one_line():
    with pytest.raises(
        SettingError, match=r"trainer must suit Lightning and this machine, got .*'accelerator': 'gpu'"
    ) as caught:
        run(Quadratic(), ES(), Budget(20), trainer={"accelerator": "gpu"})
    assert "\n" not in str(caught.value)
