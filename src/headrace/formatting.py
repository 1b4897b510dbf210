"""Lists, counts and proposals in messages and in the lines that commands print."""

import difflib
import re
from collections.abc import Iterable, Sequence


def first_few(items: Sequence[str], most: int = 8) -> str:
    """The items, or the first of many and how many more there are: ``a, b and 3 more``."""
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more:,} more" if more > 0 else "")


def did_you_mean(name: str, known: Iterable[str], *, most: int = 1) -> str:
    """``did you mean 'orders'?``, of the names that are spelt most like one; else nothing."""
    near = difflib.get_close_matches(name, list(known), n=most)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else ""


def count(number: int, noun: str, plural: str | None = None) -> str:
    """``1 file``, ``2,000 files``; ``plural`` where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def in_bytes(number: float) -> str:
    """``340 MB``, ``2.1 GB``; of less than a megabyte, the kilobytes."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return (
                f"{number / size:,.1f} {unit}" if unit == "GB" else f"{number / size:,.0f} {unit}"
            )
    return f"{number / 1e3:,.0f} kB"


def one_line(text: str, most: int = 400) -> str:
    """A text of many lines as one, of so many characters at most."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def shortened(text: str, most: int) -> str:
    """A text of so many characters at most, with an ellipsis where it is cut."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def slug(text: str) -> str:
    """Lower case letters and digits, words joined by ``_``: ``sales_2024``."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def printable(value: str) -> str:
    """A value on one line: without line breaks, and without what would steer a terminal."""
    return "".join(sign if sign.isprintable() else " " if sign.isspace() else "�" for sign in value)


def escaped(name: str) -> str:
    """A name whose control and direction characters are written out, such as ``\\u202e``."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in name
    )


def short_count(number: int) -> str:
    """A number in at most five characters: ``950``, ``10k``, ``1.2M``, ``3B``."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return str(number)
