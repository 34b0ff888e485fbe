"""`zg watch`: what it knows of the runs in a folder, what it refuses, and the page in a browser."""

import csv
import html
import json
import multiprocessing
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from werkzeug.test import Client

from tasks.toy import Toy
from tests.problems import Noisy
from zg.budget import Budget
from zg.cli.main import main
from zg.cli.watch import runs as watched
from zg.cli.watch.runs import PNG_TAIL, Runs, thinned
from zg.cli.watch.server import Site, serve
from zg.config.compose import compose
from zg.functions import FunctionTask
from zg.run.files import CONFIG_FILE, LOCK_FILE, ROW_FILE
from zg.run.folder import held_folder
from zg.run.history import History
from zg.run.run import run
from zg.zerograds.method import ZeroGrads

CHROMIUM = shutil.which("chromium")
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync --virtual-time-budget=5000"
# A name that would be a script, if it were taken for HTML.
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of the toy that has ended, where `zg compare` would put it."""
    folder = tmp_path_factory.mktemp("made") / "grid" / "runs" / "toy" / "mine" / "seed1"
    config = compose({"data": "toy", "model": {"name": "zerograds", "sigma": 0.1}, "max_renders": 40, "seed": 1})
    run(Toy(), ZeroGrads(sigma=0.1), Budget(40), seed=1, folder=folder, config=config, curve_points=3)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy of this run, at the same place below an empty folder."""
    copy = tmp_path / "all" / made.relative_to(made.parents[4])
    shutil.copytree(made, copy)
    return copy


def seen(folder: Path, column: str = "loss") -> dict:
    """The only run in a folder."""
    (only,) = Runs(folder).all(column)
    return only


def test_a_run_that_has_ended_is_shown_with_its_names_numbers_pictures_and_settings(folder, tmp_path):
    found = seen(tmp_path)
    assert (found["task"], found["method"], found["seed"]) == ("toy", "zerograds", 1)
    assert (found["state"], found["reason"], found["renders"]) == ("ended", "budget", 40)
    assert found["name"] == "all/grid/runs/toy/mine/seed1"
    assert found["settings"]["model.init_args.sigma"] == "0.1"
    assert found["loss"] == json.loads((folder / ROW_FILE).read_text())["final_loss"]
    assert [point[0] for point in found["points"]] == [0, 2, 6, 40]
    assert {"panel.png", "curve.png", f"frames/{found['frames'][-1]}.png"} == set(found["pictures"])
    rows = csv.DictReader((folder / History.FILE).read_text().splitlines())
    assert [point[2] for point in seen(tmp_path, "sigma")["points"]] == [float(row["sigma"]) for row in rows]
    assert seen(folder)["name"] == "seed1", "the folder of one run"


def test_a_run_is_running_while_its_lock_is_held_and_killed_when_nobody_holds_it(folder):
    with held_folder(folder, True, {}):
        assert seen(folder)["state"] == "running"
        with held_folder(folder.parent / "seed2", False, compose({"data": "toy", "model": "es"})):
            new = seen(folder.parent / "seed2")
    assert (new["state"], new["task"], new["method"], new["points"]) == ("running", "toy", "mine", [])
    assert seen(folder)["state"] == "ended"

    def hold_and_die():
        with held_folder(folder, True, {}):
            os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=hold_and_die)
    process.start()
    process.join()
    assert (folder / LOCK_FILE).read_text() == str(process.pid)
    found = seen(folder)
    assert (found["state"], found["reason"]) == ("killed", ""), "the row is of the part before"
    (folder / LOCK_FILE).write_text(str(os.getpid()))
    assert seen(folder)["state"] == "killed", "the number of the process has gone to another one"
    (folder / ROW_FILE).touch()
    assert seen(folder)["state"] == "ended", "it was killed after its row was written"


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({"data": "toy", "model": "es"}, ("toy", "es")),
        ({"data": {"class_path": "my.Own"}, "model": "es"}, ("Own", "es")),
        ({"training": "spline_vae"}, ("spline_vae", "")),
        ({"model": "es"}, (FunctionTask.__name__, "es")),  # a run of `zg.optimize`
    ],
)
def test_a_run_without_a_row_is_called_as_its_config_says(config, names, tmp_path):
    with held_folder(tmp_path / "new", False, compose(config)):
        found = seen(tmp_path)
    assert (found["task"], found["method"]) == names


