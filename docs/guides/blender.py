# %% [markdown]
# # Blender
#
# How thick is the ring of a picture, which way does it lie, and from where does its light come? Blender runs in
# processes of its own, from a scene file; a crash costs one render. It needs `pip install 'zerograds[blender]'`, or
# Blender on the path.

# %%
from pathlib import Path

import torch

import zg
from tasks.renderers.blender import BlenderTask

Path("ring_scene.py").write_text("""
import sys
import numpy as np


def load(settings):
    return Renderer(settings)


class Renderer:
    def __init__(self, settings):
        sys.path.insert(0, settings["scenes"])
        from stage import Stage, number_grid  # an empty scene, an engine, pixels without a file

        self.stage = Stage(settings)
        self.stage.background((0.01, 0.02, 0.05))
        self.stage.camera((0, -8, 0), (0, 0, 0), lens=50)
        self.ring = self.stage.mesh("ring", self.stage.flat())
        self.faces = number_grid(0, 60, 24)
        self.around, self.across = np.meshgrid(
            np.linspace(0, 2 * np.pi, 60), np.linspace(0, 2 * np.pi, 24), indexing="ij"
        )

    def render(self, x, seed):
        width, tilt, lamp = x
        radius = 1.4 + width * np.cos(self.across)
        high = width * np.sin(self.across)
        place = np.stack([radius * np.cos(self.around), radius * np.sin(self.around), high], -1)
        normal = np.stack([np.cos(self.across) * np.cos(self.around),
                           np.cos(self.across) * np.sin(self.around), np.sin(self.across)], -1)
        c, s = np.cos(tilt), np.sin(tilt)
        turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
        light = np.array([np.sin(lamp), -np.cos(lamp), 0.4])
        shade = 0.1 + 0.8 * np.clip(normal @ turn.T @ light, 0, None)
        self.ring.build((place @ turn.T).reshape(-1, 3), self.faces)
        self.ring.paint(shade.reshape(-1, 1) * [1.0, 0.6, 0.15])
        return self.stage.render(seed)
""")


class Ring(BlenderTask):
    def build(self):
        self.space = zg.ParameterSpace(
            width=zg.Block(0.3, low=0.1, high=0.8),
            tilt=zg.Block(0.3, low=0, high=1.5),
            lamp=zg.Block(-0.6, low=-1.5, high=1.5),
        )
        self.solution = torch.tensor([0.55, 0.9, 0.7], dtype=torch.float64)
        self.open_scene(Path("ring_scene.py"), width=120, height=80)
        self.set_reference(self.render(self.solution[None])[0])


# %% [markdown]
# A task that is a class runs with a method and a budget. On the command line it is `zg fit --data mine.Ring`.

# %%
from zg.run.run import run
from zg.zerograds.image import ImageZeroGrads

result = run(Ring(workers=1), ImageZeroGrads(), zg.Budget(140), curve_points=0)
result.show()

# %%
print({name: round(float(found), 3) for name, found in result.params.items()})

# %% [markdown]
# The ring of the reference has width 0.55, tilt 0.9 and its lamp at 0.7. More on scene files, time-outs and processes:
# [your own renderer](../renderers.md).
