"""The paper in Weights & Biases: one more run with every table and figure, in the group named after the folder."""

import csv
from pathlib import Path

from pytorch_lightning.loggers import WandbLogger

from zg.run.files import decoration
from zg.run.provenance import revision
from zg.run.tracking import wandb_logger


def summarise(out: Path, mode: str) -> None:
    """Log the tables, claims and figures in the folder `out` to W&B."""
    tags = ["paper", revision() or "no revision"]
    with (
        decoration("the upload to Weights & Biases"),
        wandb_logger(out, mode, f"{out.name}-tables", out.name, tags) as logger,
    ):
        if not isinstance(logger, WandbLogger):
            return
        for path in [*sorted((out / "tables").glob("*.csv")), out / "claims.csv"]:
            with path.open(newline="") as file:
                head, *lines = csv.reader(file)
            logger.log_table(path.stem, columns=head, data=lines)
        for path in sorted((out / "figures").glob("*.png")):
            logger.log_image(path.stem, [str(path)])
