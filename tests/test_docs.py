"""The pages of docs/: tables are those of the rows, links and commands lead somewhere, and the site builds."""

import ast
import html
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupytext import read as read_notebook

from baselines.compare import options as compare_words
from docs.write_tables import TABLES, renewed
from paper.run import paper_options
from zg.cli.fit import parse_words
from zg.cli.new import new_command
from zg.cli.train import is_training
from zg.config.build import instantiate, parse
from zg.config.compose import compose
from zg.run.training import Training
from zg.zerograds.choose import FEW, FEWEST, FULL, RENDERS_PER_PARAMETER, SIGMA_BEYOND, SOME, SWEPT, TABLE

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "paper").glob("*.md"), ROOT / "results/README.md"])
CHROMIUM = shutil.which("chromium")
LINES, SURROGATE_LINES, CHOOSING_LINES = 250, 120, 60
#: Characters of code that are seen at once on a page of 1280 pixels, with a bar to scroll: (801 − 31) / 7.2 pixels.
CODE_WIDTH = 106
#: A name and a colon where a sentence begins, or "Raises", inside an item of a list.
GLUED = re.compile(r"(?:^|[.;] )[a-z_]+(?:, [a-z_]+)*: ")
#: Lists what scrolls sideways, page by page, in frames of 1280 pixels.
LOOK = """<script>const pages = %s, cut = []
async function look(page) {
  const frame = document.createElement("iframe")
  Object.assign(frame, {sandbox: "allow-same-origin", style: "width: 1280px; height: 900px", src: page})
  document.body.append(frame)
  await new Promise(loaded => frame.onload = loaded)
  const seen = frame.contentDocument
  if (!seen.querySelector(".md-content").clientWidth || !seen.styleSheets.length) cut.push(page + " has no style")
  for (const part of seen.querySelectorAll(".md-content *"))
    if (part.clientWidth && part.scrollWidth > part.clientWidth + 1 &&
        frame.contentWindow.getComputedStyle(part).overflowX != "visible")
      cut.push(page + ": " + part.textContent.trim().slice(0, 60))
  frame.remove()
}
addEventListener("load", async () => {
  for (const page of pages) await look(page)
  document.body.textContent = "looked at " + pages.length + JSON.stringify(cut)
})</script><body></body>"""
LINK = re.compile(r"(?:\]\(|(?:src|href)=\")([^)\s\"]+)[)\"]")
#: Names in commands that stand for something of the reader.
PLACEHOLDERS = ("disk.yaml", "mine.yaml", "mine.Light", "mine.Ring", "disk,toy")
TARGETS = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
#: What the site may fetch nothing with: tags, and functions of a style sheet.
FETCHES = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^>]*>|url\(\"?https?://"
)


def texts() -> Iterator[tuple[str, str]]:
    """Each page without its blocks of code in fences: its path and its text."""
    for path in PAGES:
        text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        yield path.relative_to(ROOT).as_posix(), text


def commands() -> list[str]:
    """The commands that stand on lines of their own, without README.md's, which run in a test of their own."""
    found = {
        line.strip().partition("  #")[0]
        for path, text in texts()
        if path != "README.md"
        for line in re.findall(r"^ {4}(?:zg [a-z]|make |python -m ).*$", text, re.MULTILINE)
    }
    return sorted(found)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_a_page_is_what_its_rows_make(name: str) -> None:
    assert (ROOT / name).read_text() == renewed(name), "run: python -m docs.write_tables"


def test_the_page_on_choosing_has_the_numbers_of_the_rules() -> None:
    page = (DOCS / "choosing.md").read_text()
    numbers = (f"≤ {FEWEST} ", f"{FEWEST + 1} … {FULL} ", f"{FULL + 1} … {FEW} ", f"after {SWEPT} n renders")
    for text in (*numbers, f"> {FEW} ", f"{FEW + 1} … {SOME} ", f"after {RENDERS_PER_PARAMETER} n renders"):
        assert text in page, f"docs/choosing.md lacks '{text}'"
    assert SIGMA_BEYOND == 3, "docs/choosing.md says three times the first σ"
    assert {rule.surrogate for rule in TABLE} == set(re.findall(r"surrogates/(\w+)\.md\)", page)) - {
        "neural",
        "paper",
        "picture",
    }


def test_every_relative_link_leads_to_a_file() -> None:
    broken = [
        f"{page}: {link}"
        for page, text in texts()
        for link in LINK.findall(text)
        if not link.startswith(("https://", "#")) and not (ROOT / page).parent.joinpath(link.split("#")[0]).exists()
    ]
    assert not broken, f"links that lead nowhere: {broken}"


