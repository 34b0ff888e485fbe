"""Evaluations that are known before a run: its start, and samples for the methods that learn from them."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zg.arrays import as_array, check_number
from zg.errors import SettingError
from zg.loop import Loop
from zg.method import Method
from zg.run.observer import Observer
from zg.space import ParameterSpace
from zg.spaces import Init, Space, make_space


class Known(NamedTuple):
    """Evaluations that are known: x [K, n] in the user's units, and their losses [K], the lowest one last.

    like: the first x, as it was given.
    """

    x: Tensor
    losses: Tensor
    like: Any

    def give(self, method: Method) -> str:
        """Give them to a started method, and say what became of them."""
        space, ledger = method.space, method.ledger
        device = space.init.device
        theta = space.project(space.to_scaled(self.x.to(device)))
        losses = self.losses.to(device)
        ledger.best_theta, ledger.best_loss = theta[-1].clone(), float(losses[-1])
        use = method.take_known(theta, losses) or "the method has no other use for them"
        return f"of {len(losses)} known evaluations the best one, {ledger.best_loss:.4g}, is the start; {use}"


class GiveKnown(Observer):
    """Gives known evaluations to the method before the first iteration. said: what became of them, in words."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.said = ""

    def started(self, loop: Loop) -> None:
        # The state of a run that goes on has them already.
        self.said = "known evaluations: as before" if loop.renders else self.known.give(loop.method)


def read_known(
    known: Any, init: Init | None, space: Space | None, bounds: Any = None, integer: Any = None
) -> tuple[ParameterSpace, Known]:
    """The space with the best known x as its start, and the evaluations in order.

    known: pairs (x, loss), x as `init` would be. init, space, bounds, integer: as in `optimize`; all may be missing.
    Raises SettingError for what is no list of pairs, for an x of another shape or name, and where no loss is finite.
    """
    pairs = list(known) if isinstance(known, Iterable) and not isinstance(known, str) else []
    if not pairs or not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
        raise SettingError(f"known must be a list of pairs (x, loss), got {known!r:.80}")
    base = make_space(pairs[0][0] if init is None and space is None else init, space, bounds, integer)
    told = [_place(x, loss, base) for x, loss in pairs]
    finite = sorted((one for one in told if torch.isfinite(one[1])), key=lambda one: -float(one[1]))
    if not finite:
        raise SettingError("known must have a finite loss, got none")
    x, losses = (torch.stack([one[k] for one in finite]) for k in (0, 1))
    best = base.split(x[-1])
    blocks = {name: replace(block, init=best[name]) for name, block in base.blocks.items()}
    return ParameterSpace(blocks), Known(x, losses, pairs[0][0])


def _place(x: Init, loss: Any, base: ParameterSpace) -> tuple[Tensor, Tensor]:
    """One known x [n] in the user's units, and its loss."""
    check_number(as_array(loss, "known"), "a known loss")
    try:
        value = float(loss)
    except (TypeError, ValueError):
        raise SettingError(f"known must have a number as its loss, got {loss!r:.40}") from None
    space = make_space(x, base)
    return space.to_user(space.init), torch.tensor(value, dtype=torch.float64)
