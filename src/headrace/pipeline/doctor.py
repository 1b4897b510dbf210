"""``headrace doctor``: checks of the machine and the project, with advice."""

import errno
import importlib.util
import os
import platform
import shutil
import socket
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from headrace import portable
from headrace.catalog import RunStore
from headrace.errors import HeadraceError, WarehouseError
from headrace.libraries.duckdb import connect
from headrace.pipeline import lock
from headrace.pipeline.publishing import published_tables
from headrace.pipeline.reports import Report
from headrace.settings import Resolved, ServeSettings

_LEAST_FREE = 1 << 30
_CLOCKS_DIFFER = timedelta(minutes=5)
_NEEDED_EXTENSIONS = ("icu", "json", "parquet")


class CheckReport(Report):
    """One check: ``good`` is None for something optional that is missing."""

    name: str
    good: bool | None
    found: str
    advice: str = ""


class DoctorReport(Report):
    """The answer of ``headrace doctor``."""

    ok: bool
    checks: tuple[CheckReport, ...]


def doctor(resolved: Resolved) -> DoctorReport:
    """Run all checks; nothing is changed, except a probe file that is written and deleted."""
    checks = (
        _interpreter(),
        _versions(),
        *_bytecode(),
        _environment(resolved),
        _writable(resolved.data_dir),
        _disk(resolved.data_dir),
        *_paths(resolved.data_dir),
        _warehouse(resolved),
        _published(resolved),
        _run_store(resolved),
        _dbt_project(resolved),
        _port(resolved.settings.serve),
        _extensions(),
        _git(),
    )
    return DoctorReport(ok=all(check.good is not False for check in checks), checks=checks)


def _interpreter() -> CheckReport:
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return CheckReport(
        name="interpreter",
        good=good,
        found=f"Python {platform.python_version()} on {platform.system()} {platform.machine()}",
        advice=""
        if good
        else "use Python 3.11, 3.12 or 3.13: uv run --python 3.12 headrace doctor",
    )


def _environment(resolved: Resolved) -> CheckReport:
    shared = ", ".join(resolved.shared_locations)
    return CheckReport(
        name="environment",
        good=None if shared else True,
        found=f"{resolved.environment}, data in {resolved.data_dir}",
        advice=f"all environments share {shared} of config/default.yml: set another value in "
        f"config/{resolved.env}.yml"
        if shared
        else "",
    )


def _versions() -> CheckReport:
    found, missing = [], []
    for package in ("dlt", "dbt-core", "dbt-duckdb", "duckdb", "pyarrow"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    return CheckReport(
        name="packages",
        good=not missing,
        found=", ".join(found),
        advice=f"missing: {', '.join(missing)}; run `uv sync`" if missing else "",
    )


def _bytecode() -> tuple[CheckReport, ...]:
    """A hint where each command compiles dlt and dbt again; else nothing."""
    spec = importlib.util.find_spec("dlt")
    if spec is None or spec.origin is None:
        return ()
    is_compiled = Path(importlib.util.cache_from_source(spec.origin)).exists()
    if is_compiled or not sys.dont_write_bytecode:
        return ()
    return (
        CheckReport(
            name="bytecode",
            good=None,
            found="packages are not compiled, and Python may not write bytecode here",
            advice="each command compiles them again, which takes seconds: install with "
            "`uv sync --compile-bytecode`",
        ),
    )


def _writable(directory: Path) -> CheckReport:
    probe = directory / f".doctor-{os.getpid()}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return CheckReport(
            name="write access",
            good=False,
            found=f"{directory}: {error.strerror or error}",
            advice="change its owner, or point data_dir (HEADRACE_DATA_DIR) elsewhere",
        )
    return CheckReport(name="write access", good=True, found=str(directory))


def _disk(directory: Path) -> CheckReport:
    place = directory
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    return CheckReport(
        name="disk",
        good=free >= _LEAST_FREE,
        found=f"{free / (1 << 30):,.1f} GiB free at {place}",
        advice="" if free >= _LEAST_FREE else "free at least 1 GiB",
    )


