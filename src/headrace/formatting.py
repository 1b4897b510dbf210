"""Lists, counts and proposals in messages and in the lines that commands print."""

import difflib
from collections.abc import Iterable, Sequence


def first_few(items: Sequence[str], most: int = 8) -> str:
    """The items, or the first of many and how many more there are: ``a, b and 3 more``."""
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more:,} more" if more > 0 else "")


def did_you_mean(name: str, known: Iterable[str], *, most: int = 1) -> str:
    """``did you mean 'orders'?``, of the names that are spelt most like one; else nothing."""
    near = difflib.get_close_matches(name, list(known), n=most)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else ""


def count(number: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def one_line(text: str, most: int = 400) -> str:
    """A text of many lines as one, of so many characters at most."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def printable(line: str) -> str:
    """One line, whatever the data hold: no line breaks, and nothing that a terminal obeys."""
    return "".join(sign if sign.isprintable() else " " if sign.isspace() else "�" for sign in line)
