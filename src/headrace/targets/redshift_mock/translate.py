"""Redshift's SQL as PostgreSQL's: what cannot be translated is refused, and the part named.

First the text is read without its literals: what Redshift adds to CREATE TABLE is taken out, and
functions that PostgreSQL lacks, or knows with another meaning, get the name of one of
``system_tables.sql``. Then sqlglot reads it, and the tree is changed.
"""

import re
from collections.abc import Callable

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

from headrace.sql_text import literal
from headrace.targets.redshift_mock.commands import (
    RefusedError,
    Unload,
    parse_copy,
    parse_unload,
)
from headrace.targets.redshift_mock.design import TableDesign, alter_design, design_of
from headrace.targets.redshift_mock.statements import (
    HANDLERS,
    Masked,
    Translated,
    split,
    without_comments,
)
from headrace.targets.redshift_mock.tree import refused_nodes, translated_tree

_INSERT = re.compile(r"\s*insert\s+into\s[^;]*?\bvalues\b", re.IGNORECASE)
_PLAIN_VALUES = re.compile(
    r"(?:[\s(),+\-.\d]|\$\d+|[eE](?=[+\-\d])|\bnull\b|\btrue\b|\bfalse\b|\x01\d+\x01)*"
)
_TRANSACTION = re.compile(
    r"\s*(begin|start\s+transaction|commit|end|rollback|abort)\b", re.IGNORECASE
)
_PASSED = re.compile(
    r"\s*(begin|start\s+transaction|commit|end|rollback|abort|close|fetch|deallocate|discard|lock|"
    r"grant|revoke|create\s+(user|group|role|database)|drop\s+(user|group|role|database)|"
    r"alter\s+(user|group|role|database|schema|default)|reset)\b",
    re.IGNORECASE,
)
_REFUSED = {
    r"create\s+external\s+(schema|table|function)|create\s+or\s+replace\s+external": (
        "external schemas, tables and functions"
    ),
    r"create\s+model": "CREATE MODEL",
    r"create\s+(library|datashare)|alter\s+datashare": "libraries and datashares",
    r"create\s+(or\s+replace\s+)?procedure|call\b": "stored procedures",
    r"create\s+(unique\s+)?index": "CREATE INDEX, which Redshift does not have",
    r"alter\s+table\s+\S+\s+append": "ALTER TABLE … APPEND",
    r"analyze\s+compression": "ANALYZE COMPRESSION",
    r"cancel\b": "CANCEL",
    r"prepare\b|execute\b": "PREPARE and EXECUTE as SQL",
    r"copy\b": "COPY but from s3://",
    r"create\s+type|create\s+trigger|create\s+extension|create\s+domain": (
        "types, triggers, domains and extensions, which Redshift does not have"
    ),
    r"do\b|listen\b|notify\b": "DO, LISTEN and NOTIFY, which Redshift does not have",
}
_NO_OPERATION = "do ''"
_RENAMED = frozenset({
    "add_months", "array", "array_concat", "array_flatten", "avg", "charindex", "concat",
    "convert_timezone", "date_diff", "dateadd", "datediff", "from_hex", "get_array_length",
    "getdate", "is_array", "is_object", "is_scalar", "is_varchar", "is_integer", "is_decimal",
    "is_boolean", "is_valid_json", "is_valid_json_array", "json_array_length",
    "json_extract_array_element_text", "json_extract_path_text", "json_parse",
    "json_serialize", "can_json_parse", "json_typeof", "last_day", "len", "median",
    "months_between", "next_day", "object", "ratio_to_report", "regexp_count", "regexp_instr",
    "regexp_replace", "regexp_substr", "round", "sha2", "split_to_array", "strtol", "subarray",
    "timezone", "to_hex", "trunc", "dlog10", "dexp", "dlog1", "textlen",
})  # fmt: skip
"""Functions that get the name of one of the stand-in's: PostgreSQL lacks them, or differs."""

_UNKNOWN = re.compile(
    r"(?<![\w.])(?<!into )(?<!table )(?<!exists )(array_agg|string_agg|"
    r"jsonb?_\w+?|every|unnest|to_jsonb?|row_to_json|"
    r"regexp_matches|regexp_split_to_(?:table|array)|format|overlay|quote_nullable|convert_from|"
    r"convert_to|string_to_array|array_to_string|cardinality|width_bucket|setseed|clock_timestamp|"
    r"transaction_timestamp|justify_(?:days|hours|interval)|make_(?:date|time|timestamp|interval)|"
    r"pg_input_is_valid|to_regclass|gen_random_uuid|min_by|max_by)\s*\(|\bis\s+(?:not\s+)?(json)\b",
    re.IGNORECASE,
)
"""What PostgreSQL has and Redshift has not: it would be an error there, so it is one here."""