def test_files_that_are_half_written_are_left_out(folder):
    whole = seen(folder)
    os.mkfifo(folder / "frames" / "999999999.png")  # would be waited for
    newest = folder / "frames" / f"{whole['frames'][-1]}.png"
    newest.write_bytes(newest.read_bytes()[:-3])
    history = folder / History.FILE
    history.write_bytes(history.read_bytes()[:-3])
    for name in (ROW_FILE, "panel.png"):
        (folder / name).write_bytes((folder / name).read_bytes()[:-3])
    runs = Runs(folder)
    (found,) = runs.all()
    assert (found["state"], found["points"]) == ("killed", whole["points"][:-1]), "no row, and no process"
    assert found["frames"] == whole["frames"][:-1]
    assert runs.picture(found["id"], "panel.png") is None
    assert runs.picture(found["id"], f"frames/{found['frames'][-1]}.png").endswith(PNG_TAIL)
    history.write_text("renders,loss\n0,1\n1,broken\n2,inf\n3,0.5,7\n4\n5,0.25\n6,0.1")
    assert [point[::2] for point in seen(folder)["points"]] == [[0, 1], [3, 0.5], [5, 0.25]]
    for name, content in ((ROW_FILE, b"[1, 2]"), (CONFIG_FILE, b"a: [\xff"), (LOCK_FILE, b"no number")):
        (folder / name).write_bytes(content)
    assert seen(folder)["state"] == "killed"
    history.unlink()
    assert seen(folder)["points"] == []


def test_a_long_curve_is_thinned_and_keeps_its_end():
    assert thinned(list(range(1000)))[-1] == 999
    assert len(thinned(list(range(1000)))) <= watched.POINTS
    assert thinned([]) == []


@pytest.fixture
def client(folder, tmp_path):
    """Asks the site of the folder, as the browser of its owner does."""
    site = Client(Site(Runs(tmp_path / "all"), "token"))
    return lambda path, method="GET", host="127.0.0.1:1", **more: site.open(
        path, method=method, headers={"Host": host, **more}
    )


