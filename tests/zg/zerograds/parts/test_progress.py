"""Progress of the loss: the lowest mean, and when to go back."""

import torch

from zg.zerograds.parts.progress import Progress, ProgressSettings

BEST = torch.zeros(3)


def observed(losses):
    """Progress after these losses of centres, with one probe each."""
    progress = Progress(ProgressSettings(), BEST)
    for count, f in enumerate(losses):
        progress.observe(f, count)
        if progress.is_mean_lowest:
            progress.remember_lowest_mean()
        else:
            progress.stale += 1
    return progress


def test_a_falling_loss_is_neither_stale_nor_uphill():
    progress = observed(range(100, 0, -1))
    assert progress.stale == 0 and not progress.has_led_uphill and progress.mean == progress.lowest_mean


def test_a_run_is_stale_after_two_sweeps_without_a_lower_mean():
    first = [1.0] * ProgressSettings().mean_blocks  # until then there is no mean
    assert not observed([*first, *[1.0] * 20]).is_stale(10)
    assert observed([*first, *[1.0] * 21]).is_stale(10)


def test_a_rise_of_the_mean_counts_only_beyond_chance():
    scatter = [1.0 + 0.1 * (-1) ** k for k in range(60)]
    assert not observed(scatter).has_led_uphill
    assert observed([*scatter, *[1.5 + f for f in scatter[:20]]]).has_led_uphill


def test_going_back_starts_from_the_lowest_mean():
    progress = observed([3.0, 1.0, 5.0, 5.0, 5.0])
    assert progress.go_back() is BEST
    assert progress.mean == progress.lowest_mean
