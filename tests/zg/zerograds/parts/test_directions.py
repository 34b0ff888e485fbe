"""Directions without replacement: a sweep resolves the identity, and products by factors are those of the rows."""

import pytest
import torch

from zg.zerograds.parts.directions import CrossedDirections


def dense(block, n):
    """The directions [k, n] themselves."""
    rows = torch.empty(len(block), n, dtype=torch.float64)
    block.around(torch.zeros(n, dtype=torch.float64), torch.ones(len(block)), torch.ones(1), out=rows)
    return rows


def used(directions, m):
    """The next m directions [k, n], counted as used."""
    block = directions.draw(m)
    directions.advance(len(block))
    return dense(block, directions.n)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("n", [1, 7, 130, 320, 1000])
def test_the_squares_of_a_block_are_the_squared_lengths_of_its_directions(n, generator):
    block = CrossedDirections(n, generator, torch.float64).draw(30)
    assert torch.allclose(block.squares, dense(block, n).square().sum(1), atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7, 129, 256, 1000])
def test_a_sweep_resolves_the_identity(n, generator):
    rows = dense(CrossedDirections(n, generator, torch.float64).draw(10**9), n)
    assert torch.allclose(rows.T @ rows, torch.eye(n, dtype=torch.float64), atol=1e-12)


def test_blocks_of_a_sweep_are_its_rows_without_replacement(generator):
    directions = CrossedDirections(150, generator, torch.float64)
    rows = torch.cat([used(directions, 40) for _ in range(4)])
    assert directions.position == 0
    assert torch.allclose(rows.T @ rows, torch.eye(150, dtype=torch.float64), atol=1e-12)


def test_a_block_is_orthonormal_where_sizes_fit(generator):
    rows = dense(CrossedDirections(320, generator, torch.float64).draw(30), 320)
    assert torch.allclose(rows @ rows.T, torch.eye(30, dtype=torch.float64), atol=1e-12)


def test_products_by_factors_are_those_of_the_rows(generator):
    directions = CrossedDirections(1003, generator, torch.float64)
    block = directions.draw(30)
    rows, v = dense(block, 1003), torch.randn(1003, generator=generator, dtype=torch.float64)
    y = torch.randn(30, generator=generator, dtype=torch.float64)
    assert torch.allclose(block.along(v), rows @ v)
    assert torch.allclose(block.combine(y), rows.T @ y)


def test_probes_start_from_theta_in_its_units(generator):
    theta, lengths = torch.randn(200, generator=generator, dtype=torch.float64), torch.linspace(1, 2, 5)
    unit = torch.linspace(0.5, 2, 200, dtype=torch.float64)
    block = CrossedDirections(200, generator, torch.float64).draw(5)
    probes = torch.empty(5, 200, dtype=torch.float64)
    block.around(theta, lengths, unit, out=probes)
    assert torch.allclose(probes, theta + lengths.double()[:, None] * dense(block, 200) * unit)


def test_every_sweep_has_its_own_order_and_signs(generator):
    directions = CrossedDirections(160, generator, torch.float64)
    first, second = (used(directions, 160) for _ in range(2))
    assert not torch.allclose(first, second)
    assert directions.position == 0


def test_a_copy_of_the_state_gives_the_same_next_directions(generator):
    directions = CrossedDirections(150, generator, torch.float64)
    used(directions, 20)
    state = directions.state_dict()
    expected = used(directions, 30)
    other = CrossedDirections(150, torch.Generator(), torch.float64)
    other.load_state_dict(state)
    assert torch.equal(used(other, 30), expected)


@pytest.mark.parametrize("before", [0, 40, 120, 160])
def test_directions_that_are_drawn_but_not_used_are_drawn_again_from_the_state(before, generator):
    directions = CrossedDirections(150, generator, torch.float64)  # sweeps of 160 rows
    for _ in range(before // 40):
        used(directions, 40)
    random = generator.get_state()
    expected = dense(directions.draw(40), 150)
    other = CrossedDirections(150, torch.Generator(), torch.float64)
    other.load_state_dict(directions.state_dict())
    other.generator.set_state(random)
    assert torch.equal(used(other, 40), expected)
