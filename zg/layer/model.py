"""A model g(x) → image that is learned from pairs of renders: what `zg.layer.surrogate` corrects."""

from typing import Any, Protocol

from torch import Tensor

from zg.layer.estimator import Pairs


class Model(Protocol):
    """What g is: a network (`zg.layer.learner`), or a Jacobian with memory (`zg.layer.jacobian`)."""

    @property
    def memory(self) -> int:
        """What it remembers: 0 before its first pair."""

    def changes(self, x: Tensor, steps: Tensor, v: Tensor) -> Tensor:
        """v · Δg [pairs, B] for x [B, n], steps σ ε [pairs, B, n] and v [B, D]."""

    def gradient(self, x: Tensor, steps: Tensor, v: Tensor) -> Tensor:
        """vᵀ ∂(g ∗ κ)/∂x [B, n] for x [B, n] and v [B, D], from samples σ ε [K, B, n] of κ."""

    def predict(self, x: Tensor) -> Tensor:
        """g(x) [B, D] of x [B, n], with a gradient for x alone. Raises SettingError before the first pair."""

    def learn(self, x: Tensor, steps: Tensor, pairs: Pairs) -> None:
        """Learn from the valid pairs."""

    def state(self) -> dict[str, Any]:
        """Tensors and plain values, none of which changes later."""

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