def test_a_link_to_a_page_says_what_it_leads_to() -> None:
    named = re.compile(r"\[`?([^\]`]*(?:README|\.md))`?\]\(")
    files = [f"{page}: {found}" for page, text in texts() for found in named.findall(text)]
    assert not files, f"links that are called by a file's name: {files}"


def test_pages_are_short() -> None:
    most = {page: CHOOSING_LINES if page.name == "choosing.md" else LINES for page in PAGES}
    most |= {page: SURROGATE_LINES for page in PAGES if page.parent.name == "surrogates"}
    long = {
        page.relative_to(ROOT).as_posix(): lines
        for page in PAGES
        if "notebook" not in page.parts and (lines := len(page.read_text().splitlines())) > most[page]
    }
    assert not long, f"pages with more lines than allowed: {long}"


#: Names in the guides of what `zg new` writes, and their kinds.
WRITTEN = {"glow": "task", "bounce": "method"}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with these. What is imported from it is forgotten afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name, kind in WRITTEN.items():
        assert new_command([kind, name, "--folder", str(tmp_path)]) == 0
    yield tmp_path
    for name in WRITTEN:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_guides_is_understood(command: str, written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, *words = shlex.split(command)
    if {f"{name}.yaml" for name in WRITTEN} & {*words}:
        monkeypatch.chdir(written)
    if program == "make":
        assert words[0] in TARGETS, f"the Makefile has no target {words[0]}"
    elif program == "python":
        module = importlib.util.find_spec(words[1])
        assert module and module.origin, f"there is no module {words[1]}"
        package = Path(module.origin)
        source = (package.with_name("__main__.py") if package.name == "__init__.py" else package).read_text()
        unknown = [word for word in words[2:] if word.startswith("--") and f'"{word}"' not in source]
        assert not unknown, f"{words[1]} has no option {unknown}"
    elif words[0] == "fit" and "--resume" not in words and not set(words) & set(PLACEHOLDERS):
        layers, options = parse_words(words[1:])
        if is_training(layers, options):
            parse(compose(*layers), {"training": Training})
            return
        instantiate("model", parse(compose({"model": "zerograds"}, *layers))["model"])
    elif words[0] in ("compare", "tune", "report"):
        getattr(compare_words, f"{words[0]}_options")(words[1:])
    elif words[0] == "paper":
        paper_options(words[1:])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built in strict mode: a warning ends the build."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return out


def test_the_site_fetches_nothing_from_the_network(site: Path) -> None:
    files = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert len(files) > 50
    fetched = {path.name: found for path in files if (found := FETCHES.findall(path.read_text(encoding="utf-8")))}
    assert not fetched


@pytest.mark.parametrize("guide", sorted(path.stem for path in (DOCS / "guides").glob("*.py")))
def test_a_guide_was_run_and_its_page_has_pictures_and_a_notebook(guide: str, site: Path) -> None:
    shown = (site / "guides" / f"{guide}.html").read_text()
    cells = [cell for cell in read_notebook(DOCS / "guides" / f"{guide}.py").cells if cell.cell_type == "code"]
    assert len(re.findall(r"<pre>.*?<code>", shown, re.DOTALL)) >= len(cells) > 0
    assert re.search(rf'<img [^>]*src="(?:{guide}_\d+_\d+\.png|data:image/png)', shown)
    assert "Traceback" not in shown and "Warning" not in shown
    notebook = read_notebook(site / "guides" / f"{guide}.ipynb")
    assert [cell.source for cell in notebook.cells if cell.cell_type == "code"] == [cell.source for cell in cells]
    assert f'href="{guide}.html"' in (site / "guides" / "index.html").read_text()


@pytest.mark.parametrize("program", ["cc", "povray"])
def test_the_cells_of_guides_that_need_a_program_were_run(program: str, site: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")
    shown = (site / "guides" / "any_program.html").read_text()
    assert f"{program} is missing" not in shown and not re.search(rf"not run here: [^)]*{program}", shown)


def test_the_site_has_every_page_every_setting_and_every_formula(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        assert (site / page.relative_to(DOCS)).with_suffix(".html").is_file(), f"{page.name} is not in the site"
    for page in (DOCS / "surrogates").glob("*.md"):
        shown = (site / "surrogates" / page.name).with_suffix(".html").read_text()
        assert "<math" in shown, f"{page.name} has no formula"
        assert not re.search(r"\\\(|\\\[|<!-- settings of", shown), f"{page.name} has a formula or settings in source"
    assert "creep_sweeps" in (site / "surrogates" / "quasi_newton.html").read_text()


def test_the_reference_explains_the_arguments_of_a_call(site: Path) -> None:
    shown = re.sub(r"\s+", " ", (site / "reference" / "calls.html").read_text())
    assert "<li><code>regulariser</code>: a function of x" in shown
    assert "<li><code>resume</code>: continue the run" in shown, "the second argument that a line explains"


def test_the_reference_lists_every_name_that_a_docstring_explains(site: Path) -> None:
    glued = []
    for page in sorted((site / "reference").glob("*.html")):
        for tag, block in re.findall(r"<(p|li)>(.*?)(?=</?(?:p|li|ul|pre)\b)", page.read_text(), re.DOTALL):
            text = re.sub(r"<[^>]+>", "", block)
            start = len(text.partition(": ")[0]) if tag == "li" else 0
            if GLUED.search(text, start) or (tag == "li" and re.search(r"\. (?:Raises|Warns) ", text)):
                glued.append(f"{page.stem}: {text}")
    assert not glued, "explanations that hang on the one before:\n" + "\n".join(glued)


def test_every_field_of_a_settings_dataclass_is_explained() -> None:
    explained, bare = 0, []
    for path in sorted((ROOT / "zg").rglob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines()
        for kind in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(kind, ast.ClassDef) and re.fullmatch(r"[A-Z]\w*Settings", kind.name):
                for field in (part for part in kind.body if isinstance(part, ast.AnnAssign)):
                    is_part = "default_factory" in ast.unparse(field)  # has a table of its own
                    explained += (is_explained := lines[field.lineno - 2].strip().startswith("#: "))
                    bare += [] if is_explained or is_part else [f"{kind.name}.{ast.unparse(field.target)}"]
    assert explained > 100, "settings were not found"
    assert not bare, f"fields without a comment '#: …' above: {bare}"


def test_no_line_of_code_is_wider_than_a_page(site: Path) -> None:
    wide = []
    for page in sorted(site.rglob("*.html")):
        if "source" not in page.parts and page.name != "gallery.html":  # these have other widths
            for block in re.findall(r"<pre>(.*?)</pre>", page.read_text(), re.DOTALL):
                lines = html.unescape(re.sub(r"<[^>]+>", "", block)).splitlines()
                wide += [f"{page.name}: {line}" for line in lines if len(line) > CODE_WIDTH]
    assert not wide, f"lines of more than {CODE_WIDTH} characters:\n" + "\n".join(wide)


def test_the_search_finds_a_setting_and_skips_source_files(site: Path) -> None:
    index = (site / "search" / "search_index.js").read_text()
    assert "creep_sweeps" in index
    assert "source/zg/loop.py" not in index


def test_the_path_of_a_theta_in_the_architecture_is_that_of_a_run() -> None:
    command = [sys.executable, "-m", "docs.trace", "--print"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert made.strip() in (DOCS / "architecture.md").read_text(), "the run goes another way: python -m docs.trace"


def dumped(url: str, profile: Path, *flags: str) -> str:
    """The page as Debian's chromium has it in the end."""
    common = f"--headless --no-sandbox --disable-gpu --user-data-dir={profile} --virtual-time-budget=10000 --dump-dom"
    command = [str(CHROMIUM), *common.split(), *flags, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_a_browser_searches_the_site_that_is_opened_as_files(site: Path, tmp_path: Path) -> None:
    shown = dumped(f"{(site / 'index.html').as_uri()}?q=kinks", tmp_path)
    assert re.search(r"md-search-result__meta\">\d+ matching documents", shown), "the search found nothing"
    assert "surrogates/quasi_newton.html" in shown


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_a_browser_shows_every_page_with_style_and_cuts_nothing(site: Path, tmp_path: Path) -> None:
    pages = [path.relative_to(site).as_posix() for path in sorted(site.rglob("*.html")) if path.suffixes == [".html"]]
    look = site / "look.html"
    look.write_text(LOOK % json.dumps(pages), encoding="utf-8")
    shown = html.unescape(dumped(look.as_uri(), tmp_path, "--allow-file-access-from-files"))
    look.unlink()
    assert f"looked at {len(pages)}[]" in shown, shown[shown.rfind("looked at") :]
