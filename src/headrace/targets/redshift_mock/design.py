"""How a table is stored in Redshift: DISTKEY, SORTKEY, ENCODE, which PostgreSQL does not know.

They are taken out of a statement and go with it in a comment, where an event trigger of
``system_tables.sql`` finds them; `pg_table_def`, `svv_table_info` and their kin show them.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from headrace.sql_text import literal

_NAME = r"[\w$.\x01]+"
_CREATE = re.compile(
    r"create\s+(?:(?:local\s+)?temp(?:orary)?\s+)?table\s+(?:if\s+not\s+exists\s+)?#?"
    rf"(?P<name>{_NAME})",
    re.IGNORECASE,
)
_ALTER = re.compile(
    rf"alter\s+table\s+(?P<name>{_NAME})\s+(?P<actions>alter\s.*)$", re.IGNORECASE | re.DOTALL
)
_STYLE = re.compile(r"\bdiststyle\s+(auto|even|key|all)\b", re.IGNORECASE)
_KEY = re.compile(r"\bdistkey\s*\(\s*([^)]+?)\s*\)", re.IGNORECASE)
_SORT = re.compile(r"\b(compound\s+|interleaved\s+)?sortkey\s*\(([^)]*)\)", re.IGNORECASE)
_LIKE = re.compile(rf"\(\s*like\s+({_NAME})", re.IGNORECASE)
_COLUMN_KEY = re.compile(r"\b(distkey|sortkey)\b(?!\s*\()", re.IGNORECASE)
_ENCODE = re.compile(r"\bencode\s+(\w+)", re.IGNORECASE)
_ACTIONS = re.compile(
    rf"alter\s+(?:(?P<style>diststyle\s+(?:auto|even|all|key\s+distkey\s+{_NAME}))"
    rf"|distkey\s+(?P<key>{_NAME})"
    r"|(?P<kind>compound\s+|interleaved\s+)?sortkey\s*\((?P<sort>[^)]*)\)"
    r"|sortkey\s+(?P<none>none|auto)"
    rf"|column\s+(?P<column>{_NAME})\s+encode\s+(?P<encode>\w+)"
    r"|encode\s+(?P<all>auto))\s*(?:,\s*|$)",
    re.IGNORECASE,
)


@dataclass
class TableDesign:
    """What a statement says of how a table is stored.

    Attributes:
        name: the table's, as it is in SQL.
        style: ``even``, ``all``, ``key`` or ``auto``; None where it says nothing.
        key: the column of ``key``.
        sort: columns; empty for none; None where it says nothing.
        interleaved: whether they count alike.
        encodings: by column.
        like: a table whose design is taken over.
    """

    name: str
    style: str | None = None
    key: str | None = None
    sort: list[str] | None = None
    interleaved: bool = False
    encodings: dict[str, str] = field(default_factory=dict)
    like: str | None = None

    def as_json(self) -> str:
        """For the database; a comment may hold it."""
        given: dict[str, Any] = {key: value for key, value in vars(self).items() if value}
        if self.sort is not None:
            given["sort"] = self.sort
        return json.dumps(given).replace("/", "\\/")


def _plain(name: str, restored: Callable[[str], str]) -> str:
    """A name of a column as it is in the catalog."""
    return restored(name.strip()).strip('"').lower()


def _items(body: str) -> Iterator[str]:
    """What stands between the commas of a list in brackets, up to its end."""
    depth, start = 0, 0
    for at, letter in enumerate(body):
        if letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
            if depth < 0:
                yield body[start:at]
                return
        elif letter == "," and not depth:
            yield body[start:at]
            start = at + 1


def design_of(head: str, restored: Callable[[str], str]) -> TableDesign | None:
    """The design in a CREATE TABLE.

    Args:
        head: the statement without its literals, up to the AS of a query.
        restored: gives text with its literals again.

    Returns:
        None where it is no CREATE TABLE of a name.
    """
    found = _CREATE.match(head)
    if found is None:
        return None
    made = TableDesign(restored(found["name"]).lower())
    rest = head[found.end() :]
    if style := _STYLE.search(rest):
        made.style = style[1].lower()
    if key := _KEY.search(rest):
        made.style, made.key = "key", _plain(key[1], restored)
    if sort := _SORT.search(rest):
        made.sort = [_plain(one, restored) for one in sort[2].split(",")]
        made.interleaved = (sort[1] or "").strip().lower() == "interleaved"
    if like := _LIKE.match(rest.lstrip()):
        made.like = restored(like[1]).lower()
    opening = re.match(r"\s*\(", rest)
    for item in _items(rest[opening.end() :]) if opening else ():
        words = item.split(None, 1)
        if len(words) < 2:
            continue
        column = _plain(words[0], restored)
        if encode := _ENCODE.search(words[1]):
            made.encodings[column] = encode[1].lower()
        for one in _COLUMN_KEY.finditer(words[1]):
            if one[1].lower() == "distkey":
                made.style, made.key = "key", column
            else:
                made.sort = [*(made.sort or []), column]
    return made


def alter_design(sql: str, restored: Callable[[str], str]) -> str | None:
    """ALTER TABLE that changes the design alone, as PostgreSQL's SQL; None if it is another one."""
    found = _ALTER.match(sql)
    if found is None:
        return None
    made = TableDesign(restored(found["name"]).lower())
    at = 0
    while at < len(found["actions"]):
        action = _ACTIONS.match(found["actions"], at)
        if action is None:
            return None
        at = action.end()
        if style := action["style"]:
            words = style.split()
            made.style = words[1].lower()
            made.key = _plain(words[3], restored) if len(words) > 2 else None
        elif key := action["key"]:
            made.style, made.key = "key", _plain(key, restored)
        elif action["sort"] is not None:
            made.sort = [_plain(one, restored) for one in action["sort"].split(",")]
            made.interleaved = (action["kind"] or "").strip().lower() == "interleaved"
        elif action["none"]:
            made.sort = []
        elif column := action["column"]:
            made.encodings[_plain(column, restored)] = action["encode"].lower()
    return (
        f"call _redshift.change_design({literal(made.name)}::regclass, {literal(made.as_json())})"
    )
