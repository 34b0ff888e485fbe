"""Blender in processes of its own: where it is found, and what happens when it is killed."""

import os
import signal
import threading
from pathlib import Path

import pytest
import torch

from tasks.led_display import LedDisplay
from tasks.renderers.blender import BlenderTask, blender_argv
from tests.processes import nothing_left, renderers  # noqa: F401
from tests.tasks.blender import CLOSE, EXECUTABLE, far_off, needs_blender, needs_executable
from tests.tasks.golden import built
from zg.errors import SettingError
from zg.method import Budget
from zg.run.run import run
from zg.space import Block, ParameterSpace
from zg.zerograds.method import ZeroGrads


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"oversample": 0}, "oversample must be > 0, got 0"),
        ({"engine": "eevee"}, "engine must be workbench or cycles, got 'eevee': without a GPU that takes a minute"),
        ({"engine": "workbenhc"}, "engine 'workbenhc' is unknown; did you mean 'workbench'?"),
        ({"blender": "no-such-blender"}, "blender must be the path of an executable, got 'no-such-blender'"),
        ({"blender": "/bin/true"}, "'/bin/true .*' must run a Python file: led_display.py ended with code 0"),
    ],
)
def test_mistakes_are_told_in_one_line(settings, said):
    with pytest.raises(SettingError, match=said) as told:
        built(LedDisplay(**settings))
    assert "\n" not in str(told.value)


def test_where_there_is_no_blender_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("sys.path", [])
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SettingError, match=r"Blender must be installed: .*\[blender\].* Debian's packages"):
        blender_argv()


class Coil(BlenderTask):
    """The example of docs/renderers.md."""

    def build(self):
        self.space = ParameterSpace(turns=Block([5.0], low=2, high=12, kind="integer"))
        self.solution = torch.tensor([8.0], dtype=torch.float64)
        self.open_scene(Path(__file__).with_name("coil_scene.py"), width=96, height=64)
        self.set_reference(self.render(self.solution[None])[0])


@needs_blender
@pytest.mark.usefixtures("nothing_left")
def test_a_scene_of_ones_own():
    result = run(Coil(), ZeroGrads(), Budget(60))
    assert result.theta.tolist() == [8.0] and result.loss == 0


@needs_executable
@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("engine", ["workbench", "cycles"])
def test_an_executable_renders_the_same(engine):
    task = built(LedDisplay(blender=EXECUTABLE, engine=engine, workers=1))
    assert task.workers.version[0].isdigit()
    assert far_off(task.reference(), "led_display") < (CLOSE if engine == "workbench" else 0.02)
    task.close()


@needs_blender
@pytest.mark.usefixtures("nothing_left")
def test_a_seed_decides_the_noise_of_cycles():
    task = built(LedDisplay(engine="cycles", workers=1))
    assert task.noisy
    x = task.solution.expand(3, -1)
    first, again, other = task.render(x, torch.tensor([1, 1, 2]))
    assert torch.equal(first, again)
    assert 0 < (first - other).abs().mean() < 0.05
    task.close()


@needs_blender
@pytest.mark.usefixtures("nothing_left")
def test_a_run_goes_on_when_blender_is_killed_while_rendering(tmp_path):
    killed = []
    over = threading.Event()

    def kill():
        while len(killed) < 2 and not over.wait(0.3):
            for process in [process for process in renderers(tmp_path) if process not in killed][:1]:
                if Path("started").exists():
                    os.kill(process, signal.SIGKILL)
                    killed.append(process)

    class Begin(ZeroGrads):
        def build(self, theta):
            super().build(theta)
            Path("started").touch()

    task = LedDisplay(workers=2, oversample=1)
    thread = threading.Thread(target=kill)
    thread.start()
    result = run(task, Begin(), Budget(120))
    over.set()
    thread.join()
    assert task.workers.lost >= 2
    assert result.renders == 120 and result.row["failed_renders"] == 0
    unhurt = run(LedDisplay(workers=1, oversample=1), ZeroGrads(), Budget(120))
    assert torch.equal(result.theta, unhurt.theta)
