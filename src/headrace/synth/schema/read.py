"""From a YAML file to a ``Schema``; every error names file, line and column."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from headrace.exceptions import first_line
from headrace.formatting import did_you_mean
from headrace.synth.errors import Location, SchemaError, SchemaProblem, SynthError, proposal
from headrace.synth.schema.fault import FAULT_KINDS
from headrace.synth.schema.fields import FIELD_TYPES
from headrace.synth.schema.tables import Schema

MOST_BYTES: Final = 2_000_000
"""A schema file is written by hand, or learned; the largest of ours has 50,000 bytes."""
MOST_NODES: Final = 200_000
"""Keys and values after aliases are followed."""
_MOST_DEPTH: Final = 40

Path_ = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class SchemaDocument:
    """A parsed schema file, with the location of each key."""

    schema: Schema
    tree: CommentedMap
    file: Path | None

    def location(self, *path: str | int) -> Location:
        """The location of the value of a key path; of its nearest parent if it is missing."""
        return location_of(self.tree, self.file, path)

    def problem(self, message: str, *path: str | int) -> SchemaProblem:
        """A problem with the value at a key path."""
        return SchemaProblem(self.location(*path), message)


def read(path: Path) -> SchemaDocument:
    """Read and validate a schema file.

    Raises:
        SchemaError: it is not a schema file; says where, and what is allowed.
        SynthError: it cannot be read.
    """
    return parse(read_text(path, "schema file"), path)


def read_text(path: Path, what: str) -> str:
    """The text of a YAML file.

    Raises:
        SchemaError: it is not UTF-8.
        SynthError: it is too large, or cannot be read.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise SynthError(
                f"{path} has {size / 1e6:.1f} MB; a {what} has at most "
                f"{MOST_BYTES / 1e6:.0f} MB. Is it data? Then `headrace learn` reads it."
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SchemaError.at(Location(path), f"not UTF-8 text: {error.reason}") from error
    except OSError as error:
        raise SynthError(f"cannot read the {what} {path}: {error.strerror}") from error


def parse(text: str, file: Path | None = None) -> SchemaDocument:
    """Validate the text of a schema file.

    Raises:
        SchemaError: it is not a schema file; says where, and what is allowed.
    """
    tree = load(text, file)
    if not isinstance(tree, CommentedMap):
        raise SchemaError.at(Location(file), "a schema file is a mapping with the key schema")
    return SchemaDocument(validate(Schema, tree, file), tree, file)


def load(text: str, file: Path | None) -> Any:
    """The tree of a YAML file, with the location of each key.

    Raises:
        SchemaError: it is not YAML.
    """
    yaml = YAML(typ="rt")
    yaml.version = (1, 2)
    try:
        tree = yaml.load(io.StringIO(text))
    except DuplicateKeyError as error:
        raise SchemaError([_marked(error, file, "the same key twice")]) from error
    except MarkedYAMLError as error:
        raise SchemaError([_marked(error, file, error.problem or "not YAML")]) from error
    except (YAMLError, ValueError, RecursionError) as error:
        first = first_line(error) if str(error) else "nested too deeply"
        raise SchemaError.at(Location(file), f"not YAML 1.2: {first}") from error
    return tree


def validate(model: type[Model], tree: CommentedMap, file: Path | None) -> Model:
    """The model of a tree.

    Raises:
        SchemaError: it does not fit; says where and what is allowed.
    """
    try:
        plain = _Plain().of(tree, 0)
    except _TooMuchError as error:
        raise SchemaError.at(Location(file), str(error)) from error
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        raise SchemaError(_problems(error, tree, file)) from error


class _TooMuchError(Exception):
    """More than any schema file holds: most likely an alias bomb."""


class _Plain:
    """Plain Python values of a YAML tree, with an end to what aliases may unfold to."""

    def __init__(self) -> None:
        self.nodes = 0

    def of(self, node: Any, depth: int) -> Any:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise _TooMuchError(f"more than {MOST_NODES:,} keys and values once aliases unfold")
        if depth > _MOST_DEPTH:
            raise _TooMuchError(f"nested more than {_MOST_DEPTH} levels deep")
        if isinstance(node, Mapping):
            return {self._key(key): self.of(value, depth + 1) for key, value in node.items()}
        if isinstance(node, Sequence) and not isinstance(node, str | bytes):
            return [self.of(value, depth + 1) for value in node]
        if isinstance(node, bool) or node is None:
            return node
        for kind in (int, float, str):
            if isinstance(node, kind):
                return kind(node)
        return bool(node) if type(node).__name__ == "ScalarBoolean" else node

    @staticmethod
    def _key(key: Any) -> Any:
        return str(key) if isinstance(key, str) else key


def _marked(error: MarkedYAMLError, file: Path | None, message: str) -> SchemaProblem:
    mark = error.problem_mark or error.context_mark
    place = Location(file, mark.line + 1, mark.column + 1) if mark else Location(file)
    if isinstance(error, DuplicateKeyError):
        found = re.search(r'duplicate key "([^"]*)"', str(error))
        message = f"the key {found[1]!r} stands here twice" if found else message
    return SchemaProblem(place, message)


def location_of(tree: Any, file: Path | None, path: Path_) -> Location:
    """The location of the value of a key path; of its nearest parent if it is missing."""
    line, column = 0, 0
    node = tree
    for step in path:
        if isinstance(node, CommentedMap) and step in node:
            line, column = node.lc.key(step)
        elif isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node):
            line, column = node.lc.item(step)
        else:
            continue  # a tag of a union that Pydantic put into the path
        node = node[step]
    return Location(file, line + 1, column + 1)


