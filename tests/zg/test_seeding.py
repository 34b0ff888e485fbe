"""Streams of random numbers: reproducible, independent of each other and of global generators."""

import random

import numpy as np
import pytest
import torch

from zg.seeding import derive_seed, make_generator, render_seeds


def test_a_stream_is_the_same_on_every_machine():
    """These values are fixed: if they change, every result changes."""
    assert derive_seed(0) == 4246866556266386882
    assert derive_seed(3, "method") == 3395299878826821148
    assert derive_seed(3, "measure", "1000", 2) == 1331749976785387196
    assert render_seeds(3, 1000, 3).tolist() == [1432131668, 1939083782, 298552249]


def test_a_different_seed_or_word_gives_a_different_stream():
    streams = [(0,), (1,), (0, "method"), (1, "method"), (0, "start"), (0, "start", 1), (0, "start", 2)]
    assert len({derive_seed(*stream) for stream in streams}) == len(streams)
    assert all(0 <= derive_seed(*stream) < 2**63 for stream in streams)


def test_generators_of_different_streams_are_uncorrelated():
    first, again, other = make_generator(5, "method"), make_generator(5, "method"), make_generator(5, "start")
    numbers = torch.randn(100, generator=first)
    assert torch.equal(torch.randn(100, generator=again), numbers)
    assert float(torch.corrcoef(torch.stack([torch.randn(100, generator=other), numbers]))[0, 1]) < 0.3


def test_global_generators_keep_their_state():
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    torch.rand(3, generator=make_generator(0, "method"))
    render_seeds(0, 0, 10)
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    assert torch.equal(after[0], before[0]) and after[1:] == before[1:]


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_render_seeds_do_not_depend_on_the_batch_size(seed):
    whole = render_seeds(seed, 0, 100)
    assert torch.equal(torch.cat([render_seeds(seed, 0, 30), render_seeds(seed, 30, 70)]), whole)


@pytest.mark.parametrize("seed", range(5))
def test_render_seeds_are_distinct_positive_31_bit_integers(seed):
    seeds = render_seeds(seed, 0, 100_000)
    assert seeds.dtype == torch.int64
    assert int(seeds.min()) >= 0 and int(seeds.max()) < 2**31
    assert len(seeds.unique()) == len(seeds)


def test_runs_with_different_seeds_share_no_render_seed():
    assert not set(render_seeds(0, 0, 1000).tolist()) & set(render_seeds(1, 0, 1000).tolist())
