"""`headrace parity`: the same project on several targets, built from the same data and compared.

    sources as of A ─► run on each target ─► sources as of B ─► run on each ─► compare every mart
                       (a process each)      (what changed since)

Each target is an empty place of its own (`TargetSettings.apart`), so that nothing that a project
has anywhere is touched. What is compared is what readers get: the published marts, their values in
forms that do not depend on the engine (a decimal of any width is a number, a time is UTC). Monitors
and kept profiles say nothing of that, and are off.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import xxhash
from pydantic import Field

from headrace.artifacts import read_manifest
from headrace.errors import HeadraceError, ParityError
from headrace.fingerprints import rows_and_hashes
from headrace.formatting import one_line
from headrace.pipeline.diff import harmless_columns
from headrace.pipeline.loading import sources
from headrace.pipeline.reports import Report
from headrace.quality.diff import DiffOptions, Side, TableDiff, diff
from headrace.settings import Resolved, SourceSettings, resolve
from headrace.sql_text import identifier, literal, qualified

if TYPE_CHECKING:
    import duckdb

Outcome = Literal["identical", "equal", "different", "missing"]
Listener = Callable[[str], None]
_Content = tuple[int, str]
"""Rows, and a hash of them."""
_BETWEEN = timedelta(days=30)


class ParityTable(Report):
    """A mart on one target, against the first target."""

    name: str = Field(description="`schema.table`")
    outcome: Outcome = Field(
        description="`identical`: the same hash; `equal`: but for floating-point numbers within "
        "the tolerance; `different`; `missing` on one of the two"
    )
    rows: int | None = Field(description="on this target; none where it is missing")
    content: str | None = Field(None, description="a hash of all its rows, whatever their order")
    difference: TableDiff | None = Field(None, description="what differs, with rows and columns")


class ParityTarget(Report):
    """What came of one target."""

    target: str
    type: str
    error: str | None = Field(None, description="why there is nothing to compare")
    seconds: tuple[float, ...] = Field((), description="of each run")
    steps: dict[str, float] = Field(
        default_factory=dict, description="seconds of each step, all runs together"
    )
    tables: tuple[ParityTable, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether all its marts are those of the first target."""
        return self.error is None and all(
            table.outcome in {"identical", "equal"} for table in self.tables
        )


