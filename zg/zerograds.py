"""ZeroGrads: learn a surrogate h of the loss around θ, online, and let it drive θ.

After Fischer and Ritschel, "ZeroGrads: Learning Local Surrogates for Non-Differentiable Graphics" (ACM TOG 2024); the
published algorithm itself is in `zg.published`. The idea is kept, a local surrogate with memory; σ, step and
forgetting, which the published algorithm leaves to the user, are measured on the problem.

Three surrogates share the contract of `zg.surrogates.base`:

* curved: a quadratic, O(n²), for few parameters and a smooth loss;
* neural: a network in local coordinates, where few parameters meet noise, steps or plateaus;
* linear: a gradient that remembers, O(n), for many parameters.

`auto` takes the linear one above 128 parameters. Below it renders the start twice: the curved one if both losses are
the same, until what it assumes has failed; else, and then, the neural one.
"""

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

from zg.errors import SettingError, check_positive, nearest
from zg.method import Method
from zg.objective import Evaluation
from zg.surrogates.base import LocalSurrogate
from zg.surrogates.curved import CurvedSurrogate
from zg.surrogates.linear import LinearSurrogate
from zg.surrogates.neural import NeuralSurrogate

Kind = Literal["auto", "curved", "neural", "linear"]
SURROGATES: dict[str, Callable[..., LocalSurrogate]] = {
    "curved": CurvedSurrogate,
    "neural": NeuralSurrogate,
    "linear": LinearSurrogate,
}
# Up to here n × n numbers and 2 n renders a sweep are cheap.
FEW = 128


class ZeroGrads(Method):
    """The default method: nothing has to be set.

    sigma: a guess, in scaled units, at how far to look at first. surrogate: auto, curved, neural or linear.
    """

    def __init__(self, sigma: float = 0.05, surrogate: Kind = "auto") -> None:
        super().__init__()
        check_positive(sigma=sigma)
        if surrogate not in ("auto", *SURROGATES):
            raise SettingError(f"surrogate '{surrogate}' is unknown{nearest(surrogate, ('auto', *SURROGATES))}")
        self.sigma, self.kind = sigma, surrogate

    def build(self, theta: Tensor) -> None:
        self.probing = self.kind == "auto" and self.space.n <= FEW
        few_or_many = "curved" if self.probing else "linear"
        self.surrogate = self.make(few_or_many if self.kind == "auto" else self.kind, theta)

    def make(self, kind: str, theta: Tensor) -> LocalSurrogate:
        """A surrogate of that kind that stands at θ [n]."""
        self.present = kind
        return SURROGATES[kind](theta, self.sigma, self.space.project, self.random)

    def ask(self) -> Tensor:
        return self.surrogate.theta.expand(2, -1) if self.probing else self.surrogate.ask()

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        losses = evaluation.losses
        if self.probing:
            self.probing = False
            unsuited = len(losses) == 2 and bool(losses[0] != losses[1])
        else:
            self.surrogate.tell(theta, losses, evaluation.valid)
            unsuited = self.kind == "auto" and self.surrogate.failed and not self.surrogate.converged
        if unsuited:
            self.surrogate = self.make("neural", self.surrogate.recommend())

    def recommend(self) -> Tensor:
        return self.surrogate.recommend()

    def predict(self, theta: Tensor) -> Tensor:
        return self.surrogate.predict(theta)

    def surrogate_gradient(self, theta: Tensor) -> Tensor:
        return self.surrogate.gradient(theta)

    def finished(self) -> str | None:
        return "converged" if self.surrogate.converged else None

    def status(self) -> dict[str, float]:
        return self.surrogate.status()

    def extra_state(self) -> dict[str, Any]:
        return {"surrogate": self.present, "probing": self.probing, "state": self.surrogate.state()}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        drawn = self.random.get_state()  # making a network draws its weights
        self.probing = state["probing"]
        self.surrogate = self.make(state["surrogate"], self.space.init)
        self.surrogate.load_state(state["state"])
        self.random.set_state(drawn)