def test_only_the_address_with_the_token_and_only_reading_is_answered(client):
    assert client("/token/").status_code == 200
    assert client("/token").location == "/token/"
    for path in ("/", "/runs.json", "/toke/", "/tokens/runs.json", "/%FF/runs.json", "//token/", "/x/../token/"):
        assert client(path).status_code == 403, path
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"):
        assert client("/token/runs.json", method).status_code == 405, method
    assert client("/token/", host="localhost:9").status_code == 200, "a tunnel has a port of its own"
    for host in ("evil.example", "evil.example:7788", "127.0.0.1.evil.example", "", "localhost@evil.example"):
        assert client("/token/", host=host).status_code == 403, host
    policy = client("/token/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert client("/other/").headers["Content-Security-Policy"] == policy
    listed = client("/token/runs.json")
    assert client("/token/runs.json", **{"If-None-Match": listed.headers["ETag"]}).status_code == 304


def test_no_file_is_served_but_the_pictures_of_runs(client, folder, tmp_path):
    (tmp_path / "secret.png").write_bytes((folder / "panel.png").read_bytes())
    (folder / "mine.png").write_bytes((folder / "panel.png").read_bytes())
    (folder / "start.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "all" / "linked").symlink_to(folder)
    (only,) = client("/token/runs.json").json["runs"]
    base = f"/token/runs/{only['id']}"
    shown = client(f"{base}/panel.png")
    assert (shown.status_code, shown.mimetype, shown.data) == (200, "image/png", (folder / "panel.png").read_bytes())
    inside = ["mine.png", "start.png", "last.ckpt", "config.yaml", "history.csv", ".lock", "frames", "frames/x.png"]
    outside = ["../seed1/panel.png", "frames/../panel.png", "%2e%2e/seed1/panel.png", "/etc/passwd", "//etc/passwd"]
    upwards = "../" * len(folder.relative_to(tmp_path).parts)
    for name in [*inside, *outside, f"{upwards}secret.png", f"frames/{upwards}../secret.png", "panel.png%00"]:
        assert client(f"{base}/{name}").status_code == 404, name
    for id in ("x", "..", "all", only["name"]):
        assert client(f"/token/runs/{id}/panel.png").status_code == 404
        assert client(f"/token/runs/{id}/details.json").status_code == 404
    shutil.move(folder / "frames", tmp_path / "frames")
    (folder / "frames").symlink_to(tmp_path / "frames")
    assert client(f"{base}/frames/{only['frames'][-1]}.png").status_code == 404
    details = client(f"{base}/details.json").json
    assert details["config"] == (folder / CONFIG_FILE).read_text()
    assert details["numbers"]["renders"] == 40


def test_mistakes_are_told_in_one_line(capsys, tmp_path):
    assert main(["watch", "nowhere"]) == 2
    assert capsys.readouterr().err == "zg: folder must be one with runs, and there is none at 'nowhere'\n"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["watch", str(tmp_path), "--port", str(port)]) == 2
    assert capsys.readouterr().err == f"zg: port must be a free one, got {port}: Address already in use\n"
    assert main(["watch", str(tmp_path), "--port", "70000"]) == 2
    assert "from 0 to 65535" in capsys.readouterr().err


@pytest.fixture
def address(tmp_path):
    """The address of a page of the folder `all`, which listens on the loopback interface alone."""
    server, address = serve(Runs(tmp_path / "all"))
    assert server.socket.getsockname()[0] == "127.0.0.1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield address
    server.shutdown()
    thread.join()


def browsed(url: str, profile: Path) -> str:
    """The page as Debian's chromium has it after some seconds of its time."""
    command = [str(CHROMIUM), *FLAGS.split(), f"--user-data-dir={profile}", "--dump-dom", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_a_browser_shows_curves_pictures_and_settings_and_filters_runs(folder, address, tmp_path):
    other = folder.parent / EVIL
    shutil.copytree(folder, other)
    row = json.loads((other / ROW_FILE).read_text())
    (other / ROW_FILE).write_text(json.dumps({**row, "method": EVIL, "stop_reason": "error", "error": EVIL}))
    (other / CONFIG_FILE).write_text((other / CONFIG_FILE).read_text().replace("0.1", "0.2"))
    (failed,) = [each["id"] for each in Runs(tmp_path / "all").all() if each["state"] == "failed"]
    text = browsed(f"{address}#run={failed}", tmp_path / "profile")
    assert "<title>2 runs: 1 ended, 1 failed</title>" in text
    assert text.count('class="curve"') == 2
    assert "<img src=x" not in text
    assert html.escape(EVIL, quote=False) in text
    assert re.search(r'<img src="runs/\w+/panel.png\?version=\d+"', text)
    assert "sigma: 0.2" in text, "its config"
    filtered = browsed(f"{address}#method=zerograds&column=sigma&log=", tmp_path / "profile")
    assert filtered.count('class="curve"') == 1
    assert "1 hidden by the filter" in filtered
    assert "<p>sigma</p>" in filtered and "<p>loss, lowest so far</p>" in text


class Slow(Noisy):
    """Takes 50 ms per batch, so that somebody can watch."""

    def render(self, x, *seeds):
        time.sleep(0.05)
        return super().render(x, *seeds)


def go(folder: Path, seed: int):
    run(Slow(), ZeroGrads(), Budget(100_000), seed=seed, folder=folder, checkpoint_renders=40)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_a_browser_shows_three_runs_that_go_on_and_that_one_of_them_was_killed(address, tmp_path):
    folders = [tmp_path / "all" / f"run{number}" for number in range(3)]
    processes = [multiprocessing.Process(target=go, args=(folder, 0)) for folder in folders]
    for process in processes:
        process.start()
    try:
        while any(len(Runs(folder).all()) == 0 or not seen(folder)["points"] for folder in folders):
            assert all(process.is_alive() for process in processes)
            time.sleep(0.1)
        assert "<title>3 runs: 3 running</title>" in browsed(address, tmp_path / "profile")
        processes[1].kill()
        processes[1].join()
        text = browsed(address, tmp_path / "profile")
        assert "<title>3 runs: 1 killed, 2 running</title>" in text
        assert text.count('class="curve"') == 3
        assert all(process.is_alive() for process in processes[::2])
    finally:
        for process in processes:
            process.kill()
            process.join()


def test_the_command_prints_its_address_and_ends_with_ctrl_c(folder, tmp_path):
    command = [sys.executable, "-m", "zg.cli", "watch", str(tmp_path / "all")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == f"Runs in {tmp_path / 'all'}, 1 now:\n"
        process.stdout.readline()
        assert re.fullmatch(r"  http://127\.0\.0\.1:\d+/[\w-]{32}/\n", process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
