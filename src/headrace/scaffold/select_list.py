"""The select list of a staging model, read by its tokens.

Jinja expressions are masked by SQL of the same length, so that every token keeps
its place in the file.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)

_OPENS_CTE = re.compile(r"\bas\s*(not\s+materialized|materialized)?\s*\(\s*$", re.IGNORECASE)

DIALECT = "duckdb"

_WHOLE = ("source", "as", "(", "select", "*", "from")

_LAST = ("select", "*", "from", "final")

_MORE = {"group", "union", "qualify", "intersect", "except", "having", "window", "limit"}


@dataclass(frozen=True)
class SelectItem:
    """An item of the select list.

    Attributes:
        start: offset of its first character.
        end: offset after its last character.
        raw: the column of ``source`` that it passes on under a name; None of anything computed.
        output: what it is called in the model; None where that cannot be told.
        alias: offset of the name behind ``as``; ``end`` where there is none.
    """

    start: int
    end: int
    alias: int
    raw: str | None
    output: str | None


@dataclass(frozen=True)
class SelectList:
    """The select list of a model's last step.

    Attributes:
        items: in order.
        from_start: offset of its ``from``.
        is_star: whether it is ``select *`` alone.
    """

    items: tuple[SelectItem, ...]
    from_start: int
    is_star: bool


def masked_sql(text: str) -> str | None:
    """The text with jinja replaced by SQL of the same length; None where that cannot be done."""
    parts: list[str] = []
    start = 0
    for number, match in enumerate(JINJA.finditer(text)):
        parts.append(text[start : match.start()])
        start = match.end()
        word = _stand_in(match[0], "".join(parts), number)
        if word is None or len(word) > len(match[0]):
            return None
        parts.append(word.ljust(len(match[0])))
    return "".join([*parts, text[start:]])


def _stand_in(jinja: str, before: str, number: int) -> str | None:
    if jinja.startswith("{#"):
        return ""
    if jinja.startswith("{%"):
        return None  # what is between two statements may not be rendered at all
    if re.match(r"\{\{-?\s*config\s*\(", jinja):
        return ""
    if _OPENS_CTE.search(before):
        return "select 1"
    return f"_j{number}"


def parsed(masked: str) -> Any:
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        statements = sqlglot.parse(masked, dialect=DIALECT)
    except SqlglotError:
        return None
    return statements[0] if len(statements) == 1 else None


def _tokens(masked: str) -> list[Any]:
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        return list(sqlglot.tokenize(masked, dialect=DIALECT))
    except SqlglotError:
        return []


def is_read_whole(masked: str, place: int) -> bool:
    """Whether the stand-in at an offset is read by ``source as (select * from … )``."""
    tokens = _tokens(masked)
    words = [masked[token.start : token.end + 1].lower() for token in tokens]
    here = next((n for n, token in enumerate(tokens) if token.start == place), None)
    if here is None or words[max(0, here - 6) : here] != list(_WHOLE):
        return False
    return words[here + 1 : here + 2] == [")"]


def select_list(masked: str) -> SelectList | None:
    """The select list of ``final as (select … from source [where …])``, which ends the query."""
    tokens = _tokens(masked)
    words = [masked[token.start : token.end + 1].lower() for token in tokens]
    starts = [
        n for n in range(len(words) - 3) if words[n : n + 4] == ["final", "as", "(", "select"]
    ]
    ends = [[")", *_LAST], [")", *_LAST, ";"]]
    if len(starts) != 1 or (words[-5:] != ends[0] and words[-6:] != ends[1]):
        return None
    first = starts[0] + 4
    items, last = _items(masked, tokens, words, first)
    after = words[last : last + 3]
    if not items or after[:2] != ["from", "source"] or after[2] not in {")", "where"}:
        return None
    end = _end_of_condition(words, last + 2)
    if end is None or words[end:] not in ends or words[first] in {"distinct", "all"}:
        return None
    is_star = len(items) == 1 and masked[items[0].start : items[0].end] == "*"
    if not is_star and any("*" in masked[item.start : item.end].split() for item in items):
        return None
    return SelectList(tuple(items), tokens[last].start, is_star)


def _items(
    masked: str, tokens: list[Any], words: list[str], first: int
) -> tuple[list[SelectItem], int]:
    """The items from a token on, and the token at which the list ends; none if one is empty."""
    items: list[SelectItem] = []
    depth, begin, place = 0, first, first
    while place < len(words):
        word = words[place]
        if depth == 0 and word in {",", "from", ")"}:
            if place == begin:
                return [], place
            items.append(_item(masked, tokens[begin:place]))
            begin = place + 1
            if word != ",":
                break
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(word, 0)
        place += 1
    return items, place


def _item(masked: str, tokens: Sequence[Any]) -> SelectItem:
    texts = [token.text for token in tokens]
    start, end = tokens[0].start, tokens[-1].end + 1
    if len(texts) >= 2 and texts[-2].lower() == "as":
        output: str | None = texts[-1]
        source = texts[:-2]
    else:
        output, source = None, texts
    if len(source) == 3 and source[0].lower() == "source" and source[1] == ".":
        source = source[2:]
    is_column = len(source) == 1 and _is_name(masked, tokens, source[0])
    raw = source[0] if is_column else None
    alias = tokens[-1].start if output is not None else end
    return SelectItem(start, end, alias, raw, output or raw)


def _is_name(masked: str, tokens: Sequence[Any], text: str) -> bool:
    """Whether a token is a column's name: no number, no text, no stand-in for jinja."""
    token = next(token for token in tokens if token.text == text)
    written = masked[token.start : token.end + 1]
    if written.startswith('"'):
        return True
    return re.fullmatch(r"[^\W\d]\w*", written) is not None and not re.fullmatch(r"_j\d+", written)


def _end_of_condition(words: list[str], place: int) -> int | None:
    """The token that closes the CTE; None if more than a condition comes before it."""
    depth = 0
    for number, word in enumerate(words[place:], start=place):
        depth += {"(": 1, ")": -1}.get(word, 0)
        if depth < 0:
            return number
        if depth == 0 and word.split()[0] in _MORE:
            return None
    return None
