"""A run of Weights & Biases whose x axis is the number of renders, so that methods are compared at equal budgets."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import WandbLogger

from zg.run.row import Row

#: Pictures of a run folder that are logged at its end.
PICTURES = ("panel", "curve", "footprints", "start", "render", "reference")
#: Videos of a run folder that are logged at its end.
VIDEOS = ("video", "film")


class RendersLogger(WandbLogger):
    """Logs to a run of W&B that has started. Both its own step and the x axis of every chart are `renders`.

    A number without `renders`, such as one of a callback, belongs to the last renders before it.
    """

    def __init__(self, run: Any) -> None:
        super().__init__(experiment=run)
        run.define_metric("renders", hidden=True)  # no chart of renders against renders
        run.define_metric("*", step_metric="renders", step_sync=True)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers or media. step: of Lightning's loggers; here `renders` among the metrics is in its place."""
        # W&B ignores steps that go back: what a run has logged beyond the checkpoint that it resumes from stays.
        self.experiment.log(dict(metrics), step=metrics.get("renders"))

    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Log pictures. step: number of renders. kwargs: lists with an argument of `wandb.Image` for each picture."""
        import wandb

        each = [{name: values[index] for name, values in kwargs.items()} for index in range(len(images))]
        made = [wandb.Image(image, **own) for image, own in zip(images, each, strict=True)]
        self.log_metrics({key: made} if step is None else {key: made, "renders": step})

    def finish(self, failed: bool = False) -> None:
        """End the run of W&B."""
        self.experiment.finish(exit_code=int(failed))


def log_end(logger: WandbLogger, folder: Path, row: Row, parameters: Sequence[Sequence[Any]]) -> None:
    """Log the pictures and videos of a run folder, the parameters [name, start, result] and the row."""
    import wandb

    media: dict[str, Any] = {
        name: [wandb.Image(str(folder / f"{name}.png"))] for name in PICTURES if (folder / f"{name}.png").is_file()
    }
    for name in VIDEOS:
        if (folder / f"{name}.mp4").is_file():
            media[name] = wandb.Video(str(folder / f"{name}.mp4"), format="mp4")
    if parameters:
        columns: list[str | int] = ["name", "start", "result"]
        media["parameters"] = wandb.Table(columns, [list(line) for line in parameters], allow_mixed_types=True)
    if media:
        logger.log_metrics({**media, "renders": row["renders"]}, step=row["renders"])
    log_row(logger, row)


def log_row(logger: WandbLogger, row: Row) -> None:
    """Put what the row has of texts and finite numbers into the summary, beside the last of each logged number."""
    known = {key: value for key, value in row.items() if isinstance(value, str | int | float)}
    logger.experiment.summary.update(
        {key: value for key, value in known.items() if isinstance(value, str) or math.isfinite(value)}
    )


def log_csv(logger: WandbLogger, path: Path) -> None:
    """Log a CSV file as a table of its name. Columns of numbers stay numbers, so that W&B sorts and plots them."""
    import pandas

    frame = pandas.read_csv(path, keep_default_na=False, na_values=[""])
    cells = frame.astype(object).where(frame.notna(), None)
    logger.log_table(path.stem, columns=list(cells.columns), data=cells.to_numpy().tolist())
