"""The tables in LaTeX fit a page: their structure, and their boxes as TeX measures them."""

import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from baselines.compare.names import NAMES
from paper.cells import Cell, Panel, Table
from paper.formats import ACROSS, latex
from paper.marks import BEST, LOWEST, TIED, Middle
from paper.names import VARIANTS

ROOT = Path(__file__).resolve().parents[2]
KEPT = sorted((ROOT / "results").glob("*/tables/*.tex"))
# TeX's default for an article: a page with a text of 345 points.
PAGE = r"""\documentclass[10pt]{article}
\usepackage[utf8]{inputenc}
\usepackage{booktabs}
\begin{document}
%s
\end{document}
"""


def widest() -> Table:
    """A table with every method, the longest names and numbers, all marks and two footnotes in a cell."""
    number = Middle(-1.234e-123, 0.000123456, 0.000234567)
    cells = [
        Cell(number, BEST, ("a note with a_b & 5 %", "another note")),
        Cell(number, TIED),
        Cell(Middle(math.inf, 123456.0, math.inf), LOWEST, ("another note",)),
        Cell(notes=("cannot run: too large",)),
        Cell(Middle(0.0)),
        Cell(number, TIED, ("another note",)),
    ]
    columns = [f"led_display_released (n = {196_608 + place:,})" for place in range(len(cells))]
    methods = [*NAMES, max(VARIANTS, key=lambda name: len(VARIANTS[name])), "somebody_s_own_method_with_a_long_name"]
    lines = dict.fromkeys(methods, cells)
    panels = [Panel(title, columns, lines) for title in ("final loss", "renders, % of the paper's")]
    return Table("table1", "Tasks of low dimension", panels, ["Median over 6 seeds [95 % bootstrap interval]."])


def test_a_float_has_one_panel_and_at_most_four_columns():
    text = latex(widest())
    floats = text.split(r"\begin{table*}")[1:]
    assert len(floats) == 4
    assert (
        text.count(r"\end{table*}") == text.count(r"\end{tabular*}") == text.count(r"\begin{tabular*}{\textwidth}") == 4
    )
    assert len(set(re.findall(r"\\label\{(.*?)\}", text))) == 4
    for one in floats:
        columns = len(re.search(r"\\fill\}\}(r+)@", one)[1])
        assert columns <= ACROSS == 4
        body = one.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
        assert all(line.count(" & ") == columns for line in body)
        assert one.count("{") == one.count("}")
        assert set(re.findall(r"\$\^\{(.)", one.split(r"\begin{flushleft}")[1])) <= {"a", "b", "c"}


def test_footnotes_stand_only_where_they_are_used():
    first, second = latex(widest()).split(r"\begin{table*}")[1:3]
    assert "too large" in first and "too large" not in second


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs Debian's texlive-latex-recommended")
def test_tex_measures_no_box_wider_than_the_text(tmp_path):
    assert KEPT
    texts = [latex(widest()), *(path.read_text(encoding="utf-8") for path in KEPT)]
    (tmp_path / "page.tex").write_text(PAGE % "\n\\clearpage\n".join(texts), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=300)
    log = (tmp_path / "page.log").read_text(errors="replace")
    assert done.returncode == 0, log[-2000:]
    assert not re.findall(r"Overfull \\[hv]box.*", log)
    assert "Float too large" not in log
