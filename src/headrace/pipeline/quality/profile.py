"""``headrace profile``: of tables in the published file, the warehouse or a DuckDB file; of files.

name ─► where it is: published, else warehouse ─► profile ─► report, HTML, tests in the yml
file ─► staged as a first load stages it ─────────┘
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from headrace import portable
from headrace.errors import HeadraceError, ProfileError
from headrace.formatting import count, did_you_mean, first_few
from headrace.ingest.locations import is_address
from headrace.ingest.model import FILE_COLUMN, FROM_FILE
from headrace.libraries.duckdb import connect, with_room
from headrace.pipeline.diff import harmless_columns
from headrace.pipeline.file_preview import staged_files
from headrace.pipeline.publishing import published_tables
from headrace.pipeline.quarantine.value_forms import value_doubts
from headrace.pipeline.query import database
from headrace.pipeline.reports import Report
from headrace.quality.profile import KeyOfTable, TableProfile, compare, keys_of, profile_table
from headrace.quality.profile.service import Change
from headrace.scaffold.add_tests import NewTest, TestsReport, add_tests
from headrace.sql_text import identifier, literal, qualified, scalar
from headrace.system_errors import error_line
from headrace.targets.duckdb import explain_duckdb_error

if TYPE_CHECKING:
    import duckdb

    from headrace.settings import Resolved

_FILES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".xlsx", ".xls",
          ".avro", ".gz", ".zst", ".zip", ".bz2")  # fmt: skip
_OWN = {"published", "warehouse"}  # the project's, of which its catalog tells
_HIDDEN = ("_dlt", "_headrace")
_MEMORY = "512MB"
_FAILURES = "dbt_test__audit"  # the schema of rows that tests found, as dbt ends its name
_BLOCK = 262_144  # bytes of a block of a DuckDB file


class ProfileReport(Report):
    """Profiles of one table or of several."""

    on: str = Field(description="the file or files that were looked at")
    tables: tuple[TableProfile, ...]
    unread: tuple[str, ...] = Field((), description="tables that could not be read, and why")
    tests: TestsReport | None = Field(None, description="what --write-tests added to the yml")


class CompareReport(Report):
    """Profiles of a table in two places."""

    before_on: str
    after_on: str
    before: TableProfile
    after: TableProfile
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class DatabaseRelation:
    """A table or view of a database.

    Attributes:
        name: ``schema.table``.
        quoted: in SQL.
        is_table: false for a view.
        columns: their names.
    """

    name: str
    quoted: str
    is_table: bool
    columns: tuple[str, ...]


def profile(
    resolved: "Resolved | None", what: str, *, on: str | None = None, sample: int | None = None
) -> ProfileReport:
    """Profile a table or files.

    Args:
        resolved: the project's settings; None outside of one.
        what: a table, as ``table`` or ``schema.table``; or a file, a folder, a glob, an address.
        on: ``published``, ``warehouse`` or a DuckDB file that has the table; None for the first of
            the project's two that has it.
        sample: look at so many rows only.

    Raises:
        ProfileError: there is no such table or file, or it cannot be read.
        SourceError: files cannot be read.
    """
    if on is None and _is_file(what):
        return ProfileReport(on=what, tables=(_of_files(what, sample),))
    for place in _places(resolved, on):
        with _opened(resolved, place) as (connection, relations, path):
            relation = _named(relations, what)
            if relation is None:
                continue
            keys = _keys(connection, relations, but=relation)
            harmless = harmless_columns(resolved) if resolved and place in _OWN else None
            found = profile_relation(connection, relation, keys, harmless, sample)
            return ProfileReport(on=path, tables=(found,))
    raise ProfileError(_unknown(resolved, what, on))


def profile_all(
    resolved: "Resolved",
    *,
    on: str | None = None,
    sample: int | None = None,
    listen: Callable[[str], None] = lambda _: None,
) -> ProfileReport:
    """Profile every table of a database; by default the published marts and all raw tables.

    A table that cannot be read is named in the report, and the others are profiled.

    Args:
        resolved: the project's settings.
        on: ``published``, ``warehouse`` or a DuckDB file; None for both of the project.
        sample: look at so many rows of each only.
        listen: is told the name of each table before it is looked at.

    Raises:
        ProfileError: a database cannot be opened, or there is none.
    """
    import duckdb

    known = harmless_columns(resolved)
    raw = _raw_tables(resolved)
    done: dict[str, TableProfile] = {}
    unread, paths = [], []
    for place in _places(resolved, on):
        with _opened(resolved, place) as (connection, relations, path):
            paths.append(path)
            chosen = [
                relation
                for relation in relations
                if relation.name not in done
                and (on or place == "published" or relation.is_table or relation.name in raw)
            ]
            keys = _keys(connection, relations)
            harmless = known if place in _OWN else None
            for relation in chosen:
                listen(relation.name)
                own = [key for key in keys if key.table != relation.name]
                try:
                    done[relation.name] = profile_relation(
                        connection, relation, own, harmless, sample
                    )
                except duckdb.Error as error:
                    unread.append(f"{relation.name}: {error_line(error)}")
    return ProfileReport(on=" and ".join(paths), tables=tuple(done.values()), unread=tuple(unread))


def compare_profiles(
    resolved: "Resolved | None",
    what: str | None,
    before: str,
    after: str,
    *,
    sample: int | None = None,
) -> CompareReport:
    """Profile a table in two databases, or two files, and say what differs.

    Args:
        resolved: the project's settings; None outside of one.
        what: the table; None where the two are files.
        before: a database as `profile` takes it for ``on``, or a file.
        after: likewise.
        sample: look at so many rows of each only.

    Raises:
        ProfileError: one of them cannot be profiled.
    """
    one, other = (
        profile(resolved, what or place, on=place if what else None, sample=sample)
        for place in (before, after)
    )
    return CompareReport(
        before_on=one.on,
        after_on=other.on,
        before=one.tables[0],
        after=other.tables[0],
        changes=compare(one.tables[0], other.tables[0]),
    )


def write_tests(
    resolved: "Resolved", report: ProfileReport, *, dry_run: bool = False
) -> ProfileReport:
    """Add the tests that profiles propose to the yml of the dbt project.

    What fails today is added as a warning, so that the next run tells of it and goes on.

    Args:
        resolved: the project's settings.
        report: profiles of its tables.
        dry_run: write nothing, and report what would be written.

    Returns:
        The report with what was written.

    Raises:
        ProjectFileError: a file cannot be read or written; nothing was written.
        TransformError: there is no build yet.
    """
    tests = [
        NewTest(table.name, test.column, test.name, test.arguments, finding.level == "warn")
        for table in report.tables
        for finding in table.findings
        for test in finding.tests
    ]
    return report.model_copy(update={"tests": add_tests(resolved, tests, dry_run=dry_run)})


def write_html(report: ProfileReport, path: Path) -> None:
    """Write profiles as one page of HTML, which needs nothing else.

    Raises:
        ProfileError: it cannot be written.
    """
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("headrace.quality.profile", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = templates.get_template("page.html").render(report=report)
    temporary = portable.temporary_beside(path.absolute())
    try:
        temporary.write_text(text, encoding="utf-8")
        portable.replace(temporary, path)
    except OSError as error:
        raise ProfileError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _is_file(what: str) -> bool:
    return (
        is_address(what)
        or any(sign in what for sign in (os.sep, "/", "*"))
        or what.lower().endswith(_FILES)
        or Path(what).exists()
    )


def _of_files(what: str, sample: int | None) -> TableProfile:
    with staged_files(what, {}) as found:
        connection = found.connection
        connection.execute("set TimeZone = 'UTC'")
        names = [c.name for c in found.staged.columns if c.name not in {FILE_COLUMN, FROM_FILE}]
        if not names:
            raise ProfileError(f"{what} has no columns: name a file with a header or with records")
        # no view: it would be bound anew, with all its columns, by each query about one of them
        for column in found.staged.columns:
            if column.name not in names:
                connection.execute(f"alter table found drop column {identifier(column.name)}")
        bytes_ = sum(file.size for file in found.files)
        made = profile_table(connection, "found", what, sample=sample, bytes_=bytes_)
        quarantined = found.staged.rows_quarantined
        texts = [c.name for c in found.staged.columns if c.duckdb_type == "VARCHAR"]
        doubts = [*found.doubts, *value_doubts(connection, [n for n in texts if n in names])]
        notes = [f"{doubt.reason} (see `headrace inspect`)" for doubt in doubts]
        notes += [f"{count(quarantined, 'row')} would be quarantined"] if quarantined else []
        return made.model_copy(update={"notes": (*made.notes, *notes, *found.staged.notes)})


def _raw_tables(resolved: "Resolved") -> set[str]:
    """The raw tables, which are views of files where a target keeps them as such."""
    from headrace.pipeline.catalog import current

    try:
        assets = current(resolved).assets.values()
    except HeadraceError:
        return set()
    return {f"{one.schema}.{one.identifier or one.name}" for one in assets if one.kind == "table"}


def _places(resolved: "Resolved | None", on: str | None) -> tuple[str, ...]:
    """Where to look for a table, the first that has it."""
    if on is not None:
        return (on,)
    if resolved is None:
        raise ProfileError(
            "there is no project here: name a file, or --on a DuckDB file that has the table"
        )
    places = [
        place
        for place, exists in (
            ("published", published_tables.current(resolved) is not None),
            ("warehouse", resolved.target.exists()),
        )
        if exists
    ]
    if not places:
        raise ProfileError("nothing is loaded yet: run `headrace run` first")
    return tuple(places)


@contextmanager
def _opened(
    resolved: "Resolved | None", on: str
) -> "Iterator[tuple[duckdb.DuckDBPyConnection, list[DatabaseRelation], str]]":
    """A connection that reads a database, its tables and views, and what it is called."""
    import duckdb

    if on == "warehouse" and resolved is not None:
        resolved.target.check()
        alias, path = resolved.target.database, resolved.target.location
    elif on == "published" and resolved is not None:
        alias, path = published_tables.ALIAS, published_tables.location(resolved)
    else:
        file = database(resolved, on).path
        # views name their database, which DuckDB calls by its file
        alias, path = file.stem, str(file)
    with connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        limit = _MEMORY if resolved is None else resolved.target.load_memory_limit
        connection.execute(f"set memory_limit = {literal(limit)}")
        if resolved is not None:
            spill = resolved.data_dir / "spill"
            connection.execute(f"set temp_directory = {literal(str(spill))}")
        if on == "warehouse" and resolved is not None:
            if not resolved.target.attach(connection, alias):
                raise ProfileError(f"{path} does not exist yet: run `headrace run` first")
        elif on == "published" and resolved is not None:
            if not published_tables.attach(resolved, connection, alias):
                raise ProfileError(f"nothing is published at {path}: run `headrace run` first")
        else:
            try:
                connection.execute(f"attach {literal(path)} as {qualified(alias)} (read_only)")
            except duckdb.Error as error:
                raise ProfileError(
                    explain_duckdb_error(Path(path), str(error), rebuilt=on in _OWN)
                ) from error
        try:
            yield connection, relations_of(connection, alias), path
        except duckdb.Error as error:
            raise ProfileError(f"{path}: {error_line(error)}") from error


def relations_of(connection: "duckdb.DuckDBPyConnection", alias: str) -> list[DatabaseRelation]:
    """The tables and views of an attached database, with their columns."""
    rows = connection.execute(
        "select c.schema_name, c.table_name, bool_or(t.table_name is not null), "
        "list(c.column_name order by c.column_index) from duckdb_columns() as c "
        "left join duckdb_tables() as t using (database_name, schema_name, table_name) "
        f"where database_name = {literal(alias)} and not c.internal "
        "group by all order by all"
    ).fetchall()
    return [
        DatabaseRelation(
            f"{schema}.{table}", qualified(alias, schema, table), bool(is_table), tuple(columns)
        )
        for schema, table, is_table, columns in rows
        if not str(table).startswith(_HIDDEN)
        and not str(schema).startswith(_HIDDEN)
        and not str(schema).endswith(_FAILURES)
    ]


def _named(relations: Sequence[DatabaseRelation], what: str) -> DatabaseRelation | None:
    """The table that a name means.

    Raises:
        ProfileError: it means several.
    """
    wanted = what.lower()
    found = [one for one in relations if one.name.lower() == wanted] or [
        one for one in relations if one.name.lower().partition(".")[2] == wanted
    ]
    if len(found) > 1:
        names = " and ".join(one.name for one in found)
        raise ProfileError(f"{what} is {names}: name one of them")
    return found[0] if found else None


def _unknown(resolved: "Resolved | None", what: str, on: str | None) -> str:
    known: dict[str, str] = {}
    for place in _places(resolved, on):
        with _opened(resolved, place) as (_, relations, _):
            known |= {one.name: one.name.partition(".")[2] for one in relations}
    meant = did_you_mean(what, [*known, *known.values()])
    where = f" in {on}" if on else ""
    return f"there is no table {what}{where}" + (
        f"; {meant}" if meant else f": there are {first_few(list(known))}" if known else ""
    )


def _keys(
    connection: "duckdb.DuckDBPyConnection",
    relations: Sequence[DatabaseRelation],
    but: DatabaseRelation | None = None,
) -> list[KeyOfTable]:
    return [
        key
        for relation in relations
        if relation.is_table and relation != but
        for key in keys_of(connection, relation.quoted, relation.name)
    ]


def profile_relation(
    connection: "duckdb.DuckDBPyConnection",
    relation: DatabaseRelation,
    keys: Sequence[KeyOfTable],
    harmless: Mapping[str, Sequence[str]] | None,
    sample: int | None,
) -> TableProfile:
    """Profile a table or view.

    Args:
        connection: that it can be read on.
        relation: which.
        keys: of other tables, for likely references.
        harmless: columns without personal data, by relation; None to show all values.
        sample: the most rows to look at; None for all.
    """
    personal = None
    if harmless is not None:
        personal = set(relation.columns) - set(harmless.get(relation.name, ()))
    bytes_ = None
    if relation.is_table:
        bytes_ = _BLOCK * scalar(
            connection,
            "select count(distinct block_id) from pragma_storage_info("
            f"{literal(relation.quoted)}) where persistent",
        )
    profiled = partial(
        profile_table,
        connection,
        relation.quoted,
        relation.name,
        sample=sample,
        personal=personal,
        keys=keys,
        bytes_=bytes_,
        is_table=relation.is_table,
    )
    return with_room(connection, profiled)