def _problems(error: ValidationError, tree: CommentedMap, file: Path | None) -> list[SchemaProblem]:
    problems: dict[Location, list[str]] = {}
    for item in error.errors(include_url=False):
        path, context = item["loc"], item.get("ctx", {})
        if item["type"] == "unknown_key":
            path = (*path, context["key"])
        elif item["type"] == "union_tag_invalid":
            path = (*path, "type")
        texts = problems.setdefault(location_of(tree, file, path), [])
        text = _message(item, path)
        if text not in texts:
            texts.append(text)
    return [SchemaProblem(place, "; or ".join(texts)) for place, texts in problems.items()]


def _message(item: Any, path: Path_) -> str:
    context = item.get("ctx", {})
    name = str(path[-1]) if path else "the file"
    kind = item["type"]
    if kind == "union_tag_invalid":
        known = _tags(context)
        what = context["discriminator"].strip("'")
        return f"unknown {what} {context['tag']!r}; {proposal(str(context['tag']), known)}"
    if kind == "union_tag_not_found":
        if context["discriminator"] == "'kind'":
            return f"a fault has no kind; one of: {', '.join(FAULT_KINDS)}"
        return f"{name} has no type; one of: {', '.join(FIELD_TYPES)}"
    if kind == "missing":
        return f"the key {name!r} is missing"
    if kind == "value_error":
        return str(context["error"])
    if kind == "unknown_key":
        allowed = context["allowed"].split(", ")
        meant = did_you_mean(str(context["key"]), allowed)
        return str(item["msg"]) + (f" ({meant})" if meant else "")
    if kind == "literal_error":
        return f"{name} is {item['input']!r}; one of: {context['expected']}"
    if kind == "string_pattern_mismatch":
        return f"{name} is {item['input']!r}, which does not fit {context['pattern']}"
    return f"{name}: {item['msg'][0].lower()}{item['msg'][1:]}, not {_short(item['input'])}"


def _tags(context: Any) -> tuple[str, ...]:
    """What a union knows: types of fields, or kinds of faults."""
    return FAULT_KINDS if context["discriminator"] == "'kind'" else FIELD_TYPES


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
