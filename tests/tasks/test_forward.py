"""Tests of every forward model in torch: golden images, batches, starts."""

import numpy as np
import pytest
import torch

from tasks.caustic import Caustic
from tasks.mlp import Mlp
from tasks.mosaic import Mosaic
from tasks.procedural import Procedural
from tasks.rocket import Rocket
from tests.tasks import golden
from tests.tasks.golden import DEVICES, built

MAKERS = {
    "caustic": lambda: Caustic(control_points=8, size=48, photons=64),
    "mlp": Mlp,
    "rocket": Rocket,
    "rocket_stages": lambda: Rocket(stages=3, steer=True, longest=0.25),
    "mosaic": lambda: Mosaic(size=40),
    "procedural": lambda: Procedural(size=40),
}


@pytest.fixture(params=MAKERS)
def maker(request):
    return MAKERS[request.param]


def around_the_start(task, count):
    """x [count, n] in the user's units."""
    generator = torch.Generator().manual_seed(1)
    offsets = torch.randn(count, task.space.n, generator=generator, dtype=torch.float64)
    return task.space.to_user(task.space.init + 0.1 * offsets.to(task.space.init))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", golden.IMAGES)
def test_the_image_is_the_golden_image(name, device):
    image, expected = golden.IMAGES[name](device).cpu(), golden.read(name)
    assert image.shape == expected.shape
    assert ((image * 255).round() / 255 - expected).abs().mean() < 1e-3


@pytest.mark.parametrize("device", DEVICES)
def test_the_flights_are_the_golden_flights(device):
    expected = torch.from_numpy(np.load(golden.FOLDER / "rocket.npz")["path"])
    assert (golden.rocket(device).cpu() - expected).abs().max() < 1e-5


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_equals_its_single_renders(maker, device):
    task = built(maker(), device=device)
    x = around_the_start(task, 5)
    batch = task.render(x)
    singles = torch.cat([task.render(one[None]) for one in x])
    assert batch.shape == singles.shape
    assert batch.device.type == device
    assert (batch - singles).abs().mean() < 1e-4
    assert (batch[0] - batch[1]).abs().max() > 0


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_in_parts_on_three_devices_has_the_images_of_one(maker, device):
    one, three = built(maker(), device=device), maker()
    three.use_devices([device] * 3)
    built(three)
    x = around_the_start(one, 7)
    alone, in_parts = one.render_batch(x), three.render_batch(x)
    three.close()
    if isinstance(one, Mlp):  # the order of the sums in a matrix product depends on its size
        assert (alone - in_parts).abs().max() < 1e-6
    else:
        assert torch.equal(alone, in_parts)
    assert three.loss(in_parts, three.reference()).shape == (7,)


@pytest.mark.skipif("cuda" not in DEVICES, reason="needs a GPU")
def test_cpu_and_gpu_give_the_same_images(maker):
    here, there = (built(maker(), device=device) for device in ("cpu", "cuda"))
    x = around_the_start(here, 4)
    assert (here.render(x) - there.render(x.cuda()).cpu()).abs().mean() < 2e-3


def test_an_empty_batch_gives_no_images(maker):
    task = built(maker())
    x = around_the_start(task, 1)
    assert task.render(x[:0]).shape == (0, *task.render(x).shape[1:])


def test_the_start_depends_on_the_seed_and_the_reference_does_not(maker):
    task, again, other = built(maker(), 0), built(maker(), 0), built(maker(), 1)
    assert torch.equal(task.space.init, again.space.init)
    assert not torch.equal(task.space.init, other.space.init)
    if task.reference() is not None:
        assert torch.equal(task.reference(), other.reference())


def test_the_start_is_not_a_solution(maker):
    for seed in range(5):
        task = built(maker(), seed)
        x = task.space.to_user(task.space.init)[None]
        assert task.loss(task.render(x), task.reference()) > 0.02


@pytest.mark.parametrize("name", ["mosaic", "procedural"])
def test_the_loss_of_the_hidden_parameters_is_zero(name):
    task = built(MAKERS[name]())
    assert task.loss(task.render(task.solution[None]), task.reference()) == 0
    assert torch.equal(task.space.to_user(task.space.to_scaled(task.solution)), task.solution)
