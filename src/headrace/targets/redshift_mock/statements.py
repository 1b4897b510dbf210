"""Statements that are read by their first word, without their literals."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from headrace.sql_text import literal
from headrace.targets.redshift_mock.commands import Copy, RefusedError, Unload

_PIECE = re.compile(
    r"'(?:[^'\\]|''|\\.)*'|\"(?:[^\"]|\"\")*\"|(?P<tag>\$\w*\$).*?(?P=tag)"
    r"|--[^\n]*|/\*.*?\*/|;",
    re.DOTALL,
)
_MASK = re.compile(r"\x01(\d+)\x01")
_OWN_SETTINGS = frozenset({
    "query_group", "enable_result_cache_for_session", "wlm_query_slot_count",
    "analyze_threshold_percent", "describe_field_name_in_uppercase", "auto_analyze",
    "mv_enable_aqmv_for_session", "enable_numeric_rounding", "navigate_super_null_on_error",
    "cast_super_null_on_error", "json_serialization_enable",
    "json_serialization_parse_nested_strings", "spectrum_query_maxerror",
    "error_on_nondeterministic_update", "use_fips_ssl", "enable_vacuum_boost",
    "max_cursor_result_set_size", "spectrum_enable_pseudo_columns", "client_protocol_version",
    "stored_proc_log_min_messages",
})  # fmt: skip
"""Settings of a session that PostgreSQL does not have: they are kept, without effect."""


@dataclass(frozen=True)
class Translated:
    """A statement as PostgreSQL understands it.

    Attributes:
        sql: PostgreSQL's.
        tag: of its CommandComplete, where PostgreSQL's would be another.
        copy: a COPY whose rows the stand-in sends.
        unload: an UNLOAD whose rows the stand-in gets.
        is_transaction: whether it begins or ends a transaction.
    """

    sql: str
    tag: str | None = None
    copy: Copy | None = None
    unload: Unload | None = None
    is_transaction: bool = False


def split(sql: str) -> list[str]:
    """The statements of a text, without those that are empty."""
    found, start = [], 0
    for piece in _PIECE.finditer(sql):
        if piece[0] == ";":
            found.append(sql[start : piece.start()])
            start = piece.end()
    found.append(sql[start:])
    return [one for one in found if without_comments(one).strip()]


def without_comments(sql: str) -> str:
    return _PIECE.sub(lambda one: " " if one[0][:2] in {"--", "/*"} else one[0], sql)


class Masked:
    """A statement whose literals, quoted names and comments are numbers: it can be searched."""

    def __init__(self, sql: str) -> None:
        self.pieces: list[str] = []
        self.sql = _PIECE.sub(self._mask, sql).strip().rstrip(";").strip()

    def _mask(self, found: re.Match[str]) -> str:
        if found[0][:2] in {"--", "/*"}:
            return " "
        self.pieces.append(found[0])
        return f"\x01{len(self.pieces) - 1}\x01"

    def restored(self, sql: str, *, lower: bool = False) -> str:
        """The statement with its literals again.

        Args:
            sql: with numbers.
            lower: for PostgreSQL, which keeps the case of quoted names and reads `\\` as it is.
        """

        def piece(found: re.Match[str]) -> str:
            text = self.pieces[int(found[1])]
            if not lower:
                return text
            if text.startswith("'"):
                return f"E{text}" if "\\" in text else text
            return text.lower() if text.startswith('"') else text

        return _MASK.sub(piece, sql)


def _set(text: Masked) -> Translated | None:
    found = re.match(
        r"set\s+(session\s+|local\s+)?(\w+)\s*(=|\bto\b)\s*(.*)",
        text.sql,
        re.IGNORECASE | re.DOTALL,
    )
    if found is None:
        return Translated(text.restored(text.sql, lower=True))
    name, value = found[2].lower(), text.restored(found[4], lower=True)
    if name.startswith("enable_case_sensitive") and value.strip("'").lower() in {"on", "true", "1"}:
        raise RefusedError(
            "the stand-in folds all names to lower case: enable_case_sensitive_identifier is off"
        )
    if name in _OWN_SETTINGS or name.startswith(("enable_case_sensitive", "wlm_")):
        bare = value if value.startswith(("'", "E'")) else literal(value)
        return Translated(f'set {found[1] or ""}"redshift"."{name}" to {bare}', "SET")
    return Translated(text.restored(text.sql, lower=True))


def _show(text: Masked) -> Translated | None:
    found = re.match(
        r"show\s+(databases|schemas|tables|columns)\b(.*)$", text.sql, re.IGNORECASE | re.DOTALL
    )
    if found is None:
        name = text.sql[4:].strip().lower()
        return Translated(f'show "redshift"."{name}"' if name in _OWN_SETTINGS else text.sql)
    what, rest = found[1].lower(), found[2]
    like = re.search(r"\blike\s+(\x01\d+\x01)", rest, re.IGNORECASE)
    named = re.search(r"\bfrom\s+(database|schema|table)\s+([\w.\x01]+)", rest, re.IGNORECASE)
    parts = (
        _MASK.sub(lambda one: text.pieces[int(one[1])].strip('"'), named[2]).lower().split(".")
        if named
        else []
    )
    conditions = []
    if what == "tables" and parts:
        conditions.append(f"schema_name = {literal(parts[-1])}")
    if what == "columns" and len(parts) >= 2:
        conditions += [f"schema_name = {literal(parts[-2])}", f"table_name = {literal(parts[-1])}"]
    if like:
        pattern = text.restored(like[1], lower=True)
        conditions.append(f"{'database' if what == 'databases' else what[:-1]}_name like {pattern}")
    where = f" where {' and '.join(conditions)}" if conditions else ""
    order = " order by schema_name, table_name, ordinal_position" if what == "columns" else ""
    return Translated(f"select * from _redshift.show_{what}{where}{order}")


def _vacuum(text: Masked) -> Translated | None:
    rest = re.sub(
        r"^vacuum\s*|\b(full|sort\s+only|delete\s+only|reindex|recluster|boost)\b",
        "",
        text.sql,
        flags=re.IGNORECASE,
    )
    rest = re.sub(r"\bto\s+\d+\s+percent\b", "", rest, flags=re.IGNORECASE)
    return Translated(text.restored(f"vacuum {rest.strip()}", lower=True))


def _analyze(text: Masked) -> Translated | None:
    rest = re.sub(r"\b(predicate|all)\s+columns\b", "", text.sql, flags=re.IGNORECASE)
    return Translated(text.restored(rest, lower=True))


def _comment(text: Masked) -> Translated | None:
    return Translated(text.restored(text.sql, lower=True))


def _create(text: Masked) -> Translated | None:
    if re.match(r"create\s+(or\s+replace\s+)?function\b", text.sql, re.IGNORECASE):
        if not re.search(r"\blanguage\s+sql\s*$", text.sql, re.IGNORECASE):
            raise RefusedError(
                "the stand-in has functions in SQL only, none in Python or by Lambda"
            )
        return Translated(text.restored(text.sql, lower=True))
    found = re.match(
        r"create\s+schema\s+(if\s+not\s+exists\s+)?([\w.\x01]+)(\s+authorization\s+[\w\x01]+)?(\s+quota\b.*)?$",
        text.sql,
        re.IGNORECASE,
    )
    if found:
        name = found[2].rpartition(".")[2]
        sql = f"create schema {found[1] or ''}{name}{found[3] or ''}"
        return Translated(text.restored(sql, lower=True))
    return None


HANDLERS: dict[str, Callable[[Masked], Translated | None]] = {
    "set": _set, "show": _show, "vacuum": _vacuum, "analyze": _analyze,
    "comment": _comment, "create": _create,
}  # fmt: skip
