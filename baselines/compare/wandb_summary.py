"""A comparison in Weights & Biases: one more run, in the group of its runs, with the summary and the figures."""

import csv
from pathlib import Path

from pytorch_lightning.loggers import WandbLogger

from zg.run.files import decoration
from zg.run.provenance import revision
from zg.run.tracking import wandb_logger

# The figures of the comparison.
PICTURES = ("curves", "seconds", "gains", "images")


def summarise(out: Path, mode: str) -> None:
    """Log the summary and the figures of a comparison to W&B, in the group of its runs."""
    tags = ["summary", revision() or "no revision"]
    with (
        decoration("the upload to Weights & Biases"),
        wandb_logger(out, mode, f"{out.name}-summary", out.name, tags) as logger,
    ):
        if not isinstance(logger, WandbLogger):
            return
        with (out / "summary.csv").open(newline="") as file:
            head, *lines = csv.reader(file)
        logger.log_table("summary", columns=head, data=lines)
        for name in PICTURES:
            if (out / f"{name}.png").is_file():
                logger.log_image(name, [str(out / f"{name}.png")])
