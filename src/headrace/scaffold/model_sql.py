"""The SQL of a staging model that may have been edited: its select list, read and extended.

A model is read by its tokens, with Jinja expressions masked, so that every token
keeps its place in the file. A column is added only where that is certain: to the select list of a
CTE ``final`` that reads ``source`` and nothing else, in a file that SQL can be parsed from. What
was added is proved by parsing the outcome.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
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


_SOURCE = re.compile(
    r"""\bsource\(\s*(?P<a>['"])(?P<source>(?:\\.|(?!(?P=a)).)*)(?P=a)\s*,"""
    r"""\s*(?P<b>['"])(?P<table>(?:\\.|(?!(?P=b)).)*)(?P=b)\s*,?\s*\)""",
    re.DOTALL,
)

_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/|\{#.*?#\}", re.DOTALL)

_NO_COLUMN = re.compile(
    r"\{\{-?\s*(?:source|ref|completed_loads|config)\s*\([^{}]*\)\s*-?\}\}"
    r"|\b\w+\s+as\s*(?=\(\s*(?:select|with|\{\{))"
    r"|\b(?:from|join)\s+\w+",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ModelSql:
    """The SQL of a model.

    Attributes:
        text: the file's content.
    """

    text: str

    @cached_property
    def reads(self) -> frozenset[tuple[str, str]]:
        """The ``(source, table)`` pairs that it reads; comments do not read."""
        text = re.sub(r"\{#.*?#\}|--[^\n]*|/\*.*?\*/", " ", self.text, flags=re.DOTALL)
        return frozenset(
            (_unescaped(match["source"]), _unescaped(match["table"]))
            for match in _SOURCE.finditer(text)
        )

    @cached_property
    def select(self) -> SelectList | None:
        """The select list to which a column can be added; None where the shape is another."""
        masked = masked_sql(self.text)
        if masked is None or parsed(masked) is None:
            return None
        return select_list(masked)

    @property
    def shows_all(self) -> bool:
        """Whether every column of the raw table reaches the model, ``select *`` all the way."""
        return self.select is not None and self.select.is_star

    @cached_property
    def own_table(self) -> tuple[str, str] | None:
        """Source and table of which its CTE ``source`` passes on every column."""
        masked = masked_sql(self.text)
        if masked is None:
            return None
        found = [
            (_unescaped(match["source"]), _unescaped(match["table"]))
            for jinja, match in ((j, _SOURCE.search(j[0])) for j in JINJA.finditer(self.text))
            if match is not None and is_read_whole(masked, jinja.start())
        ]
        return found[0] if len(found) == 1 else None

    def mentions(self, column: str) -> bool:
        """Whether a column is named anywhere in it, in a comment too."""
        return self.lines_with(column) != ()

    def lines_with(self, column: str) -> tuple[int, ...]:
        """The lines (from 1) that name a column: in the select list, in jinja, in a comment."""
        word = re.compile(rf"(?<![\w.]){re.escape(column)}(?!\w|\s*\.)", re.IGNORECASE)
        own = re.compile(rf"(?<!\w)source\s*\.\s*\"?{re.escape(column)}(?!\w)", re.IGNORECASE)
        lines = self._searchable.splitlines()
        return tuple(
            number
            for number, line in enumerate(lines, start=1)
            if word.search(line) or own.search(line)
        )

    @cached_property
    def _searchable(self) -> str:
        """The text with all that reads no raw column blanked, line by line as it was."""
        text = _NO_COLUMN.sub(_blank, self.text)
        if self.select is None or not self.select.items:
            return text
        first, last = self.select.items[0].start, self.select.from_start
        kept = [(match.start(), match.end()) for match in _COMMENT.finditer(text)]
        kept.append((text.rfind("\n", 0, first) + 1, last))
        names = [(item.alias, item.end) for item in self.select.items]
        return "".join(
            character
            if character in "\r\n" or (_within(n, kept) and not _within(n, names))
            else " "
            for n, character in enumerate(text)
        )

    def output(self, column: str) -> str | None:
        """What a raw column is called in the model; None where it does not reach it as it is."""
        if self.select is None:
            return None
        if self.select.is_star:
            return column
        found = [
            item.output
            for item in self.select.items
            if item.raw is not None and item.raw.lower() == column.lower()
        ]
        return found[0] if len(found) == 1 else None

    def with_column(self, sql: str, *, after: str | None, note: str = "") -> "ModelSql | None":
        """The model with one more column.

        Args:
            sql: the item, such as ``id as order_id``.
            after: the raw column whose item it follows; None puts it last.
            note: a comment for the end of its line.

        Returns:
            None where it cannot be added safely.
        """
        if self.select is None or self.select.is_star:
            return None
        items = self.select.items
        place = next(
            (n for n, item in enumerate(items) if after is not None and item.raw == after),
            len(items) - 1,
        )
        new = ModelSql(_inserted(self.text, self.select, place, sql, note))
        return new if _is_only_addition(self.text, new.text, place, sql) else None


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _within(place: int, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(start <= place < end for start, end in ranges)


def _blank(match: "re.Match[str]") -> str:
    return re.sub(r"[^\r\n]", " ", match[0])


def _inserted(text: str, select: SelectList, place: int, sql: str, note: str) -> str:
    """The text with an item after the one at ``place``."""
    newline = "\r\n" if "\r\n" in text else "\n"
    item = select.items[place]
    is_last = place == len(select.items) - 1
    line_start = text.rfind("\n", 0, item.start) + 1
    lead = text[line_start : item.start]
    is_alone = len(select.items) == 1 and lead.strip().lower() == "select"
    indent = _indent(lead) + 4 * " " if is_alone else _indent(lead)
    follows = select.from_start if is_last else select.items[place + 1].start
    line_end = text.find("\n", item.end)
    on_own_line = line_end != -1 and line_end < follows
    if not on_own_line:
        head, tail = (
            (text[: item.end], text[item.end :]) if is_last else (text[:follows], text[follows:])
        )
        return f"{head}, {sql}{tail}" if is_last else f"{head}{sql}, {tail}"
    if not is_last:
        return f"{text[: line_end + 1]}{indent}{sql},{note}{newline}{text[line_end + 1 :]}"
    rest = line_end - 1 if text[line_end - 1] == "\r" else line_end
    head = text[: item.end]
    if is_alone:  # each of two items is on a line of its own; the blank before the first stays
        head = f"{text[: item.start - 1]}{newline}{indent[:-1]}{text[item.start - 1 : item.end]}"
    return f"{head},{text[item.end : rest]}{newline}{indent}{sql}{note}{text[rest:]}"


def _indent(lead: str) -> str:
    return lead[: len(lead) - len(lead.lstrip())]


def _is_only_addition(old: str, new: str, place: int, sql: str) -> bool:
    """Whether the new text is the old query and one more column, and no other byte went."""
    from sqlglot import exp, parse_one

    masked_old, masked_new = masked_sql(old), masked_sql(new)
    if masked_old is None or masked_new is None:
        return False
    before, after = parsed(masked_old), parsed(masked_new)
    if before is None or after is None:
        return False
    final = next(cte for cte in before.find_all(exp.CTE) if cte.alias.lower() == "final")
    item = parse_one(f"select {sql}", dialect=DIALECT).expressions[0]
    final.this.expressions.insert(place + 1, item)
    is_subsequence = _keeps(old, new)
    return is_subsequence and bool(
        before.sql(dialect=DIALECT, comments=False) == after.sql(dialect=DIALECT, comments=False)
    )


def _keeps(old: str, new: str) -> bool:
    """Whether all characters of the old text are in the new one, in their order."""
    rest: Iterator[str] = iter(new)
    return all(character in rest for character in old)
