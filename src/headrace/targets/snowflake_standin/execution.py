"""Statements, one after the other: what is read, what writes and waits for its turn."""

import logging
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import duckdb
import snowflake.connector.errors
import sqlglot
from sqlglot import exp

from headrace.sql_text import identifier, literal
from headrace.targets.snowflake_standin import copying, statements
from headrace.targets.snowflake_standin.names import NAME, resolved
from headrace.targets.snowflake_standin.problems import problem, translated
from headrace.targets.snowflake_standin.results import Result, rows, status
from headrace.targets.snowflake_standin.session import StandInSession

_PIECES = re.compile(
    r"""'(?:[^'\\]|\\.|'')*' | "(?:[^"]|"")*" | \$\$.*?\$\$ | --[^\n]* | /\*.*?\*/ | ; | \?""",
    re.DOTALL | re.VERBOSE,
)
_WRITES = {
    "insert",
    "update",
    "delete",
    "merge",
    "truncate",
    "create",
    "alter",
    "drop",
    "copy",
    "comment",
}
_MOVES = re.compile(
    rf"alter\s+table\s+(?:if\s+exists\s+)?((?:{NAME}\.)*{NAME})\s+(rename\s+to|swap\s+with)\s+"
    rf"((?:{NAME}\.)*{NAME})\s*$",
    re.IGNORECASE,
)
_KEEPS = re.compile(r"create\s+(\w+\s+)*table\s+if\s+not\s+exists\s", re.IGNORECASE)
_HASH_AGG = re.compile(
    r"select\s+count\(\*\)\s*,\s*hash_agg\(\*\)\s+from\s+(\S+)\s*$", re.IGNORECASE
)


def execute(
    session: StandInSession, text: str, bindings: Mapping[str, Any] | None = None
) -> list[Result]:
    """Run statements that are separated by semicolons.

    Raises:
        ProgrammingError: the first that fails; those before it are done.
    """
    found = split(text, bindings or {})
    if not found:
        raise problem(900, "42601", "empty SQL statement")
    with session.lock:
        session.is_busy = True
        try:
            return [_one(session, statement) for statement in found]
        finally:
            session.is_busy = False
            session.last_used = time.monotonic()


def _one(session: StandInSession, sql: str) -> Result:
    first = sql.split(None, 1)[0].lower().rstrip("(")
    try:
        if first in ("begin", "start"):
            session.begin()
            return status("Statement executed successfully.")
        if first in ("commit", "rollback"):
            session.end(first)
            return status("Statement executed successfully.")
        if first not in _WRITES:
            found = statements.handled(session, sql)
            return found if found is not None else _read(session, sql)
        with session.engine.writing(session):
            return _write(session, first, sql)
    except snowflake.connector.errors.Error as error:
        raise translated(error) from None
    except (duckdb.Error, sqlglot.errors.SqlglotError, NotImplementedError) as error:
        raise translated(error) from error


def _read(session: StandInSession, sql: str) -> Result:
    if found := _HASH_AGG.match(sql):
        return _hashed(session, found[1])
    if re.search(r"[\s(]@[\w~%\"]", sql):
        return copying.query(session, sql)
    return session.run(sql)


def _hashed(session: StandInSession, name: str) -> Result:
    from headrace.fingerprints import rows_and_hashes

    database, schema, short = resolved(session, name)
    if not session.has_table(database, schema, short):
        raise problem(2003, "42S02", f"Object '{database}.{schema}.{short}' does not exist")
    relation = ".".join(identifier(part) for part in (database, schema, short))
    shape = session.ask(f"describe {relation}")
    hashes = rows_and_hashes(session.duck, relation, [str(row[0]) for row in shape])
    return rows(["COUNT(*)", "HASH_AGG(*)"], [(hashes[0], repr((*hashes[1:], shape)))])


def _write(session: StandInSession, first: str, sql: str) -> Result:
    is_ddl = first in ("create", "alter", "drop", "comment")
    is_temporary = re.match(
        r"create\s+(or\s+replace\s+)?(local\s+|global\s+)?temp", sql, re.IGNORECASE
    )
    if is_ddl and not is_temporary and session.in_transaction:
        session.end("commit")  # as in Snowflake: DDL is a transaction of its own
    found = statements.handled(session, sql)
    if found is not None:
        return found
    sql = statements.rewritten(sql)
    if not session.autocommit and not is_ddl:
        session.begin()
    table = _written(sql)
    if session.in_transaction or table is None:
        result = _done(session, first, sql)
        session.note_change(table)
        _forget_loads(session, first, sql, table)
        return result
    session.ask("begin transaction")
    try:
        result = _done(session, first, sql)
        session.note_change(table)
        _forget_loads(session, first, sql, table)
        session.ask("commit")
    except BaseException:
        with suppress(duckdb.Error):
            session.duck.execute("rollback")
        raise
    return result


