"""How the surrogate is learned online: a replay memory of pairs, and a network that is fitted to it at each step."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zg.errors import SettingError, check_positive, check_whole
from zg.layer.estimator import Pairs
from zg.layer.image_network import ImageNetwork
from zg.layer.replay import Replay
from zg.seeding import make_generator


@dataclass(frozen=True)
class SurrogateSettings:
    """How the surrogate g of the picture is learned. "×" says what a larger value costs."""

    #: Pairs that are remembered; None: 4096, or those that 256 MB hold.
    memory: int | None = None
    #: Steps of Adam a backward step; ×: seconds.
    fit_steps: int = 8
    #: Pairs a step of Adam; ×: seconds.
    fit_batch: int = 64
    #: Width of a hidden layer; ×: seconds.
    hidden: int = 128
    #: Hidden layers; ×: seconds.
    layers: int = 2
    #: Learning rate of Adam.
    lr: float = 3e-3
    #: Samples of ∂g/∂x a row, which is rough where edges are hard; ×: seconds, no renders.
    predictions: int = 32
    #: Weight of the correction where β = 1; 1: unbiased, 0: g alone, without noise.
    correction: float = 1.0

    def __post_init__(self) -> None:
        check_positive(lr=self.lr)
        names = ("fit_steps", "fit_batch", "hidden", "layers", "predictions")
        check_whole(**{name: getattr(self, name) for name in names})
        if self.memory is not None:
            check_whole(memory=self.memory)
        if not 0 <= self.correction <= 1:
            raise SettingError(f"correction must be in 0 … 1, got {self.correction}")


class Learner:
    """g and the pairs that it learns from. Both are made at the first valid pair; g has single precision."""

    def __init__(self, options: SurrogateSettings, seed: int) -> None:
        self.options, self.seed = options, seed
        self.generator = make_generator(seed, "layer", "fit")
        self.parts: tuple[ImageNetwork, Replay] | None = None

    @property
    def memory(self) -> int:
        """Number of pairs in memory."""
        return len(self.parts[1]) if self.parts else 0

    @torch.no_grad()
    def changes(self, x: Tensor, steps: Tensor, v: Tensor) -> Tensor:
        """v · Δg [pairs, B] for x [B, n], steps σ ε [pairs, B, n] and v [B, D]."""
        ends = torch.stack([x + steps, x - steps]).float()
        plus, minus = self._network(x.device).along(ends, v.float())
        changes: Tensor = (plus - minus) / 2
        return changes.to(x.dtype)

    def gradient(self, x: Tensor, steps: Tensor, v: Tensor) -> Tensor:
        """The mean of vᵀ ∂g/∂x over places x + σ ε [K, B, n], for v [B, D]: [B, n]."""
        return self._network(x.device).gradient((x + steps).float(), v.float()).to(x.dtype)

    def predict(self, x: Tensor) -> Tensor:
        """g(x) [B, D] of x [B, n], with a gradient for x alone. Raises SettingError before the first pair."""
        if self.parts is None:
            raise SettingError("predict needs a surrogate that has learned from a backward step, got none yet")
        network = self._network(x.device)
        network.requires_grad_(False)
        try:
            images: Tensor = network(x.float())
        finally:
            network.requires_grad_(True)
        return images.to(x.dtype)

    def learn(self, x: Tensor, steps: Tensor, pairs: Pairs) -> None:
        """Remember the valid pairs, and fit g to the memory."""
        columns = (x.expand_as(steps), steps, pairs.half, pairs.middle)
        new = [column[pairs.valid].float() for column in columns]
        if not len(new[0]):
            return
        self.parts = self.parts or self._make(x.shape[1], pairs.half.shape[2], x.device)
        network, replay = self._network(x.device), self.parts[1]
        network.standardise(*new)
        replay.add(*new)
        for _ in range(self.options.fit_steps):
            network.step(*replay.draw(self.options.fit_batch, self.generator))

    def _make(self, n: int, pixels: int, device: torch.device) -> tuple[ImageNetwork, Replay]:
        options, generator = self.options, make_generator(self.seed, "layer", "network")
        network = ImageNetwork(n, pixels, options.hidden, options.layers, options.lr, generator)
        return network.to(device), Replay(options.memory, n, pixels, device)

    def _network(self, device: torch.device) -> ImageNetwork:
        """The network, on the device of x; with its memory and Adam it follows a module that is moved."""
        assert self.parts is not None, "a network is asked before its first pair"
        if self.parts[0].mean.device != device:
            self.load(self.state(), device)
        return self.parts[0]

    def state(self) -> dict[str, Any]:
        """Tensors and plain values, none of which changes later."""
        found: dict[str, Any] = {"generator": self.generator.get_state()}
        if self.parts:
            network, replay = self.parts
            found |= {"network": network.state_dict(), "adam": network.optimizer.state_dict(), "replay": replay.state()}
        return deepcopy(found)

    def load(self, state: dict[str, Any], device: torch.device | None = None) -> None:
        """Go on from a state, on the device of its tensors by default."""
        self.generator.set_state(state["generator"].cpu())
        self.parts = None
        if "network" in state:
            mean, centre = state["network"]["mean"], state["network"]["centre"]
            self.parts = network, replay = self._make(len(centre), len(mean), device or mean.device)
            network.load_state_dict(state["network"])
            network.optimizer.load_state_dict(state["adam"])
            replay.load(**state["replay"])
