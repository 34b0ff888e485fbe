"""The checkpoint of a run: when it is written, and which files are accepted."""

import shutil

import pytest
import torch

from baselines.es import ES
from tests.problems import Noisy
from zg.budget import Budget
from zg.errors import SettingError
from zg.run.checkpoint import CHECKPOINT_FILE, PREVIOUS_FILE, renders_in
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
        "seconds",
        "ledger",
        "path",
        "generator",
        "method",
        "asked",
        "pending",
        "repeats",
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
    assert said.startswith("resume needs a complete checkpoint of a run, got a file without a checksum: ")
    assert "other.ckpt" in said and "\n" not in said


def flipped(content: bytes, place: float) -> bytes:
    """The same bytes with one bit changed, at this fraction of their length."""
    k = min(int(place * len(content)), len(content) - 1)
    return content[:k] + bytes([content[k] ^ 4]) + content[k + 1 :]


def cut(content: bytes, place: float) -> bytes:
    """The first bytes, up to this fraction of their length."""
    return content[: int(place * len(content))]


@pytest.mark.parametrize("place", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("change", [flipped, cut])
def test_a_flipped_bit_and_a_missing_end_are_noticed(change, place, checkpoint, tmp_path):
    (tmp_path / "other.ckpt").write_bytes(change(checkpoint.read_bytes(), place))
    with pytest.raises(SettingError, match="resume needs a complete checkpoint of a run"):
        renders_in(tmp_path / "other.ckpt")


def test_a_run_goes_on_from_the_previous_checkpoint_if_the_last_one_is_damaged(tmp_path):
    folder, whole = tmp_path / "run", run(Noisy(), ES(), Budget(100), seed=2)
    run(Noisy(), ES(), Budget(60), seed=2, folder=folder, video=False, checkpoint_renders=20)
    broken = flipped((folder / CHECKPOINT_FILE).read_bytes(), 0.5)
    (folder / CHECKPOINT_FILE).write_bytes(broken)
    (folder / "history.csv").write_bytes(b"\xff" * 50)
    with pytest.warns(UserWarning, match=r"last.ckpt is a file that has changed since .*: the run goes on after \d+"):
        resumed = run(Noisy(), ES(), Budget(100), seed=2, folder=folder, resume=True, video=False)
    assert torch.equal(resumed.theta, whole.theta) and resumed.loss == whole.loss
    assert (folder / "last.ckpt.damaged").read_bytes() == broken, "no file of the user is lost"
    assert resumed.records[0]["loss"] == whole.records[0]["loss"], "the history is repaired"


def test_a_run_without_a_whole_checkpoint_is_not_resumed_and_keeps_its_files(tmp_path):
    folder = tmp_path / "run"
    run(Noisy(), ES(), Budget(60), folder=folder, video=False)
    for name in (CHECKPOINT_FILE, PREVIOUS_FILE):
        (folder / name).write_bytes(b"not a checkpoint")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(SettingError, match="resume needs a complete checkpoint of a run"):
        run(Noisy(), ES(), Budget(80), folder=folder, resume=True)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["history.csv", "frames", "row.json", "config.yaml"])
def test_a_folder_or_a_file_in_the_wrong_place_is_told_in_one_line(name, tmp_path):
    folder = tmp_path / "run"
    run(Noisy(), ES(), Budget(60), folder=folder)
    if name == "frames":
        shutil.rmtree(folder / name)
        (folder / name).write_text("no folder")
    else:
        (folder / name).unlink()
        (folder / name).mkdir()
    with pytest.raises(SettingError, match=f"out must have files that a run can write, got '.*{name}.*'"):
        run(Noisy(), ES(), Budget(80), folder=folder, resume=True, config={"seed": 0})
    assert renders_in(folder / CHECKPOINT_FILE) >= 60


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
