"""What the tests of Blender's tasks share. They are skipped where Blender is not installed."""

import importlib.util
import shutil
import subprocess

import pytest
import torch

from tests.processes import growth_mb, renderers
from tests.tasks.golden import read


def working_executable():
    """`blender` on the PATH, if its Python has NumPy (Debian has a package of its own for it)."""
    found = shutil.which("blender")
    command = [found, "--background", "--factory-startup", "--python-exit-code", "1", "--python-expr", "import numpy"]
    return found if found and subprocess.run(command, capture_output=True).returncode == 0 else None


EXECUTABLE = working_executable()
needs_blender = pytest.mark.skipif(
    not (importlib.util.find_spec("bpy") or EXECUTABLE), reason="needs Blender: bpy (Python 3.11) or `blender`"
)
needs_executable = pytest.mark.skipif(not EXECUTABLE, reason="needs `blender` on the PATH, with NumPy")
# Tolerance of the mean difference: another version of software OpenGL moves some edges by one sample.
CLOSE = 4e-3


def difference(image, name):
    """Mean absolute difference of an image and the golden image of that name."""
    expected = read(name)
    assert image.shape == expected.shape
    return ((image * 255).round() / 255 - expected).abs().mean()


def memory_growth_mb(task, mark, batches=40, batch=50):
    """Growth of memory in megabytes during `batches` batches of renders near the start, from the second batch on."""
    generator = torch.Generator().manual_seed(0)

    def render(_):
        offsets = 0.05 * torch.randn(batch, task.space.n, generator=generator, dtype=torch.float64)
        assert task.render(task.space.to_user(task.space.init + offsets)).isfinite().all()

    return growth_mb(render, batches, warm_up=2, others=lambda: renderers(mark))
