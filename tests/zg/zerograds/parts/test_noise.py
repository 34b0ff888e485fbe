"""Noise from θ that are rendered twice."""

import pytest
import torch

from zg.seeding import make_generator
from zg.zerograds.parts.noise import Noise, differ

ZERO, TWO = torch.zeros(2).double(), torch.tensor([0.0, 2.0]).double()


def test_two_losses_that_differ_by_rounding_alone_do_not_count_as_noise():
    loss = torch.tensor(3.0).double()
    assert not differ(loss, loss) and not differ(loss, loss * (1 + 1e-8)) and differ(loss, loss * (1 + 1e-4))


def test_the_variance_of_noise_is_found_from_pairs_whatever_the_loss_is():
    generator, noise = make_generator(0, "test"), Noise(memory=0.999, pairs_for_equal=10)
    for number in range(4000):
        sample, theta = number + 0.3 * torch.randn(2, 2, generator=generator, dtype=torch.float64)
        noise.tell(sample, 0.5 * theta)
    assert noise.variance == pytest.approx(0.09, rel=0.1)
    assert noise.share_of_samples == pytest.approx(0.75, abs=0.03)


def test_the_first_pairs_count_alike_and_later_ones_are_forgotten():
    noise = Noise(memory=0.5, pairs_for_equal=0)
    noise.tell(TWO, ZERO)
    assert noise.variance == 2
    noise.tell(ZERO, ZERO)
    assert noise.variance == 1
    for _ in range(60):
        noise.tell(ZERO, ZERO)
    assert noise.variance < 1e-15


def test_noise_is_the_same_at_both_places_until_pairs_show_that_it_is_not():
    noise, shares = Noise(memory=0.95, pairs_for_equal=10), []
    for _ in range(60):
        noise.tell(TWO, ZERO)
        shares.append(noise.share_of_samples)
    assert shares[0] < 0.2 and shares == sorted(shares) and shares[-1] == pytest.approx(0.8)
    assert noise.variance == pytest.approx(2 * 25 / 30)


def test_where_theta_has_more_noise_it_is_that_of_both():
    noise = Noise(memory=0.95, pairs_for_equal=10)
    noise.tell(TWO, 2 * TWO)
    assert noise.variance == pytest.approx(5) and noise.share_of_samples == 0


def test_without_noise_nothing_is_shared():
    noise = Noise(memory=0.95, pairs_for_equal=10)
    assert noise.variance == 0 and noise.share_of_samples == 0
    noise.tell(ZERO, ZERO)
    assert noise.variance == 0 and noise.share_of_samples == 0


def test_resumed_the_variance_goes_on_with_the_same_bits():
    first, second = (Noise(memory=0.8, pairs_for_equal=10) for _ in range(2))
    losses = torch.rand(10, 2, 2, generator=make_generator(0, "test"), dtype=torch.float64)
    for sample, theta in losses[:3]:
        first.tell(sample, theta)
    second.load_state_dict(first.state_dict())
    for sample, theta in losses[3:]:
        first.tell(sample, theta)
        second.tell(sample, theta)
    assert first.state_dict() == second.state_dict()
