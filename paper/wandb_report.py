"""The paper in Weights & Biases: beside the runs, in their group, one run with every table and figure."""

import csv
from pathlib import Path

from pytorch_lightning.loggers import WandbLogger

from zg.run.records import revision
from zg.run.tracking import wandb_logger


def summarise(out: Path, mode: str) -> None:
    """Give the tables, claims and figures below `out` to W&B, in the group of its runs."""
    logger = wandb_logger(out, mode, f"{out.name}-tables", out.name, ["paper", revision() or "no revision"])
    if not isinstance(logger, WandbLogger):
        return
    for path in [*sorted((out / "tables").glob("*.csv")), out / "claims.csv"]:
        with path.open(newline="") as file:
            head, *lines = csv.reader(file)
        logger.log_table(path.stem, columns=head, data=lines)
    for path in sorted((out / "figures").glob("*.png")):
        logger.log_image(path.stem, [str(path)])
    logger.experiment.finish()
