"""Methods that fail in different ways, and a slow task, for tests of comparisons."""

import os
import signal
import subprocess
import time
from pathlib import Path

import torch
from torch import Tensor

from tests.problems import Quadratic
from zg.ledger import Evaluation
from zg.method import Method, Range


class Still(Method):
    """Renders θ₀, ten times per iteration."""

    def build(self, theta: Tensor) -> None:
        self.theta, self.told = theta, 0

    def ask(self) -> Tensor:
        return self.theta.expand(10, -1)

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        self.told += 1
        if self.told == 3:
            self.third()

    def third(self) -> None:
        """Called in the third iteration."""

    def recommend(self) -> Tensor:
        return self.theta


class Raises(Still):
    """Raises an exception in the third iteration."""

    def third(self) -> None:
        raise ArithmeticError("no <b>way</b> | out")


class ReturnsNaN(Still):
    """Its θ is NaN from the third iteration on."""

    def third(self) -> None:
        self.theta = torch.full_like(self.theta, torch.nan)


class Hangs(Still):
    """Starts a process that runs for 1000 s, and hangs in the third iteration. Both ids are in the file `pids`."""

    def third(self) -> None:
        helper = subprocess.Popen(["sleep", "1000"])
        Path("pids").write_text(f"{os.getpid()} {helper.pid}")
        time.sleep(1000)


class Crashes(Still):
    """Ends its process with a segmentation fault in the third iteration, as a library may."""

    def third(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class Wanders(Still):
    """Random steps from the best θ, with a tunable standard deviation `width`. For `Quadratic`, 0.5 is good."""

    ranges = {"width": Range(0.01, 100.0, log=True), "count": Range(1, 4, integer=True)}  # noqa: RUF012

    def __init__(self, width: float = 50.0, count: int | None = None) -> None:
        self.width, self.count = width, count

    def ask(self) -> Tensor:
        steps = torch.randn(self.count or 2, self.space.n, generator=self.generator, dtype=self.theta.dtype)
        return self.ledger.best_theta + self.width * steps

    def recommend(self) -> Tensor:
        return self.ledger.best_theta


class SlowQuadratic(Quadratic):
    """Takes 30 ms per batch, and writes the id of the process that built it to the file `rendered_by`."""

    def build(self) -> None:
        super().build()
        with Path("rendered_by").open("a") as file:
            file.write(f"{os.getpid()}\n")

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        time.sleep(0.03)
        return super().render(x)
