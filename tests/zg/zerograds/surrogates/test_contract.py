"""What holds for every surrogate."""

import copy
from dataclasses import FrozenInstanceError, fields

import pytest
import torch
from torch import Tensor

from zg.problem import Problem
from zg.space import Block, ParameterSpace
from zg.zerograds.surrogates import SURROGATES
from zg.zerograds.surrogates.base import Surrogate

every = pytest.mark.parametrize("name", SURROGATES)


def problem(n: int = 7) -> Problem:
    """Binaries, for every surrogate takes them."""
    return Problem.of_space(ParameterSpace(x=Block(torch.full((n,), 0.3), kind="binary")), seed=3)


def made(name: str) -> Surrogate:
    """A surrogate at the start of the problem."""
    given = problem()
    return SURROGATES[name](given, given.space.init.clone(), 0.4, None)  # type: ignore[call-arg]


def tell(surrogate: Surrogate, theta: Tensor) -> None:
    """Losses that depend on θ alone, some of them equal."""
    losses = (surrogate.problem.space.to_user(theta) - torch.arange(7) % 2).square().sum(1)
    surrogate.tell(theta, losses, losses.isfinite())


@every
@pytest.mark.parametrize("iterations", [0, 1, 2, 5, 9])
def test_a_checkpoint_that_is_written_while_a_batch_renders_asks_for_the_same_batch(name: str, iterations: int) -> None:
    surrogate = made(name)
    for _ in range(iterations):
        tell(surrogate, surrogate.ask())
    before = surrogate.problem.generator.get_state()
    asked = surrogate.ask().clone()
    resumed = made(name)
    resumed.load_state_dict(copy.deepcopy(surrogate.state_dict()))
    resumed.problem.generator.set_state(before)
    assert torch.equal(resumed.ask(), asked)
    tell(surrogate, asked)
    tell(resumed, asked)
    assert torch.equal(resumed.ask(), surrogate.ask())


@every
def test_settings_are_frozen_and_each_has_a_default(name: str) -> None:
    settings = SURROGATES[name].Settings()
    with pytest.raises(FrozenInstanceError):
        setattr(settings, fields(settings)[0].name, 1)


@every
def test_the_state_is_tensors_and_plain_values(name: str, tmp_path) -> None:
    surrogate = made(name)
    tell(surrogate, surrogate.ask())
    torch.save(surrogate.state_dict(), tmp_path / "state.pt")
    torch.load(tmp_path / "state.pt", weights_only=True)
