"""Ask-and-tell with `Optimizer`, for programs that keep the loop in their own hands:

    optimizer = zg.Optimizer({"x": zg.Block([3.0, -1.0])})
    while optimizer.renders < 2000:
        xs = optimizer.ask()
        optimizer.tell([f(x) for x in xs])
    optimizer.best, optimizer.history

An x is a row of numbers [n]; `optimizer.params(x)` is the same x by name: `f(**optimizer.params(x))`.

`ask` and `tell` raise `zg.SettingError` where they are called in the wrong order.
"""

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from zg.budget import Budget
from zg.constraints import Constrained
from zg.errors import SettingError, check_whole
from zg.functions import Judge, violations_of
from zg.given import as_losses, check_functions, choose_method, one_of
from zg.images import as_numbers
from zg.loop import Loop
from zg.losses import Losses
from zg.method import Method
from zg.run.known import read_known
from zg.spaces import Init, Space, make_space

if TYPE_CHECKING:
    import pandas as pd

#: Most rows of the history. Beyond, every second one is dropped, again and again.
MOST_ROWS = 2000


class Best(NamedTuple):
    """The lowest loss that was told, its x by name (`Optimizer.params`), and its x [n] as `ask` returned it."""

    loss: float
    params: dict[str, Any]
    x: Tensor


