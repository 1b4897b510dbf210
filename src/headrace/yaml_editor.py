"""An editor of YAML files that somebody else wrote: it leaves every byte of them unchanged.

    text ─► parse: data, nodes with marks ─► lines put between lines ─► parsed again: as meant?

Nothing is dumped: lines are put between the lines that are there. Where they belong is found by
the marks of the parsed nodes; that they are in the right place is proved by parsing the result
and comparing it with what was meant.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace.errors import ProjectFileError
from headrace.exceptions import first_line

YamlPath = tuple[str | int, ...]


@dataclass(frozen=True)
class YamlDocument:
    """A parsed YAML file.

    Attributes:
        name: of the file, for messages.
        text: its content, line ends as they are.
        data: plain Python values, nothing shared.
        node: the composed root node, with marks; None of an empty file.
    """

    name: str
    text: str
    data: Any
    node: Any

    @property
    def newline(self) -> str:
        """How its lines end."""
        return "\r\n" if "\r\n" in self.text else "\n"

    def line(self, path: YamlPath) -> int:
        """The line (from 1) of the value at a path."""
        node = node_at(self.node, path)
        return 1 if node is None else int(node.start_mark.line) + 1


@dataclass(frozen=True)
class ListItem:
    """An item to add to a list.

    Attributes:
        path: of the list.
        after: the index of the item that it follows.
        lines: YAML of the item, ``- `` in front, without the list's indentation.
    """

    path: YamlPath
    after: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class MappingKey:
    """A key to add to a mapping.

    Attributes:
        path: of the mapping.
        lines: YAML of key and value, without the mapping's indentation.
    """

    path: YamlPath
    lines: tuple[str, ...]


Edit = ListItem | MappingKey


def parse(text: str, name: str) -> YamlDocument:
    """Parse a file.

    Raises:
        ProjectFileError: it is not valid YAML; the message names file and line.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yaml = YAML(typ="safe", pure=True)
            node = yaml.compose(text)
            data = None if node is None else _plain(yaml.constructor.construct_document(node))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        problem = _problem(error, text, mark.line if mark else 0)
        raise ProjectFileError(f"{where}: {problem}: fix it first; nothing was written") from error
    except (YAMLError, ValueError) as error:
        raise ProjectFileError(
            f"{name} is not YAML ({first_line(error)}): fix it first; nothing was written"
        ) from error
    except RecursionError as error:
        raise ProjectFileError(
            f"{name}: an alias is inside of its own anchor: fix it first; nothing was written"
        ) from error
    return YamlDocument(name, text, data, node)


def add(document: YamlDocument, edits: Sequence[Edit]) -> tuple[YamlDocument, tuple[Edit, ...]]:
    """Make those edits that can be made safely.

    Returns:
        The new document, and the edits that could not be made.
    """
    if not edits:
        return document, ()
    whole = _apply(document, edits)
    if whole is not None:
        return whole, ()
    if len(edits) == 1:
        return document, tuple(edits)
    # the last ones first: then the paths and indexes of the others still hold
    left: list[Edit] = []
    for edit in sorted(edits, key=_depth_and_place, reverse=True):
        found = _apply(document, [edit])
        if found is None:
            left.insert(0, edit)
        else:
            document = found
    return document, tuple(left)


def append_entry(document: YamlDocument, key: str, entry: str) -> YamlDocument | None:
    """The document with an entry as the last one of a top-level mapping, which may be missing.

    Args:
        document: the file; it may be empty.
        key: of the mapping.
        entry: YAML of one key and its value, comments in front, without indentation.

    Returns:
        None where that cannot be done safely.
    """
    added = parse(entry, "the entry").data
    data = {} if document.data is None else document.data
    old = (data.get(key) or {}) if isinstance(data, dict) else None
    new_text = _with_entry(document, key, entry) if isinstance(old, dict) else None
    if new_text is None or old is None:
        return None
    try:
        new = parse(new_text, document.name)
    except ProjectFileError:
        return None
    is_meant = new.data == {**data, key: {**old, **added}}
    return new if is_meant and list(new.data[key])[-1] in added else None


def node_at(node: Any, path: YamlPath) -> Any:
    """The node that a path leads to; None where it leads nowhere."""
    for part in path:
        if node is None:
            return None
        if isinstance(part, int):
            items = node.value if node.id == "sequence" else []
            node = items[part] if part < len(items) else None
        else:
            pairs = node.value if node.id == "mapping" else []
            node = next((value for key, value in pairs if key.value == part), None)
    return node


def value_at(data: Any, path: YamlPath) -> Any:
    """The value that a path leads to; None where it leads nowhere."""
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _with_entry(document: YamlDocument, key: str, entry: str) -> str | None:
    text, newline = document.text, document.newline
    node = node_at(document.node, (key,))
    if document.node is None or node is None:
        head = text if not text or text.endswith(("\n", "\r")) else text + newline
        gap = newline if head.strip() else ""
        return f"{head}{gap}{key}:{newline}{_indented(entry, 2, newline)}"
    if node.id == "mapping" and node.value and not node.flow_style:
        column = node.value[0][0].start_mark.column
        lines = text.splitlines(keepends=True)
        place = _end(int(node.value[-1][0].start_mark.line), column, lines)
        if place and not lines[place - 1].endswith(("\n", "\r")):
            lines[place - 1] += newline
        block = newline + _indented(entry, column, newline)
        return "".join([*lines[:place], block, *lines[place:]])
    # `key: {}` or `key:` with nothing in it
    empty = rf"^({re.escape(key)}:)([ \t]*)(\{{[ \t]*\}}|null|~)(?=[ \t]*(#.*)?$)"
    bare, count = re.subn(empty, r"\1", text, count=1, flags=re.MULTILINE)
    lines = (bare if count else text).splitlines(keepends=True)
    first = next((n for n, line in enumerate(lines) if line.startswith(f"{key}:")), None)
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
            if _indent(line) < column:
                break
            last = number
    return last + 1


