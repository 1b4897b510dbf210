"""An entry below ``sources`` of a settings file, every other byte of which stays as it is."""

import re

from headrace.errors import AddError, ScaffoldError
from headrace.scaffold import yaml_text

_EMPTY = re.compile(r"^(sources:)([ \t]*)(\{[ \t]*\}|null|~)(?=[ \t]*(#.*)?$)", re.MULTILINE)


def insert(text: str, name: str, entry: str, file: str) -> str:
    """The text with the entry as the last one of ``sources``.

    Args:
        text: of the settings file; empty where there is none.
        name: of the source.
        entry: YAML of its key and value, comments in front, without indentation.
        file: what the file is called, for messages.

    Raises:
        AddError: the file is no YAML, or the entry cannot be put there surely.
    """
    try:
        document = yaml_text.parse(text, file)
        meant = yaml_text.parse(entry, "the entry").data
    except ScaffoldError as error:
        raise AddError(str(error)) from error
    data = document.data if document.data is not None else {}
    new = _new_text(document, entry)
    try:
        found = yaml_text.parse(new, file).data if new is not None else None
    except ScaffoldError:
        found = None
    expected = (
        {**data, "sources": {**(data.get("sources") or {}), **meant}} if _is_dict(data) else 0
    )
    if new is None or found != expected or list(found["sources"])[-1] != name:
        lines = " / ".join(line for line in entry.splitlines() if not line.startswith("#"))
        raise AddError(
            f"{file}: its `sources` cannot be edited safely, since they are not written as "
            f"indented lines; add by hand: {lines}; nothing was written"
        )
    return new


def entries(text: str, file: str) -> dict[str, object]:
    """What ``sources`` holds, by name.

    Raises:
        AddError: the file is no YAML.
    """
    try:
        data = yaml_text.parse(text, file).data
    except ScaffoldError as error:
        raise AddError(str(error)) from error
    found = data.get("sources") if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


def _is_dict(data: object) -> bool:
    return isinstance(data, dict) and isinstance(data.get("sources") or {}, dict)


def _new_text(document: yaml_text.Document, entry: str) -> str | None:
    text, newline = document.text, document.newline
    node = yaml_text.node_at(document.node, ("sources",))
    if document.node is None or node is None:
        head = text if not text or text.endswith(("\n", "\r")) else text + newline
        gap = newline if head.strip() else ""
        return f"{head}{gap}sources:{newline}{_indented(entry, 2, newline)}"
    if node.id == "mapping" and node.value and not node.flow_style:
        column = node.value[0][0].start_mark.column
        lines = text.splitlines(keepends=True)
        place = _end(int(node.value[-1][0].start_mark.line), column, lines)
        if place and not lines[place - 1].endswith(("\n", "\r")):
            lines[place - 1] += newline
        block = newline + _indented(entry, column, newline)
        return "".join([*lines[:place], block, *lines[place:]])
    # `sources: {}` or `sources:` with nothing in it
    bare, count = _EMPTY.subn(r"\1", text, count=1)
    lines = (bare if count else text).splitlines(keepends=True)
    first = next((n for n, line in enumerate(lines) if line.startswith("sources:")), None)
    if first is None:
        return None
    end = _end(first, 1, lines)
    if not lines[end - 1].endswith(("\n", "\r")):
        lines[end - 1] += newline
    gap = newline if end > first + 1 else ""
    return "".join([*lines[:end], gap, _indented(entry, 2, newline), *lines[end:]])


def _end(start: int, column: int, lines: list[str]) -> int:
    """The line (from 0) before which an entry goes: after the comments of the last one."""
    last = start
    for number in range(start + 1, len(lines)):
        line = lines[number]
        if line.strip():
            if len(line) - len(line.lstrip(" ")) < column:
                break
            last = number
    return last + 1


def _indented(entry: str, column: int, newline: str) -> str:
    lines = (" " * column + line if line else "" for line in entry.rstrip("\n").split("\n"))
    return newline.join([*lines, ""])
