"""Noise from θ that are rendered twice."""

import pytest
import torch

from zg.seeding import make_generator
from zg.zerograds.parts.noise import NoiseVariance, differ


def test_two_losses_that_differ_by_rounding_alone_do_not_count_as_noise():
    loss = torch.tensor(3.0).double()
    assert not differ(loss, loss) and not differ(loss, loss * (1 + 1e-8)) and differ(loss, loss * (1 + 1e-4))


def test_the_variance_of_noise_is_found_from_pairs_whatever_the_loss_is():
    generator, noise = make_generator(0, "test"), NoiseVariance(memory=0.999)
    for number in range(4000):
        noise.tell(*(number + 0.3 * torch.randn(2, generator=generator, dtype=torch.float64)))
    assert noise.value == pytest.approx(0.09, rel=0.1)


def test_the_first_pairs_count_alike_and_later_ones_are_forgotten():
    noise = NoiseVariance(memory=0.5)
    zero = torch.tensor(0.0).double()
    noise.tell(zero, zero + 2)
    assert noise.value == 2
    noise.tell(zero, zero)
    assert noise.value == 1
    for _ in range(60):
        noise.tell(zero, zero)
    assert noise.value < 1e-15


def test_resumed_the_variance_goes_on_with_the_same_bits():
    first, second = NoiseVariance(0.8), NoiseVariance(0.8)
    losses = torch.rand(10, 2, generator=make_generator(0, "test"), dtype=torch.float64)
    for pair in losses[:3]:
        first.tell(*pair)
    second.load_state_dict(first.state_dict())
    for pair in losses[3:]:
        first.tell(*pair)
        second.tell(*pair)
    assert first.state_dict() == second.state_dict()
