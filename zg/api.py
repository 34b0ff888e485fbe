"""For people who bring one function: `optimize`, `minimize`, and ask and tell.

import zg
result = zg.optimize(render, init=[0.2, 0.4], reference=picture, max_renders=2000)
result = zg.minimize(f, x0=[3.0, -1.0])

optimizer = zg.Optimizer(zg.ParameterSpace(x=zg.Block([3.0, -1.0])))
while ...:
    xs = optimizer.ask()
    optimizer.tell([f(x) for x in xs])
optimizer.recommend()
"""

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zg.budget import Budget, StopReason
from zg.config.compose import Config, compose
from zg.errors import SettingError, check_whole
from zg.functions import FunctionTask, Init, Values, as_tensor, check_callable, make_space
from zg.loop import Loop
from zg.losses import Loss
from zg.method import Method
from zg.run.observer import Call
from zg.run.result import Result
from zg.run.run import run
from zg.run.tracking import Writer
from zg.space import Block, ParameterSpace


def optimize(
    render: Callable[..., Any],
    init: Init | None = None,
    *,
    reference: Any = None,
    target: Init | None = None,
    loss: str | Loss = "mse",
    regulariser: Callable[[Tensor], Tensor] | None = None,
    space: ParameterSpace | Mapping[str, Block] | Block | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    batched: bool = False,
    linear: bool = False,
    method: str | Method | Mapping[str, Any] = "zerograds",
    max_renders: int = 2000,
    max_seconds: float | None = None,
    target_loss: float | None = None,
    patience: int | None = None,
    max_failed: float = 0.5,
    callback: Callable[[Loop], Any] | None = None,
    logger: Any = None,
    seed: int = 0,
    workers: int = 1,
    folder: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
    curve_points: int = 50,
) -> Result:
    """Find the parameters whose render looks like a reference, by calling `render` and nothing else.

    render: called as render(x, *args, **kwargs) with one x, as NumPy array, tensor or float, whatever `init` is; if
        init or space has names, as render(*args, name=…, **kwargs). It returns an image, grey [H, W], [H, W, C] or
        [C, H, W]. With `batched` it gets and returns a leading dimension B.
    init: the start, in the user's units; may be left to `space`. space: bounds, scales, integers (`ParameterSpace`).
    reference: the picture to match (numbers, or a file), or target: the θ whose render is to be matched. With neither,
        it returns losses. 8- and 16-bit pictures are taken as 0 … 1.
    loss: mse, scale_independent, relative_mse, multiscale, or a function (images [B, …], reference) -> [B].
    regulariser: (x [B, n] in the user's units) -> [B], added to the loss.
    method: a name (`zg list methods`), a name with settings {"name": "es", "lr": 0.1}, or a Method.
    max_renders, max_seconds, target_loss, patience, max_failed: when to stop (`zg.method.Budget`).
    callback: called with the run's `zg.loop.Loop` after each iteration: `.ledger` counts renders and keeps the best,
        `.method` has the surrogate (`predict`, `surrogate_gradient`) and the present θ in scaled units (`recommend()`).
        A true value ends the run.
    logger: Lightning loggers, or a writer with add_scalar. folder: keep everything there, and `resume` from it.
    workers: threads that render at the same time. progress: print how it goes; silent by default.
    curve_points: the recommended θ is rendered about so many times along the way for `history`, and twice at the end
        for the losses of start and result; neither is counted or seen by the method. 0 spares the former.
    Raises SettingError for a setting that is wrong.
    """
    check_callable(render, "render")
    if callback is not None:
        check_callable(callback, "callback")
    if folder is not None and not isinstance(folder, str | Path):
        raise SettingError(f"folder must be a path, got {folder!r}")
    if reference is not None and target is not None:
        raise SettingError("reference and target exclude each other, got both")
    named = (
        isinstance(init, Mapping)
        or isinstance(space, Mapping)
        or (isinstance(space, ParameterSpace) and len(space.blocks) > 1)
    )
    task = FunctionTask(
        render,
        make_space(init, space),
        reference=reference,
        target=target,
        loss=loss,
        regulariser=regulariser,
        args=args,
        kwargs=kwargs,
        batched=batched,
        named=named,
        like=next(iter(init.values())) if isinstance(init, Mapping) else init,
        linear=linear,
        workers=workers,
    )
    budget = Budget(max_renders, max_seconds, target_loss, patience, max_failed)
    chosen, config = make_method(method)
    result = run(
        task,
        chosen,
        budget,
        seed=seed,
        config=config,
        folder=None if folder is None else Path(folder),
        resume=resume,
        loggers=as_loggers(logger),
        observers=[] if callback is None else [Call(callback, StopReason.CALLBACK)],
        curve_points=curve_points,
        say=print if progress else None,
    )
    if result.stop_reason == StopReason.FAILED_RENDERS or result.row["failed_renders"] == result.renders:
        warnings.warn(f"too many renders failed, the last with {result.row['error'] or 'NaN'}", stacklevel=2)
    return result


