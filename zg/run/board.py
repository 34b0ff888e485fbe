"""TensorBoard's files of a run, in the folder `tensorboard` of its run folder. Its step is the number of renders."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from zg.run.row import Row

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

BOARD_FOLDER = "tensorboard"
#: Pictures of a run folder that are logged at its end.
PICTURES = ("panel", "curve", "start", "render", "reference")
#: What the table of runs shows of a config, with every setting within.
COLUMNS = ("task", "method", "seed", "max_renders", "revision", "data", "model", "training")
#: Numbers of the row that stand beside the settings in the table of runs.
RESULTS = ("final_loss", "best_loss", "failed_renders", "seconds")


class Board:
    """Logs to TensorBoard, which calls a run as its folder is called. config: of the run; COLUMNS are in HPARAMS.

    Raises ModuleNotFoundError without the package `tensorboard`.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter  # tells here, before the run, that the package is missing

        self._make: type[SummaryWriter] = SummaryWriter
        self._folder = folder / BOARD_FOLDER
        self._settings = flat({key: value for key, value in config.items() if key in COLUMNS})
        self._writer: SummaryWriter | None = None

    def writer(self, step: int) -> "SummaryWriter":
        """The writer. What an interrupted run has written from this step on, beyond its checkpoint, is dropped."""
        if self._writer is None:
            from torch.utils.tensorboard.summary import hparams

            self._writer = self._make(str(self._folder), purge_step=step)
            experiment, start, self._end = hparams(self._settings, dict.fromkeys(RESULTS, 0.0))  # type: ignore[no-untyped-call]
            for summary in (experiment, start):
                self._file().add_summary(summary)
        return self._writer

    def _file(self) -> Any:
        assert self._writer is not None and self._writer.file_writer is not None
        return self._writer.file_writer

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Write one number for each metric, apart from `renders`, which is the step."""
        writer = self.writer(step)
        for name, value in metrics.items():
            if name != "renders":
                writer.add_scalar(name, value, step)

    def log_image(self, key: str, images: Sequence[str], step: int) -> None:
        """Write pictures from PNG files."""
        from zg import pictures

        for path in images:
            self.writer(step).add_image(key, pictures.read_png(Path(path)), step)

    def log_end(self, folder: Path, row: Row, parameters: Sequence[Sequence[Any]]) -> None:
        """Write the pictures, the parameters [name, start, result] as a text, and the results of the row."""
        step = row["renders"]
        for name in PICTURES:
            if (folder / f"{name}.png").is_file():
                self.log_image(name, [str(folder / f"{name}.png")], step)
        lines = [f"| {name} | {start} | {result} |" for name, start, result in parameters]
        if lines:
            table = "\n".join(["| name | start | result |", "|---|---|---|", *lines])
            self.writer(step).add_text("parameters", table, step)
        self.log_row(row)

    def log_row(self, row: Row) -> None:
        """Write the results of the row."""
        results = {name: float(cast(float, row.get(name, math.nan))) for name in RESULTS}
        self.log_metrics({name: value for name, value in results.items() if math.isfinite(value)}, row["renders"])

    def finish(self, failed: bool = False) -> None:
        """Close the files; a run that has not failed is marked as a success. A second call does nothing."""
        if self._writer is not None:
            if not failed:
                self._file().add_summary(self._end)
            self._writer.close()
            self._writer = None


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, bool | str | float]:
    """Nested settings as {"model.sigma": 0.1}, with texts in place of what is no number, and without class paths.

    >>> flat({"seed": 0, "model": {"class_path": "a.B", "init_args": {"lr": 0.1, "options": None}}})
    {'seed': 0, 'model.lr': 0.1, 'model.options': 'None'}
    """
    found: dict[str, bool | str | float] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, prefix if key == "init_args" else f"{prefix}{key}.")
        elif key != "class_path":
            found[f"{prefix}{key}"] = value if isinstance(value, bool | str | int | float) else str(value)
    return found
