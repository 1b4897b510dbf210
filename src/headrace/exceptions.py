"""The causes of an exception, and the first line of its message."""

from collections.abc import Iterator


def causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and what it was raised from, outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def came_of_ctrl_c(error: BaseException) -> bool:
    """Whether Ctrl-C is behind an error: dlt and DuckDB wrap it, dbt returns it as a result."""
    return any(isinstance(cause, KeyboardInterrupt) for cause in causes(error))


def text_of(error: object) -> str:
    """An error's message; empty where it has none, as click's and dbt's exits that hold another."""
    try:
        return str(error).strip()
    except AttributeError:
        return ""


def first_line(error: object) -> str:
    """The first line of an error's message; its kind where it has none."""
    text = text_of(error)
    return text.splitlines()[0] if text else type(error).__name__
