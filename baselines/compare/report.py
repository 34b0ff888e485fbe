"""`zg report`: tables, figures and one page of a comparison, from its rows and curves and from nothing else."""

import argparse
from pathlib import Path

from baselines.compare import figures, page, tables
from baselines.compare.rows import Row, read_runs, write_csv
from baselines.compare.summary import summarise
from zg.errors import SettingError


def report_command(options: argparse.Namespace) -> int:
    """Run `zg report` with these options."""
    if not (options.folder / "runs").is_dir():
        raise SettingError(f"folder must be that of a comparison, got '{options.folder}'")
    write(options.folder, options.versus)
    print(options.folder / "report.html")
    return 0


def write(out: Path, versus: str) -> list[Row]:
    """Write rows.csv, summary.md, summary.csv, the figures and report.html of the runs that have ended; their rows."""
    runs = read_runs(out)
    rows = [run.row for run in runs]
    write_csv(out / "rows.csv", rows)
    summary = summarise(runs, versus)
    (out / "summary.md").write_text(tables.markdown(summary, runs))
    tables.write_summary_csv(out / "summary.csv", summary)
    if runs:
        figures.write_figures(out, runs, summary)
    (out / "report.html").write_text(page.html(out.resolve().name, runs, summary), encoding="utf-8")
    return rows
