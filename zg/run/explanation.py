"""What `zg explain` says of a run: a summary, findings, and how sure each parameter is."""

import math
from dataclasses import dataclass, field
from textwrap import fill

#: Most parameters that are listed; characters of a line of text.
LISTED, WIDTH = 12, 100


@dataclass(frozen=True)
class Finding:
    """kind: one of `zg.run.explain.QUESTIONS`. text: a sentence."""

    kind: str
    text: str


@dataclass(frozen=True)
class Parameter:
    """name, value: in the user's units. plus_minus: likewise; ∞ where the renders do not determine it."""

    name: str
    value: float
    plus_minus: float


@dataclass(frozen=True)
class Explanation:
    """What `zg explain` says; `str` is all of it as text.

    summary: how far the run came. findings: what held it back, or may. seen: the change of the loss that `plus_minus`
    of `parameters` is for, in words; empty where nothing can be said of them.
    """

    summary: str
    findings: list[Finding] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)
    seen: str = ""

    @property
    def kinds(self) -> list[str]:
        """The kinds of the findings."""
        return [finding.kind for finding in self.findings]

    def __str__(self) -> str:
        lines = [self.summary]
        lines += [f"- {finding.text}" for finding in self.findings] or ["- Nothing was found that held it back."]
        if self.parameters:
            lines.append(f"How sure each parameter is: ± is where the loss rises by {self.seen}.")
            width = max(len(one.name) for one in self.parameters[:LISTED])
            for one in self.parameters[:LISTED]:
                known = math.isfinite(one.plus_minus)
                said = f"± {one.plus_minus:.2g}" if known else "not determined by these renders"
                lines.append(f"  {one.name:{width}}  {one.value:<10.4g} {said}")
            if len(self.parameters) > LISTED:
                lines.append(f"  … and {len(self.parameters) - LISTED} more, which are surer")
        return "\n".join(fill(line, WIDTH, subsequent_indent="  ") if len(line) > WIDTH else line for line in lines)

    __repr__ = __str__
