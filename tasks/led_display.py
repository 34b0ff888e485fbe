"""A display of lamps that are on or off, seen by a camera in Blender: which word does the display show?

The image does not change at all until a lamp is switched, so there is no gradient. The glow of neighbouring lamps
overlaps.
"""

import torch
from torch import Tensor

from tasks.renderers.blender import SCENES, BlenderTask
from zg.errors import SettingError, check_positive, check_whole
from zg.losses import Losses
from zg.space import Block, ParameterSpace

COLUMNS, LAMPS = 6, 28
SHAPE = (112, 192)
# A lamp's value for one scaled unit. The first samples, with σ = 0.05, should already switch lamps on and off.
SCALE = 3.0
# The rows of a character from top to bottom: the four bits of a hexadecimal digit are the four lamps of a row.
FONT = {
    " ": "0000000", "A": "6999F99", "B": "E99E99E", "C": "7888887", "D": "E99999E", "E": "F88E88F", "F": "F88E888",
    "G": "788B997", "H": "999F999", "I": "7222227", "J": "3111196", "K": "99ACA99", "L": "888888F", "M": "9FF9999",
    "N": "9DDBB99", "O": "6999996", "P": "E99E888", "Q": "69999B7", "R": "E99EA99", "S": "788611E", "T": "F444444",
    "U": "9999996", "V": "9999AA4", "W": "9999FF9", "X": "9966699", "Y": "9997116", "Z": "F11248F", "0": "69BBD96",
    "1": "2622227", "2": "691248F", "3": "E11611E", "4": "1359F11", "5": "F88E11E", "6": "688E996", "7": "F112244",
    "8": "6996996", "9": "6997116", "-": "000F000", "+": "0027200", ".": "0000022", "!": "2222202", "?": "6912202",
}  # fmt: skip


class LedDisplay(BlenderTask):
    """Two rows of six cells of 4 × 7 lamps: n = 336, all binary.

    word: text on the reference, at most twelve characters; the first six are in the upper row. columns: cells of a row;
    24 are 1,344 lamps, on a picture that is four times as wide. undecided: largest
    distance of a lamp's value at the start from 0.5, the threshold between off and on, so that the start shows noise.
    released: the coupling of the released code (`coupled`), a start in [0, 1), and a random pattern as reference.
    """

    def __init__(
        self,
        word: str = "ZERO  GRADS",
        undecided: float = 0.05,
        loss: Losses = "mse",
        engine: str = "workbench",
        oversample: int = 2,
        blender: str | None = None,
        workers: int = 2,
        timeout: float = 60.0,
        released: bool = False,
        columns: int = COLUMNS,
    ) -> None:
        super().__init__(loss, engine, oversample, blender, workers, timeout)
        check_positive(undecided=undecided)
        if undecided > 0.5:
            raise SettingError(f"undecided must be at most 0.5, got {undecided}")
        check_whole(columns=columns)
        if released and columns != COLUMNS:
            raise SettingError(f"columns must be {COLUMNS} with released, got {columns}")
        self.word, self.undecided, self.released, self.columns = word, undecided, released, columns

    def build(self) -> None:
        self.space = self.start()
        self.wanted = coupled(self.pattern()) if self.released else lamps_of(self.word, 2 * self.columns)
        self.solution = None if self.released else self.wanted  # many values show the same lamps
        height, width = SHAPE
        width = width * self.columns // COLUMNS
        self.open_scene(SCENES / "led_display.py", width, height, {"rows": 2, "columns": self.columns})
        self.set_reference(super().render(self.wanted[None])[0])

    def start(self) -> ParameterSpace:
        """The space, with lamps that start near the threshold between off and on."""
        draw = torch.rand(2 * self.columns * LAMPS, generator=self.generator("start"), dtype=torch.float64)
        if self.released:
            return ParameterSpace(lamps=Block(draw, scale=1.0))
        start = 0.5 + self.undecided * (2 * draw - 1)
        return ParameterSpace(lamps=Block(start, kind="binary", scale=SCALE))

    def pattern(self) -> Tensor:
        """The values [336] behind the released kind of reference, each even in [0, 1)."""
        return torch.rand(2 * COLUMNS * LAMPS, generator=self.generator("pattern"), dtype=torch.float64)

    def render(self, x: Tensor, *seeds: Tensor) -> Tensor:
        return super().render(coupled(x) if self.released else x, *seeds)

    def metrics(self, x: Tensor, image: Tensor) -> dict[str, float]:
        lamps = coupled(x.cpu()) if self.released else x.cpu().round()
        return {"lamps_right": float((lamps == self.wanted).double().mean())}


def coupled(x: Tensor) -> Tensor:
    """Values [..., 336] -> lamps [..., 336], 0 or 1, as the released code makes them.

    Cell k shows the values k to k + 27 and not those from 28 k on, which seems to be an oversight. So only the first 39
    values act, and each of them acts on up to 12 lamps. A lamp is on where 2x − 1, cut to [0, 1] and rounded, is 1.
    """
    cells = 2 * COLUMNS
    slices = torch.cat([x[..., k : k + LAMPS] for k in range(cells)], -1)
    return (2 * slices - 1).clamp(0, 1).round()


def lamps_of(word: str, cells: int = 2 * COLUMNS) -> Tensor:
    """The lamps [28 · cells], 0 or 1, that show a word: cell by cell, and in each row by row from the top left.

    Raises SettingError for a word that is too long, or a character that FONT does not have.
    """
    letters = word.upper()
    unknown = sorted(set(letters) - set(FONT))
    if len(letters) > cells or unknown:
        right = f"at most {cells} characters" if len(letters) > cells else f"only characters of '{''.join(FONT)}'"
        raise SettingError(f"word must have {right}, got '{word}'")
    rows = [int(row, 16) for letter in letters.ljust(cells) for row in FONT[letter]]
    return torch.tensor([row >> bit & 1 for row in rows for bit in (3, 2, 1, 0)], dtype=torch.float64)
