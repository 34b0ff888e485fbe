"""A network that learns through a layer: steps with renders, and between them steps on what the layer predicts."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, get_args

import torch
from torch import Tensor, nn

import zg
from zg.errors import SettingError, check_positive, check_whole, nearest
from zg.run.training import Training
from zg.seeding import make_generator
from zg.zerograds.parts.network import make_linear

# The learning rate rises over this part of the budget, and then falls to 0 as half a cosine.
WARM_UP = 0.05


class ThroughLayer(Training):
    """`build` makes `network`, `adam` and `layer`; without a layer, a render is a row of a step.

    gradient: how it learns, one of `gradients`, a Literal. batch: rows a step. lr: of Adam. predicted: steps on
    predictions after each step with renders.
    """

    #: The parameters of the renderer.
    space: zg.ParameterSpace
    adam: torch.optim.Adam
    layer: zg.Layer | None

    def __init__(self, gradient: str, gradients: Any, batch: int, lr: float, predicted: int) -> None:
        super().__init__()
        check_whole(0, predicted=predicted)
        check_whole(batch=batch)
        check_positive(lr=lr)
        if gradient not in (known := get_args(gradients)):
            raise SettingError(
                f"gradient must be one of {', '.join(known)}, got '{gradient}'{nearest(gradient, known)}"
            )
        self.batch, self.lr, self.predicted = batch, lr, predicted

    @abstractmethod
    def descend(self, generator: torch.Generator, is_predicted: bool) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch that the generator draws, NaN if every render failed; and numbers for the log."""

    def make_layer(self, render: Any, **settings: Any) -> zg.Layer:
        """A layer around `render`, which takes tensors of all rows at once."""
        common: dict[str, Any] = {"batched": True, "tensors": True, "max_renders": self.max_renders, "seed": self.seed}
        return zg.Layer(render, space=self.space, **settings, **common)

    @property
    def renders(self) -> int:
        return self.layer.renders if self.layer else self.steps * self.batch

    @property
    def progress(self) -> float:
        """The part 0 … 1 of the budget that is spent."""
        return self.renders / self.max_renders

    @property
    def has_budget(self) -> bool:
        cost = self.batch + (self.layer.estimator.cost(self.batch, self.space.n) if self.layer else 0)
        return self.renders + cost <= self.max_renders

    def step(self) -> dict[str, float]:
        numbers = self._descend(0)
        status = self.layer.status() if self.layer else {}
        for number in range(self.predicted if status.get("memory") else 0):
            self._descend(1 + number)
        return {**numbers, **status}

    def _descend(self, number: int) -> dict[str, float]:
        """One step of the optimiser, with renders where its number is 0, else with predictions."""
        generator = make_generator(self.seed, "step", self.steps, number)
        loss, numbers = self.descend(generator, is_predicted=number > 0)
        if loss.isfinite():
            self.adam.param_groups[0]["lr"] = self.lr * rate(self.progress)
            self.adam.zero_grad()
            loss.backward()
            self.adam.step()
        return numbers

    def state(self) -> dict[str, Any]:
        return {"adam": self.adam.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.adam.load_state_dict(state["adam"])


def rate(progress: float) -> float:
    """The learning rate at a part 0 … 1 of the budget, relative to the largest one."""
    if progress < WARM_UP:
        return (progress + 0.01) / (WARM_UP + 0.01)
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def perceptron(widths: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """Linear layers of these widths with SiLU between them."""
    modules: list[nn.Module] = []
    for width_in, width_out in pairwise(widths):
        modules += [make_linear(width_in, width_out, generator, torch.float32), nn.SiLU()]
    return nn.Sequential(*modules[:-1])
