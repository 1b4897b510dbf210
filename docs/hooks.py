"""A hook of mkdocs for pages and links outside of ``docs/``.

Pages link to files relative to their own place in the repository, as a code host shows them. On
the site, ``PAGES`` get an address below ``docs/``; any other linked file is copied to
``repository/``. The home page is ``docs/index.md`` with the README in place of its comment.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
README_HERE = re.compile(r"<!-- README\.md .*?-->\n")

# Pages that are alone in their part of the navigation, which would be an empty column.
ALONE = {"index.md", "tutorials/ten-minutes.md"}

# Where a page of the repository is on the site.
PAGES = {
    "README.md": "index.md",
    "AGENTS.md": "reference/agents.md",
    "ARCHITECTURE.md": "explanation/architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "explanation/benchmarks.md",
    "dbt_project/README.md": "reference/dbt-project.md",
    "dlt_pipelines/files/README.md": "reference/sources/files.md",
    "dlt_pipelines/jaffle_shop/README.md": "reference/sources/jaffle_shop.md",
    "dlt_pipelines/shop/README.md": "reference/sources/shop.md",
    "dlt_pipelines/web_analytics/README.md": "reference/sources/web_analytics.md",
}

_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_SHIM = re.compile(r"""<script src=["']?https://unpkg\.com/iframe-worker/shim["']?></script>""")
_TYPED = re.compile(r"^( {0,3})```\n(?=\$ )", re.MULTILINE)
_ITEM = re.compile(r"^(?:[-*+]|\d+[.)]) ")
_ROW = re.compile(r"^\|")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the repository, and the files that pages link to."""
    for source, target in PAGES.items():
        if target != "index.md" and (ROOT / source).is_file():
            files.append(File.generated(config, target, content=_read(source)))
    sources = [*PAGES, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    linked = {
        path
        for source in sources
        if (ROOT / source).is_file()
        for path in _links(source)
        if not path.startswith("docs/") and path not in PAGES and (ROOT / path).is_file()
    }
    for path in sorted(linked):
        copy = File.generated(config, _copy(path), abs_src_path=str(ROOT / path))
        files.append(copy)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Insert the README into the home page, rewrite links for the site, separate the blocks."""
    del config, files
    here = page.file.src_uri
    if here in ALONE:
        page.meta["hide"] = ["navigation"]
    source = next((key for key, target in PAGES.items() if target == here), f"docs/{here}")
    if here == "index.md":
        source = "docs/index.md"
        readme = _relinked(_read("README.md"), source="README.md", here=here)
        markdown = README_HERE.sub(lambda _: readme, markdown)
        return _parted(markdown)
    return _parted(_relinked(markdown, source=source, here=here))


_ONWARD = (
    "<p>There is no page at this address. Search for it above, or choose a part from the menu.</p>"
)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Take the script that lets the search work from a disk from here, not from a CDN."""
    del config
    ours = posixpath.relpath("javascripts/search-from-disk.js", posixpath.dirname(page.url) or ".")
    return _named_search(_SHIM.sub(f'<script src="{ours}"></script>', output))


def on_post_template(output_content: str, template_name: str, config: MkDocsConfig) -> str:
    """Leave that script out of 404.html, which is served at any depth; let it say where to go."""
    del config
    found = _named_search(_SHIM.sub("", output_content))
    return found.replace("</h1>", f"</h1>{_ONWARD}", 1) if template_name == "404.html" else found


def _named_search(html: str) -> str:
    """The dialog of the search has a name, which the theme leaves out."""
    role = 'data-md-component="search" role="dialog"'
    return html.replace(role, f'{role} aria-label="Search"')


def _read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _links(source: str) -> Iterator[str]:
    """The paths, from the root, of what a page of the repository links to."""
    for line, fenced in _lines(_read(source)):
        for match in () if fenced else _LINK.finditer(line):
            if ":" not in match[2]:
                yield posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))


def _relinked(text: str, *, source: str, here: str) -> str:
    def site_link(match: re.Match[str]) -> str:
        if ":" in match[2]:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        target = PAGES.get(path) or PAGES.get(f"{path}/README.md") or _on_site(path)
        return match[1] + posixpath.relpath(target, posixpath.dirname(here) or ".") + match[3]

    return "".join(line if fenced else _LINK.sub(site_link, line) for line, fenced in _lines(text))


def _on_site(path: str) -> str:
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return _copy(path)


def _copy(path: str) -> str:
    # Without an ending a browser would offer it as a download.
    return f"repository/{path}" + ("" if Path(path).suffix else ".txt")


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it is code."""
    fence = ""
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
            yield line, True
        elif mark and mark[1] == fence:
            fence = ""
            yield line, True
        else:
            yield line, bool(fence)


def _parted(text: str) -> str:
    """An empty line before each list and table, which code hosts do not ask for.

    A block of what is typed (``$ ``) gets its language, so that prompts and outputs look like it,
    and the button that copies a block leaves them out.
    """
    text = _TYPED.sub(r"\1```console\n", text)
    parted: list[str] = []
    before = "\n"
    for line, fenced in _lines(text):
        for block in (_ITEM, _ROW):
            begins = block.match(line) and not block.match(before)
            # An item's second line is indented; what follows one is the next item.
            if not fenced and begins and before.strip() and not before.startswith(" "):
                parted.append("\n")
                break
        parted.append(line)
        before = line
    return "".join(parted)
