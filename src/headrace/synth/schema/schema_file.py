"""A schema file and its tables, and its reader: every error names file, line and column."""

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from headrace.exceptions import first_line
from headrace.formatting import did_you_mean
from headrace.synth.errors import Location, SchemaError, SchemaProblem, SynthError, proposal
from headrace.synth.schema import quick_yaml
from headrace.synth.schema.base import Duration, Name, Share, Strict, Timestamp
from headrace.synth.schema.fault import FAULT_KINDS, AnyFault
from headrace.synth.schema.fields import FIELD_TYPES, AnyField, Datetime, Expression


class Count(Strict):
    """How many rows each parent has."""

    distribution: Literal["uniform", "poisson", "geometric"] = "uniform"
    mean: Annotated[float, Field(gt=0)] | None = None
    min: Annotated[int, Field(ge=0)] = 0
    max: Annotated[int, Field(ge=1, le=65_536)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"impossible range: min {self.min} is above max {self.max}")
        if self.distribution != "uniform" and self.mean is None:
            raise ValueError(f"distribution: {self.distribution} needs mean")
        return self


class Per(Strict):
    """The rows of this table are children of the rows of another."""

    table: Name
    count: Annotated[int, Field(ge=1, le=65_536)] | Count | str = Field(
        1, description="A number, a distribution, or an expression over the parent's row."
    )
    max: Annotated[int, Field(ge=1, le=65_536)] | None = Field(
        None, description="The most that an expression gives."
    )
    at: Expression | None = Field(
        None,
        description="When the row comes into being; where it is null, there is no such row. "
        "Without it, when its parent does.",
    )
    within: Duration | None = Field(
        None, description="at is at most this long after the parent came into being."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if isinstance(self.count, str) and self.max is None:
            raise ValueError("a count that is an expression needs max")
        if self.at is not None and self.within is None:
            raise ValueError("at needs within, so that changes can be found")
        return self


class Late(Strict):
    """Rows that arrive after they came into being."""

    rate: Share
    max: Duration


class Corrections(Strict):
    """Rows of which some columns are given other values, once."""

    rate: Share
    within: Duration
    columns: Annotated[list[str], Field(min_length=1)]


class Deletions(Strict):
    """Rows that go away; a delta holds them as tombstones."""

    rate: Share
    within: Duration
    column: Name = Field("_deleted", description="The column that is true in a tombstone.")


class Correlation(Strict):
    """A Gaussian copula over numerical, datetime and categorical columns."""

    columns: Annotated[list[str], Field(min_length=2)]
    matrix: list[list[Annotated[float, Field(ge=-1, le=1)]]]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        size = len(self.columns)
        if len(self.matrix) != size or any(len(row) != size for row in self.matrix):
            raise ValueError(f"the matrix must have {size} rows of {size} numbers, one a column")
        if any(abs(self.matrix[k][k] - 1) > 1e-6 for k in range(size)):
            raise ValueError("the matrix must have 1 on its diagonal")
        return self


class Table(Strict):
    """A table: how many rows, and its fields."""

    description: str = ""
    count: Annotated[int, Field(ge=0, le=10**12)] | None = Field(
        None, description="Number of rows."
    )
    per: Per | None = Field(None, description="The rows are children of another table's rows.")
    scale: bool = Field(True, description="Whether --scale applies.")
    hidden: bool = Field(False, description="For others to use; not written.")
    group: str | None = Field(None, description="What --group selects by.")
    primary_key: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="The columns of a composite key; else the fields that say so."
    )
    late: Late | None = Field(None, description="Rows that arrive late.")
    corrections: Corrections | None = Field(None, description="Rows that are put right later.")
    deletions: Deletions | None = Field(None, description="Rows that go away.")
    correlation: Correlation | None = Field(
        None, description="A Gaussian copula: columns, and the matrix of their correlations."
    )
    fields: Annotated[dict[Name, AnyField], Field(min_length=1)]

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of the primary key; empty if there is none."""
        if self.primary_key is not None:
            return tuple(self.primary_key)
        return tuple(name for name, field in self.fields.items() if field.primary_key)

    @property
    def clock(self) -> tuple[str, Datetime] | None:
        """The field by whose rate the rows come into being."""
        for name, field in self.fields.items():
            if isinstance(field, Datetime) and field.distribution == "rate":
                return name, field
        return None


class Schema(Strict):
    """A schema file."""

    description: str = ""
    seed: int = Field(0, description="What --seed is without the option.")
    as_of: Timestamp | None = Field(None, description="What --as-of is without the option.")
    locale: str = Field("en_US", description="Faker's locale where a field names none.")
    uses: list[str] = Field(
        [], description="Other schema files, beside this one, whose tables this one refers to."
    )
    faults: list[AnyFault] = Field([], description="Faults to overlay; see --faults.")
    tables: Annotated[dict[Name, Table], Field(min_length=1)] = Field(
        alias="schema", description="The tables by name."
    )


MOST_BYTES: Final = 2_000_000
"""A schema file is written by hand, or learned; the largest of ours has 70,000 bytes."""
MOST_NODES: Final = 200_000
"""Keys and values after aliases are followed."""
_TOO_DEEP: Final = f"nested more than {quick_yaml.MOST_DEPTH} levels deep"

Path_ = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class SchemaDocument:
    """A parsed schema file, with the location of each key."""

    schema: Schema
    text: str
    file: Path | None

    @cached_property
    def _tree(self) -> Any:
        return load(self.text, self.file)

    def location(self, *path: str | int) -> Location:
        """The location of the value of a key path; of its nearest parent if it is missing."""
        return location_of(self._tree, self.file, path)

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
    try:
        plain = quick_yaml.read(text)
    except quick_yaml.TooDeepError as error:
        raise SchemaError.at(Location(file), _TOO_DEEP) from error
    if plain is not None:
        with suppress(SchemaError):  # told below, with locations
            return SchemaDocument(validate(Schema, plain, file), text, file)
    tree = load(text, file)
    if not isinstance(tree, CommentedMap):
        raise SchemaError.at(Location(file), "a schema file is a mapping with the key schema")
    return SchemaDocument(validate(Schema, tree, file), text, file)


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
        if depth > quick_yaml.MOST_DEPTH:
            raise _TooMuchError(_TOO_DEEP)
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
