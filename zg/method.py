"""A method proposes θ and is told their losses. It never sees the task.

A new method subclasses `Method` and implements `build`, `ask`, `tell` and `recommend`. It can then be used by the loop,
with a budget, loggers, checkpoints and the command line.
"""

from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from zg.ledger import Evaluation, Ledger
from zg.memory import check_memory
from zg.problem import Problem
from zg.space import ParameterSpace

# Least bytes for each coordinate of a θ in a batch (θ, its offset, x and what comes between), and for its loss.
COORDINATE_BYTES, THETA_BYTES = 32, 100


class Range(NamedTuple):
    """The interval [low, high] from which tuning draws a setting, both ends included.

    log: draw uniformly in the logarithm. integer: draw integers.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False


class Sample(NamedTuple):
    """A θ [n] in scaled units that is rendered by itself (`Method.ask_one`).

    origin: what the method will want to know of it when its loss comes back, perhaps after others have moved the
    method on: the mean and σ that it was drawn with, the batch that it belongs to. Tensors and plain values.
    """

    theta: Tensor
    origin: dict[str, Any]


class Method:
    """Base class of methods, with ask and tell.

    `start` sets `problem`, `space`, `generator` and `ledger`, and then calls `build`. `generator` is the only source of
    random numbers. `ledger` counts the renders and keeps the best one; the method may read it.

    `saved` names the attributes that are the state of the method: tensors, plain values, and objects with a
    `state_dict`, such as an optimiser of PyTorch. A checkpoint holds these attributes and nothing else of the method.

    >>> import torch
    >>> import zg
    >>> class Guess(zg.Method):
    ...     saved = ("best",)
    ...
    ...     def build(self, theta):
    ...         self.best = theta
    ...
    ...     def ask(self):
    ...         return torch.rand(8, self.space.n, generator=self.generator)
    ...
    ...     def tell(self, theta, evaluation):
    ...         self.best = self.ledger.best_theta
    ...
    ...     def recommend(self):
    ...         return self.best
    >>> result = zg.minimize(lambda x: abs(x[0] - 0.5), x0=[0.0], method=Guess(), max_renders=400)
    >>> result.loss < 0.05
    True
    """

    #: What the method is told: the losses, or also the images. Tables rank methods that see images separately.
    feedback: ClassVar[Literal["loss", "image"]] = "loss"
    #: Whether the method needs all losses of a batch. It is then not told a batch that the budget has cut.
    whole_batches: ClassVar[bool] = False
    #: Whether the order of the losses of a batch is all that it uses. Constraints are told to it as an order then.
    ranks: ClassVar[bool] = False
    #: The settings to tune, with their ranges. A method without ranges is compared with its defaults.
    ranges: ClassVar[dict[str, Range]] = {}
    #: Names of settings that hold the number of θ in a batch, or None. A batch of that size must fit into memory.
    batch_settings: ClassVar[tuple[str, ...]] = ()
    #: The names of the attributes that are state, and of those that are state of an asynchronous run only.
    saved: ClassVar[tuple[str, ...]] = ()
    saved_asynchronous: ClassVar[tuple[str, ...]] = ()

    #: The name of the chosen optimiser or surrogate, for methods that choose one by the problem.
    resolved: str = ""
    problem: Problem
    space: ParameterSpace
    generator: torch.Generator
    ledger: Ledger

    # What a method implements

    def build(self, theta: Tensor) -> None:
        """Make the state for n parameters, from the initial θ₀ [n] in scaled units."""
        raise NotImplementedError(f"{type(self).__name__} must implement build")

    def ask(self) -> Tensor:
        """The next θ [B, n] to render, in scaled units."""
        raise NotImplementedError(f"{type(self).__name__} must implement ask")

    def tell(self, theta: Tensor, evaluation: Evaluation) -> None:
        """Learn from the θ [B, n] that `ask` returned. The budget may cut the last batch to its first rows."""
        raise NotImplementedError(f"{type(self).__name__} must implement tell")

    def recommend(self) -> Tensor:
        """The best estimate of the optimal θ [n] at present, in scaled units."""
        raise NotImplementedError(f"{type(self).__name__} must implement recommend")

    def ask_one(self) -> Sample | None:
        """The next θ to render, for methods that are `asynchronous`; None: it needs a loss first that is under way."""
        raise NotImplementedError(f"{type(self).__name__} must implement ask_one")

    def tell_one(self, sample: Sample, evaluation: Evaluation) -> None:
        """Learn from a sample of `ask_one`, B = 1. Samples are told in the order in which their renders end."""
        raise NotImplementedError(f"{type(self).__name__} must implement tell_one")

    def last(self) -> Tensor | None:
        """θ [n] after the last step, in scaled units, for methods that recommend an earlier one; else None."""
        return None

    def predict(self, theta: Tensor) -> Tensor | None:
        """The loss [B] that the surrogate predicts at θ [B, n] in scaled units; None without a surrogate."""
        return None

    def surrogate_gradient(self, theta: Tensor) -> Tensor | None:
        """The gradient [n] of the surrogate at θ [n] in scaled units; None without a surrogate."""
        return None

    def predict_image(self, theta: Tensor) -> Tensor | None:
        """The images [B, ...] that the surrogate predicts at θ [B, n] in scaled units; None if it predicts none."""
        return None

    def foreseen(self, theta: Tensor) -> Tensor | None:
        """The image [...] that the surrogate predicted for θ [n] before θ was rendered, for the panel; else None."""
        return None

    def influence(self, weights: Tensor) -> Tensor | None:
        """Σ_i |∂I/∂θ_i| w_i: images [k, ...] for weights w [n, k], as the surrogate knows the picture; else None.

        With colours as weights it is a map of which parameter moves which pixel.
        """
        return None

    def take_known(self, theta: Tensor, losses: Tensor) -> str:
        """Use evaluations that were known before the run: θ [K, n] in scaled units and losses [K], the lowest one last.

        It is called once, before the first `ask`; the start and the best of the ledger are the last of them already.
        Returns in words what it does with the others, "" for nothing.
        """
        return ""

    def status(self) -> dict[str, float]:
        """Numbers for the log by name, such as σ or the learning rate."""
        return {}

    def finished(self) -> str | None:
        """A reason of the method's own to end the run, such as a converged population; else None."""
        return None

    # What it inherits

    def start(self, problem: Problem, ledger: Ledger, theta: Tensor | None = None) -> None:
        """Start on a problem, from its initial θ or from θ [n]. Call it once.

        Raises SettingError for a batch beyond all memory.
        """
        for name in self.batch_settings:
            count = getattr(self, name) or 0
            check_memory(count * (COORDINATE_BYTES * problem.n + THETA_BYTES), **{name: count})
        self.problem, self.space, self.generator = problem, problem.space, problem.generator
        self.ledger = ledger
        self.build(problem.project((problem.space.init if theta is None else theta).clone()))

    @property
    def core(self) -> "Method":
        """The method itself, where this one is a wrapper of another."""
        return self

    @property
    def asynchronous(self) -> bool:
        """Whether it can be told losses as they come (`ask_one`, `tell_one`). Known once it is started."""
        return False

    @property
    def started(self) -> bool:
        """Whether `start` has been called."""
        return "ledger" in vars(self)

    @property
    def progress(self) -> float:
        """The fraction of the budget of renders that is spent, in [0, 1]; for schedules such as annealing."""
        return self.ledger.renders / self.ledger.max_renders

    def state(self) -> dict[str, Any]:
        """The attributes that `saved` names, as tensors and plain values."""
        return {name: plain(getattr(self, name)) for name in self._saved_now}

    @property
    def _saved_now(self) -> tuple[str, ...]:
        return (*self.saved, *self.saved_asynchronous) if self.problem.asynchronous else self.saved

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned. The method must be started."""
        for name in self._saved_now:
            present = getattr(self, name, None)
            if present is not None and hasattr(present, "load_state_dict"):
                present.load_state_dict(state[name])
            elif isinstance(present, Tensor) and present.requires_grad:
                present.data = state[name].detach().clone()  # the optimiser refers to this tensor object
            else:
                setattr(self, name, state[name])


def plain(value: Any) -> Any:
    """A value for a checkpoint: the `state_dict` of an object, a tensor without its graph, or the value itself."""
    if hasattr(value, "state_dict"):
        return value.state_dict()
    return value.detach() if isinstance(value, Tensor) else value