_RENAMING = re.compile(rf"(?<![\w.])({'|'.join(sorted(_RENAMED))})(?=\s*\()", re.IGNORECASE)


def translate(sql: str) -> Translated:
    """A statement as PostgreSQL understands it.

    Raises:
        RefusedError: it cannot be translated; its message says which part.
    """
    text = Masked(sql)
    word = text.sql.split(None, 1)[0].lower() if text.sql.strip() else ""
    if word == "copy" and re.search(r"\bfrom\b", text.sql, re.IGNORECASE):
        if re.search(r"\bfrom\s+std(in|out)\b", text.sql, re.IGNORECASE):
            raise RefusedError(
                "COPY … FROM STDIN is not in Redshift: it loads from s3:// and the like"
            )
        copy = parse_copy(without_comments(sql))
        return Translated(copy.sql(), "COPY", copy=copy)
    if word == "unload":
        unload = parse_unload(without_comments(sql))
        inner = translate(unload.select.rstrip().rstrip(";")).sql
        unload = Unload(inner, unload.url, unload.access, unload.format, unload.options)
        return Translated(unload.sql(), "UNLOAD", unload=unload)
    for pattern, name in _REFUSED.items():
        if re.match(rf"\s*({pattern})", text.sql, re.IGNORECASE):
            raise RefusedError(f"the stand-in does not translate {name}")
    if _TRANSACTION.match(text.sql):
        plain = re.sub(r"\bread\s+(write|only)\b.*", "", text.sql, flags=re.IGNORECASE)
        return Translated(text.restored(plain), is_transaction=True)
    if _PASSED.match(text.sql):
        return Translated(text.restored(text.sql, lower=True))
    if word == "alter" and (design := alter_design(text.sql, text.restored)) is not None:
        return Translated(design, "ALTER TABLE")
    handler = _HANDLERS.get(word)
    if handler is not None:
        found = handler(text)
        if found is not None:
            return found
    fast = _values(text)
    return Translated(fast) if fast is not None else _parsed(text)


def _values(text: Masked) -> str | None:
    """An INSERT of plain values, which may have many MB, unparsed; None if it is something else."""
    found = _INSERT.match(text.sql)
    if found is None:
        return None
    rest = text.sql[found.end() :]
    rest = re.sub(r"\b(json_parse|from_hex)\s*\(", r"_redshift.rs_\1(", rest, flags=re.IGNORECASE)
    plain = re.sub(r"_redshift\.rs_\w+", "", rest)
    if not _PLAIN_VALUES.fullmatch(plain):
        return None
    return text.restored(found[0] + rest, lower=True)


def _parsed(text: Masked, parse: Callable[[str], exp.Expr] | None = None) -> Translated:
    """What sqlglot reads."""
    masked = text.sql
    design: TableDesign | None = None
    late = re.search(r"\bwith\s+no\s+schema\s+binding\s*$", masked, re.IGNORECASE)
    if late:
        masked = masked[: late.start()]
    if re.match(
        r"create\s+(temp|temporary\s+|local\s+)*\s*table|create\s+materialized",
        masked,
        re.IGNORECASE,
    ) or (
        re.match(r"create\b", masked, re.IGNORECASE)
        and re.search(r"\btable\b", masked[:60], re.IGNORECASE)
    ):
        design = design_of(_head_of(masked)[0], text.restored)
        masked = _without_design(masked)
    masked = re.sub(r"\bapproximate\s+(?=count|percentile)", "", masked, flags=re.IGNORECASE)
    masked = re.sub(r"\bsysdate\b(?!\s*\()", "rs_sysdate()", masked, flags=re.IGNORECASE)
    masked = re.sub(r"(?<=[\s,(])#(?=[A-Za-z_])", "", masked)
    unknown = _unknown(masked)
    if unknown is not None:
        raise RefusedError(f"Redshift does not have {unknown}", "42883")
    masked = _RENAMING.sub(lambda one: f"rs_{one[1].lower()}", masked)
    # sqlglot takes `$1, $2` for a text in dollar signs
    masked = re.sub(r"\$(\d+)", r"rs_parameter_\1", masked)
    sql = text.restored(masked)
    try:
        tree = (parse or _parse)(sql)
        refused_nodes(tree)
        tree = translated_tree(tree)
        if late:
            return _late_view(tree)
        if isinstance(tree, exp.Alter) and not tree.args.get("actions"):
            return Translated(_NO_OPERATION, "ALTER TABLE")
        made = tree.sql("postgres", unsupported_level=ErrorLevel.RAISE, normalize_functions=False)
    except SqlglotError as error:
        said = re.sub(r"\x1b\[\d*m", "", str(error)).strip().splitlines()
        raise RefusedError(
            f"the stand-in cannot read this statement: {said[0] if said else error}"
            + (f" (near `{_near(said)}`)" if len(said) > 1 else ""),
            "42601",
        ) from error
    told = f" /*headrace_design {design.as_json()}*/" if design is not None else ""
    return Translated(re.sub(r"\brs_parameter_(\d+)\b", r"$\1", made) + told)


