"""What a run keeps for `zg explain`: some of the θ that it rendered, with their losses."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from zg.errors import check_whole
from zg.loop import Loop
from zg.objective import Objective
from zg.run.observer import Observer
from zg.seeding import make_generator
from zg.space import ParameterSpace

#: Most renders that are kept, and most numbers of θ among them (1 MB in double precision).
MOST_ROWS, MOST_NUMBERS = 1000, 2**17
#: Share of them that is of the beginning of the run. The others are of its end.
OF_THE_START = 0.25
#: Distance of additional renders from the result, in scaled units, where the method has no σ.
PROBE = 0.05
#: Fewest additional renders that tell something: the result twice, and one change. Share of them that is of the result.
FEWEST, OF_THE_RESULT = 3, 0.2


@dataclass(frozen=True)
class Evidence:
    """Renders of a run, and the space that they are from. θ is in scaled units, inside the bounds and rounded.

    names, sizes: of the blocks. scale, log, discrete, low, high [n]: of the space (`ParameterSpace`).
    start, end [n]: the initial and the recommended θ. theta [N, n], losses [N]: the renders; NaN where one failed.
    asked: how many of them, the last ones, were made after the run, by `probed`.
    categories: of each categorical parameter, its first coordinate and the names of its choices.
    """

    names: list[str]
    sizes: list[int]
    scale: Tensor
    log: Tensor
    discrete: Tensor
    low: Tensor
    high: Tensor
    start: Tensor
    end: Tensor
    theta: Tensor
    losses: Tensor
    asked: int = 0
    categories: list[tuple[int, list[str]]] = field(default_factory=list)

    @classmethod
    def of(cls, space: ParameterSpace, end: Tensor, theta: Tensor, losses: Tensor) -> "Evidence":
        """The evidence of renders θ [N, n] as a method asked for them."""

        def rendered(theta: Tensor) -> Tensor:
            return space.to_scaled(space.to_user(theta.to(space.init.device)))

        own = {name: getattr(space, name) for name in ("scale", "log", "discrete", "low", "high")}
        places = {"start": rendered(space.init), "end": rendered(end), "theta": rendered(theta)}
        tensors = {name: value.detach().cpu().clone() for name, value in (own | places).items()}
        found = cls(list(space.names), list(space.sizes), losses=losses.detach().cpu().clone(), **tensors)
        return replace(found, categories=_categories(space))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Evidence":
        """From what `state` returned."""
        return cls(**state)

    def state(self) -> dict[str, Any]:
        """Every field, as tensors and plain values."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def n(self) -> int:
        """Number of parameters."""
        return len(self.end)

    def to_user(self, theta: Tensor) -> Tensor:
        """θ [..., n] in scaled units -> x [..., n] in the user's units."""
        x = theta * self.scale
        return torch.where(self.log, x.exp(), x)

    @cached_property
    def parameter(self) -> Tensor:
        """The first coordinate of the parameter that each coordinate [n] belongs to: itself, if it is no choice."""
        found = torch.arange(self.n)
        for start, choices in self.categories:
            found[start : start + len(choices)] = start
        return found

    @cached_property
    def is_choice(self) -> Tensor:
        """Whether coordinates [n] are choices of a categorical parameter."""
        found = torch.zeros(self.n, dtype=torch.bool)
        for start, choices in self.categories:
            found[start : start + len(choices)] = True
        return found

    def label(self, i: int) -> str:
        """The name of the parameter of coordinate i: `angle`, or `angle[2]` in a block of several."""
        start = int(self.parameter[i])
        each = len(dict(self.categories).get(start, "x"))
        for name, size in zip(self.names, self.sizes, strict=True):
            if start < size:
                return name if size == each else f"{name}[{start // each}]"
            start -= size
        raise IndexError(i)

    def labels(self, coordinates: Iterable[int]) -> list[str]:
        """The names of the parameters of these coordinates, each once."""
        return list(dict.fromkeys(self.label(i) for i in coordinates))

    def said(self, theta: Tensor, i: int) -> str:
        """The value of the parameter of coordinate i at θ [n], in the user's units or as its choice."""
        start = int(self.parameter[i])
        choices = dict(self.categories).get(start)
        if choices is None:
            return f"{float(self.to_user(theta)[i]):.4g}"
        return choices[int(theta[start : start + len(choices)].argmax())]


