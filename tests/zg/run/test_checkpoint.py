"""The checkpoint of a run: when it is written, and which files are accepted."""

import pytest
import torch

from baselines.es import ES
from tests.problems import Noisy
from zg.budget import Budget
from zg.errors import SettingError
from zg.run.checkpoint import CHECKPOINT_FILE, renders_in
from zg.run.observer import Observer
from zg.run.run import run


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The checkpoint of a run of 60 renders."""
    folder = tmp_path_factory.mktemp("run")
    run(Noisy(), ES(), Budget(60), folder=folder, video=False)
    return folder / CHECKPOINT_FILE


def test_a_checkpoint_has_the_number_of_counted_renders(checkpoint):
    assert renders_in(checkpoint) == 60


def test_a_checkpoint_holds_tensors_and_plain_values_only(checkpoint):
    state = torch.load(checkpoint, weights_only=True)
    assert state["loop"]["ledger"]["renders"] == 60
    assert state["loop"].keys() == {
        "identity",
        "iteration",
        "seconds_method",
        "ledger",
        "path",
        "generator",
        "method",
    }


FOREIGN = {
    "text": lambda path: path.write_text("not a checkpoint"),
    "empty": lambda path: path.write_bytes(b""),
    "a dictionary": lambda path: torch.save({"state_dict": {}}, path),
    "a list": lambda path: torch.save([1, 2], path),
    "a tensor": lambda path: torch.save(torch.zeros(3), path),
    "a number": lambda path: torch.save(5, path),
    "other objects": lambda path: torch.save({"loop": Budget()}, path),
}


@pytest.mark.parametrize("write", FOREIGN.values(), ids=FOREIGN)
def test_another_file_raises_a_setting_error_of_one_line_with_its_path(write, tmp_path):
    write(tmp_path / "other.ckpt")
    with pytest.raises(SettingError) as refused:
        renders_in(tmp_path / "other.ckpt")
    said = str(refused.value)
    assert said.startswith("resume needs a complete checkpoint of a run, got a file that cannot be read as one: ")
    assert "other.ckpt" in said and "\n" not in said


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.99])
def test_a_truncated_checkpoint_raises_a_setting_error(fraction, checkpoint, tmp_path):
    content = checkpoint.read_bytes()
    (tmp_path / "half.ckpt").write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(SettingError, match="resume needs a complete checkpoint of a run"):
        renders_in(tmp_path / "half.ckpt")


def test_a_checkpoint_of_an_earlier_version_is_named_as_such(tmp_path):
    torch.save({"zerograds": {"renders": 60}}, tmp_path / "last.ckpt")
    with pytest.raises(SettingError, match="resume needs a checkpoint of this version, got an earlier version"):
        renders_in(tmp_path / "last.ckpt")


def test_a_run_with_another_file_as_checkpoint_is_not_resumed(tmp_path):
    folder = tmp_path / "run"
    run(Noisy(), ES(), Budget(60), folder=folder, video=False)
    (folder / CHECKPOINT_FILE).write_bytes(b"not a checkpoint")
    with pytest.raises(SettingError, match="resume needs a complete checkpoint of a run"):
        run(Noisy(), ES(), Budget(80), folder=folder, resume=True)
    assert (folder / CHECKPOINT_FILE).read_bytes() == b"not a checkpoint", "the file of the user is not overwritten"


class Watch(Observer):
    """Reads the renders in the checkpoint before each iteration."""

    def __init__(self, folder):
        self.path, self.seen = folder / CHECKPOINT_FILE, []

    def iterated(self, loop):
        self.seen.append(renders_in(self.path) if self.path.is_file() else None)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"checkpoint_renders": 40}, [0, 0, 40, 40, 80]),
        ({"checkpoint_renders": 50}, [0, 0, 0, 60, 60]),
        ({"checkpoint_seconds": 1e-9}, [0, 20, 40, 60, 80]),
        ({}, [0, 0, 0, 0, 0]),
    ],
    ids=["every 40 renders", "every 50 renders", "as often as possible", "every minute"],
)
def test_a_checkpoint_is_written_every_n_renders_or_seconds_and_at_the_end(settings, expected, tmp_path):
    """Each iteration is 20 renders. `Watch` is called before the checkpoint of the same iteration is written."""
    watch = Watch(tmp_path / "run")
    run(Noisy(), ES(), Budget(100), folder=tmp_path / "run", video=False, observers=[watch], **settings)
    assert watch.seen == expected
    assert renders_in(watch.path) == 100


def test_an_exception_while_a_method_learns_keeps_the_former_checkpoint(tmp_path):
    """The state of the method is then incomplete."""

    class Broken(ES):
        def tell(self, theta, evaluation):
            if self.ledger.renders == 80:
                raise ZeroDivisionError
            super().tell(theta, evaluation)

    with pytest.raises(ZeroDivisionError):
        run(Noisy(), Broken(), Budget(100), folder=tmp_path / "run", video=False, checkpoint_renders=40)
    assert renders_in(tmp_path / "run" / CHECKPOINT_FILE) == 40
