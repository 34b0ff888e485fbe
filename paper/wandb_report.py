"""The paper in Weights & Biases: one more run with every table and figure, in the group named after the folder."""

from pathlib import Path

from zg.run.files import decoration
from zg.run.provenance import revision
from zg.run.tracking import wandb_logger


def summarise(out: Path, mode: str) -> None:
    """Log the tables, claims and figures in the folder `out` to W&B."""
    tags = ["paper", revision() or "no revision"]
    with (
        decoration("the upload to Weights & Biases"),
        wandb_logger(out, mode, f"{out.name}-tables", out.name, tags, "summary") as logger,
    ):
        if logger is None:
            return
        from zg.run.wandb_run import log_csv

        for path in [*sorted((out / "tables").glob("*.csv")), out / "claims.csv"]:
            log_csv(logger, path)
        for path in sorted((out / "figures").glob("*.png")):
            logger.log_image(path.stem, [str(path)])
