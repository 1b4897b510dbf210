"""The SQL of a staging model that may have been edited: read, and extended by columns.

A model is read by its tokens, with Jinja expressions masked, so that every token
keeps its place in the file. A column is added only where that is certain: to the select list of a
CTE ``final`` that reads ``source`` and nothing else, in a file that SQL can be parsed from. What
was added is proved by parsing the outcome.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from headrace.scaffold.select_list import (
    DIALECT,
    JINJA,
    SelectList,
    is_read_whole,
    masked_sql,
    parsed,
    select_list,
)

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