class ParityReport(Report):
    """The comparison; the first target is what the others are measured by."""

    sources: tuple[str, ...]
    as_of: tuple[datetime, ...] = Field(description="of the runs, UTC")
    tolerance: float = Field(description="relative, of floating-point numbers")
    targets: tuple[ParityTarget, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether there are marts, and every target has those of the first."""
        return all(target.is_good and target.tables for target in self.targets)


@dataclass(frozen=True)
class ParityOptions:
    """What is built and how it is compared.

    Attributes:
        sources: to load; none for those that are enabled.
        as_of: the time of the second run, UTC; the first is 30 days before.
        scale: of simulated sources.
        tolerance: relative difference up to which floating-point numbers are equal.
        keep: a new folder for what each target keeps in files, by its name: dbt's artifacts, what
            is published, logs; None to remove it.
    """

    sources: tuple[str, ...] = ()
    as_of: datetime = datetime(2024, 6, 1, tzinfo=UTC)
    scale: float = 0.05
    tolerance: float = 1e-9
    keep: Path | None = None


def parity(
    resolved: Resolved,
    targets: Sequence[str],
    options: ParityOptions,
    *,
    flags: Sequence[str] = (),
    listen: Listener = lambda _: None,
) -> ParityReport:
    """Build the project on each target, twice, and compare the marts.

    Args:
        resolved: the settings of the project.
        targets: their names; at least two.
        options: what is built.
        flags: settings of this call, as ``--set`` takes them.
        listen: is told what is being done.

    Raises:
        ParityError: there are not two different targets, or no sources.
        SettingsError: there is no such target or source.
    """
    if len(set(targets)) < 2 or len(set(targets)) < len(targets):
        raise ParityError("name two targets or more, each once: `headrace parity duckdb ducklake`")
    names = options.sources or tuple(
        name for name, one in resolved.settings.sources.items() if one.enabled
    )
    unknown = [name for name in names if name not in resolved.settings.sources]
    if unknown or not names:
        known = ", ".join(sorted(resolved.settings.sources)) or "none"
        asked = f"no source {unknown[0]}" if unknown else "no source that is enabled"
        raise ParityError(f"there is {asked}: name one by --source; the settings have {known}")
    times = (options.as_of - _BETWEEN, options.as_of)
    resolved.data_dir.mkdir(parents=True, exist_ok=True)
    with _folder(resolved, options.keep) as folder, ExitStack() as places:
        given = _Sources(resolved, names, folder, options)
        sides = []
        for name in targets:
            one = _Side(resolved, name, folder / name, flags)
            sides.append(one)
            try:
                one.flags = places.enter_context(one.apart())
            except HeadraceError as error:
                one.error = str(error)
        for at in times:
            given.write(at)
            for one in sides:
                if one.error is None:
                    listen(f"{one.name}: the sources as of {at:%Y-%m-%d}")
                    one.run(given.flags(at))
        listen("comparing the marts")
        found = tuple(_compared(sides, options))
    return ParityReport(
        sources=names,
        as_of=times,
        tolerance=options.tolerance,
        targets=found,
        notes=tuple(given.notes),
    )


@contextmanager
def _folder(resolved: Resolved, keep: Path | None) -> Iterator[Path]:
    """An empty folder for all of it, which is removed at the end unless it is to be kept."""
    if keep is None:
        with tempfile.TemporaryDirectory(
            prefix="parity-", dir=resolved.data_dir, ignore_cleanup_errors=True
        ) as made:
            yield Path(made)
        return
    keep = keep.absolute()
    try:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise ParityError(f"{keep} is not empty: name another folder by --keep")
    except OSError as error:
        raise ParityError(f"{keep} cannot be used ({error.strerror or error})") from error
    yield keep


class _Sources:
    """The sources as of a time: those that take one, and files that a schema file describes."""

    def __init__(
        self, resolved: Resolved, names: Sequence[str], folder: Path, options: ParityOptions
    ) -> None:
        self.folder, self.scale = folder, options.scale
        self.others = [name for name in resolved.settings.sources if name not in names]
        self.simulated: list[str] = []
        self.written: dict[str, Path] = {}
        self.names = names
        self.notes: list[str] = []
        for name in names:
            settings: SourceSettings = resolved.settings.sources[name]
            takes = sources.parameters(resolved, name, settings)
            schema = resolved.root / "data" / "schemas" / f"{settings.kind or name}.yml"
            if "as_of" in takes:
                self.simulated.append(name)
            elif "path" in takes and schema.is_file():
                self.written[name] = schema
            else:
                self.notes.append(f"{name} was loaded twice as it is: it takes no as_of")

    def write(self, at: datetime) -> None:
        """Write the files as of a time."""
        from headrace.synth.generate import generate

        for name, schema in self.written.items():
            generate(schema, self.folder / "files" / name, kind="csv", as_of=at)

    def flags(self, at: datetime) -> dict[str, str]:
        """The settings of the sources as of a time."""
        found = {f"sources.{name}.enabled": "true" for name in self.names}
        found |= {f"sources.{name}.enabled": "false" for name in self.others}
        for name in self.simulated:
            found[f"sources.{name}.as_of"] = at.isoformat()
            found[f"sources.{name}.scale"] = str(self.scale)
        for name in self.written:
            found[f"sources.{name}.path"] = str(self.folder / "files" / name)
        return found


class _Side:
    """A target that is built, in a folder of its own."""

    def __init__(
        self, resolved: Resolved, name: str, folder: Path, given_flags: Sequence[str]
    ) -> None:
        self.given, self.name, self.folder = resolved, name, folder
        self.given_flags = given_flags
        self.error: str | None = None
        self.flags: dict[str, str] = {}
        self.seconds: list[float] = []
        self.steps: dict[str, float] = {}
        # with the target's own name, so that it is there even where the settings have no entry
        self.settings = resolve(
            resolved.root, env=resolved.env, flags=[*given_flags, f"target={name}"]
        ).settings.targets[name]

    @contextmanager
    def apart(self) -> Iterator[dict[str, str]]:
        """An empty place of this target; gives the settings that lead there."""
        self.folder.mkdir(parents=True)
        with self.settings.apart(self.folder) as changes:
            yield {
                "target": self.name,
                "data_dir": str(self.folder),
                "publish.path": str(self.published),
                "publish.local_copy": "always",
                "run_store.url": f"sqlite:///{self.folder / 'runs.sqlite'}",
                "openlineage.enabled": "false",
                "monitors.enabled": "false",
                "quality.keep_profiles": "0",
                **{f"targets.{self.name}.{key}": value for key, value in changes.items()},
            }

    @property
    def published(self) -> Path:
        """What readers get, as a DuckDB file."""
        return self.folder / "published.duckdb"

    @cached_property
    def resolved(self) -> Resolved:
        """The settings as the runs have them, once it has its place."""
        return resolve(self.given.root, env=self.given.env, flags=self._all_flags())

    def _all_flags(self, more: Mapping[str, str] | None = None) -> list[str]:
        changes = {**(more or {}), **self.flags}
        return [*self.given_flags, *(f"{key}={value}" for key, value in changes.items())]

    def run(self, of_sources: Mapping[str, str]) -> None:
        """Run the project in a process of its own; what went wrong is in ``error``."""
        environ = {
            key: value for key, value in os.environ.items() if key != "HEADRACE_ON_FAILURE__WEBHOOK"
        }
        words = [word for flag in self._all_flags(of_sources) for word in ("--set", flag)]
        words += ["--env", self.given.env] if self.given.env else []
        done = _headrace(["run", "--json", *words], self.given.root, environ)
        try:
            report = json.loads(done.stdout)
        except ValueError:
            report = {}
        if done.returncode != 0:
            problems = (report.get("audit") or {}).get("problems") or [report.get("error")]
            said = problems[0] or (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
            self.error = one_line(str(said).removeprefix("error: "))
            return
        self.seconds.append(float(report["seconds"]))
        for step in ("load", "build", "publish"):
            taken = (report.get(step) or {}).get("seconds")
            self.steps[step] = self.steps.get(step, 0.0) + float(taken or 0.0)


def _headrace(
    words: Sequence[str], folder: Path, environ: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Headrace in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "headrace", *words],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def _compared(sides: Sequence[_Side], options: ParityOptions) -> Iterator[ParityTarget]:
    first = sides[0]
    kinds = [_kinds(side) for side in sides]
    copies = [_plain_copy(side, own, kinds) for side, own in zip(sides, kinds, strict=True)]
    wanted = copies[0]
    for side, found in zip(sides, copies, strict=True):
        tables: tuple[ParityTable, ...] = ()
        if side is first:
            tables = tuple(
                ParityTable(name=name, outcome="identical", rows=rows, content=content)
                for name, (rows, content) in wanted.items()
            )
        elif side.error is None and first.error is None:
            tables = tuple(_tables(first, side, wanted, found, options))
        yield ParityTarget(
            target=side.name,
            type=side.settings.type,
            error=side.error,
            seconds=tuple(side.seconds),
            steps=side.steps,
            tables=tables,
        )


def _tables(
    first: _Side,
    side: _Side,
    wanted: Mapping[str, _Content],
    found: Mapping[str, _Content],
    options: ParityOptions,
) -> Iterator[ParityTable]:
    differing = {name for name in wanted.keys() & found.keys() if wanted[name][1] != found[name][1]}
    differences: dict[str, TableDiff] = {}
    if differing:
        manifest = read_manifest(first.resolved.artifacts)
        names = {id_: f"{n.schema_name}.{n.relation_name}" for id_, n in manifest.nodes.items()}
        before = Side(
            _plain(first),
            first.name,
            keys={names[id_]: key for id_, key in manifest.keys().items() if id_ in names},
            harmless=harmless_columns(first.resolved),
        )
        report = diff(
            before,
            Side(_plain(side), side.name),
            DiffOptions(
                schemas=first.resolved.settings.publish.schemas,
                tables=differing,
                tolerance=options.tolerance,
                spill=side.folder / "spill",
            ),
        )
        differences = {table.name: table for table in report.tables}
    for name in sorted(wanted.keys() | found.keys()):
        rows, content = found.get(name, (None, None))
        outcome: Outcome = "identical"
        difference = differences.get(name)
        if name not in wanted or name not in found:
            outcome = "missing"
        elif difference is not None:
            outcome = "equal" if difference.status == "same" else "different"
        yield ParityTable(
            name=name,
            outcome=outcome,
            rows=rows,
            content=content,
            difference=difference if outcome == "different" else None,
        )


def _plain(side: _Side) -> Path:
    return side.folder / "plain.duckdb"


_Kinds = Mapping[str, Mapping[str, str]]
"""DuckDB's types by ``schema.table`` and column."""


@contextmanager
def _readers(side: _Side) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A connection that writes the plain copy, and reads what is published as ``readers``."""
    import duckdb

    with duckdb.connect(str(_plain(side))) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"attach {literal(str(side.published))} as readers (read_only)")
        yield connection


def _kinds(side: _Side) -> _Kinds:
    """What is published of a target, and its types; nothing where there is no such file."""
    if side.error is not None or not side.published.is_file():
        return {}
    listed = ", ".join(literal(schema) for schema in side.resolved.settings.publish.schemas)
    found: dict[str, dict[str, str]] = {}
    with _readers(side) as connection:
        rows = connection.execute(
            "select schema_name, table_name, column_name, data_type from duckdb_columns() "
            f"where database_name = 'readers' and schema_name in ({listed}) order by all"
        ).fetchall()
    for schema, table, column, kind in rows:
        found.setdefault(f"{schema}.{table}", {})[str(column)] = str(kind)
    return found


def _plain_copy(side: _Side, kinds: _Kinds, all_kinds: Sequence[_Kinds]) -> dict[str, _Content]:
    """Copy the published marts with types that all targets share; gives rows and hash of each.

    Args:
        side: the target.
        kinds: its types.
        all_kinds: those of all targets.
    """
    found: dict[str, _Content] = {}
    if not kinds:
        return found
    with _readers(side) as connection:
        for name, columns in kinds.items():
            schema, _, table = name.partition(".")
            connection.execute(f"create schema if not exists {identifier(schema)}")
            chosen = ", ".join(
                f"{_shared_form(identifier(column), _of_all(name, column, all_kinds))} "
                f"as {identifier(column)}"
                for column in columns
            )
            here = qualified(schema, table)
            connection.execute(f"create table {here} as select {chosen} from readers.{here}")
            rows, xor, total = rows_and_hashes(connection, here, sorted(columns))
            shape = sorted(
                (row[0], row[1]) for row in connection.execute(f"describe {here}").fetchall()
            )
            content = xxhash.xxh3_64_hexdigest(repr((shape, rows, xor, total)).encode())
            found[name] = (rows, content)
    return found


def _of_all(table: str, column: str, all_kinds: Sequence[_Kinds]) -> set[str]:
    """The types that a column has on the targets."""
    return {kinds[table][column] for kinds in all_kinds if column in kinds.get(table, ())}


_WHOLE = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT",
          "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}  # fmt: skip
_FLOATING = {"FLOAT", "DOUBLE"}
_ALIKE = {"BOOLEAN", "DATE", "VARCHAR"}


def _shared_form(column: str, kinds: Collection[str]) -> str:
    """SQL of a column in a type that holds its values of all targets.

    A number is one whatever its width, a time without a zone is UTC, what is nested is JSON.

    Args:
        column: quoted.
        kinds: the types that it has on the targets.
    """
    if all(kind in _WHOLE for kind in kinds):
        return f"{column}::hugeint"
    if all(kind in _WHOLE or kind.startswith("DECIMAL(") for kind in kinds):
        places = max(int(kind.rstrip(")").rpartition(",")[2]) for kind in kinds if "(" in kind)
        return f"{column}::decimal(38, {places})"
    if all(kind in _WHOLE | _FLOATING or kind.startswith("DECIMAL(") for kind in kinds):
        return f"{column}::double"
    if all(kind.startswith("TIMESTAMP") for kind in kinds):
        return f"{column}::timestamptz"
    if len(kinds) == 1 and _ALIKE.issuperset(kinds):
        return column
    if len(kinds) > 1 and not any(kind.endswith("]") or "(" in kind for kind in kinds):
        return column  # types that are not alike: that is what differs
    return f"to_json({column})::varchar"
