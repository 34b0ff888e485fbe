"""What the tests of Blender's tasks share: they skip where there is none."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest
import torch

from tests.processes import marked
from tests.tasks.golden import read

EXECUTABLE = shutil.which("blender")
needs_blender = pytest.mark.skipif(
    not (importlib.util.find_spec("bpy") or EXECUTABLE), reason="needs Blender: bpy (Python 3.11) or `blender`"
)
needs_executable = pytest.mark.skipif(not EXECUTABLE, reason="needs `blender` on the PATH")
# Software OpenGL of another version moves an edge by a sample here and there.
CLOSE = 4e-3


def far_off(image, name):
    """Mean difference of an image to the golden one of that name."""
    expected = read(name)
    assert image.shape == expected.shape
    return ((image * 255).round() / 255 - expected).abs().mean()


def renderers(mark):
    """Processes that render, of those with the mark."""
    return [process for process, command in marked(mark).items() if "worker_child" in command]


def growth_mb(task, mark, renders=2000, after=100, batch=50):
    """Megabytes that this process and its renderers grew by from the first `after` renders around the start."""
    generator = torch.Generator().manual_seed(0)
    offsets = 0.05 * torch.randn(renders, task.space.n, generator=generator, dtype=torch.float64)
    x = task.space.to_user(task.space.init + offsets)
    held = []
    for k in range(0, renders, batch):
        assert task.render(x[k : k + batch]).isfinite().all()
        if k + batch >= after:
            held.append(resident_mb([os.getpid(), *renderers(mark)]))
    return max(held) - held[0]


def resident_mb(processes):
    """Memory of processes, on Linux."""
    pages = [Path(f"/proc/{process}/statm").read_text().split()[1] for process in processes]
    return sum(map(int, pages)) * 4096 / 2**20
