"""The static site: the pages of the server as files, in a folder that is replaced as a whole."""

import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from headrace import portable
from headrace.errors import ServeError
from headrace.server import graph_data, pages, queries
from headrace.server.comparison import MAX_SECONDS
from headrace.server.errors import NotFoundError
from headrace.server.models import AssetDetail
from headrace.server.rendering import STATIC, FileLinks, PageFrame
from headrace.server.state import ServerState

FILE_LIST = ".headrace-site.json"
MAX_LISTED = 20_000  # assets on the page that lists them; the search finds the others
_RUNS = 100
_DAYS = 90
# a browser loads no module from a folder (``file://``), so that modules become plain scripts: each
# of them after those that it imports, without their imports and exports
_SCRIPTS = {
    "site.js": (
        "page_data.js", "rank.js", "address.js", "quick.js", "sort.js", "live.js", "main.js"
    ),
    "site-graph.js": (
        "page_data.js",
        "states.js",
        "rank.js",
        "address.js",
        *(
            f"graph/{name}.js"
            for name in (
                "layout", "camera", "data", "find", "scene", "view", "panel", "pointer", "index"
            )
        ),
    ),
    "site-assets.js": ("page_data.js", "rank.js", "address.js", "assets.js"),
    "site-run.js": ("run.js",),
    "early.js": ("early.js",),
}  # fmt: skip


