"""Sparse regression of pixels on parameters: what is found, from how many renders, and what is left unknown."""

import pytest
import torch
from torch import Tensor

from zg.zerograds.pictures import pursuit
from zg.zerograds.pictures.pursuit import Sparse, pursue


def scene(n: int, m: int, shared: int, renders: int, noise: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets X [T, n], changes Y [T, m] and the matrix [m, n], each row of which has `shared` entries."""
    g = torch.Generator().manual_seed(1)
    matrix = torch.zeros(m, n)
    columns = torch.stack([torch.randperm(n, generator=g)[:shared] for _ in range(m)])
    matrix.scatter_(1, columns, torch.rand(m, shared, generator=g) + 0.5)
    X = (torch.rand(renders, n, generator=g) + 0.5) * (2.0 * torch.randint(2, (renders, n), generator=g) - 1)
    X = X - X.mean(0)
    return X, X @ matrix.T + noise * torch.randn(renders, m, generator=g), matrix


def dense(J: Sparse, n: int) -> Tensor:
    return torch.zeros(len(J.columns), n).scatter_add_(1, J.columns, J.values)


@pytest.mark.parametrize(("shared", "renders"), [(1, 6), (2, 22), (5, 55)])
def test_the_parameters_of_each_pixel_are_found_from_few_renders(shared: int, renders: int) -> None:
    X, Y, matrix = scene(800, 300, shared, renders)
    J = pursue(X, Y, 8, 9.0)
    assert (J.left < 1).float().mean() > 0.9
    exact = J.left < 1e-3
    assert exact.float().mean() > 0.85
    assert torch.allclose(dense(J, 800)[exact], matrix[exact], atol=1e-2)


def test_pixels_that_follow_more_parameters_than_the_renders_can_tell_stay_unknown() -> None:
    X, Y, _ = scene(800, 300, 20, 12)
    J = pursue(X, Y, 16, 9.0)
    assert (J.left < 1).float().mean() < 0.05
    assert not J.values[J.left == 1].any(), "and have no entries"


def test_noise_makes_pixels_unknown_and_not_wrong() -> None:
    X, Y, matrix = scene(400, 300, 1, 8, noise=3.0)
    J = pursue(X, Y, 4, 9.0)
    assert (J.left < 1).float().mean() < 0.1
    X, Y, matrix = scene(400, 300, 1, 24, noise=0.2)
    J = pursue(X, Y, 4, 9.0)
    assert (J.left < 1).float().mean() > 0.95
    assert ((dense(J, 400) != 0) == (matrix != 0))[J.left < 1].float().mean() > 0.995


def test_one_bit_a_render_needs_more_renders() -> None:
    g = torch.Generator().manual_seed(2)
    for renders, known in ((10, 0.0), (24, 1.0)):
        X = torch.randint(2, (renders, 200), generator=g).float()
        Y = X[:, torch.randint(200, (100,), generator=g)]
        J = pursue(X - X.mean(0), Y - Y.mean(0), 4, 0.7)
        assert float((J.left < 1).float().mean()) == pytest.approx(known, abs=0.05)


def test_a_tree_finds_what_a_search_through_all_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    X, Y, _ = scene(800, 300, 1, 6)
    searched = pursue(X, Y, 4, 9.0)
    monkeypatch.setattr(pursuit, "TREE_SIZE", 1)
    looked_up = pursue(X, Y, 4, 9.0)
    assert torch.equal(searched.columns, looked_up.columns) and torch.equal(searched.left < 1, looked_up.left < 1)


def test_products_are_those_of_the_matrix() -> None:
    X, Y, _ = scene(50, 30, 3, 30)
    J = pursue(X, Y, 4, 9.0)
    matrix, s, u = dense(J, 50), torch.randn(2, 50), torch.randn(2, 30)
    assert torch.allclose(J.times(s), s @ matrix.T, atol=1e-5)
    assert torch.allclose(J.transposed(u, 50), u @ matrix, atol=1e-5)
    weights = torch.rand(30)
    assert torch.allclose(J.column_sums(weights, 50), (weights[:, None] * matrix.square()).sum(0), atol=1e-5)
