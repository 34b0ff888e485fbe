"""DFO-LS, which is told the residuals of the picture."""

import pytest
import torch

from baselines.dfols import DFOLS
from tests.methods import looped
from tests.problems import HighSphere, Noisy
from tests.zg.zerograds.pictures.scenes import Bent, Mixed
from zg.errors import SettingError
from zg.task import Task


def test_a_picture_that_is_nearly_linear_is_matched_soon_after_n_plus_1_renders() -> None:
    loop = looped(DFOLS(), Bent(9), 60)
    start = loop.objective.measure(loop.objective.start, "start")[0]
    while not loop.stop_reason():
        loop.iterate()
    assert loop.ledger.best_loss < 1e-9 * start


class Penalised(Mixed):
    """With a regulariser, so that squares of the pixels' errors are not the loss."""

    def regulariser(self, x: torch.Tensor) -> torch.Tensor:
        return 0.1 * x.square().sum(1)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (Mixed(9, 0, loss=lambda a, b: (a - b).abs().flatten(1).mean(1)), "loss must be a sum of squares"),
        (Mixed(9, 0, loss="multiscale"), "loss must be a sum of squares"),
        (Mixed(9, 0, loss="scale_independent"), "loss must be a sum of squares"),
        (Penalised(9, 0), "without regulariser"),
        (Noisy(), "dfols needs a reference image"),
        (HighSphere(201), "at most 200 parameters, got 201"),
    ],
)
def test_what_is_no_sum_of_squares_is_refused_in_words(task: Task, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        loop = looped(DFOLS(), task, 20)
        while not loop.stop_reason():
            loop.iterate()


def test_weighted_squares_will_do_and_a_radius_below_the_final_one_will_not() -> None:
    loop = looped(DFOLS(), Mixed(9, 0, loss="relative_mse"), 30)
    for _ in range(20):
        loop.iterate()
    assert loop.ledger.best_loss < 1e-6
    with pytest.raises(SettingError, match="final_radius must be below radius"):
        DFOLS(radius=1e-9)
