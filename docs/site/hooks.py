"""What the site adds to the pages, as hooks of MkDocs: files outside docs/, tables of settings, formulas, the gallery.

README.md, CONTRIBUTING.md and CHANGELOG.md are pages. Any other file outside docs/ that a page links to becomes a page
that shows it. A line `<!-- settings of a.module.Class as option -->` becomes a table of the fields of that dataclass.
"""

import html
import os
import posixpath
import re
from pathlib import Path

import griffe
import latex2mathml.converter
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
#: Files outside docs/ that have a place in the navigation.
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
LINK = re.compile(r'(?P<before>\]\(|(?:src|href)=")(?P<path>[^)\s"#:]+)(?P<anchor>#[^)\s"]*)?(?P<after>[)"])')
SETTINGS = re.compile(r"^<!-- settings of (?P<name>[\w.]+?)(?: as (?P<option>\w+))? -->$", re.MULTILINE)
FORMULA = re.compile(r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL)
#: Where a browser must not end a line, though there are hyphens or spaces: options, numbers, ranges, names of methods.
UNBROKEN = re.compile(
    r"(?<![\w.-])(?:--?[a-z][\w.-]*|\d[\d.]*e-\d+|\d{1,3} … \d{1,3}(?![\d.])|zerograds-[a-z]+|(?:dd-)?CMA-ES)"
)
#: What is no text: tags, and formulas with all that is in them.
MARKUP = re.compile(r"(<math.*?</math>|<[^>]+>)", re.DOTALL)
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".md": "markdown", ".csv": "text", ".cfg": "ini"}
#: The pages whose sections become cards.
GALLERIES = ("gallery.md", "guides/index.md")
#: Files that are copied as they are.
PICTURES = (".png", ".gif", ".mp4", ".html")
#: Longest text that is shown as a page, in characters.
LONGEST = 60_000
#: The file in the repository behind each page that is not of docs/.
origins: dict[str, str] = {}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside docs/ that pages link to, and those that these link to in turn."""
    origins.clear()
    waiting = [f"docs/{file.src_uri}" for file in files.documentation_pages()] + list(PAGES)
    for path in PAGES:
        add(path, files, config)
    while waiting:
        home = waiting.pop()
        page = files.get_file_from_path(home.removeprefix("docs/")) if home.startswith("docs/") else None
        text = page.content_string if page else (ROOT / home).read_text(encoding="utf-8")  # a guide is no file
        for found in LINK.finditer(text):
            path = in_repository(home, found["path"])
            if path and not path.startswith("docs/") and uri_of(path) not in origins:
                add(path, files, config)
                if path.endswith(".md"):
                    waiting.append(path)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links lead to pages of the site, and set in the tables of settings."""
    if page.file.src_uri in GALLERIES or page.file.src_uri.startswith("source/"):
        page.meta["hide"] = ["toc"]  # room for pictures and wide tables
    uri = page.file.src_uri
    markdown = re.sub(r"\A\s*##+ ", "# ", markdown)  # a page without a heading `# ` is titled by its file's name
    home = origins.get(uri, f"docs/{uri}")
    if home.endswith(".md"):
        markdown = LINK.sub(lambda found: relinked(found, home, uri), markdown)
    return SETTINGS.sub(lambda found: settings_table(found["name"], found["option"]), markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write formulas in MathML, keep words together, and lay out the gallery."""
    if page.file.src_uri.endswith(".py.md"):
        return html  # code, as it is
    html = unbroken(FORMULA.sub(formula, html))
    return gallery(html) if page.file.src_uri in GALLERIES else html


def on_post_template(output_content: str, template_name: str, config: MkDocsConfig) -> str:
    """Leave out the page for addresses that do not exist: only a server shows it, and as a file it has no style."""
    return "" if template_name == "404.html" else output_content


def in_repository(home: str, link: str) -> str | None:
    """The path in the repository to which a link in the file `home` leads; None if there is nothing."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(home), link))
    return path if not path.startswith("..") and (ROOT / path).exists() else None


def uri_of(path: str) -> str:
    """Where the site has a file of the repository."""
    if path.startswith("docs/guides/") and path.endswith(".py"):
        return path.removeprefix("docs/").removesuffix(".py") + ".md"  # a guide has a page of its own
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path in PAGES:
        return PAGES[path]
    is_copied = path.endswith(PICTURES) or ((ROOT / path).is_file() and (ROOT / path).stat().st_size > LONGEST)
    return f"source/{path}" if is_copied or path.endswith(".md") else f"source/{path}.md"


def add(path: str, files: Files, config: MkDocsConfig) -> None:
    """Add a file or folder of the repository to the site."""
    uri, source = uri_of(path), ROOT / path
    origins[uri] = path
    if not uri.endswith(".md"):
        content: str | bytes = source.read_bytes()
    elif path.endswith(".md"):
        content = source.read_text(encoding="utf-8")
    else:
        content = shown(path)
    file = File.generated(config, uri, content=content)
    if path not in PAGES:
        file.inclusion = file.inclusion.NOT_IN_NAV
    files.append(file)


def shown(path: str) -> str:
    """A page that shows a text file, or the names in a folder. The search leaves it out."""
    source = ROOT / path
    language = LANGUAGES.get(source.suffix, "text")
    if source.is_dir():
        names = sorted(f"{item.name}/" if item.is_dir() else item.name for item in source.iterdir())
        text, language = "\n".join(name for name in names if not name.startswith(("_", "."))), "text"
    else:
        text = source.read_text(encoding="utf-8")
    return f"---\nsearch: {{exclude: true}}\n---\n\n# `{path}`\n\n~~~~~~~~{language}\n{text}\n~~~~~~~~\n"


def relinked(found: re.Match[str], home: str, uri: str) -> str:
    """A link in the file `home`, as the page `uri` has to have it."""
    path = in_repository(home, found["path"])
    target = None if path is None else uri_of(path)
    if target is None or (f"docs/{target}" == path and home.startswith("docs/")):
        return found[0]
    is_html = found["before"] != "]("  # MkDocs does not look into HTML
    relative = os.path.relpath(target, posixpath.dirname(uri) or ".")
    if is_html and relative.endswith(".md"):
        relative = relative.removesuffix(".md") + ".html"
    return f"{found['before']}{relative}{found['anchor'] or ''}{found['after']}"


def settings_table(name: str, option: str | None) -> str:
    """The fields of a settings dataclass, with defaults and comments, as a Markdown table. option: its name as one."""
    module, _, kind = name.rpartition(".")
    extensions = griffe.load_extensions(str(Path(__file__).with_name("docstrings.py")))
    loaded = griffe.load(module, search_paths=[ROOT], extensions=extensions)[kind]
    lines = ["", f"`{option}`:" if option else "", "", "| setting | default | meaning |", "|---|---|---|"]
    for field in loaded.attributes.values():
        if "default_factory" in str(field.value):
            continue  # the settings of a part, which have a table of their own
        if field.docstring is None:
            raise ValueError(f"{name}.{field.name} must have a comment '#: …'")
        default = short(str(field.value)) if field.value is not None else "–"
        meaning = field.docstring.value.replace("|", "\\|")
        lines.append(f"| `{field.name}` | `{default}` | {meaning} |")
    return "\n".join([*lines, ""])


def short(number: str) -> str:
    """300000000000.0 as 3e+11; what is no large number stays as it is."""
    return f"{float(number):g}" if re.fullmatch(r"\d{6,}\.0", number) else number


def formula(found: re.Match[str]) -> str:
    """A formula in MathML, which browsers draw by themselves."""
    display = "block" if found["tag"] == "div" else "inline"
    return latex2mathml.converter.convert(html.unescape(found["tex"].strip()), display=display)


def unbroken(content: str) -> str:
    """The content of a page, with words that stay on one line."""
    parts = MARKUP.split(content)
    parts[::2] = [UNBROKEN.sub(r'<span class="unbroken">\g<0></span>', text) for text in parts[::2]]
    return "".join(parts)


def gallery(content: str) -> str:
    """Each section of the page as a card, and each picture as a link to itself."""
    content = re.sub(r'(<img [^>]*src="([^"]+)"[^>]*>)', r'<a href="\2">\1</a>', content)
    head, *sections = content.split("<h2")
    cards = "".join(f'<section markdown="0"><h2{section}</section>' for section in sections)
    return f'{head}<div class="gallery">{cards}</div>'
