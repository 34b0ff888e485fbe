import numpy as np
import pytest
import torch

import benchmarks.zoo
from benchmarks.zoo import DEVELOPMENT, HELD_OUT, ZOO, names, renders
from benchmarks.zoo.__main__ import family
from zg.seeding import render_seeds
from zg.space import ParameterSpace

LARGEST = 5_000


def built(entry, instance, **options):
    task = entry.make(instance, **options)
    task.setup()
    return task


@pytest.fixture(scope="module")
def tasks():
    return {name: built(entry, 1) for name, entry in ZOO.items()}


@pytest.fixture(params=list(ZOO))
def entry(request):
    return ZOO[request.param]


@pytest.fixture
def task(entry, tasks):
    return tasks[entry.name]


def start(task):
    """The initial x [1, n] in the user's units."""
    return task.space.to_user(task.space.init)[None]


def around(task, count, width=0.05):
    """Some x [count, n] about the start."""
    away = width * torch.randn(count, task.space.n, generator=torch.Generator().manual_seed(0), dtype=task.space.dtype)
    return task.space.to_user(task.space.project(task.space.init + away))


def seeds(task, count):
    return (render_seeds(3, 0, count),) if task.noisy else ()


def test_the_start_is_worse_than_the_hidden_parameters(task):
    truth = float(task.truth(start(task)))
    assert 1e-6 < truth < 1e3
    if task.reachable:
        assert float(task.truth(task.solution[None].to(task.space.dtype))) < 1e-9 * truth
    else:
        assert task.solution is None


def test_the_space_holds_the_start_and_the_hidden_parameters(task):
    space = task.space
    assert 2 <= space.n <= LARGEST
    inside = [start(task)[0]] if task.solution is None else [start(task)[0], task.solution.to(space.dtype)]
    for x in inside:
        assert (x >= space.low_user).all()
        assert (x <= space.high_user).all()
        assert torch.equal(x[space.discrete], x[space.discrete].round())


def test_other_instances_stay_inside_their_bounds(entry):
    for instance in range(20, 25):
        parts = entry.make(instance).parts(np.random.default_rng(instance))
        space = ParameterSpace(parts)  # raises for a start that is outside
        if entry.make.reachable:
            goal = torch.cat([torch.as_tensor(part.goal).double().reshape(-1) for part in parts.values()])
            assert (goal >= space.low_user).all()
            assert (goal <= space.high_user).all()


def test_an_instance_has_its_own_reference_and_the_same_bits_each_time(entry, task):
    again, other = built(entry, 1), built(entry, 2)
    assert torch.equal(task.reference(), again.reference())
    assert torch.equal(task.space.init, again.space.init)
    x = around(task, 2)
    assert torch.equal(task.render(x, *seeds(task, 2)), again.render(x, *seeds(task, 2)))
    assert other.reference().shape == task.reference().shape
    assert not torch.equal(task.reference(), other.reference())


def test_the_losses_of_a_batch_are_those_of_its_parameters_rendered_singly(task):
    x = around(task, 3)
    together = task.loss(task.render(x, *seeds(task, 3)), task.reference())
    singly = [
        task.loss(task.render(x[[k]], *(seed[[k]] for seed in seeds(task, 3))), task.reference()) for k in range(3)
    ]
    # A rounding error may move a pixel across a hard edge.
    assert together.tolist() == pytest.approx(torch.cat(singly).tolist(), rel=1e-3, abs=1e-9)


def test_two_renders_of_the_same_parameters_differ_only_where_a_problem_is_declared_noisy(task):
    x = around(task, 1).expand(2, -1)
    images = task.render(x, *seeds(task, 2))
    assert torch.equal(images[0], images[1]) != task.noisy


def test_every_block_shows_in_the_picture(task):
    space = task.space
    shown = around(task, 1, 0.3)[0] if task.solution is None else task.solution.to(space.dtype)
    x = space.to_scaled(shown)
    for part in torch.eye(len(space.sizes), dtype=torch.bool).repeat_interleave(torch.tensor(space.sizes), 1):
        step = torch.where(x - 0.3 < space.low, 1.0, -1.0).to(x) * (0.3 + space.discrete * 1 / space.scale)
        pair = space.to_user(space.project(torch.stack([x, torch.where(part, x + step, x)])))
        first, second = task.render(pair, *(seed[[0, 0]] for seed in seeds(task, 1)))
        assert not torch.equal(first, second)


@pytest.mark.parametrize("name", [name for name, entry in ZOO.items() if entry.make.noisy])
def test_the_loss_with_noise_tells_the_hidden_parameters_from_the_start(name, tasks):
    task = tasks[name]
    hidden = task.solution[None].to(task.space.dtype)
    both = torch.cat([hidden.expand(8, -1), start(task).expand(8, -1)])
    losses = task.loss(task.render(both, *seeds(task, 16)), task.reference())
    assert losses[:8].mean() < 0.5 * losses[8:].mean()  # noise itself costs less than half of what there is to gain


def test_one_block_is_the_same_problem(entry, task):
    whole = built(entry, 1, one_block=True)
    assert whole.space.sizes == [task.space.n]
    assert torch.equal(whole.space.init, task.space.init)
    assert torch.equal(whole.space.scale, task.space.scale)
    x = around(task, 2)
    assert torch.equal(whole.render(x, *seeds(task, 2)), task.render(x, *seeds(task, 2)))


def test_the_halves_share_no_family():
    assert not set(DEVELOPMENT) & set(HELD_OUT)
    assert sorted(names("development") + names("held_out")) == sorted(names("all")) == sorted(ZOO)


def test_both_halves_have_every_difficulty_and_problems_of_every_size(tasks):
    found = {}
    for half in ("development", "held_out"):
        found[half] = {difficulty for name in names(half) for difficulty in tasks[name].difficulties()}
        sizes = [tasks[name].space.n for name in names(half)]
        assert min(sizes) == 2
        assert max(sizes) > 3_000
    assert found["development"] == found["held_out"]
    assert len(found["held_out"]) == 7


def test_the_docstring_lists_every_family_as_the_command_does(tasks):
    for name in DEVELOPMENT + HELD_OUT:
        members = [tasks[entry.name] for entry in ZOO.values() if entry.family == name]
        assert f"    {family(name, members)}\n" in benchmarks.zoo.__doc__


def test_the_budget_is_200_renders_a_parameter_and_at_most_5000():
    assert [renders(n) for n in (2, 25, 26, 5_000)] == [400, 5_000, 5_000, 5_000]
