"""What bounds leave of probes."""

import torch

from zg.zerograds.parts.bounds import distances_inside


def test_probes_go_as_far_as_the_bounds_let_them():
    theta, directions = torch.tensor([0.0, 0.9]).double(), torch.eye(2).double()
    up = distances_inside(theta, directions, 0.5, lambda theta: theta.clamp(-1, 1))
    down = distances_inside(theta, directions, -0.5, lambda theta: theta.clamp(-1, 1))
    assert torch.allclose(up, torch.tensor([0.5, 0.1]).double())
    assert torch.allclose(down, torch.tensor([-0.5, -0.5]).double())


def test_of_a_probe_that_is_pushed_aside_only_the_way_along_its_direction_counts():
    """(0.6, 0.8) is cut to (0.6, 0.4), and 0.6² + 0.4 · 0.8 = 0.68 along it."""
    theta, directions = torch.zeros(2).double(), torch.tensor([[0.6, 0.8]]).double()
    gone = distances_inside(theta, directions, 1.0, lambda theta: theta.clamp(max=torch.tensor([1.0, 0.4])))
    assert torch.allclose(gone, torch.tensor([0.68]).double())
