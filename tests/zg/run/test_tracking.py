"""Weights & Biases and other loggers: which mode is chosen, and what a run writes."""

import contextlib
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import wandb
import yaml

from tests.problems import Stripes
from zg.budget import Budget
from zg.cli.main import main
from zg.errors import SettingError
from zg.run.run import run
from zg.run.tracking import wandb_logger, wandb_mode
from zg.zerograds.method import ZeroGrads


@pytest.fixture
def tracked(monkeypatch, tmp_path):
    """W&B is not disabled, and there is no key."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    return monkeypatch


def test_without_a_key_the_mode_is_offline(tracked):
    assert wandb_mode() == "offline"


def test_with_a_key_the_mode_depends_on_the_server_and_is_known_within_2_seconds(tracked):
    tracked.setenv("WANDB_API_KEY", "0" * 40)
    with socket.create_server(("127.0.0.1", 0)) as server:
        tracked.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert wandb_mode() == "online"
    start = time.perf_counter()
    assert wandb_mode() == "offline"
    assert time.perf_counter() - start < 2.5


class Refuse(BaseHTTPRequestHandler):
    """A server that refuses every key."""

    def do_POST(self):
        self.send_response(401)
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *args):
        pass


def accept_and_say_nothing(server: socket.socket, taken: list[socket.socket]) -> None:
    with contextlib.suppress(OSError):
        while True:
            taken.append(server.accept()[0])


@pytest.mark.parametrize("kind", ["hangs", "refuses"])
def test_a_server_that_hangs_or_refuses_the_key_makes_the_run_offline(kind, tracked, tmp_path, capsys):
    tracked.setenv("WANDB_API_KEY", "0" * 40)
    taken: list[socket.socket] = []
    if kind == "refuses":
        server = HTTPServer(("127.0.0.1", 0), Refuse)
        port, serve = server.server_address[1], server.serve_forever
    else:
        listening = socket.create_server(("127.0.0.1", 0))
        port, serve = listening.getsockname()[1], lambda: accept_and_say_nothing(listening, taken)
    threading.Thread(target=serve, daemon=True).start()
    tracked.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
    start = time.perf_counter()
    result = run(Stripes(), ZeroGrads(), Budget(60), folder=tmp_path / "run", wandb="auto", video=False)
    assert result.renders == 60
    assert time.perf_counter() - start < 40
    assert "W&B is offline: " in capsys.readouterr().out
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*"))
    assert (tmp_path / "run" / "row.json").is_file()


def test_online_without_a_key_prints_why_it_is_offline(tracked, capsys):
    assert wandb_mode("online") == "offline"
    assert capsys.readouterr().out == "W&B is offline: there is no key\n"


def test_the_key_is_also_read_from_netrc(tracked, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
    tracked.setenv("NETRC", str(tmp_path / "netrc"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        tracked.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert wandb_mode() == "online"


def test_wandb_mode_overrides_the_setting(tracked):
    tracked.setenv("WANDB_MODE", "disabled")
    assert wandb_mode("online") == "disabled"
    tracked.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(
        SettingError, match="WANDB_MODE must be one of auto, online, offline, disabled, got 'sometimes'"
    ):
        wandb_mode()


def test_a_resumed_run_keeps_its_id_in_wandb(tracked, tmp_path):
    folder = tmp_path / "run"
    run(Stripes(), ZeroGrads(), Budget(60), folder=folder, wandb="auto", video=False)
    known = (folder / "wandb-id").read_text()
    run(Stripes(), ZeroGrads(), Budget(120), folder=folder, wandb="auto", video=False, resume=True)
    assert (folder / "wandb-id").read_text() == known
    runs = list((folder / "wandb").glob("offline-run-*"))
    assert runs
    assert all(known in path.name for path in runs)  # W&B adds a number to names within one second
    assert list((folder / "wandb").glob("offline-run-*/*.wandb"))


def test_a_yaml_adds_a_tensorboard_logger(tmp_path):
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


@pytest.mark.parametrize("url", ["notaurl", "http://127.0.0.1:abc", "http://[x"])
def test_an_address_that_is_none_makes_the_mode_offline(url, tracked, capsys):
    tracked.setenv("WANDB_API_KEY", "0" * 40)
    tracked.setenv("WANDB_BASE_URL", url)
    assert wandb_mode("online") == "offline"
    assert f"WANDB_BASE_URL must be an address such as https://api.wandb.ai, got '{url}'" in capsys.readouterr().out


def test_a_netrc_that_is_no_text_holds_no_key(tracked, tmp_path):
    (tmp_path / "netrc").write_bytes(b"\xff\xfe\x00machine x\n")
    tracked.setenv("NETRC", str(tmp_path / "netrc"))
    assert wandb_mode() == "offline"


@pytest.mark.parametrize(
    ("name", "value"), [("WANDB_PROJECT", "a/b"), ("WANDB_DISABLE_GIT", "x"), ("WANDB_SERVICE", "x")]
)
def test_what_wandb_refuses_becomes_a_warning_and_the_run_goes_on(name, value, tracked, tmp_path):
    tracked.setenv("WANDB_MODE", "offline")
    tracked.setenv(name, value)
    before = dict(os.environ)
    with pytest.warns(UserWarning, match="the start of Weights & Biases failed: "):
        result = run(Stripes(), ZeroGrads(), Budget(8), folder=tmp_path / "run", wandb="auto", video=False)
    assert result.renders == 8
    assert (tmp_path / "run" / "row.json").is_file()
    assert dict(os.environ) == before


def test_long_names_odd_cases_and_an_unwritable_home_leave_wandb_at_work_and_nothing_behind(tracked, tmp_path):
    tracked.setenv("WANDB_MODE", "OFFLINE")
    tracked.setenv("HOME", "/dev/null")
    tracked.setenv("WANDB_DATA_DIR", str(tmp_path / "mine"))
    before = dict(os.environ)
    with wandb_logger(tmp_path, wandb_mode(), "a" * 300, "b" * 300, ["c" * 65 + "end"]) as logger:
        assert os.environ["WANDB_DATA_DIR"] == str(tmp_path / "mine"), "the user's value stays"
        (tag,) = logger.experiment.tags
        assert len(tag) == 64 and tag.endswith("end")
        logger.log_table("numbers", columns=["n"], data=[[1]])
    assert list((tmp_path / "wandb").glob("offline-run-*"))
    assert dict(os.environ) == before
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("wandb")]


def test_a_run_of_wandb_that_the_caller_has_open_stays_open_and_apart(tracked, tmp_path):
    tracked.setenv("WANDB_MODE", "offline")
    quiet = wandb.Settings(silent=True, console="off")
    with wandb.init(dir=tmp_path, project="mine", settings=quiet) as mine:
        run(Stripes(), ZeroGrads(), Budget(8), folder=tmp_path / "run", wandb="auto", video=False)
        assert wandb.run is mine
        mine.log({"still": 1})
    assert len(list((tmp_path / "run" / "wandb").glob("offline-run-*"))) == 1
    wandb.teardown()
