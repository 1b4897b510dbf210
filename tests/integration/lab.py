"""A project to try things in: the repository's own, with a data directory that is thrown away."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
from small_project import copy_models
from warm_process import run_module

from headrace.errors import UserError
from headrace.pipeline.reports import LoadReport, RunReport, TableReport
from headrace.pipeline.run import Step, run
from headrace.pipeline.state import build_state
from headrace.settings import Resolved, resolve
from headrace.sql_text import identifier, literal

ROOT = Path(__file__).parents[2]
REAL_DATA = ROOT.parent / "shared" / "data" / "jaffle_shop"
_UNOBSERVED = ("monitors.enabled=false", "quality.keep_profiles=0")
"""What a run finds out about its data is a sixth of it: left to the tests that look at it."""

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Lab:
    """A data directory and the settings of what runs in it.

    Attributes:
        data_dir: where everything is written.
        root: the project; the repository unless files of it must differ.
        flags: ``--set`` assignments besides the data directory.
        environ: variables that are settings.
        observes: whether runs measure and profile their tables, as they do unless told otherwise.
    """

    data_dir: Path
    root: Path = ROOT
    flags: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    observes: bool = False

    def set(self, *flags: str) -> "Lab":
        """The same lab with more settings."""
        return replace(self, flags=(*self.flags, *flags))

    @property
    def resolved(self) -> Resolved:
        return resolve(self.root, flags=self._assignments, environ=self.environ)

    @property
    def _assignments(self) -> list[str]:
        unobserved = () if self.observes else _UNOBSERVED
        return [f"data_dir={self.data_dir}", *unobserved, *self.flags]

    @property
    def warehouse(self) -> Path:
        return self.data_dir / "warehouse.duckdb"

    @property
    def published(self) -> Path:
        return self.data_dir / "published.duckdb"

    def run(
        self, *steps: Step, sources: tuple[str, ...] = (), full_refresh: bool = False
    ) -> RunReport:
        """Run the steps, by default all of them; whatever is loaded has to be accounted for."""
        report = run(
            self.resolved,
            steps=steps or ("load", "build", "publish"),
            source_names=sources,
            full_refresh=full_refresh,
        )
        for table in report.load.tables if report.load else ():
            assert table.rows_unaccounted == 0, table
        return report

    def load(self, *sources: str, full_refresh: bool = False) -> LoadReport:
        """The load step alone."""
        report = self.run("load", sources=sources, full_refresh=full_refresh).load
        assert report is not None
        return report

    def load_one(self, *sources: str, full_refresh: bool = False) -> TableReport:
        """The load step of a source that has one table."""
        (table,) = self.load(*sources, full_refresh=full_refresh).tables
        return table

    def say_it_was_built_here(self) -> None:
        """Tell a copied data directory so: else the next build would begin anew."""
        resolved = self.resolved
        state = build_state.read(resolved)
        assert state is not None
        here = {
            "inputs": build_state.inputs(resolved, resolved.target),
            "day": build_state.today(),
            "signature": resolved.target.signature(),
        }
        build_state.write(resolved, state.model_copy(update=here))

    def query(self, sql: str, *, path: Path | None = None) -> Rows:
        """Rows of the warehouse, or of another DuckDB file.

        To attach a file to a DuckDB that is there takes a fifth of the time of another one.
        """
        file = path or self.warehouse
        connection = _reader()
        connection.execute(f"attach {literal(str(file))} as {identifier(file.stem)} (read_only)")
        try:
            connection.execute(f"use {identifier(file.stem)}")
            return connection.execute(sql).fetchall()
        finally:
            connection.execute("use memory")
            connection.execute(f"detach {identifier(file.stem)}")

    def schema(self, table: str) -> dict[str, str]:
        """The columns of a raw table and their types, dlt's own left out."""
        rows = self.query(f"describe {table}")
        return {name: kind for name, kind, *_ in rows if not name.startswith("_dlt")}

    def quarantine(self, source: str = "store") -> Rows:
        """Table, file, row, reason and message of each row that was put aside."""
        return self.query(
            "select table_name, file_name, row_number, reason, message "
            f"from {source}_raw._quarantine order by all"
        )

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """The real command, in a process of its own."""
        plain = {key: text for key, text in os.environ.items() if not key.startswith("HEADRACE_")}
        flags = [word for flag in self._assignments for word in ("--set", flag)]
        environ = plain | dict(self.environ)
        return run_module("headrace", [*arguments, *flags], cwd=self.root, env=environ)


@dataclass(frozen=True)
class Shop:
    """A folder of files and the ``files`` source over it, with one table unless told otherwise."""

    lab: Lab
    folder: Path

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def lab_with(self, tables: str, **options: str) -> Lab:
        """The lab whose source ``store`` has these tables (YAML flow)."""
        return self.lab.set(
            "sources.store.kind=files",
            f"sources.store.path={self.folder}",
            f"sources.store.tables={tables}",
            "sources.jaffle_shop.enabled=false",
            *(f"sources.store.{key}={value}" for key, value in options.items()),
        )


@cache
def _reader() -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory without threads of its own, as tests fork."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("set timezone = 'UTC'")  # not the machine's
    return connection


def copy_project(destination: Path, *, whole: bool = False, unit_tests: bool = False) -> Path:
    """A project of one's own, with all that a user may edit.

    Args:
        destination: where.
        whole: with the models of the simulated sources, too, and all unit tests.
        unit_tests: with the unit tests of its models.
    """
    for part in ("config", "dlt_pipelines", ".dlt"):
        unwritten = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, destination / part, ignore=unwritten)
    models = destination / "dbt_project"
    copy_models(ROOT / "dbt_project", models, whole=whole, unit_tests=unit_tests)
    return destination


def refused(lab: Lab, *steps: Step, kind: type[UserError], words: Sequence[str]) -> str:
    """Run what cannot run; the message, which holds all the words in one line."""
    before = fingerprint(lab.published)
    with pytest.raises(UserError) as caught:
        lab.run(*steps)
    message = str(caught.value)
    assert caught.type is kind, message
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message
    assert fingerprint(lab.published) == before
    return message


def partly_loaded(lab: Lab, *steps: Step, words: Sequence[str]) -> LoadReport:
    """Run what is loaded in part; what was not is said, and nothing is published."""
    before = fingerprint(lab.published)
    report = lab.run(*steps)
    message = report.error or ""
    assert (report.status, report.build, report.publish) == ("failed", None, None)
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message
    assert fingerprint(lab.published) == before
    assert report.load is not None
    assert report.load.failures
    return report.load


def fingerprint(path: Path) -> tuple[int, int, bytes] | None:
    """What a file is, down to its inode and the time it was written."""
    if not path.exists():
        return None
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns, path.read_bytes()
