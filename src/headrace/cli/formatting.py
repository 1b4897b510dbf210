"""Lists and numbers in the lines that commands print."""

_MOST_NAMED = 8


def some(items: tuple[str, ...]) -> str:
    """The items, or the first of many and how many more there are."""
    if len(items) <= _MOST_NAMED:
        return ", ".join(items)
    return f"{', '.join(items[:_MOST_NAMED])} and {len(items) - _MOST_NAMED} more"


def count(number: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def printable(line: str) -> str:
    """One line, whatever the data hold: no line breaks, and nothing that a terminal obeys."""
    return "".join(sign if sign.isprintable() else " " if sign.isspace() else "�" for sign in line)
