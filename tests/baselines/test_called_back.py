"""Methods whose library calls the loss: BFGS and BOBYQA."""

import subprocess
import sys
import weakref
from itertools import islice

import numpy as np
import pytest
import torch

from baselines.bfgs import BFGS
from baselines.bobyqa import BOBYQA
from baselines.called_back import CalledBack, Conversation, Losses, starts
from tasks.rosenbrock import Rosenbrock
from tests.methods import looped, started
from tests.problems import Quadratic, Rotated
from zg.budget import Budget
from zg.errors import SettingError
from zg.run.run import run
from zg.space import Block, ParameterSpace

every = pytest.mark.parametrize("method", [BFGS, BOBYQA])


@every
def test_an_ill_conditioned_rotated_quadratic_is_solved_within_70_renders_per_parameter(
    method: type[CalledBack],
) -> None:
    assert run(Rotated(5, 1e3), method(), Budget(350), video=False).loss < 1e-9


@every
def test_rosenbrock_in_two_dimensions_is_solved_in_300_renders(method: type[CalledBack]) -> None:
    assert run(Rosenbrock(2), method(), Budget(300), video=False).loss < 1e-8


def test_the_renders_of_a_gradient_are_one_batch() -> None:
    loop = looped(BFGS(), Quadratic(7), 100)
    sizes = []
    for _ in range(4):
        sizes.append(len(loop.method.ask()))
        loop.iterate()
    assert sizes[:2] == [1, 7]


def test_starts_after_the_first_are_between_the_bounds_or_around_theta_0() -> None:
    space = ParameterSpace(boxed=Block([3.0] * 50, low=2.0, high=6.0), free=Block([1.0] * 50))
    first, *others = islice(starts(space.init.numpy(), space, 0), 41)
    assert (first == space.init.numpy()).all()
    x = space.to_user(torch.as_tensor(np.stack(others)))
    assert x[:, :50].min() >= 2 and x[:, :50].max() <= 6 and float(x[:, :50].std()) == pytest.approx(4 / 12**0.5, 0.05)
    assert float(x[:, 50:].mean()) == pytest.approx(1, abs=0.1) and float(x[:, 50:].std()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("low", [None, -1e-3])
def test_bobyqa_moves_in_a_space_without_bounds_and_in_a_narrow_one(low: float | None) -> None:
    space = ParameterSpace(x=Block([0.0, 0.0], low=low, high=None if low is None else 2e-3, scale=1.0))
    method = started(BOBYQA(), space)
    asked = []
    for _ in range(20):
        theta = method.ask()
        asked.append(theta)
        method.tell(theta, method.ledger.account(theta, (theta - 1e-3).square().sum(1)))
    assert torch.cat(asked).unique(dim=0).shape[0] > 5
    assert method.recommend() == pytest.approx([1e-3, 1e-3], abs=1e-6)


def test_bobyqa_names_the_limit_of_its_parameters() -> None:
    with pytest.raises(SettingError, match="at most 1000 parameters, got 1001"):
        looped(BOBYQA(), Quadratic(1001), 10)


def test_an_exception_of_a_library_reaches_the_caller() -> None:
    def work(losses: Losses) -> None:
        losses(np.zeros((1, 2)))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Conversation(work).tell(np.zeros(1))


@pytest.mark.parametrize("swallows", [False, True])
def test_a_deleted_conversation_unwinds_the_library(swallows: bool, capfd: pytest.CaptureFixture[str]) -> None:
    unwound = []

    def work(losses: Losses) -> None:
        try:
            losses(np.zeros((1, 2)))
        finally:
            unwound.append(True)
            if swallows:
                raise SystemError("an exception was set")

    conversation = Conversation(work)
    gone = weakref.ref(conversation)
    del conversation
    assert gone() is None and unwound == [True]
    assert capfd.readouterr().err == ""


def test_a_process_exits_while_a_library_waits_for_a_loss() -> None:
    script = """
from baselines.bfgs import BFGS
from baselines.bobyqa import BOBYQA
from zg import Block, Optimizer
kept = [Optimizer(Block([1.0] * 3), method=method) for method in (BFGS(), BOBYQA())]
for optimizer in kept:
    for _ in range(3):
        optimizer.tell([(x**2).sum() for x in optimizer.ask()])
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100)
    assert (ended.returncode, ended.stderr) == (0, "")
