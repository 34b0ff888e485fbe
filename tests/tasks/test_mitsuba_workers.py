"""Mitsuba in renderer processes, by a user's scene file."""

import gc
import math
import os

import numpy as np
import pytest
import torch

from tests.processes import nothing_left, resident_mb  # noqa: F401
from tests.tasks import cornell_scene
from zg.budget import Budget
from zg.run.run import run
from zg.scenes import WorkerTask
from zg.space import Block, ParameterSpace
from zg.workers.pool import PYTHON, PoolSettings, Scene, open_pool
from zg.zerograds.method import ZeroGrads

pytestmark = pytest.mark.usefixtures("nothing_left")
SETTINGS = {"size": 16, "samples": 8}


class Light(WorkerTask):
    noisy = True

    def build(self) -> None:
        self.space = ParameterSpace(x=Block([0.4], low=-0.7, high=0.7))
        self.solution = torch.zeros(1, dtype=torch.float64)
        self.memory: list[float] = []
        self.open_workers(PYTHON, cornell_scene.__file__, SETTINGS, (3, 16, 16))
        self.set_reference(self.render(self.solution[None])[0])

    def render(self, x, *seeds):
        images = super().render(x, *seeds)
        self.memory += [resident_mb([os.getpid(), *self.workers.pids])] * len(x)
        return images


def test_every_renderer_process_gives_the_images_of_a_plain_loop():
    renderer = cornell_scene.load(SETTINGS)
    x = np.linspace(-0.3, 0.3, 8)[:, None]
    expected = np.stack([renderer.render(one, seed) for seed, one in enumerate(x)]).astype(np.float32)
    scene = Scene(PYTHON, cornell_scene.__file__, SETTINGS, (3, 16, 16))
    with open_pool(scene, PoolSettings(workers=2)) as pool:
        assert pool.version.startswith("Mitsuba 3.")
        assert np.array_equal(pool.render(x, range(8)), expected)
        assert np.array_equal(pool.render(x[::-1], range(7, -1, -1))[::-1], expected)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_memory_stays_bounded_over_2000_renders(workers):
    task = Light(workers=workers)
    result = run(task, ZeroGrads(), Budget(2000))
    gc.collect()
    first, most = task.memory[100], max(task.memory[100:])
    print(
        f"{workers} workers: {first:.0f} MB after 100 renders, {most:.0f} MB at most, {task.workers.recycled} recycled"
    )
    assert result.renders == 2000 and math.isfinite(result.loss)
    assert most - first < 100
