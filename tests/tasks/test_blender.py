"""Blender in processes of its own: where it is found, wrong settings, and runs in which it is killed."""

import os
import signal
import threading
from pathlib import Path

import pytest
import torch

from tasks.led_display import LedDisplay
from tasks.renderers.blender import BlenderTask, blender_argv
from tests.processes import nothing_left, until  # noqa: F401
from tests.tasks.blender import CLOSE, EXECUTABLE, difference, needs_blender, needs_executable
from tests.tasks.golden import built
from zg.budget import Budget
from zg.errors import SettingError
from zg.run.run import run
from zg.space import Block, ParameterSpace
from zg.zerograds.method import ZeroGrads


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"oversample": 0}, "oversample must be > 0, got 0"),
        ({"engine": "eevee"}, "engine must be workbench or cycles, got 'eevee', which takes a minute a frame"),
        ({"engine": "workbenhc"}, "engine 'workbenhc' is unknown; did you mean 'workbench'?"),
        ({"blender": "no-such-blender"}, "blender must be the path of an executable, got 'no-such-blender'"),
        ({"blender": "/bin/true"}, "'/bin/true .*' must run a Python file: led_display.py ended with code 0"),
    ],
)
def test_a_wrong_setting_raises_an_error_of_one_line(settings, said):
    with pytest.raises(SettingError, match=said) as raised:
        built(LedDisplay(**settings))
    assert "\n" not in str(raised.value)


def test_where_blender_is_not_installed_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("sys.path", [])
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SettingError, match=r"Blender must be installed: .*\[blender\].* Debian's packages"):
        blender_argv()


class Coil(BlenderTask):
    """A task with a scene file of its own."""

    def build(self):
        self.space = ParameterSpace(turns=Block([5.0], low=2, high=12, kind="integer"))
        self.solution = torch.tensor([8.0], dtype=torch.float64)
        self.open_scene(Path(__file__).with_name("coil_scene.py"), width=96, height=64)
        self.set_reference(self.render(self.solution[None])[0])


@needs_blender
@pytest.mark.usefixtures("nothing_left")
def test_a_run_finds_the_turns_of_a_users_scene():
    result = run(Coil(), ZeroGrads(), Budget(60))
    assert result.theta.tolist() == [8.0] and result.loss == 0


@needs_executable
@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("engine", ["workbench", "cycles"])
def test_blenders_executable_renders_the_golden_image(engine):
    task = built(LedDisplay(blender=EXECUTABLE, engine=engine, workers=1))
    assert task.workers.version[0].isdigit()
    assert difference(task.reference(), "led_display") < (CLOSE if engine == "workbench" else 0.02)
    task.close()


@needs_blender
@pytest.mark.usefixtures("nothing_left")
def test_the_noise_of_cycles_depends_on_the_seed_alone():
    task = built(LedDisplay(engine="cycles", workers=1))
    assert task.noisy
    x = task.solution.expand(3, -1)
    first, again, other = task.render(x, torch.tensor([1, 1, 2]))
    assert torch.equal(first, again)
    assert 0 < (first - other).abs().mean() < 0.05
    task.close()


class Killed(LedDisplay):
    """Kills a renderer process while it renders, in two batches."""

    kills = 0

    def render(self, x, *seeds):
        if self.kills == 2 or len(x) < 2:  # with fewer renders than processes, some processes are idle
            return super().render(x, *seeds)
        self.kills += 1
        victim = next(process for process in self.workers._running.processes if process.ready)
        os.kill(victim.popen.pid, signal.SIGSTOP)  # so that it cannot finish its render before it is killed
        killer = threading.Thread(target=self.kill, args=(victim,))
        killer.start()
        images = super().render(x, *seeds)
        killer.join()
        return images

    def kill(self, victim):
        until(lambda: victim.job is not None)
        os.kill(victim.popen.pid, signal.SIGKILL)


@needs_blender
@pytest.mark.usefixtures("nothing_left")
def test_a_run_gives_the_same_result_when_blender_is_killed_while_it_renders():
    task = Killed(workers=2, oversample=1)
    result = run(task, ZeroGrads(), Budget(120))
    assert task.workers.lost == 2
    assert result.renders == 120 and result.row["failed_renders"] == 0
    undisturbed = run(LedDisplay(workers=1, oversample=1), ZeroGrads(), Budget(120))
    assert torch.equal(result.theta, undisturbed.theta)
