"""The result of a run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from zg.run.row import Row

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Result:
    """The result of a run.

    theta: the recommended parameters [n], in the user's units.
    loss: the loss of `theta`, rendered again with new seeds, not counted.
    renders: number of counted renders.
    stop_reason: a `StopReason`, or a reason of the method.
    row: the row of the run, as in row.json.
    records: the rows of `history`.
    folder: the folder with the files of the run, or None.
    first_error: message of the first failed render, where the reason is known.
    signal: number of the signal that ended the run, or None.
    """

    theta: Tensor
    loss: float
    renders: int
    stop_reason: str
    row: Row
    records: list[dict[str, float]] = field(repr=False)
    folder: Path | None = None
    first_error: str = ""
    signal: int | None = None

    @property
    def history(self) -> "pd.DataFrame":
        """One row for each record, at `renders` renders. `loss` is the curve; it is NaN where it was not measured."""
        import pandas as pd

        return pd.DataFrame(self.records)
