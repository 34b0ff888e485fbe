"""The ledger counts every render and keeps the best one."""

import math
import sys
from fractions import Fraction

import pytest
import torch

from zg.errors import SettingError
from zg.ledger import Evaluation, Ledger


def ledger(max_renders=100):
    return Ledger(max_renders, torch.zeros(2, dtype=torch.float64))


def entered(book, *losses):
    """Count renders with these losses at θ = (0, 0), (1, 1), (2, 2), …"""
    rows = torch.arange(len(losses), dtype=torch.float64)[:, None].expand(-1, 2)
    return book.account(rows, torch.tensor(losses, dtype=torch.float64))


def test_the_ledger_keeps_the_lowest_loss_its_theta_and_its_render_count():
    book = ledger()
    entered(book, 5.0, 3.0)
    entered(book, 4.0, 9.0, 1.0)
    entered(book, 2.0)
    assert (book.renders, book.best_loss, book.improved_at) == (6, 1.0, 5)
    assert book.best_theta.tolist() == [2, 2]
    assert book.last_loss == 2.0


def test_an_equal_loss_does_not_replace_the_best():
    book = ledger()
    entered(book, 3.0, 3.0)
    entered(book, 7.0, 3.0)
    assert (book.best_theta.tolist(), book.improved_at) == ([0, 0], 2)


def test_the_best_theta_is_a_copy():
    book, theta = ledger(), torch.ones(1, 2, dtype=torch.float64)
    book.account(theta, torch.tensor([1.0], dtype=torch.float64))
    theta += 1
    assert book.best_theta.tolist() == [1, 1]


def test_a_loss_that_is_not_finite_is_a_failed_render():
    book = ledger()
    evaluation = entered(book, math.nan, 4.0, math.inf, 2.0, -math.inf)
    assert evaluation.valid.tolist() == [False, True, False, True, False]
    assert evaluation.losses.isnan().tolist() == [True, False, True, False, True]
    assert (book.renders, book.failed, book.best_loss, book.last_loss) == (5, 3, 2.0, 3.0)


def test_a_batch_of_failed_renders_does_not_change_the_best():
    book = ledger()
    entered(book, 4.0)
    entered(book, math.nan, math.nan)
    assert (book.renders, book.failed, book.best_loss, book.last_loss, book.improved_at) == (3, 2, 4.0, 4.0, 1)


def test_an_empty_batch_changes_nothing():
    book = ledger()
    before = book.state()
    assert len(entered(book).losses) == 0
    assert book.state() == before


def test_left_and_exhausted_follow_the_budget():
    book = ledger(max_renders=3)
    entered(book, 1.0, math.nan)
    assert (book.left, book.exhausted) == (1, False)
    entered(book, 1.0)
    assert (book.left, book.exhausted) == (0, True)


def test_a_budget_below_one_raises_a_setting_error():
    with pytest.raises(SettingError, match="max_renders must be at least 1, got 0"):
        ledger(max_renders=0)


def test_the_state_restores_everything_but_the_budget(tmp_path):
    book = ledger()
    entered(book, 3.0, math.nan, 2.0)
    book.last_error = "RuntimeError: the renderer gave up"
    torch.save(book.state(), tmp_path / "state")
    restored = ledger(max_renders=7)
    restored.load_state(torch.load(tmp_path / "state", weights_only=True))
    expected, state = book.state(), restored.state()
    assert torch.equal(state.pop("best_theta"), expected.pop("best_theta"))
    assert state == expected
    assert restored.max_renders == 7


def test_failed_renders_rank_last_in_their_batch():
    losses = torch.tensor([1.0, math.nan, 5.0], dtype=torch.float64)
    assert Evaluation(losses, losses.isfinite()).ranked().tolist() == [1, 5, 5]
    nothing = torch.full((2,), math.nan, dtype=torch.float64)
    assert Evaluation(nothing, nothing.isfinite()).ranked().tolist() == [math.inf, math.inf]


@pytest.mark.parametrize("losses", [[1e308] * 3, [sys.float_info.max] * 9, [1e308, -1.0, 1e308], [-1e308] * 2])
def test_the_mean_of_the_largest_losses_is_finite(losses):
    book = ledger()
    entered(book, *losses)
    wanted = sum(Fraction(loss) for loss in losses) / len(losses)
    assert abs(Fraction(book.last_loss) - wanted) <= abs(wanted) / 10**12
