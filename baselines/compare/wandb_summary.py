"""A comparison in Weights & Biases: one more run, in the group of its runs, with the tables and the figures."""

from pathlib import Path
from typing import Any

from baselines.compare.pictures import IMAGE, pictured
from baselines.compare.rows import read_runs
from zg.run.files import decoration
from zg.run.provenance import revision
from zg.run.tracking import wandb_logger

# The figures of the comparison.
PICTURES = ("curves", "seconds", "gains", "images")
# Columns of a row in the table of runs.
COLUMNS = ("task", "method", "settings_from", "seed", "renders", "init_loss", "final_loss", "best_loss", "seconds")
REASONS = ("failed_renders", "stop_reason", "error")


def summarise(out: Path, mode: str) -> None:
    """Log the summary, a table of all runs and the figures of a comparison to W&B, in the group of its runs."""
    tags = ["summary", revision() or "no revision"]
    with (
        decoration("the upload to Weights & Biases"),
        wandb_logger(out, mode, f"{out.name}-summary", out.name, tags, "summary") as logger,
    ):
        if logger is None:
            return
        from zg.run.wandb_run import log_csv

        log_csv(logger, out / "summary.csv")
        logger.log_table("runs", columns=[*COLUMNS, *REASONS, "picture"], data=lines(out))
        for name in PICTURES:
            if (out / f"{name}.png").is_file():
                logger.log_image(name, [str(out / f"{name}.png")])


def lines(out: Path) -> list[list[Any]]:
    """A line for each run, with the picture of its result for those of the first seed that have one."""
    import wandb

    runs = read_runs(out)
    shown = {run.folder for run in pictured(runs)}
    pictures = [wandb.Image(str(run.folder / IMAGE)) if run.folder in shown else None for run in runs]
    return [
        [*(run.row.get(name) for name in (*COLUMNS, *REASONS)), picture]
        for run, picture in zip(runs, pictures, strict=True)
    ]