def _indented(entry: str, column: int, newline: str) -> str:
    lines = (" " * column + line if line else "" for line in entry.rstrip("\n").split("\n"))
    return newline.join([*lines, ""])


def _depth_and_place(edit: Edit) -> tuple[int, int]:
    return len(edit.path), edit.after if isinstance(edit, ListItem) else 0


def _apply(document: YamlDocument, edits: Sequence[Edit]) -> YamlDocument | None:
    """All edits, or None if the outcome is not exactly what was meant."""
    lines = document.text.splitlines(keepends=True)
    inserts: list[tuple[int, int, int, str]] = []
    for number, edit in enumerate(edits):
        found = _insert(document, lines, edit)
        if found is None:
            return None
        line, text = found
        inserts.append((line, -len(edit.path), number, text))
    parts: list[str] = []
    start = 0
    for line, _, _, text in sorted(inserts):
        parts += lines[start:line]
        start = line
        if parts and not parts[-1].endswith(("\n", "\r")):
            parts.append(document.newline)
        parts.append(text)
    new_text = "".join([*parts, *lines[start:]])
    try:
        meant = _meant(document.data, edits)
        new = parse(new_text, document.name)
    except ProjectFileError:
        return None
    return new if new.data == meant else None


def _insert(document: YamlDocument, lines: list[str], edit: Edit) -> tuple[int, str] | None:
    """The line (from 0) before which an edit's text goes, and the text."""
    node = node_at(document.node, edit.path)
    if node is None or getattr(node, "flow_style", False) or not node.value:
        return None
    if isinstance(edit, MappingKey):
        if node.id != "mapping":
            return None
        column, place, gap = node.value[0][0].start_mark.column, node, False
    else:
        if node.id != "sequence" or edit.after >= len(node.value):
            return None
        column, place = node.start_mark.column, node.value[edit.after]
        gap = _has_blank_lines(node, lines)
    text = [" " * column + line if line else "" for line in edit.lines]
    block = document.newline.join([*([""] if gap else []), *text, ""])
    return _last_line(place, lines) + 1, block


def _has_blank_lines(node: Any, lines: list[str]) -> bool:
    """Whether a blank line separates the items of a list."""
    if len(node.value) < 2:
        return False
    line = int(node.value[1].start_mark.line) - 1
    while line > 0 and lines[line].lstrip().startswith("#"):
        line -= 1
    return not lines[line].strip()


def _last_line(node: Any, lines: list[str]) -> int:
    """The last line (from 0) that belongs to a node, comments after it left out."""
    start = int(node.start_mark.line)
    if node.id == "scalar":
        if node.style in {"|", ">"}:
            return _end_of_block(node, lines)
        return int(node.end_mark.line)
    if node.flow_style:
        return int(node.end_mark.line)
    last = start
    pairs = node.value if node.id == "mapping" else [(None, item) for item in node.value]
    for key, value in pairs:
        last = max(last, int(key.end_mark.line) if key is not None else start)
        is_alias = value.start_mark.index < (key or node).start_mark.index
        is_empty = value.id == "scalar" and value.value == "" and value.style is None
        if not is_alias and not is_empty:
            last = max(last, _last_line(value, lines))
    return last


def _end_of_block(node: Any, lines: list[str]) -> int:
    """The last line of a block scalar, whose end mark is at whatever comes next."""
    first = int(node.start_mark.line) + 1
    while first < len(lines) and not lines[first].strip():
        first += 1
    if first >= len(lines):
        return int(node.start_mark.line)
    indent = _indent(lines[first])
    last = int(node.start_mark.line)
    for number in range(first, len(lines)):
        if lines[number].strip():
            if _indent(lines[number]) < indent:
                break
            last = number
    return last


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _meant(data: Any, edits: Sequence[Edit]) -> Any:
    """The data with the edits made: deep ones first, later ones first."""
    data = _plain(data)
    order = sorted(enumerate(edits), key=lambda pair: (*_depth_and_place(pair[1]), pair[0]))
    for _, edit in reversed(order):
        target = value_at(data, edit.path)
        value = parse("\n".join(edit.lines), "the addition").data
        if isinstance(edit, ListItem):
            target.insert(edit.after + 1, value[0])
        else:
            target.update(value)
    return data


def _plain(value: Any) -> Any:
    """A copy in which nothing is shared, so that an alias is not changed with its anchor."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _problem(error: Any, text: str, line: int) -> str:
    lines = text.splitlines()
    if line < len(lines) and re.match(r" *\t", lines[line]):
        return "there is a tab where YAML requires spaces"
    if "duplicate key" in str(error.problem):
        return " ".join(str(error.problem).split())
    words = " ".join(str(error.problem or error.context or error).split())
    return f"this is not YAML ({words})"