class KeepEvidence(Observer):
    """Keeps the first and the last renders of a run."""

    def __init__(self) -> None:
        self._first: list[tuple[Tensor, Tensor]] = []
        self._last: list[tuple[Tensor, Tensor]] = []
        self._counts = [0, 0]
        self._space: ParameterSpace | None = None
        self._end: Tensor | None = None

    def started(self, loop: Loop) -> None:
        self._space = loop.method.space
        rows = max(2, min(MOST_ROWS, MOST_NUMBERS // self._space.n))
        self._room = [max(1, int(OF_THE_START * rows)), rows - max(1, int(OF_THE_START * rows))]

    def iterated(self, loop: Loop) -> None:
        if loop.batch is None:
            return
        theta, losses = loop.batch
        if self._counts[0] < self._room[0]:
            theta, losses = theta[: self._room[0]], losses[: self._room[0]]
            self._first.append((_kept(theta), _kept(losses)))
            self._counts[0] += len(losses)
            return
        theta, losses = theta[-self._room[1] :], losses[-self._room[1] :]
        self._last.append((_kept(theta), _kept(losses)))
        self._counts[1] += len(losses)
        while self._counts[1] - len(self._last[0][1]) >= self._room[1]:
            self._counts[1] -= len(self._last.pop(0)[1])

    def ended(self, loop: Loop) -> None:
        self._end = _kept(loop.method.recommend())

    def evidence(self) -> Evidence | None:
        """What was kept; None before the first iteration."""
        kept = [*self._first, *self._last]
        if self._space is None or not kept:
            return None
        theta, losses = (torch.cat([part[k] for part in kept]) for k in (0, 1))
        end = self._end
        if end is None:  # it has not ended: the best of what is kept
            end = theta[int(losses.nan_to_num(nan=float("inf")).argmin())]
        return Evidence.of(self._space, end, theta, losses)

    def state(self) -> dict[str, Any]:
        found = self.evidence()
        return {} if found is None else {"evidence": found.state(), "of_the_start": self._counts[0]}

    def load_state(self, state: dict[str, Any]) -> None:
        known, count = Evidence.from_state(state["evidence"]), state["of_the_start"]
        self._first = [(known.theta[:count], known.losses[:count])]
        self._last = [(known.theta[count:], known.losses[count:])] if len(known.losses) > count else []
        self._counts = [count, len(known.losses) - count]


def probed(evidence: Evidence, objective: Objective, records: Sequence[Mapping[str, float]], count: int) -> Evidence:
    """With `count` more renders: the result several times, for the noise, and single parameters changed by ± σ.

    Those that the kept renders have changed least often come first; after 2 n changes, all parameters change at once.
    The run does not count these renders. records: of the run; their last σ, in scaled units, is the size of the
    changes, or PROBE without one. Raises SettingError for fewer than FEWEST.
    """
    check_whole(FEWEST, renders=count)
    device = objective.space.init.device
    step = next((row["sigma"] for row in reversed(records) if row.get("sigma")), PROBE)
    changes = _single_changes(evidence, objective.space, step)
    of_result = torch.linspace(0, count - 1, max(2, int(OF_THE_RESULT * count))).round().long().tolist()
    theta = evidence.end.repeat(count, 1)
    for number, row in enumerate(row for row in range(count) if row not in of_result):
        change = next(changes, None)
        if change is None:
            change = step * torch.randn(evidence.n, generator=make_generator(0, "explain", str(number)))
            change = evidence.end + change
        theta[row] = change
    losses = [objective.measure(one.to(device), f"explain {row}")[0] for row, one in enumerate(theta)]
    more = Evidence.of(objective.space, evidence.end, theta.to(device), torch.tensor(losses, dtype=torch.float64))
    theta, told = torch.cat([evidence.theta, more.theta]), torch.cat([evidence.losses, more.losses])
    return replace(evidence, theta=theta, losses=told, asked=count)


def _single_changes(evidence: Evidence, space: ParameterSpace, step: float) -> Iterator[Tensor]:
    """θ [n] that are the result with one parameter changed: by ± step, by ± 1 if it is whole, or to another choice."""
    for i in (evidence.theta != evidence.end).sum(0).argsort(stable=True).tolist():
        if evidence.is_choice[i]:
            chosen = space.chosen(evidence.end.to(space.init), i).to(evidence.end)
            if not torch.equal(chosen, evidence.end):
                yield chosen
            continue
        for sign in (1, -1):
            theta = evidence.end.clone()
            theta[i] += sign * max(step, float(1 / evidence.scale[i]) if evidence.discrete[i] else 0.0)
            yield theta


def _categories(space: ParameterSpace) -> list[tuple[int, list[str]]]:
    """The categorical parameters of a space, as `Evidence` has them."""
    found, start = [], 0
    for block, size in zip(space.blocks.values(), space.sizes, strict=True):
        if block.choices is not None:
            names = [str(choice) for choice in block.choices]
            found += [(at, names) for at in range(start, start + size, len(names))]
        start += size
    return found


def _kept(values: Tensor) -> Tensor:
    """A copy in memory of its own: methods may write into theirs."""
    return values.detach().to("cpu", copy=True)
