"""Where an error is in the user's own files, and what else a library said of it.

The message of an error is one line. What belongs to it and has lines of its own (the place with a
caret, the table of a contract's mismatches) is kept beside it, for the terminal, JSON, the run
store and the page.
"""

import sys
import sysconfig
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from headrace.exceptions import causes
from headrace.formatting import printable

_BEFORE = 2  # lines above the one that is wrong
_LONGEST = 160  # characters of a line that is shown
_ROWS = 5  # that are shown as lines
_OWN_CODE = Path(__file__).parent


@dataclass(frozen=True)
class Mismatch:
    """A column whose model and contract differ, in dbt's words.

    Attributes:
        column: its name.
        definition_type: its type in the SQL of the model; empty if it is missing there.
        contract_type: its type in the contract; empty if it is missing there.
        reason: such as ``data type mismatch`` or ``missing in contract``.
    """

    column: str
    definition_type: str
    contract_type: str
    reason: str


@dataclass(frozen=True)
class ErrorDetail:
    """What an error's one line leaves out.

    Attributes:
        file: relative to the project, with ``/``; a file of the user where it is known.
        line: in that file, from 1.
        column: in that line, from 1.
        excerpt: the lines around, with a caret; or what a library said beyond its first line.
        mismatches: of a contract.
        rows: the first rows that a failed test found, by column; personal data is masked.
        rows_total: how many there are, where that is known.
        query: of all of them.
    """

    file: str | None = None
    line: int | None = None
    column: int | None = None
    excerpt: str = ""
    mismatches: tuple[Mismatch, ...] = ()
    rows: tuple[dict[str, str | None], ...] = ()
    rows_total: int | None = None
    query: str = ""

    @property
    def place(self) -> str:
        """``models/orders.sql:12:6``, as far as it is known; empty if it is not."""
        parts = (self.file, self.line, self.column if self.line else None)
        return ":".join(str(part) for part in parts if part)

    @property
    def text(self) -> str:
        """The place, the excerpt, the mismatches and the first rows as lines for people."""
        rows = [tuple(self.rows[0])] if self.rows else []
        rows += [
            tuple("null" if cell is None else cell for cell in row.values())
            for row in self.rows[:_ROWS]
        ]
        more = max(self.rows_total or 0, len(self.rows)) - _ROWS
        rest = f"and {more:,} more" if self.rows and more > 0 else ""
        return "\n".join(part for part in (self.said, _aligned(rows), rest) if part)

    @property
    def said(self) -> str:
        """The same without the rows."""
        table = [("column", "definition", "contract", "reason")] if self.mismatches else []
        table += [
            (one.column, one.definition_type, one.contract_type, one.reason)
            for one in self.mismatches
        ]
        parts = (self.place and f"--> {self.place}", self.excerpt, _aligned(table))
        return "\n".join(part for part in parts if part)

    def as_json(self) -> dict[str, Any]:
        """The attributes, of which JSON is made."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ErrorDetail":
        """The inverse of ``as_json``; keys of a newer Headrace are left out."""
        known = {key: values[key] for key in cls.__dataclass_fields__ if key in values}
        mismatches = tuple(Mismatch(**each) for each in known.pop("mismatches", ()))
        rows = tuple(known.pop("rows", ()))
        return cls(**known, mismatches=mismatches, rows=rows)


def hidden(detail: ErrorDetail | None) -> ErrorDetail | None:
    """The detail with secrets masked."""
    from headrace.secrets import hide, hide_in

    if detail is None:
        return None
    rows = tuple(map(hide_in, detail.rows))
    return replace(detail, excerpt=hide(detail.excerpt), rows=rows, query=hide(detail.query))


def excerpt(lines: Sequence[str], line: int, column: int | None = None) -> str:
    """A line with its number, those above it, and a caret below the column.

    Args:
        lines: of the file.
        line: from 1; of one below the last the last ones are shown.
        column: from 1; None for no caret.
    """
    if not lines or line < 1:
        return ""
    if line > len(lines):  # the end of the file is what is wrong
        line, column = len(lines), None
    width = len(str(line))
    first = max(1, line - _BEFORE)
    shown = [
        (number, lines[number - 1].rstrip().expandtabs(1)) for number in range(first, line + 1)
    ]
    cut = max(0, (column or 1) - _LONGEST // 2) if len(shown[-1][1]) > _LONGEST else 0
    text = [f"{number:>{width}} | {said[cut:][:_LONGEST]}".rstrip() for number, said in shown]
    if column is not None:
        text.append(f"{'':>{width}} | {'':>{max(0, column - 1 - cut)}}^")
    return "\n".join(text)


def in_file(path: Path, root: Path, line: int | None, column: int | None = None) -> ErrorDetail:
    """A place in a file, with an excerpt where it can be read.

    Args:
        path: of the file.
        root: of the project.
        line: from 1.
        column: from 1.
    """
    shown = excerpt(read_lines(path), line, column) if line is not None else ""
    return ErrorDetail(relative(path, root), line, column, shown)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file; none if it cannot be read."""
    try:
        return path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def relative(path: Path, root: Path) -> str:
    """A path below the project, as it is written in all messages."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def user_frame(error: BaseException, root: Path) -> ErrorDetail | None:
    """The innermost line of the project's own Python code that an exception came through.

    Args:
        error: the exception; those that it was raised from are looked at first.
        root: of the project; what is installed below it is not the user's, nor is Headrace.
    """
    for cause in reversed(list(causes(error))):
        if isinstance(cause, SyntaxError) and cause.filename:
            path = Path(cause.filename)
            if is_own_code(path, root):
                return in_file(path, root, cause.lineno, cause.offset)
        for frame, line in reversed(list(traceback.walk_tb(cause.__traceback__))):
            path = Path(frame.f_code.co_filename)
            if is_own_code(path, root):
                return in_file(path, root, line)
    return None


def is_own_code(path: Path, root: Path) -> bool:
    """Whether a file of Python is the project's own: not installed, and not Headrace's."""
    installed = (sys.prefix, sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    others = (_OWN_CODE, *map(Path, installed))
    return path.is_relative_to(root) and not any(map(path.is_relative_to, others))


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells in columns, each value on one line."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)
    return "\n".join(lines)
