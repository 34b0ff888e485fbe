"""A white disk with its centre at x. For x[0] < `crash` the process ends; for x[1] < `refuse` the renderer raises."""

import os

import numpy as np

SIZE = 24


class Renderer:
    def __init__(self, crash, refuse, log):
        self.crash, self.refuse, self.log = crash, refuse, log

    def render(self, x, seed):
        with open(self.log, "a") as log:
            log.write(f"{x[0]}\n")
        if x[0] < self.crash:
            os._exit(3)
        if x[1] < self.refuse:
            raise ValueError("the centre is too high")
        down, across = np.mgrid[:SIZE, :SIZE] / SIZE
        return 1.0 * (np.hypot(across - x[0], down - x[1]) < 0.25)[None] + 0.01 * (seed % 10)


def load(settings):
    return Renderer(**settings)
