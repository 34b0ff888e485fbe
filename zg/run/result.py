"""What a run found."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from zg.run.row import Row

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Result:
    """The recommended θ, rendered once more.

    theta: [n] in the user's units. loss: of θ rendered again with fresh seeds. renders: counted. stop_reason: a
    `StopReason`, or the method's own. row: as in row.json. folder: where pictures and files are, if any.
    """

    theta: Tensor
    loss: float
    renders: int
    stop_reason: str
    row: Row
    records: list[dict[str, float]] = field(repr=False)
    folder: Path | None = None

    @property
    def history(self) -> "pd.DataFrame":
        """One row a record, against renders; `loss` is the curve, blank where it was not measured."""
        import pandas as pd

        return pd.DataFrame(self.records)