def _unknown(masked: str) -> str | None:
    """A function that Redshift does not have, or not on tables."""
    for found in _UNKNOWN.finditer(masked):
        if found[1] is None or found[1].lower() not in _RENAMED:
            return "IS JSON" if found[2] else f"{found[1].upper()}()"
    if all(
        re.search(one, masked, re.IGNORECASE) for one in (r"\bgenerate_series\s*\(", r"\bfrom\b")
    ):
        return "GENERATE_SERIES() in a query that reads tables"
    return None


def _near(said: list[str]) -> str:
    return " ".join(" ".join(said[1:]).split())[:120]


def _parse(sql: str) -> exp.Expr:
    import logging

    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    tree = sqlglot.parse_one(sql, read="redshift")
    if isinstance(tree, exp.Command):
        raise RefusedError(
            f"the stand-in does not translate {str(tree.this).upper()} here: {sql[:80]}"
        )
    return tree


def _without_design(sql: str) -> str:
    """A CREATE TABLE without what only Redshift's storage knows."""
    head, body = _head_of(sql)
    head = re.sub(
        r"create\s+table\s+(if\s+not\s+exists\s+)?#",
        r"create temp table \1",
        head,
        flags=re.IGNORECASE,
    )
    for pattern, to in _DESIGN:
        head = re.sub(pattern, to, head, flags=re.IGNORECASE)
    return head + body


def _identity(start: str, by: str) -> str:
    return rf"(start with {start} increment by {by} minvalue {start})"


_DESIGN = (
    (r"\bencode\s+\w+", ""),
    (r"\bdiststyle\s+(auto|even|key|all)\b", ""),
    (r"\bdistkey\s*\([^)]*\)", ""),
    (r"\b(compound\s+|interleaved\s+)?sortkey\s*(\([^)]*\)|auto\b)", ""),
    (r"\bdistkey\b|\bsortkey\b", ""),
    (r"\bbackup\s+(yes|no)\b", ""),
    (r"\bauto\s+refresh\s+(yes|no)\b", ""),
    (
        r"(?<!as\s)\bidentity\s*\(\s*(-?\d+)\s*,\s*(-?\d+)\s*\)",
        r"generated always as identity (start with \1 increment by \2 minvalue \1)",
    ),
    (
        r"(?<=as\s)identity\s*\(\s*(-?\d+)\s*,\s*(-?\d+)\s*\)",
        r"identity (start with \1 increment by \2 minvalue \1)",
    ),
)


def _head_of(sql: str) -> tuple[str, str]:
    """A CREATE TABLE up to the AS of its query, and the rest."""
    depth = 0
    for found in re.finditer(r"[()]|\bas\b", sql, re.IGNORECASE):
        if found[0] == "(":
            depth += 1
        elif found[0] == ")":
            depth -= 1
        elif depth == 0:
            return sql[: found.start()], sql[found.start() :]
    return sql, ""


def _late_view(tree: exp.Expr) -> Translated:
    """A view that is bound when it is read: see ``create_late_view`` of ``system_tables.sql``."""
    if not isinstance(tree, exp.Create) or tree.expression is None:
        raise RefusedError("WITH NO SCHEMA BINDING belongs to CREATE VIEW … AS SELECT", "42601")
    name = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    query = tree.expression.sql(
        "postgres", unsupported_level=ErrorLevel.RAISE, normalize_functions=False
    )
    replace = str(bool(tree.args.get("replace"))).lower()
    return Translated(
        f"call _redshift.create_late_view({literal(name.sql('postgres'))}, {literal(query)}, "
        f"{replace})",
        "CREATE VIEW",
    )


def _explain(text: Masked) -> Translated | None:
    inner = re.sub(r"^explain\s+(verbose\s+)?", "", text.sql, flags=re.IGNORECASE)
    return Translated(f"explain {translate(text.restored(inner)).sql}")


def _declare(text: Masked) -> Translated | None:
    found = re.match(
        r"(declare\s+[\w\x01]+\s+cursor\s+(?:with(?:out)?\s+hold\s+)?for\s+)(.*)",
        text.sql,
        re.IGNORECASE | re.DOTALL,
    )
    if found is None:
        raise RefusedError("DECLARE is for cursors here: DECLARE name CURSOR FOR query", "42601")
    return Translated(text.restored(found[1], lower=True) + translate(text.restored(found[2])).sql)


_HANDLERS = {**HANDLERS, "explain": _explain, "declare": _declare}

__all__ = ["Translated", "split", "translate"]
