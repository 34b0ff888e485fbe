"""Losses of x that were rendered before, for counts, switches and choices: there, methods come back to an x.

Whether renders have noise is not always known. So the first x that comes again is rendered again; only if its two
losses agree are all later ones looked up.
"""

from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor

#: Most losses in memory; the oldest are dropped. About 20 MB.
MOST = 100_000
#: Bytes of the hash by which an x is known.
BYTES = 16
#: Relative difference of two losses of one x up to which it is the rounding of batched or single-precision sums.
ROUNDING = 1e-6


class Repeats:
    """A table of losses by x.

    is_trusted: whether two losses of one x agreed; None before an x came again. False: nothing is looked up.
    """

    def __init__(self) -> None:
        self.is_trusted: bool | None = None
        self._losses: dict[bytes, float] = {}

    def new(self, x: Tensor, most: int) -> tuple[list[bytes], list[int]]:
        """The keys of the first rows of x [B, n] that need at most `most` renders, and those rows, in order."""
        keys = [blake2b(row.tobytes(), digest_size=BYTES).digest() for row in x.cpu().numpy()]
        if not self.is_trusted:
            return keys[:most], list(range(min(most, len(keys))))
        rows: list[int] = []
        waiting: set[bytes] = set()
        for row, key in enumerate(keys):
            if key in self._losses or key in waiting:
                continue
            if len(rows) == most:
                return keys[:row], rows
            waiting.add(key)
            rows.append(row)
        return keys, rows

    def learn(self, keys: list[bytes], rows: list[int], losses: Tensor) -> Tensor:
        """Enter losses [K] of the rows that were rendered, and return those of all keys; NaN for a failed render."""
        found = losses.new_full((len(keys),), torch.nan)
        found[rows] = losses
        for row, loss in zip(rows, losses.tolist(), strict=True):
            if self.is_trusted is None and keys[row] in self._losses:
                self.is_trusted = abs(loss - self._losses[keys[row]]) <= ROUNDING * abs(loss)
            if loss == loss and self.is_trusted is not False:
                self._losses[keys[row]] = loss
        if self.is_trusted is False:
            self._losses.clear()
        for row in set(range(len(keys))) - set(rows):
            found[row] = self._losses.get(keys[row], torch.nan)
        while len(self._losses) > MOST:
            del self._losses[next(iter(self._losses))]
        return found

    def state(self) -> dict[str, Any]:
        """All that changes, as plain values and tensors."""
        keys = torch.frombuffer(bytearray(b"".join(self._losses)), dtype=torch.uint8) if self._losses else None
        losses = torch.tensor([*self._losses.values()], dtype=torch.float64)
        return {"is_trusted": self.is_trusted, "keys": keys, "losses": losses}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        joined = b"" if state["keys"] is None else state["keys"].cpu().numpy().tobytes()
        keys = [joined[k : k + BYTES] for k in range(0, len(joined), BYTES)]
        self.is_trusted, self._losses = state["is_trusted"], dict(zip(keys, state["losses"].tolist(), strict=True))
