"""The site of the docs: built strictly, whole, and complete without any other host."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright
from ruamel.yaml import YAML

from chromium import launch

pytest.importorskip("mkdocs", reason="the docs are built with the group `machinery`")

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

# What a browser fetches by itself: not a link that a reader may follow.
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc(?:set)?=["']?([^"'\s>]+)"""
    r"""|<link\b[^>]*?\brel=["']?(?:stylesheet|icon|preload|preconnect|prefetch)\b[^>]*"""
    r"""?\bhref=["']?([^"'\s>]+)""",
    re.IGNORECASE,
)


def mkdocs(config: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--strict"]
    return subprocess.run(
        [*command, "--config-file", str(config), "--site-dir", str(out)],
        cwd=config.parent,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("docs") / "site"
    built = mkdocs(ROOT / "mkdocs.yml", out)
    assert built.returncode == 0, built.stderr
    return out


def navigation(entry: Any) -> Iterator[str]:
    """The pages of a part of the navigation."""
    if isinstance(entry, str):
        yield entry
    for part in entry.values() if isinstance(entry, dict) else entry:
        if not isinstance(entry, str):
            yield from navigation(part)


def test_every_page_of_the_docs_is_in_the_navigation_once() -> None:
    listed = list(navigation(YAML(typ="safe").load(ROOT / "mkdocs.yml")["nav"]))
    assert len(listed) == len(set(listed))
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert there <= set(listed)


def test_every_how_to_is_on_the_home_page() -> None:
    home = (DOCS / "index.md").read_text("utf-8")
    for path in sorted((DOCS / "how-to").glob("*.md")):
        assert f"(how-to/{path.name})" in home, path.name


def test_the_site_holds_pages_and_no_code_of_its_making(site: Path) -> None:
    assert not [*site.rglob("*.py"), *site.rglob("*.pyc"), *site.rglob("*.md")]


def test_the_home_is_the_readme(site: Path) -> None:
    home = (site / "index.html").read_text("utf-8")
    assert "A data platform that you copy." in home
    assert 'href="tutorials/ten-minutes.html"' in home
    assert 'src="images/run.svg"' in home
    assert "README.md" not in re.sub(r"<code>.*?</code>", "", home)


def test_pages_that_stand_elsewhere_are_there_with_their_links(site: Path) -> None:
    page = (site / "explanation" / "architecture.html").read_text("utf-8")
    assert 'href="decisions/0003-settings-in-layers.html"' in page
    assert 'href="../how-to/write-a-source.html"' in page
    assert 'href="../reference/dbt-project.html"' in page
    assert (site / "repository" / "data" / "schemas" / "web_analytics.yml").is_file()


def test_lists_and_tables_are_such_without_an_empty_line_before_them(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = re.sub(r"<(pre|code|script)\b.*?</\1>", "", page.read_text("utf-8"), flags=re.DOTALL)
        assert not re.search(r"<p>[^<]*\n[-*] ", text), page
        assert not re.search(r"\|-{3,}", text), page


def test_nothing_that_a_browser_fetches_is_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        for match in FETCHED.finditer(page.read_text("utf-8")):
            address = match[1] or match[2]
            assert not re.match(r"(https?:)?//", address), f"{page.name}: {address}"
    for style in site.rglob("*.css"):
        for address in re.findall(r"""url\(["']?([^"')]+)|@import""", style.read_text("utf-8")):
            assert not re.match(r"(https?:)?//", address), f"{style.name}: {address}"
    for picture in site.rglob("*.svg"):
        named = set(re.findall(r"https?://[^\s\"'<)]+", picture.read_text("utf-8")))
        assert named <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}, picture


def test_what_is_fetched_is_recognised() -> None:
    html = '<script src="https://a/x.js"></script><link rel="stylesheet" href="//b/x.css">'
    assert [a or b for a, b in FETCHED.findall(html)] == ["https://a/x.js", "//b/x.css"]
    assert not FETCHED.findall('<a href="https://a/">a</a><link rel="canonical" href="https://a/">')


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@contextmanager
def browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        opened = launch(playwright)
        yield opened
        opened.close()


@pytest.mark.slow
def test_a_browser_needs_no_other_host(site: Path) -> None:
    pages = ("index.html", "tutorials/ten-minutes.html", "reference/commands.html")
    with served(site) as base, browser() as opened:
        for origin in (base, site.as_uri()):
            elsewhere, errors = _looked_at(opened, origin, pages)
            assert not elsewhere
            assert not errors
        assert _copied(opened, f"{base}/how-to/change-a-model-safely.html") == (
            "uv run headrace lineage stg_jaffle_shop__orders.status --impact"
        )
        assert _copied(opened, f"{base}/how-to/send-openlineage-events.html") == (
            "uv sync --extra openlineage\nuv run headrace run --set openlineage.enabled=true"
        )


def _copied(opened: Any, address: str) -> str:
    """What the button copies of a page's first block: as it marks the block for that."""
    page = opened.new_page()
    page.goto(address, wait_until="networkidle")
    text = page.evaluate(
        """() => {
            const code = document.querySelector(".highlight code");
            code.setAttribute("data-md-copying", "");
            return code.innerText.trim();
        }"""
    )
    page.close()
    return str(text)


def _looked_at(opened: Any, origin: str, pages: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Requests beyond the origin, and errors, when the pages are read and searched."""
    elsewhere: list[str] = []
    errors: list[str] = []
    context = opened.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(120_000)
    here = urlsplit(origin)

    def look(request: Any) -> None:
        to = urlsplit(request.url)
        if (to.scheme, to.netloc) != (here.scheme, here.netloc) and to.scheme not in {
            "data",
            "blob",
        }:
            elsewhere.append(request.url)

    def failed(request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page was left before it came
            errors.append(f"{request.failure}: {request.url}")

    context.on("request", look)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("requestfailed", failed)
    page.on("response", lambda got: errors.append(got.url) if got.status >= 400 else None)
    for name in pages:
        page.goto(f"{origin}/{name}", wait_until="networkidle")
    page.locator("[data-md-component=search-query]").click()
    page.keyboard.type("quarantine")
    page.wait_for_selector(".md-search-result__item", state="attached")
    for size in ((1280, 800), (360, 740)):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.goto(f"{origin}/index.html", wait_until="networkidle")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size[0], f"{width} px wide at {size[0]}"
    context.close()
    return elsewhere, errors


def test_a_dead_link_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    shutil.copy(DOCS / "hooks.py", tmp_path / "docs")
    text = (ROOT / "mkdocs.yml").read_text("utf-8").split("\nnav:")[0]
    (tmp_path / "mkdocs.yml").write_text(text, encoding="utf-8")
    (tmp_path / "README.md").write_text("# Readme\n", encoding="utf-8")
    page = tmp_path / "docs" / "index.md"
    page.write_text("# Home\n[here](#home)\n", encoding="utf-8")
    assert mkdocs(tmp_path / "mkdocs.yml", tmp_path / "site").returncode == 0

    dead = ("nowhere.md", "#nowhere", "../nowhere.txt")
    page.write_text("# Home\n" + "\n".join(f"[x]({link})" for link in dead), encoding="utf-8")
    built = mkdocs(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert built.returncode != 0
    assert "Aborted with 3 warnings" in built.stdout
    assert [link for link in dead if f"'{link}'" not in built.stderr] == []
