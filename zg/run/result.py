"""The result of a run."""

import base64
import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from zg.errors import SettingError
from zg.objective import Objective
from zg.run.evidence import Evidence, probed
from zg.run.explain import explain
from zg.run.explanation import Explanation
from zg.run.images import Images
from zg.run.row import Row
from zg.run.words import as_html, ending_in_words, loss_in_words, params_in_words, times_in_words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


#: Most lines of parameters of a printed result.
PARAMETER_LINES = 3


@dataclass(repr=False)
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
    params: `theta` by name, each block in its shape and of the type that was given: NumPy, PyTorch or plain numbers;
        integers are integers. The name is `x` where none was given.
    image: the render of `theta`, with the axes that `render` returns; None where it returns a loss.
    images: start, render, reference and what the surrogate predicted, as tensors; None where there are no images.
    evidence: what `explain` reads.
    known: what became of the evaluations that were known before, in words.
    objective: what `explain` renders with, where it is asked to; None in a copy that was pickled.

    >>> import zg
    >>> blocks = {"count": zg.Block(8, low=1, high=40, kind="integer"), "angle": zg.Block([0.5, 0.5])}
    >>> result = zg.minimize(lambda count, angle: abs(count - 12) + (angle**2).sum(), None, space=blocks)
    >>> result.params["count"]
    12
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
    params: dict[str, Any] = field(default_factory=dict)
    image: Any = None
    images: Images | None = None
    evidence: Evidence | None = None
    known: str = ""
    objective: Objective | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {
            "objective": None
        }  # it holds the user's function, which may be one that does not travel

    @property
    def x(self) -> Any:
        """The parameters as the function gets them: the only block, or all of them by name."""
        return next(iter(self.params.values())) if len(self.params) == 1 else self.params

    @property
    def history(self) -> "pd.DataFrame":
        """One row for each record, at `renders` renders. `loss` is the curve; it is NaN where it was not measured."""
        import pandas as pd

        return pd.DataFrame(self.records)

    def plot(self, figure: "Figure | None" = None) -> "Figure":
        """The loss against renders, with its start and end; below it σ, and noise where the method measures it.

        figure: an empty figure to draw on, such as `plt.figure()`; by default a new one without a window. A notebook
        shows what is returned; `.savefig("curve.png")` writes it.
        """
        from zg.run import figures

        return figures.draw_curve(self.records, figure)

    def show(self, figure: "Figure | None" = None) -> "Figure":
        """Start, render, reference and error, and what a surrogate of the picture knows; `plot` without images.

        figure: as in `plot`.
        """
        from zg.run import figures

        return self.plot(figure) if self.images is None else figures.draw_images(self.images, figure)

    def explain(self, renders: int = 0) -> Explanation:
        """Why the run moved as far as it did, and how sure each parameter is; `print` it.

        renders: 0, or the number of renders to make, at least 3. A fifth, two at least, are of the result and measure
        the noise. The others change one parameter each, those first that the run has changed least. They are not
        counted, and neither the result nor a file changes. Raises SettingError for a result that was unpickled.
        """
        evidence = self.evidence
        if renders and evidence is not None:
            if self.objective is None:
                raise SettingError("renders needs the renderer of the run, which a pickled result has not")
            with contextlib.closing(self.objective.task):
                evidence = probed(evidence, self.objective, self.records, renders)
        return explain(evidence, self.row, self.records)

    def __repr__(self) -> str:
        where = f"{self.folder}" if self.folder else ".params .image .history .plot() .show() .explain()"
        lines = [
            ending_in_words(self.row),
            f"  params  {params_in_words(self.params, PARAMETER_LINES, indent=10)}",
            f"  loss    {loss_in_words(self.row, self.loss)}",
            f"  time    {times_in_words(self.row)}",
            f"  {'files' if self.folder else 'more ':7} {where}",
        ]
        return "\n".join(lines)

    def _repr_png_(self) -> bytes:
        """For notebooks."""
        from zg.run import figures

        return figures.png_of(self.show())

    def _repr_html_(self) -> str:
        """For notebooks: the text, and below it the images and the curve."""
        from zg.run import figures

        drawn = [self.plot()] if self.images is None else [self.show(), self.plot()]
        parts = [base64.b64encode(figures.png_of(one)).decode() for one in drawn]
        tags = "".join(f'<img src="data:image/png;base64,{part}" alt="" style="max-width: 100%"><br>' for part in parts)
        return as_html(repr(self)) + tags
