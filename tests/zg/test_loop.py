"""The bare loop: iterations, state, cut batches and reasons to stop."""

import pytest
import torch

from baselines.cmaes import CMAES
from baselines.es import ES
from baselines.snes import SNES
from tests.methods import looped
from tests.problems import Noisy, Quadratic, Sphere, Stripes
from zg.budget import Budget
from zg.ledger import Evaluation
from zg.loop import Loop, on_device
from zg.method import Method
from zg.objective import Objective
from zg.zerograds.method import ZeroGrads

METHODS = {"zerograds": ZeroGrads, "es": ES, "cmaes": CMAES}


def iterate(loop: Loop, times: int) -> Loop:
    for _ in range(times):
        loop.iterate()
    return loop


def same(a, b) -> bool:
    """Whether two nested states have the same values, bit by bit."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a.nan_to_num(0, 1, 2), b.nan_to_num(0, 1, 2))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b or (a != a and b != b)


def untimed(state):
    """A state of a loop without its times."""
    ledger = {name: value for name, value in state["ledger"].items() if name != "seconds_render"}
    timed = ("seconds", "seconds_method")
    return {**{name: value for name, value in state.items() if name not in timed}, "ledger": ledger}


class Plain(Method):
    """Renders θ₀, three at a time, and keeps what it is told."""

    saved = ("told",)

    def build(self, theta):
        self.theta, self.told = theta, []

    def ask(self):
        return self.theta.expand(3, -1)

    def tell(self, theta, evaluation):
        self.told = [*self.told, len(evaluation.losses)]

    def recommend(self):
        return self.theta


def test_an_iteration_asks_renders_and_tells():
    task = Sphere()
    loop = iterate(looped(Plain(), task, 100), 2)
    assert task.rendered().shape == (6, 6)
    assert (loop.iteration, loop.renders, loop.method.told) == (2, 6, [3, 3])
    assert loop.ledger.best_loss == pytest.approx(float(task.loss(task.render(task.rendered()[:1]), task.reference())))
    assert 0 < loop.seconds_method < 1 and 0 < loop.ledger.seconds_render < 1


def test_a_loop_that_is_not_started_has_no_renders():
    assert Loop(Plain(), Budget(10)).renders == 0


def test_a_method_whose_feedback_is_the_image_gets_images_and_the_loss_of_images():
    seen = []

    class Seeing(Plain):
        feedback = "image"

        def tell(self, theta, evaluation):
            seen.append(evaluation)

    loop = iterate(looped(Seeing(), Stripes(), 100), 1)
    (evaluation,) = seen
    losses = loop.method.problem.image_loss.of_images(evaluation.images, evaluation.reference)
    assert torch.equal(losses, evaluation.losses) and evaluation.images.shape == (3, 1, 12, 16)
    blind = iterate(looped(Plain(), Stripes(), 100), 1)
    assert blind.method.problem.image_loss is None


def test_the_problem_says_whether_the_task_is_noisy_and_what_the_budget_is():
    problem = looped(Plain(), Noisy(), 123).method.problem
    assert (problem.noisy, problem.max_renders) == (True, 123)
    assert not looped(Plain(), Quadratic(), 123).method.problem.noisy


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_loop_that_loads_a_state_goes_on_with_the_same_bits(method, tmp_path):
    unbroken = iterate(looped(method(), Noisy(), 1000), 12)
    torch.save(iterate(looped(method(), Noisy(), 1000), 5).state(), tmp_path / "state")
    resumed = looped(method(), Noisy(), 1000)
    resumed.load_state(torch.load(tmp_path / "state", weights_only=True))
    assert (resumed.iteration, resumed.renders) == (5, resumed.ledger.renders)
    iterate(resumed, 7)
    assert torch.equal(resumed.method.recommend(), unbroken.method.recommend())
    assert same(untimed(resumed.state()), untimed(unbroken.state()))


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_state_during_a_render_is_that_at_the_start_of_the_iteration(method):
    """A checkpoint after an exception in a render can then repeat the iteration."""
    during = []

    class Looking(Noisy):
        def render(self, x, *seeds):
            during.append(loop.state())
            return super().render(x, *seeds)

    loop = looped(method(), Looking(), 1000)
    iterate(loop, 3)
    before = untimed(loop.state())
    iterate(loop, 1)
    assert same(untimed(during[-1]), before)
    assert not same(untimed(loop.state()), before)


def test_a_loop_cannot_be_resumed_while_the_method_is_told_losses():
    resumable = []

    class Looking(Plain):
        def tell(self, theta, evaluation):
            resumable.append(loop.resumable)

    loop = looped(Looking(), Quadratic(), 100)
    iterate(loop, 1)
    assert resumable == [False] and loop.resumable


@pytest.mark.parametrize(("needs_whole_batches", "told"), [(False, [3, 3, 2]), (True, [3, 3])])
def test_a_method_that_needs_whole_batches_is_not_told_a_batch_that_the_budget_has_cut(needs_whole_batches, told):
    class Batches(Plain):
        whole_batches = needs_whole_batches

    loop = iterate(looped(Batches(), Quadratic(), 8), 3)
    assert loop.method.told == told
    assert (loop.renders, loop.iteration, loop.stop_reason()) == (8, 3, "budget"), "its renders are counted"


def test_snes_ends_with_whole_populations():
    loop = looped(SNES(population=6), Quadratic(), 20)
    theta = iterate(loop, 3).method.recommend().clone()
    assert torch.equal(iterate(loop, 1).method.recommend(), theta)
    assert loop.renders == 20


def test_a_loop_without_a_reason_goes_on():
    assert iterate(looped(Plain(), Quadratic(), 100), 3).stop_reason() is None


def test_reasons_to_stop_are_an_observer_then_the_budget_then_the_method():
    class Finished(Plain):
        def finished(self):
            return "converged"

    loop = iterate(looped(Finished(), Quadratic(), 6), 1)
    assert loop.stop_reason() == "converged"
    iterate(loop, 1)
    assert loop.stop_reason() == "budget"
    loop.asked_to_stop = "callback"
    assert loop.stop_reason() == "callback"


def test_rendering_and_method_together_are_the_time_of_a_run():
    task = Quadratic()
    task.setup()
    loop = Loop(Plain(), Budget(100, max_seconds=10))
    loop.start(Objective(task, 100))
    loop.seconds_method, loop.ledger.seconds_render = 5.0, 4.9
    assert loop.stop_reason() is None
    loop.ledger.seconds_render = 5.0
    assert loop.stop_reason() == "time"


def test_without_a_renderer_ask_and_tell_count_in_the_same_way():
    task = Quadratic()
    task.setup()
    rendering, telling = looped(ES(), Quadratic(), 1000), Loop(ES(), Budget(1000))
    telling.start_without_renderer(task.space)
    for _ in range(5):
        rendering.iterate()
        theta = telling.ask()
        evaluation = telling.ledger.account(theta, task.render(task.space.to_user(theta)))
        assert isinstance(evaluation, Evaluation)
        telling.tell(theta, evaluation)
    assert same(untimed(telling.state()), untimed(rendering.state()))


def test_nested_values_are_copied_to_a_device():
    value = {"a": [torch.zeros(2), (torch.ones(1), 3)], "b": "word", "c": None}
    copied = on_device(value, torch.device("cpu"))
    assert same(copied, value)
    assert type(copied["a"]) is list and type(copied["a"][1]) is tuple
    assert on_device(value, torch.device("meta"))["a"][0].device.type == "meta"
