"""`zg report`: tables, figures and one page of a comparison, from its rows and curves and from nothing else."""

import argparse
from pathlib import Path

from baselines.comparison import figures, page, tables
from baselines.comparison.rows import Row, read_runs, write_csv
from baselines.comparison.summary import summarise
from zg.errors import SettingError


def report_command(words: list[str]) -> int:
    """Run `zg report` with these words of the command line."""
    parser = argparse.ArgumentParser(prog="zg report", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="the folder of a comparison")
    parser.add_argument("--versus", default="zerograds", help="the method that the others are compared with")
    options = parser.parse_args(words)
    if not (options.folder / "runs").is_dir():
        raise SettingError(f"folder must be that of a comparison, got '{options.folder}'")
    write(options.folder, options.versus)
    print(options.folder / "report.html")
    return 0


def write(out: Path, versus: str) -> list[Row]:
    """Write rows.csv, summary.md, summary.csv, the figures and report.html of what has ended; the rows."""
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