def _forget_loads(session: StandInSession, first: str, sql: str, table: exp.Table | None) -> None:
    """Which files a table has is forgotten with it, follows its name, and is swapped with it."""
    if found := _MOVES.match(sql):
        origin, other = resolved(session, found[1]), resolved(session, found[3])
        session.move_loads(origin, other, is_swap=found[2].lower().startswith("swap"))
    elif table is not None and first in ("create", "drop", "truncate") and not _KEEPS.match(sql):
        session.forget_loads(resolved(session, table.sql("snowflake", comments=False)))


def _done(session: StandInSession, first: str, sql: str) -> Result:
    """Run what writes."""
    if first == "copy":
        return copying.load(session, sql)
    both = _in_two(sql) if first == "create" else None
    if both is None:
        return session.run(sql)
    result = session.run(both[0])
    session.run(both[1])
    return result


def split(text: str, bindings: Mapping[str, Any]) -> list[str]:
    """Statements without the comments around them; ``?`` are replaced by what is bound to them."""
    found, start, number = [], 0, 0
    parts: list[str] = []
    for piece in _PIECES.finditer(text):
        if piece[0] == ";":
            found.append("".join(parts) + text[start : piece.start()])
            parts, start = [], piece.end()
        elif piece[0] == "?" and bindings:
            number += 1
            parts += [text[start : piece.start()], _bound(bindings.get(str(number)), number)]
            start = piece.end()
    found.append("".join(parts) + text[start:])
    stripped = [
        re.sub(r"\A(\s|--[^\n]*(\n|$)|/\*.*?\*/)+", "", one, flags=re.DOTALL) for one in found
    ]
    return [one.rstrip() for one in stripped if one.strip()]


def _bound(binding: Mapping[str, Any] | None, number: int) -> str:
    if binding is None:
        raise problem(2049, "42601", f"Bind variable ?{number} not set")
    kind, value = str(binding["type"]).upper(), binding["value"]
    if value is None:
        return "null"
    if isinstance(value, list):
        raise problem(2, "0A000", "array binds: the stand-in takes one row at a time")
    if kind in ("FIXED", "REAL", "BOOLEAN"):
        return str(value)
    if kind == "TEXT":
        return literal(str(value).replace("\\", "\\\\"))
    raise problem(2, "0A000", f"a bind of the type {kind}: bind a text and cast it")


def _in_two(sql: str) -> tuple[str, str] | None:
    """A table with columns and a query: DuckDB takes one or the other, so it is made and filled."""
    tree = _parsed(sql)
    if not isinstance(tree, exp.Create) or not isinstance(tree.this, exp.Schema):
        return None
    query = tree.args.get("expression")
    columns = [one.this for one in tree.this.expressions if isinstance(one, exp.ColumnDef)]
    if query is None or not columns or str(tree.args.get("kind")).upper() != "TABLE":
        return None
    if isinstance(query, exp.Subquery):
        query = query.this
    tree.set("expression", None)
    names = ", ".join(one.sql("snowflake") for one in columns)
    table = tree.this.this.sql("snowflake")
    return tree.sql("snowflake"), f"insert into {table} ({names}) {query.sql('snowflake')}"


def _written(sql: str) -> exp.Table | None:
    """The table that a statement writes; None where it is none, or not known."""
    if found := re.match(rf"copy\s+into\s+((?:{NAME}\.)*{NAME})", sql, re.IGNORECASE):
        return exp.to_table(found[1], dialect="snowflake") if found[1][0] not in "%~" else None
    tree = _parsed(sql)
    kind = str(tree.args.get("kind") or "").upper()
    if isinstance(tree, exp.Create | exp.Drop | exp.Alter) and kind not in ("TABLE", "VIEW"):
        return None
    target = tree.expressions[0] if isinstance(tree, exp.TruncateTable) else tree.this
    target = target.this if isinstance(target, exp.Schema) else target
    return target if isinstance(target, exp.Table) else None


def _parsed(sql: str) -> exp.Expr:
    """A statement; what sqlglot does not know is a command, and it need not warn of that."""
    logger = logging.getLogger("sqlglot")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        return sqlglot.parse_one(sql, read="snowflake")
    finally:
        logger.setLevel(level)
