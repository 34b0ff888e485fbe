"""A user's Blender scene: a ribbon that winds x[0] times around the vertical axis."""

import sys

import numpy as np


class Renderer:
    def __init__(self, settings):
        sys.path.insert(0, settings["scenes"])
        from stage import Stage, number_grid, version

        self.version = version
        self.stage = Stage(settings)
        self.stage.background((0.01, 0.01, 0.03))
        self.stage.camera((0, -9, 0), (0, 0, 0), lens=60)
        self.ribbon = self.stage.mesh("ribbon", self.stage.flat())
        self.faces = number_grid(0, 2, 400)

    def render(self, x, seed):
        along = np.linspace(-1, 1, 400)
        turn = np.pi * x[0] * along
        edge = np.stack([np.cos(turn), np.sin(turn), 1.5 * along], -1)
        self.ribbon.build(np.concatenate([edge, edge + np.array([0, 0, 0.15])]), self.faces)
        bright = 0.55 - 0.45 * np.sin(turn)
        self.ribbon.paint(np.tile(bright[:, None] * [1.0, 0.5, 0.1], (2, 1)))
        return self.stage.render(seed)


def load(settings):
    return Renderer(settings)
