"""Guides as notebooks: a hook of MkDocs. Each docs/guides/*.py is run, and becomes a page with what its cells show.

The guides are in Jupytext's percent format. All run in one kernel, one after another, each in a folder and with names
of its own. An exception in a cell ends the build. A cell with the tag `needs-PROGRAM` is shown and not run where the
program is not installed. A page has a link to its notebook, `GUIDE.ipynb`.
"""

import contextlib
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
from jupyter_client.manager import KernelManager
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from nbformat import NotebookNode

GUIDES = Path(__file__).parents[1] / "guides"
#: The page with a card for each guide.
INDEX = "guides/index.md"
#: Seconds after which a cell has failed.
TIMEOUT = 120
#: The tag of a cell that is not run.
SKIPPED = "not-run"
#: What a guide finds: no names of the one before, an empty folder, and figures that fit a page.
FRESH = """%reset -f
%cd -q {folder}
import matplotlib.pyplot as plt
plt.close("all")
plt.rcdefaults()
%matplotlib inline
%config InlineBackend.rc = {{"figure.dpi": 100, "figure.constrained_layout.use": True}}
del plt"""
HEADING = re.compile(r"^## \[.*?\]\((?P<guide>\w+)\.py\)$", re.MULTILINE)
log = logging.getLogger("mkdocs.hooks.guides")
#: The first picture of each guide.
pictures: dict[str, str] = {}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Run the guides, and add their pages, pictures and notebooks to the site."""
    pictures.clear()
    with tempfile.TemporaryDirectory() as name, kernel(folder := Path(name)) as running:
        for source in sorted(GUIDES.glob("*.py")):
            start = time.perf_counter()
            notebook = jupytext.read(source)
            plain = nbformat.writes(notebook)
            run(notebook, running, folder / source.stem)
            add(source.stem, notebook, plain, files, config)
            log.info("%s took %.1f s", source.name, time.perf_counter() - start)
    return files


@contextlib.contextmanager
def kernel(folder: Path) -> Iterator[KernelManager]:
    """A kernel, reached by pipes of this machine and not by its network. It starts with the first notebook."""
    manager = KernelManager(kernel_name="python3", transport="ipc", connection_file=str(folder / "kernel.json"))
    try:
        yield manager
    finally:
        if manager.has_kernel:
            manager.shutdown_kernel()


def run(notebook: NotebookNode, manager: KernelManager, folder: Path) -> None:
    """Run a notebook in a new folder; its cells have their outputs then. Raises CellExecutionError for an exception."""
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        programs = [tag.removeprefix("needs-") for tag in tags if tag.startswith("needs-")]
        if missing := [program for program in programs if shutil.which(program) is None]:
            cell.metadata["tags"] = [*tags, SKIPPED]
            cell.outputs = [nbformat.v4.new_output("stream", text=f"(not run here: {', '.join(missing)} is missing)\n")]
    folder.mkdir()
    # Nothing of whoever builds the site gets in, and nothing gets out.
    own = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "MPLBACKEND"))}
    own |= dict.fromkeys(("IPYTHONDIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"), str(folder.parent))
    fresh = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(FRESH.format(folder=folder))])
    for one in (fresh, notebook):
        settings = {"timeout": TIMEOUT, "skip_cells_with_tag": SKIPPED, "coalesce_streams": True}
        NotebookClient(one, km=manager, **settings).execute(env=own | {"OMP_NUM_THREADS": "1"})
    for cell in notebook.cells:
        cell.outputs = [output for output in cell.get("outputs", []) if not is_progress(output)]


def is_progress(output: NotebookNode) -> bool:
    """Whether this is the line of a run that goes on: as a picture of its end it says nothing."""
    return output.get("name") == "stderr" and bool(re.fullmatch(r"(?:\s*\d+/\d+ renders .*)+\s*", output["text"]))


def add(name: str, notebook: NotebookNode, plain: str, files: Files, config: MkDocsConfig) -> None:
    """Add the page of a guide that has run, its pictures, and the notebook without outputs."""
    resources = {"unique_key": name, "output_files_dir": ""}
    page, made = MarkdownExporter().from_notebook_node(notebook, resources)
    title, rest = page.lstrip().split("\n", 1)
    page = f"{title}\n\n[This guide as a notebook]({name}.ipynb){{ download }}\n{rest}"
    page = page.replace(' border="1" class="dataframe"', "")  # a table as others are
    files.append(File.generated(config, f"guides/{name}.md", content=page))
    files.append(File.generated(config, f"guides/{name}.ipynb", content=plain))
    for file, content in made["outputs"].items():
        pictures.setdefault(name, file)
        files.append(File.generated(config, f"guides/{file}", content=content))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show the first picture of each guide on its card."""
    if page.file.src_uri != INDEX:
        return markdown
    return HEADING.sub(lambda found: f"{found[0]}\n\n![]({pictures[found['guide']]})", markdown)
