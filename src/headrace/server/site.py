"""The static site: the pages of the server as files, for any web server and any sub-path."""

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from headrace.server import compose, graph_data, queries, scripts, site_files
from headrace.server.errors import NotFoundError
from headrace.server.links import FileLinks
from headrace.server.render_html import STATIC, Frame
from headrace.server.state import ServerState
from headrace.server.views import AssetDetail

LISTED_MOST = 20_000  # assets on the page that lists them; the search finds the others
_RUNS = 100
_DAYS = 90
# plain scripts, and the modules that they are made of; ``theme.js`` is one already
_SCRIPTS = {"site.js": "main.js", "site-graph.js": "graph/index.js", "site-assets.js": "assets.js"}
_MODULES = ("graph", "main.js", "quick.js", "sort.js", "assets.js", "page_data.js")


class SiteReport(BaseModel):
    """The answer of ``headrace docs``."""

    model_config = ConfigDict(frozen=True)

    out: str
    assets: int = Field(description="assets that have a page, tests among them")
    pages: int
    files: int
    bytes: int
    samples: int = Field(description="assets whose page shows sample rows")
    seconds: float


def write_site(
    state: ServerState, out: Path, *, samples: bool = False, force: bool = False
) -> SiteReport:
    """Write the site.

    Args:
        state: what is shown, as of now.
        out: the directory; made if it is not there, and replaced as a whole if we wrote it.
        samples: whether asset pages show sample rows, without the columns of personal data.
        force: write into a directory that holds other files; they stay.

    Raises:
        ServeError: the directory cannot be written, or holds what is not ours.
        RunStoreError: the history cannot be read.
    """
    started = time.monotonic()
    site_files.check(out, force=force)
    site = _Site(state, samples=samples)
    with site_files.replaced(out) as folder:
        for path, text in site.pages():
            _write(folder / path, text.encode("utf-8", "replace"))
        for path, content in site.data():
            _write(folder / path, content)
        shutil.copytree(STATIC, folder / "static", ignore=shutil.ignore_patterns(*_MODULES))
        for name, entry in _SCRIPTS.items():
            script = scripts.bundled(STATIC / "js", entry)
            _write(folder / "static" / "js" / name, script.encode())
        written = [path for path in folder.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in written)
    return SiteReport(
        out=str(out),
        assets=site.assets,
        pages=site.count,
        files=len(written),
        bytes=size,
        samples=site.samples,
        seconds=time.monotonic() - started,
    )


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


class _Site:
    """The pages of one moment."""

    def __init__(self, state: ServerState, *, samples: bool) -> None:
        self._state = state
        self._with_samples = samples
        made_at = datetime.now(UTC)
        self._top = Frame(links=FileLinks(), project=state.project, made_at=made_at)
        self._below = Frame(links=FileLinks(root="../"), project=state.project, made_at=made_at)
        self._runs: dict[str, None] = {}
        self.assets = 0
        self.count = 0
        self.samples = 0

    def pages(self) -> Iterator[tuple[str, str]]:
        """Path and HTML of each page."""
        for path, text in self._all():
            self.count += 1
            yield path, text

    def data(self) -> Iterator[tuple[str, bytes]]:
        """Path and content of what the pages' scripts read."""
        now = self._state.snapshot()
        for name, content in (
            ("graph", graph_data.graph_json(now, links=FileLinks())),
            ("columns", graph_data.column_json(now)),
        ):
            head = f"(globalThis.headraceData ??= {{}}).{name} = ".encode()
            yield f"data/{name}.js", head + content + b";\n"
        yield ".nojekyll", b""

    def _all(self) -> Iterator[tuple[str, str]]:
        state, top = self._state, self._top
        yield "index.html", compose.home(state, top)
        yield "assets.html", compose.assets(state, top, compose.AssetQuery(), limit=LISTED_MOST)
        yield "lineage.html", compose.lineage(state, top)
        yield "runs.html", compose.runs(state, top, limit=_RUNS)
        yield "changes.html", compose.changes(state, top, days=_DAYS)
        for one in queries.runs(state, limit=_RUNS).runs:
            self._runs[one.run_id] = None
        for key in state.snapshot().index.catalog.assets:
            yield from self._asset(key)
        for run_id in self._runs:
            yield from self._run(run_id)

    def _asset(self, key: str) -> Iterator[tuple[str, str]]:
        detail = queries.asset(self._state, key)
        self._note_runs(detail)
        self.assets += 1
        self.samples += self._with_samples and detail.has_sample
        text = compose.asset(self._state, self._below, detail, with_sample=self._with_samples)
        yield FileLinks().asset(key), text
        if compose.has_impact(detail):
            yield FileLinks().impact(key), compose.impact(self._state, self._below, key)

    def _note_runs(self, detail: AssetDetail) -> None:
        """Runs that the page links to, old ones too."""
        tests = (*detail.tests, *([detail.test] if detail.test else []))
        found = [result.run_id for test in tests for result in test.history]
        found += [time.run_id for time in detail.run_times]
        self._runs.update(dict.fromkeys(found))

    def _run(self, run_id: str) -> Iterator[tuple[str, str]]:
        try:
            yield FileLinks().run(run_id), compose.run(self._state, self._below, run_id)
        except NotFoundError:  # it was forgotten meanwhile
            return
