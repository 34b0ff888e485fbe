"""The record of a run: its curve, its log, its loggers and its frames."""

import pytest
import torch

from baselines.es import ES
from tests.problems import HighSphere, Noisy, Sphere, Stripes
from zg.budget import Budget
from zg.run.observer import Call
from zg.run.record import schedule
from zg.run.run import run


class Logger:
    """Keeps the rows that it is given."""

    def __init__(self):
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, metrics))


def stop_at(renders):
    """Ends a run as the callback of a user does, after that many renders."""
    return Call(lambda loop: loop.renders >= renders, "callback")


def test_renders_of_the_curve_are_not_counted():
    task = Sphere()
    result = run(task, ES(), Budget(200), curve_points=10)
    curve = [row for row in result.records if "loss" in row]
    assert result.renders == 200
    # One render per point, one for the initial θ₀; the last point is also the final measurement.
    assert len(task.rendered()) == 200 + len(curve) + 1


def test_the_method_does_not_see_the_curve():
    assert torch.equal(
        run(Noisy(), ES(), Budget(200), curve_points=0).theta, run(Noisy(), ES(), Budget(200), curve_points=50).theta
    )


def test_curve_points_have_a_loss_and_other_records_have_not():
    records = run(Noisy(), ES(pairs=1), Budget(500), curve_points=5).records
    counts = [row["renders"] for row in records]
    assert counts[0] == 0 and counts[-1] == 500, "the initial and the final θ are recorded"
    assert counts == sorted(set(counts)), "each count is recorded once"
    assert len(counts) > 90, "about 100 records"
    measured = [row["renders"] for row in records if "loss" in row]
    assert measured == [0, 2, 6, 22, 106, 500], "5 log-spaced counts, rounded up to whole batches of 2, and 0"
    free = {"best_loss", "batch_loss", "seconds_render", "seconds_method", "sigma"}
    assert all(free <= row.keys() for row in records[1:]), "numbers that need no render are in every record"


def test_the_curve_of_a_run_that_ends_early_has_its_end():
    result = run(Sphere(), ES(), Budget(2000), observers=[stop_at(400)], curve_points=3)
    assert result.renders == 400 and result.stop_reason == "callback"
    assert result.records[-1]["renders"] == 400 and result.records[-1]["loss"] == result.loss


def test_zero_curve_points_measure_nothing():
    assert not any("loss" in row for row in run(Noisy(), ES(), Budget(200), curve_points=0).records)


def test_every_logger_gets_every_row_once():
    first, second = Logger(), Logger()
    result = run(Noisy(), ES(), Budget(200), loggers=[first, second])
    assert first.rows == second.rows
    assert [step for step, _ in first.rows] == [row["renders"] for row in result.records]
    assert [row for _, row in first.rows] == result.records


def test_loggers_get_the_rows_of_a_run_that_an_exception_ends():
    class Broken(ES):
        def tell(self, theta, evaluation):
            super().tell(theta, evaluation)
            if self.ledger.renders >= 60:
                raise ZeroDivisionError

    logger = Logger()
    with pytest.raises(ZeroDivisionError):
        run(Noisy(), Broken(), Budget(200), loggers=[logger])
    assert [step for step, _ in logger.rows] == [0, 20, 40]


def test_a_frame_is_written_for_each_point_of_the_curve(tmp_path):
    result = run(Stripes(), ES(), Budget(100), folder=tmp_path / "run", curve_points=4)
    frames = sorted(path.name for path in (tmp_path / "run" / "frames").iterdir())
    assert frames == [f"{row['renders']:09d}.png" for row in result.records if "loss" in row]


def test_without_video_there_are_no_frames(tmp_path):
    run(Stripes(), ES(), Budget(60), folder=tmp_path / "run", video=False)
    assert not (tmp_path / "run" / "frames").exists()
    assert not (tmp_path / "run" / "video.mp4").exists()


def test_a_resumed_run_logs_no_row_twice(tmp_path):
    before, after = Logger(), Logger()
    folder = tmp_path / "run"
    run(Noisy(), ES(), Budget(400), folder=folder, loggers=[before], observers=[stop_at(140)])
    resumed = run(Noisy(), ES(), Budget(400), folder=folder, loggers=[after], resume=True)
    steps = [step for step, _ in before.rows + after.rows]
    assert before.rows[-1][0] == 140 and after.rows[0][0] > 140
    assert steps == sorted(set(steps)), "no count is logged twice"
    assert steps == [row["renders"] for row in resumed.records], "the history has the same rows"


def test_frames_after_the_checkpoint_are_removed_when_a_run_is_resumed(tmp_path):
    folder = tmp_path / "run"
    run(Stripes(), ES(), Budget(400), folder=folder, observers=[stop_at(100)])
    later = folder / "frames" / "000000399.png"
    later.write_bytes(b"of a part of the run that was lost")
    run(Stripes(), ES(), Budget(200), folder=folder, resume=True)
    assert not later.exists()
    assert max(int(path.stem) for path in (folder / "frames").iterdir()) == 200


@pytest.mark.parametrize(("n", "is_kept"), [(16, True), (17, False)])
def test_the_path_of_theta_is_kept_for_up_to_16_parameters(n, is_kept):
    paths = []
    run(HighSphere(n), ES(), Budget(40), observers=[Call(lambda loop: paths.append(len(loop.objective.path)), "")])
    assert bool(paths[-1]) == is_kept


@pytest.mark.parametrize("log", [False, True], ids=["even", "log"])
def test_a_schedule_has_distinct_counts_from_one_to_the_budget(log):
    counts = schedule(1000, 20, log)
    assert counts[0] == 1 and counts[-1] == 1000
    assert counts == sorted(set(counts)) and len(counts) <= 20
    assert schedule(1, 20, log) == [1]


def test_the_curve_has_about_50_log_spaced_points():
    points = schedule(20_000, 50, log=True)
    assert points[0] == 1 and points[-1] == 20_000
    assert 35 <= len(points) <= 50, "the first counts coincide after rounding"
    assert schedule(3, 50, log=True) == [1, 2, 3]


def test_schedules_are_spaced_evenly_or_in_the_logarithm():
    assert schedule(1000, 4, log=False) == [1, 334, 667, 1000]
    assert schedule(1000, 4, log=True) == [1, 10, 100, 1000]