class Optimizer:
    """Ask-and-tell, for programs in which the caller renders.

    space, init, x0, bounds, integer: as in `optimize`; a space, or a start, bounds and whole numbers.
    method: as in `optimize`; the default is `zerograds-image` with a reference and without constraints, for which
        `tell(images=…)` is needed.
    max_renders: the budget, for methods with a schedule. It does not stop `ask`.
    reference, loss, regulariser, linear: as in `optimize`, for programs that tell images. Without reference, `loss` may
        be {name: weight}, for programs that tell several losses of each x, as {name: loss}.
    constraints: a function of x [n], as `ask` returns it, that returns g, a number or m numbers; x is feasible where
        all are ≤ 0. It is called once for each x, in `tell`. `best` and `recommend` are of feasible x, if there is one.
    known: evaluations from before, pairs (x, loss), as in `optimize`.
    Raises SettingError for a wrong setting, and for calls of `ask` and `tell` in the wrong order.

    >>> import zg
    >>> optimizer = zg.Optimizer({"x": zg.Block([2.0])})
    >>> while optimizer.renders < 60:
    ...     optimizer.tell([(float(x[0]) - 5) ** 2 for x in optimizer.ask()])
    >>> round(float(optimizer.recommend()[0]), 3)
    5.0
    >>> import numpy as np
    >>> optimizer = zg.Optimizer({"x": zg.Block([0.2, 0.4])}, reference=np.array([[0.9, 0.5, 0.1]]))
    >>> while optimizer.renders < 9:
    ...     optimizer.tell(images=[x[0] - x[1] * np.arange(3.0)[None] for x in optimizer.ask().numpy()])
    >>> optimizer.recommend().round(decimals=3).tolist()
    [0.9, 0.4]

    Parameters by name, integers as integers and choices as choices, are `params` of an x:

    >>> count, wood = zg.Block(8, low=1, high=40, kind="integer"), zg.Block("oak", choices=["oak", "ash"])
    >>> optimizer = zg.Optimizer({"count": count, "wood": wood})
    >>> [optimizer.params(x) for x in optimizer.ask(1)]
    [{'count': 8, 'wood': 'oak'}]
    """

    def __init__(
        self,
        space: Space | None = None,
        method: str | Method | Mapping[str, Any] | None = None,
        *,
        init: Init | None = None,
        x0: Init | None = None,
        bounds: Any = None,
        integer: Any = None,
        seed: int = 0,
        max_renders: int = 10**9,
        reference: Any = None,
        loss: Losses = "mse",
        regulariser: Callable[[Tensor], Tensor] | None = None,
        constraints: Callable[[Tensor], Any] | None = None,
        linear: bool = False,
        known: Iterable[tuple[Init, float]] | None = None,
    ) -> None:
        check_functions(constraints=constraints)
        check_whole(0, seed=seed)
        given = one_of(init=init, x0=x0), space, bounds, integer
        self.space, evaluations = (make_space(*given), None) if known is None else read_known(known, *given)
        like = given[0] if given[0] is not None or evaluations is None else evaluations.like
        self._judge, self._constraints = Judge(self.space, reference, loss, regulariser, linear, like), constraints
        chosen, config = choose_method(method, None, reference is not None and constraints is None)
        if chosen.feedback != "loss" and reference is None:
            raise SettingError(f"method must use losses only, got {type(chosen).__name__}, which needs a reference")
        chosen = chosen if constraints is None else Constrained(chosen)
        settings = config.get("model", {}).get("init_args", {})
        self._loop = Loop(chosen, Budget(max_renders), int(seed), settings)
        self._loop.start_without_renderer(self.space, self._judge.image_loss)
        if evaluations is not None:
            evaluations.give(self.method)
        self._rows: list[dict[str, float]] = []
        self._every = 1
        #: Each of several losses at the best x so far, as `loss_NAME`.
        self._best_each: dict[str, float] = {}
        self._drop_batch()

    def _drop_batch(self) -> None:
        """Forget the batch of the method in scaled units, and how many of its rows were handed out and told."""
        self._batch = self.space.init.new_empty(0, self.space.n)
        self._losses: list[Tensor] = []
        #: What the losses are of: images, or losses by name.
        self._seen: list[Tensor] = []
        self._handed = self._told = 0

    @property
    def method(self) -> Method:
        """The method."""
        return self._loop.method

    @property
    def renders(self) -> int:
        """Number of losses in whole batches that the method was told."""
        return self._loop.renders

    @property
    def best(self) -> Best:
        """The lowest loss that was told, with its x. Raises SettingError before the first valid loss.

        With a noisy renderer it is a lucky one; `recommend` is what the method hands over.
        """
        ledger = self._loop.ledger
        if math.isinf(ledger.best_loss):
            raise SettingError("best must follow a loss that is a number; none was told yet")
        x = self.space.to_user(ledger.best_theta)
        return Best(ledger.best_loss, self.params(x), x)

    @property
    def history(self) -> "pd.DataFrame":
        """One row for each whole batch, or for every second, fourth, … one after thousands of them.

        `renders`; `batch_loss`, the mean loss of the batch; `best_loss`, and of several losses each one of the best x
        as `loss_NAME`, without its weight; and what the method reports, such as `sigma`.
        """
        import pandas as pd

        return pd.DataFrame(self._rows)

    def ask(self, batch: int | None = None) -> Tensor:
        """The next x [B, n] to render, in the user's units; B ≤ `batch`, by default the whole batch of the method.

        `params` gives each of them by name.

        The first batch of the default method with at most 128 parameters is the start, twice: two losses that differ
        mean that the renderer is noisy. Both are renders of the budget; the second one serves nothing else.
        """
        if batch is not None:
            check_whole(batch=batch)
        if self._handed > self._told:
            raise SettingError(f"tell must follow ask: {self._handed - self._told} losses are missing")
        if self._told == len(self._batch):
            self._batch = self._loop.ask()
            self._handed = self._told = 0
        count = len(self._batch) - self._told if batch is None else min(batch, len(self._batch) - self._told)
        self._handed += count
        return self.space.to_user(self._batch[self._told : self._handed])

    def params(self, x: Any) -> dict[str, Any]:
        """One x [n], as `ask` and `recommend` return it, by name: as `Result.params`.

        Each block has its shape and is of the type of the start that was given: NumPy, PyTorch or plain numbers;
        integers are integers, a categorical one is its choice. The name is `x` where none was given.
        Raises SettingError for anything but n numbers.
        """
        values = as_numbers(x, "x")
        if tuple(values.shape) != (self.space.n,):
            raise SettingError(f"x must be one row of ask, {self.space.n} numbers, got shape {list(values.shape)}")
        return self._judge.task.params(values.to(self.space.dtype))

    def tell(self, losses: Any = None, *, images: Any = None) -> None:
        """Tell the losses [B] or the images of the x that `ask` returned, in the same order.

        NaN or None is a failed render. losses: of several losses, a {name: loss} for each x. images: with a reference
        alone, one for each x; their losses follow.
        """
        if self._handed == self._told:
            raise SettingError("tell must follow ask: no losses are missing")
        count, seen = self._handed - self._told, None
        if (losses is None) == (images is None):
            raise SettingError("tell must be given either losses or images")
        if images is None and self.method.feedback == "image":
            raise SettingError(f"tell must be given images for {type(self.method).__name__}, got losses")
        if images is not None:
            x = self.space.to_user(self._batch[self._told : self._handed])
            seen, losses = self._judge.evaluate(x, images)
        elif self._judge.takes_names:
            seen, losses = self._judge.of_names(list(losses))
        told = as_losses(losses).to(self._batch.device)
        if len(told) != count:
            raise SettingError(f"losses must be {count} numbers, one for each x, got {len(told)}")
        self._losses.append(told)
        self._seen += [] if seen is None else [seen]
        self._told = self._handed
        if self._told == len(self._batch):
            self._tell_batch()

    def _tell_batch(self) -> None:
        losses, self._losses = torch.cat(self._losses), []
        seen = torch.cat(self._seen) if self._seen else None
        self._seen, ledger = [], self._loop.ledger
        violations = None
        if self._constraints is not None:
            violations = violations_of(self._constraints, self.space.to_user(self._batch)).to(losses.device)
        evaluation = ledger.account(self._batch, losses, violations)
        if seen is not None and len(seen) == len(losses) and ledger.improved_at == ledger.renders:
            best = (self._batch == ledger.best_theta).all(1)
            self._best_each = self._each(seen[int(torch.where(best, evaluation.ranked(), math.inf).argmin())])
        if seen is not None and self.method.feedback == "image":
            evaluation = replace(evaluation, images=seen, reference=self._judge.reference)
        self._loop.tell(self._batch, evaluation)
        if self._loop.iteration % self._every == 0:
            row = {"renders": ledger.renders, "batch_loss": ledger.last_loss, "best_loss": ledger.best_loss}
            self._rows.append(row | self._best_each | self.method.status())
            if len(self._rows) > MOST_ROWS:
                self._rows, self._every = self._rows[1::2], 2 * self._every

    def _each(self, told: Tensor) -> dict[str, float]:
        """Each of several losses of what was told of one x, as the history has it."""
        return {f"loss_{name}": loss for name, loss in self._judge.each(told).items()}

    def state_dict(self) -> dict[str, Any]:
        """A copy of the state, as tensors and plain values. Call it when all x of a batch have been told."""
        if self._told != len(self._batch) or self._handed != self._told:
            raise SettingError(
                f"state_dict must follow a whole batch: {len(self._batch) - self._told} losses are missing"
            )
        history = {"rows": self._rows, "every": self._every, "best_each": self._best_each}
        return copy.deepcopy(self._loop.state() | {"history": history})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, and drop the x that are not told yet.

        This Optimizer must have been made with the same arguments. Raises SettingError for the state of another method,
        seed, start or number of parameters, and changes nothing then.
        """
        self._loop.load_state(copy.deepcopy(state))
        history = copy.deepcopy(state.get("history", {}))  # states of earlier versions have none
        self._rows, self._every = history.get("rows", []), history.get("every", 1)
        self._best_each = history.get("best_each", {})
        self._drop_batch()

    def recommend(self) -> Tensor:
        """The best estimate of the optimal x [n] at present, in the user's units."""
        return self.space.to_user(self.method.recommend())