class SiteReport(BaseModel):
    """The result of ``headrace docs``."""

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
        out: the directory; created if missing, and replaced as a whole if we wrote it.
        samples: whether asset pages show sample rows, without the columns of personal data.
        force: write into a directory that holds other files; they stay.

    Raises:
        ServeError: the directory cannot be written, or holds what is not ours.
        RunStoreError: the history cannot be read.
    """
    started = time.monotonic()
    check_folder(out, force=force)
    site = _Site(state, samples=samples)
    with replaced_folder(out) as folder:
        for path, text in site.pages():
            _write(folder / path, text.encode("utf-8", "replace"))
        for path, content in site.data():
            _write(folder / path, content)
        shutil.copytree(STATIC, folder / "static", ignore=shutil.ignore_patterns("js"))
        for name, modules in _SCRIPTS.items():
            _write(folder / "static" / "js" / name, plain_script(modules).encode())
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


def plain_script(modules: Iterable[str]) -> str:
    """Modules joined to one script, in their order; no two may declare the same name."""
    lines = [
        line.removeprefix("export ")
        for name in modules
        for line in (STATIC / "js" / name).read_text(encoding="utf-8").splitlines()
        if not line.startswith("import ")
    ]
    return "\n".join(('"use strict";', "(() => {", *lines, "})();\n"))


class _Site:
    """The pages as of one time."""

    def __init__(self, state: ServerState, *, samples: bool) -> None:
        self._state = state
        self._with_samples = samples
        made_at = datetime.now(UTC)
        self._top = PageFrame(
            links=FileLinks(),
            project=state.project,
            made_at=made_at,
            environment=state.environment,
            with_rows=samples,
        )
        self._below = PageFrame(
            links=FileLinks(root="../"),
            project=state.project,
            made_at=made_at,
            environment=state.environment,
            with_rows=samples,
        )
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
        yield "index.html", pages.home(state, top)
        yield "assets.html", pages.assets(state, top, pages.AssetQuery(), limit=MAX_LISTED)
        yield "lineage.html", pages.lineage(state, top)
        yield "runs.html", pages.runs(state, top, limit=_RUNS)
        yield "quality.html", pages.quality(state, top)
        yield "comparison.html", pages.comparison(state, top, wait=MAX_SECONDS)[0]
        yield "changes.html", pages.changes(state, top, days=_DAYS)
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
        text = pages.asset(self._state, self._below, detail, with_sample=self._with_samples)
        yield FileLinks().asset(key), text
        if pages.has_impact(detail):
            yield FileLinks().impact(key), pages.impact(self._state, self._below, key)
        if pages.has_metrics(self._state, key):
            yield FileLinks().metrics(key), pages.metrics(self._state, self._below, key)
        if pages.has_profile(self._state, key):
            yield FileLinks().profile(key), pages.profile(self._state, self._below, key)

    def _note_runs(self, detail: AssetDetail) -> None:
        """Note the runs that the page links to, old ones too."""
        tests = (*detail.tests, *([detail.test] if detail.test else []))
        found = [result.run_id for test in tests for result in test.history]
        found += [time.run_id for time in detail.run_times]
        self._runs.update(dict.fromkeys(found))

    def _run(self, run_id: str) -> Iterator[tuple[str, str]]:
        try:
            yield FileLinks().run(run_id), pages.run(self._state, self._below, run_id)
        except NotFoundError:  # it was deleted in the meantime
            return


def check_folder(out: Path, *, force: bool) -> None:
    """Refuse a folder that holds files of others.

    Raises:
        ServeError: it is a file, or a folder with files that this command did not write.
    """
    if out.is_dir():
        if not force and any(out.iterdir()) and written_files(out) is None:
            raise ServeError(
                f"{out} is not empty, and was not written by `headrace docs`: name another "
                "directory, or add --force to write into it (other files in it stay)"
            )
    elif out.exists() or out.is_symlink():
        raise ServeError(f"{out} is not a directory: name another one with --out")


def written_files(out: Path) -> frozenset[str] | None:
    """The files that we wrote there, relative and with slashes; None where we never did."""
    try:
        content = json.loads((out / FILE_LIST).read_text(encoding="utf-8"))
        return frozenset(str(name) for name in content["files"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


@contextmanager
def replaced_folder(out: Path) -> Iterator[Path]:
    """A folder to write to, which replaces ``out`` at the end if nothing was raised.

    Files in ``out`` that we did not write stay. A kill leaves the old files or the
    new ones.

    Raises:
        ServeError: the place cannot be written.
    """
    out = Path(os.path.abspath(out))  # noqa: PTH100 - `out` may be a link to a folder
    if out.is_symlink():
        out = out.resolve()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _restore(out)
        made = portable.temporary_beside(out)
        made.mkdir(mode=0o755)
        try:
            yield made
            files = sorted(_files(made))
            content = json.dumps({"files": files}, indent=0)
            (made / FILE_LIST).write_text(content + "\n", encoding="utf-8")
            _swap(made, out)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise ServeError(
            f"the site cannot be written to {out}: {error.strerror or error}; "
            "the old files are unchanged"
        ) from error


def _files(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.relative_to(folder).as_posix()


def _swap(made: Path, out: Path) -> None:
    old = written_files(out) or frozenset()
    kept = set(_files(out)) - old - {FILE_LIST} if out.is_dir() else set()
    if kept or os.path.ismount(out):
        _merge(made, out, old)
        return
    backup = _backup_of(out)
    if out.is_dir():
        portable.replace(out, backup)
    try:
        portable.replace(made, out)
    except OSError:
        if backup.is_dir():
            portable.replace(backup, out)
        raise
    shutil.rmtree(backup, ignore_errors=True)


def _merge(made: Path, out: Path, old: frozenset[str]) -> None:
    """Replace file by file: what pages need, then pages; delete what is outdated last."""
    new = sorted(_files(made), key=lambda name: (name.endswith(".html"), name))
    for name in new:
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        portable.replace(made / name, target)
    for name in old - set(new):
        path = out / name
        if path.resolve().is_relative_to(out.resolve()):
            path.unlink(missing_ok=True)


def _backup_of(out: Path) -> Path:
    return out.parent / f".{out.name}.old"


def _restore(out: Path) -> None:
    """Undo what a process that was killed left half done."""
    backup = _backup_of(out)
    if backup.is_dir():
        if out.exists():
            shutil.rmtree(backup, ignore_errors=True)
        else:
            portable.replace(backup, out)