def minimize(f: Callable[..., Any], x0: Values | Mapping[str, Values], **settings: Any) -> Result:
    """Find the x with the lowest f(x); f returns a number. Settings as for `optimize`."""
    for name in ("reference", "target", "loss", "linear"):
        if name in settings:
            raise SettingError(f"{name} is for optimize; minimize takes the number that f returns")
    check_callable(f, "f")
    return optimize(f, x0, **settings)


class Optimizer:
    """Ask and tell, for loops that cannot be turned inside out.

    space: a ParameterSpace, or its blocks by name. method: as for `optimize`. max_renders: the budget, for methods that
    anneal against one. `ask` hands out x [B, n] in the user's units; `tell` takes as many losses, NaN for a render that
    failed.
    """

    def __init__(
        self,
        space: ParameterSpace | Mapping[str, Block],
        method: str | Method | Mapping[str, Any] = "zerograds",
        *,
        seed: int = 0,
        max_renders: int = 10**9,
    ) -> None:
        self.space = make_space(None, space)
        chosen, _ = make_method(method)
        if chosen.feedback != "loss":
            raise SettingError(f"method must be content with losses, got {type(chosen).__name__}, which wants images")
        check_whole(0, seed=seed)
        self._loop = Loop(chosen, Budget(max_renders), seed)
        self._loop.start_without_renderer(self.space)
        self._batch = self.space.init.new_empty(0, self.space.n)
        self._losses: list[Tensor] = []
        self._handed = self._told = 0

    @property
    def method(self) -> Method:
        """The method at work."""
        return self._loop.method

    @property
    def renders(self) -> int:
        """How many losses have been told."""
        return self._loop.renders

    def ask(self, batch: int | None = None) -> Tensor:
        """x [B, n] in the user's units to be judged next: at most `batch`, by default all that the method wants now."""
        if batch is not None:
            check_whole(batch=batch)
        if self._handed > self._told:
            raise SettingError(f"tell must follow ask: {self._handed - self._told} losses are still to be told")
        if self._told == len(self._batch):
            self._batch = self._loop.ask()
            self._handed = self._told = 0
        count = len(self._batch) - self._told if batch is None else min(batch, len(self._batch) - self._told)
        self._handed += count
        return self.space.to_user(self._batch[self._told : self._handed])

    def tell(self, losses: Any) -> None:
        """The losses [B] of what `ask` returned, in its order."""
        told = as_tensor(losses, "losses").double().reshape(-1).to(self._batch.device)
        if len(told) != self._handed - self._told:
            raise SettingError(f"losses must be {self._handed - self._told} numbers, one for each x, got {len(told)}")
        self._losses.append(told)
        self._told = self._handed
        if self._told == len(self._batch):
            everything = torch.cat(self._losses)
            self._losses = []
            self._loop.tell(self._batch, self._loop.ledger.account(self._batch, everything))

    def state_dict(self) -> dict[str, Any]:
        """Everything, as tensors and plain values of its own; to be taken between `tell` and `ask` of whole batches."""
        if self._told != len(self._batch) or self._handed != self._told:
            raise SettingError(
                f"state_dict is for whole batches: {len(self._batch) - self._told} losses are to be told"
            )
        return copy.deepcopy(self._loop.state())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, into an Optimizer made with the same arguments."""
        self._loop.load_state(copy.deepcopy(dict(state)))

    def recommend(self) -> Tensor:
        """The best guess x [n] now, in the user's units."""
        return self.space.to_user(self.method.recommend())


def make_method(method: str | Method | Mapping[str, Any]) -> tuple[Method, Config]:
    """A method by name, with settings, or as it is; and the config that says so."""
    if isinstance(method, Method):
        if method.started:
            raise SettingError("method must be a fresh one, got one that has run")
        return method, {}
    from zg.config.build import check_keys, instantiate, parse_component, resolved

    config = compose({"model": dict(method) if isinstance(method, Mapping) else method})
    check_keys("model", config["model"])
    component = parse_component("model", config["model"])
    return instantiate("model", component), resolved(config, {"model": component})


def as_loggers(logger: Any) -> list[Any]:
    """Loggers from what a user gives: nothing, one, several, writers among them."""
    given = [] if logger is None else list(logger) if isinstance(logger, list | tuple) else [logger]
    made: list[Any] = []
    for one in given:
        if hasattr(one, "log_metrics"):
            made.append(one)
        elif hasattr(one, "add_scalar"):
            made.append(Writer(one))
        else:
            raise SettingError(f"logger must be a Lightning logger or have add_scalar, got {type(one).__name__}")
    return made
