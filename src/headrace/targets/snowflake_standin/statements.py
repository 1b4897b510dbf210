"""Statements that snowduck does not know, does differently, or would take without doing anything.

What has no meaning on one machine is taken and says so; what would give another answer than
Snowflake's is refused.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace.sql_text import identifier, literal
from headrace.targets.snowflake_standin import stages
from headrace.targets.snowflake_standin.names import NAME, names_of
from headrace.targets.snowflake_standin.problems import problem, unsupported
from headrace.targets.snowflake_standin.results import Result, rows, status

if TYPE_CHECKING:
    from headrace.targets.snowflake_standin.session import StandInSession

_N = rf"((?:{NAME}\.)*{NAME})"
_NO_ROLES = (
    "Statement executed successfully. (Stand-in: one user may do everything, and there is one "
    "machine; roles, grants and warehouses change nothing.)"
)
_TIME_TRAVEL = re.compile(
    r"\b(at|before)\s*\(\s*(timestamp|offset|statement|stream)\s*=>", re.IGNORECASE
)
_CLONE = re.compile(
    rf"create\s+(or\s+replace\s+)?(?:transient\s+)?table\s+(if\s+not\s+exists\s+)?{_N}\s+"
    rf"clone\s+{_N}(?:\s+copy\s+grants)?\s*$",
    re.IGNORECASE,
)
_TEXTS = re.compile(r"'(?:[^'\\]|\\.|'')*'|\$\$.*?\$\$", re.DOTALL)

_UNKNOWN = (
    (r"create\s+(or\s+replace\s+)?stream", "streams",
     "read new rows by a column of time, as dbt's incremental models do"),
    (r"create\s+(or\s+replace\s+)?task", "tasks", "schedule `headrace run`"),
    (r"create\s+(or\s+replace\s+)?pipe\b", "pipes", "repeat COPY INTO: it loads new files alone"),
    (r"create\s+(or\s+replace\s+)?(secure\s+)?procedure", "procedures", "write a dbt model"),
    (r"(create|alter)\s+(or\s+replace\s+)?(transient\s+)?dynamic\s+table", "dynamic tables",
     "use a dbt table or an incremental model"),
    (r"create\s+(or\s+replace\s+)?(secure\s+)?materialized\s+view", "materialized views",
     "use a view or a table"),
    (r"create\s+(or\s+replace\s+)?(external|iceberg|hybrid|event)\s+table",
     "external, Iceberg, hybrid and event tables", "load the files with COPY INTO"),
    (r"create\s+(or\s+replace\s+)?(masking|row\s+access|aggregation|projection)\s+policy",
     "policies that hide rows or values", "nothing would be hidden: test them in an account"),
    (r"create\s+(or\s+replace\s+)?(share|alert|secret|streamlit|service)\b",
     "shares, alerts, secrets and services", "test them in an account"),
    (r"create\s+(or\s+replace\s+)?(transient\s+)?database\s+\S+\s+clone", "clones of databases",
     "clone its schemas"),
    (r"undrop\b", "UNDROP", "what is dropped is gone: clone it before"),
    (r"call\b", "procedures", "test them in an account"),
    (r"(execute|explain)\b", "EXECUTE and EXPLAIN", "test them in an account"),
)  # fmt: skip


def handled(session: "StandInSession", sql: str) -> Result | None:
    """What a statement gives; None if it is snowduck's.

    Raises:
        ProgrammingError: the stand-in does not know it, or it fails.
    """
    plain = _TEXTS.sub("''", sql)
    if _TIME_TRAVEL.search(plain):
        raise unsupported(
            "time travel (AT, BEFORE)",
            "it keeps one version of a table: clone it before it changes",
        )
    if re.search(r"\bmatch_recognize\b|\bconnect\s+by\b|\basof\s+join\b", plain, re.IGNORECASE):
        raise unsupported(
            "MATCH_RECOGNIZE, CONNECT BY and ASOF JOIN", "use window functions or a recursive CTE"
        )
    for pattern, what, instead in _UNKNOWN:
        if re.match(pattern, sql, re.IGNORECASE):
            raise unsupported(what, instead)
    for pattern, handler in _HANDLERS:
        found = re.match(pattern, sql, re.IGNORECASE | re.DOTALL)
        if found is not None:
            return handler(session, sql, found)
    return None


def rewritten(sql: str) -> str:
    """A clone of a table as snowduck reads it: TRANSIENT and COPY GRANTS mean nothing there."""
    found = _CLONE.match(sql)
    if found is None:
        return sql
    return f"create {found[1] or ''}table {found[2] or ''}{found[3]} clone {found[4]}"


def _nothing(session: "StandInSession", sql: str, found: re.Match[str]) -> Result:
    del session, sql, found
    return status(_NO_ROLES)


def _no_grants(session: "StandInSession", sql: str, found: re.Match[str]) -> Result:
    del session, sql, found
    columns = ["created_on", "privilege", "granted_on", "name", "granted_to", "grantee_name"]
    return rows(columns, [])


def _autocommit(session: "StandInSession", sql: str, found: re.Match[str]) -> Result:
    del sql
    session.set_autocommit(is_on=found[1].lower() == "true")
    return status("Statement executed successfully.")


def _use(session: "StandInSession", sql: str, found: re.Match[str]) -> Result:
    """Snowflake checks that it is there; snowduck does not."""
    kind, parts = (found[1] or "").strip().lower(), names_of(found[2])
    if kind != "schema":
        if not session.engine.has_database(parts[0]):
            raise problem(2043, "02000", f"Database '{parts[0]}' does not exist")
        session.connection.use_database(parts[0])
        parts = parts[1:]
    elif len(parts) > 1:
        session.connection.use_database(parts[0])
        parts = parts[1:]
    if parts:
        if not session.database:
            raise problem(90105, "22000", f"{sql}: the session has no current database")
        _require_schema(session, session.database, parts[0])
        session.connection.use_schema(parts[0])
    return status("Statement executed successfully.")


def _create_database(session: "StandInSession", sql: str, found: re.Match[str]) -> Result:
    (name,) = names_of(found[3])
    if not name.isidentifier():
        raise problem(1003, "42000", f"the database {name!r}: use letters, digits and underscores")
    there = session.engine.has_database(name)
    if there and found[1]:
        raise unsupported("CREATE OR REPLACE DATABASE", "drop it first")
    if there and not found[2]:
        raise problem(2002, "42710", f"Object '{name}' already exists.")
    if not there:
        session.engine.extend(name)
        session.ask(f'create schema if not exists {identifier(name)}."PUBLIC"')
    session.connection.use_database(name)
    return status(f"Database {name} successfully created.")


def _drop_database(session: "StandInSession", sql: str, found: re.Match[str]) -> Result:
    del sql
    (name,) = names_of(found[2])
    if not session.engine.has_database(name):
        if found[1]:
            return status("Drop statement executed successfully.")
        raise problem(2003, "02000", f"Database '{name}' does not exist")
    session.connection._database = session.connection._schema = None  # noqa: SLF001
    session.ask("use snowflake")
    session.engine.drop(name)
    return status(f"{name} successfully dropped.")


def _clone_schema(session: "StandInSession", sql: str, found: re.Match[str]) -> Result:
    del sql
    replace, quietly, target, source = found[1], found[2], found[3], found[4]
    database, wanted = _schema(session, target)
    origin, schema = _schema(session, source)
    _require_schema(session, origin, schema)
    if database != origin:
        raise unsupported("a clone of a schema into another database", "clone its tables")
    if session.engine.manager.has_schema(database, wanted):
        if quietly:
            return status(f"{wanted} already exists, statement succeeded.")
        if not replace:
            raise problem(2002, "42710", f"Object '{database}.{wanted}' already exists.")
        session.ask(f"drop schema {identifier(database)}.{identifier(wanted)} cascade")
    session.ask("begin transaction")
    try:
        session.ask(f"create schema {identifier(database)}.{identifier(wanted)}")
        _copy(session, database, schema, wanted)
        session.ask("commit")
    except BaseException:
        session.ask("rollback")
        raise
    return status(f"Schema {wanted} successfully created.")


def _rename_schema(session: "StandInSession", sql: str, found: re.Match[str]) -> Result:
    del sql
    database, schema = _schema(session, found[1])
    _, wanted = _schema(session, found[2])
    _require_schema(session, database, schema)
    if session.engine.manager.has_schema(database, wanted):
        raise problem(2002, "42710", f"Object '{database}.{wanted}' already exists.")
    session.ask("begin transaction")
    try:
        session.ask(f"create schema {identifier(database)}.{identifier(wanted)}")
        _copy(session, database, schema, wanted)
        session.ask(f"drop schema {identifier(database)}.{identifier(schema)} cascade")
        session.ask("commit")
    except BaseException:
        session.ask("rollback")
        raise
    return status("Statement executed successfully.")


def _swap_schemas(session: "StandInSession", sql: str, found: re.Match[str]) -> Result:
    """In one transaction, so that readers see the one or the other; DuckDB copies the rows."""
    del sql
    database, one = _schema(session, found[1])
    _, other = _schema(session, found[2])
    for schema in (one, other):
        _require_schema(session, database, schema)
    between, home = "_HEADRACE_SWAP", identifier(database)
    session.ask(f"drop schema if exists {home}.{identifier(between)} cascade")
    session.ask("begin transaction")
    try:
        session.ask(f"create schema {home}.{identifier(between)}")
        for source, target in ((one, between), (other, one), (between, other)):
            _copy(session, database, source, target)
            _empty(session, database, source)
        session.ask(f"drop schema {home}.{identifier(between)}")
        session.ask("commit")
    except BaseException:
        session.ask("rollback")
        raise
    return status("Statement executed successfully.")


def _relations(
    session: "StandInSession", database: str, schema: str
) -> list[tuple[str, bool, str, str]]:
    """Name, whether it is a view, its SQL, its comment: of what is in a schema."""
    found = []
    for kind in ("table", "view"):
        for name, sql, comment in session.ask(
            f"select {kind}_name, sql, coalesce(comment, '') from duckdb_{kind}s() "
            "where database_name = ? and schema_name = ? and not internal",
            [database, schema],
        ):
            found.append((str(name), kind == "view", str(sql), str(comment)))
    return found


def _copy(session: "StandInSession", database: str, source: str, target: str) -> None:
    """Copy what is in a schema, with its comments, into one that lacks it."""
    home = identifier(database)
    into, origin = f"{home}.{identifier(target)}", f"{home}.{identifier(source)}"
    for name, is_view, sql, comment in _relations(session, database, source):
        quoted = identifier(name)
        if is_view:
            query = re.split(r"\s+as\s+", sql, maxsplit=1, flags=re.IGNORECASE)[1]
            session.ask(f"create view {into}.{quoted} as {query}")
        else:
            session.ask(f"create table {into}.{quoted} as from {origin}.{quoted}")
        if comment:
            kind = "view" if is_view else "table"
            session.ask(f"comment on {kind} {into}.{quoted} is {literal(comment)}")
        for column, text, is_nullable in session.ask(
            "select column_name, coalesce(comment, ''), is_nullable from duckdb_columns() "
            "where database_name = ? and schema_name = ? and table_name = ?",
            [database, source, name],
        ):
            if text:
                session.ask(
                    f"comment on column {into}.{quoted}.{identifier(column)} is {literal(text)}"
                )
            if not is_nullable and not is_view:
                session.ask(f"alter table {into}.{quoted} alter {identifier(column)} set not null")


def _empty(session: "StandInSession", database: str, schema: str) -> None:
    for name, is_view, *_ in _relations(session, database, schema):
        kind = "view" if is_view else "table"
        session.ask(f"drop {kind} {identifier(database)}.{identifier(schema)}.{identifier(name)}")


def _schema(session: "StandInSession", text: str) -> tuple[str, str]:
    parts = names_of(text)
    database = parts[-2] if len(parts) > 1 else session.database
    if not database:
        raise problem(90105, "22000", f"{text}: the session has no current database")
    return database, parts[-1]


def _require_schema(session: "StandInSession", database: str, schema: str) -> None:
    if not session.engine.manager.has_schema(database, schema):
        raise problem(2043, "02000", f"Schema '{database}.{schema}' does not exist")


_ADMIN = r"(role|warehouse|user|resource\s+monitor|network\s+policy|(storage|api)\s+integration)"
_HANDLERS: tuple[tuple[str, Callable[..., Result]], ...] = (
    (r"put\s", lambda session, sql, _: stages.put(session, sql)),
    (r"get\s+['@]", lambda session, sql, _: stages.get(session, sql)),
    (r"(list|ls)\s+['@]", lambda session, sql, _: stages.listing(session, sql)),
    (r"(remove|rm)\s+['@]", lambda session, sql, _: stages.remove(session, sql)),
    (r"create\s+(or\s+replace\s+)?(temp(orary)?\s+)?(stage|file\s+format)\s",
     lambda session, sql, _: stages.create(session, sql)),
    (r"drop\s+(stage|file\s+format)\s", lambda session, sql, _: stages.drop(session, sql)),
    (r"use\s+(role|warehouse|secondary\s+roles)\s", _nothing),
    (rf"use\s+(database\s+|schema\s+)?{_N}\s*$", _use),
    (r"(grant|revoke)\s", _nothing),
    (rf"(create|alter|drop)\s+(or\s+replace\s+)?{_ADMIN}\s", _nothing),
    (r"alter\s+account\s", _nothing),
    (r"show\s+(future\s+)?grants", _no_grants),
    (r"alter\s+session\s+set\s+autocommit\s*=\s*(true|false)", _autocommit),
    (rf"create\s+(or\s+replace\s+)?(?:transient\s+)?database\s+(if\s+not\s+exists\s+)?{_N}",
     _create_database),
    (rf"drop\s+database\s+(if\s+exists\s+)?{_N}", _drop_database),
    ((rf"create\s+(or\s+replace\s+)?(?:transient\s+)?schema\s+(if\s+not\s+exists\s+)?{_N}\s+"
     rf"clone\s+{_N}\s*$"), _clone_schema),
    (rf"alter\s+schema\s+(?:if\s+exists\s+)?{_N}\s+swap\s+with\s+{_N}\s*$", _swap_schemas),
    (rf"alter\s+schema\s+(?:if\s+exists\s+)?{_N}\s+rename\s+to\s+{_N}\s*$", _rename_schema),
)  # fmt: skip
