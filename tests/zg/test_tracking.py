import socket
import time

import pytest
import yaml

from tests.problems import Stripes
from zg.cli import main
from zg.errors import SettingError
from zg.method import Budget
from zg.run import run
from zg.tracking import wandb_mode
from zg.zerograds import ZeroGrads


@pytest.fixture
def tracked(monkeypatch, tmp_path):
    """W&B as it is for somebody without a key."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    return monkeypatch


def test_without_a_key_it_is_offline(tracked):
    assert wandb_mode() == "offline"


def test_with_a_key_the_network_decides_within_two_seconds(tracked):
    tracked.setenv("WANDB_API_KEY", "0" * 40)
    with socket.create_server(("127.0.0.1", 0)) as server:
        tracked.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert wandb_mode() == "online"
    start = time.perf_counter()
    assert wandb_mode() == "offline"
    assert time.perf_counter() - start < 2.5


def test_a_key_may_be_in_the_netrc(tracked, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
    tracked.setenv("NETRC", str(tmp_path / "netrc"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        tracked.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert wandb_mode() == "online"


def test_the_environment_has_the_last_word(tracked):
    tracked.setenv("WANDB_MODE", "disabled")
    assert wandb_mode("online") == "disabled"
    tracked.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(SettingError, match="wandb must be one of auto, online, offline, disabled, got 'sometimes'"):
        wandb_mode()


def test_a_run_is_tracked_offline_and_resumed_under_the_same_id(tracked, tmp_path):
    folder = tmp_path / "run"
    run(Stripes(), ZeroGrads(), Budget(60), folder=folder, wandb="auto", video=False)
    known = (folder / "wandb-id").read_text()
    run(Stripes(), ZeroGrads(), Budget(120), folder=folder, wandb="auto", video=False, resume=True)
    assert (folder / "wandb-id").read_text() == known
    runs = list((folder / "wandb").glob("offline-run-*"))
    assert runs
    assert all(known in path.name for path in runs)  # within one second, W&B numbers them
    assert list((folder / "wandb").glob("offline-run-*/*.wandb"))


def test_tensorboard_is_added_by_lightnings_logger_in_a_yaml(tmp_path):
    pytest.importorskip("tensorboard")
    (tmp_path / "board.yaml").write_text(
        yaml.safe_dump(
            {
                "data": "toy",
                "model": "es",
                "max_renders": 60,
                "trainer": {
                    "logger": {
                        "class_path": "pytorch_lightning.loggers.TensorBoardLogger",
                        "init_args": {"save_dir": str(tmp_path / "board")},
                    }
                },
            }
        )
    )
    assert main(["fit", "--config", "board.yaml", "--out", "run"]) == 0
    assert list((tmp_path / "board").rglob("events.out.*"))