def _paths(directory: Path) -> tuple[CheckReport, ...]:
    """On Windows, whether paths below the data directory may become too long."""
    if not portable.WINDOWS:
        return ()
    deep = portable.is_too_deep(directory)
    return (
        CheckReport(
            name="path length",
            good=None if deep else True,
            found=f"{len(str(directory))} characters to the data directory",
            advice="a path below it may be too long for Windows: move the project to a shorter "
            "one, point data_dir (HEADRACE_DATA_DIR) to a shorter one, or switch on long paths"
            if deep
            else "",
        ),
    )


def _warehouse(resolved: Resolved) -> CheckReport:
    target = resolved.target
    if lock.is_held(target.lock_path):
        return CheckReport(name="warehouse", good=True, found=f"{target.location}: a run holds it")
    try:
        target.check()
    except HeadraceError as error:
        return CheckReport(name="warehouse", good=False, found="", advice=str(error))
    there = target.exists()
    return CheckReport(
        name="warehouse",
        good=True if there else None,
        found=target.location if there else "not there yet",
        advice="" if there else "`headrace run` makes it",
    )


def _published(resolved: Resolved) -> CheckReport:

    place = published_tables.location(resolved)
    is_file = resolved.published.exists()
    try:
        with connect() as connection:
            if published_tables.attach(resolved, connection, published_tables.ALIAS):
                return CheckReport(name="published", good=True, found=place)
    except WarehouseError as error:
        advice = "`headrace publish` writes it again" if is_file else "see the warehouse above"
        return CheckReport(name="published", good=False, found=str(error), advice=advice)
    return CheckReport(
        name="published", good=None, found="not there yet", advice="`headrace run` makes it"
    )


def _run_store(resolved: Resolved) -> CheckReport:
    try:
        store = RunStore(resolved.run_store_url)
        try:
            newest = store.last_runs(1)
        finally:
            store.close()
    except HeadraceError as error:
        return CheckReport(name="run store", good=False, found="", advice=str(error))
    if newest and newest[0].started_at > datetime.now(UTC) + _CLOCKS_DIFFER:
        return CheckReport(
            name="run store",
            good=None,
            found=f"the newest run began in the future, {newest[0].started_at:%Y-%m-%d %H:%M} UTC",
            advice="set this machine's clock, if it is wrong; runs are ordered as they began",
        )
    return CheckReport(name="run store", good=True, found="opens")


def _dbt_project(resolved: Resolved) -> CheckReport:
    there = (resolved.dbt_project / "dbt_project.yml").is_file()
    return CheckReport(
        name="dbt project",
        good=there,
        found=str(resolved.dbt_project),
        advice="" if there else "it has no dbt_project.yml: set dbt.project_dir",
    )


def _port(serve: ServeSettings) -> CheckReport:
    """Whether the page could be served at the address that is set."""
    address = f"{serve.port} of {serve.host}"
    family = socket.AF_INET6 if ":" in serve.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((serve.host, serve.port))
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            return CheckReport(
                name="port",
                good=None,
                found=f"{address} {'is in use' if in_use else 'cannot be used'}"
                + ("" if in_use else f": {error.strerror or error}"),
                advice="only the page needs it: set serve.port and serve.host, or use --port",
            )
    return CheckReport(name="port", good=True, found=f"{address} is free")


def _extensions() -> CheckReport:
    import duckdb

    with duckdb.connect() as connection:
        rows = connection.execute(
            "select extension_name from duckdb_extensions() where installed"
        ).fetchall()
    there = {str(row[0]) for row in rows}
    missing = [name for name in _NEEDED_EXTENSIONS if name not in there]
    return CheckReport(
        name="extensions",
        good=not missing,
        found=", ".join(sorted(there)),
        advice="" if not missing else f"reinstall DuckDB, which lacks {', '.join(missing)}",
    )


def _git() -> CheckReport:
    there = shutil.which("git")
    return CheckReport(
        name="git",
        good=True if there else None,
        found=there or "not found",
        advice="" if there else "without it, runs are recorded without a commit",
    )
