"""Faults read from a schema file, a file of faults or words, and checked against their tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter, ValidationError
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from headrace.synth.errors import Location, SchemaError, SchemaProblem, SynthError, proposal
from headrace.synth.faults.block import RETYPES, added_value, changed, clock_of, day_of, kind_of
from headrace.synth.faults.cells import is_key_kind, key_target, number_text
from headrace.synth.faults.rows import spiked_key
from headrace.synth.frame import Frame
from headrace.synth.plan import TablePlan
from headrace.synth.population import to_us
from headrace.synth.schema.base import as_datetime
from headrace.synth.schema.fault import (
    FAULT_KINDS,
    AnyFault,
    ColumnAdded,
    ColumnNested,
    ColumnRenamed,
    ColumnRetyped,
    DayFault,
    Drift,
    FaultFile,
    LateRows,
    OrphanKeys,
    OutOfOrder,
    OutOfRange,
    RowFault,
    SchemaChange,
    StaleFeed,
    TimedFault,
    TypeFlip,
    VolumeSpike,
    model_of,
)
from headrace.synth.schema.fields import Datetime
from headrace.synth.schema.schema_file import load, location_of, read_text, validate
from headrace.synth.values import ALWAYS, DAY_US, NEVER
from headrace.synth.view import View
from headrace.synth.world import World


@dataclass(frozen=True, slots=True)
class FaultProblem:
    """A fault that does not fit the tables: its number, the wrong key, and why."""

    number: int
    key: str
    message: str


class _InvalidFaultError(Exception):
    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


def problems(view: View, faults: Sequence[AnyFault]) -> list[FaultProblem]:
    """The faults that do not fit, with one reason each."""
    found = []
    tables: dict[str, pa.Table] = {}
    flipped: dict[str, set[str]] = {}
    ordered: set[str] = set()
    for number, fault in enumerate(faults):
        try:
            plan = _plan(view.world, fault.table)
            if plan.name not in tables:
                tables[plan.name] = view.arrow_schema(plan).empty_table()
            if isinstance(fault, SchemaChange):
                table = _flipped(tables[plan.name], flipped.get(plan.name, set()))
                tables[plan.name] = _changed(fault, table)
                continue
            _check(view, plan, fault)
            if isinstance(fault, TypeFlip):
                flipped.setdefault(plan.name, set()).add(fault.column)
            if isinstance(fault, OutOfOrder):
                if plan.name in ordered:
                    raise _InvalidFaultError(
                        "kind", f"{plan.name} already has an out_of_order fault"
                    )
                ordered.add(plan.name)
        except _InvalidFaultError as error:
            found.append(FaultProblem(number, error.key, str(error)))
    return found


def _plan(world: World, name: str) -> TablePlan:
    plan = world.plans.get(name)
    if plan is not None and plan.own and plan.table.hidden:
        raise _InvalidFaultError(
            "table", f"{name} is hidden: it is not written, and cannot be faulty"
        )
    if plan is None or not plan.own:
        known = [plan.name for plan in world.tables]
        raise _InvalidFaultError("table", f"there is no table {name!r}; {proposal(name, known)}")
    return plan


def _flipped(table: pa.Table, names: set[str]) -> pa.Table:
    for name in names & set(table.column_names):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array([], pa.string()))
    return table


def _has(name: str, table: str, known: Sequence[str]) -> None:
    if name not in known:
        raise _InvalidFaultError(
            "column", f"{table} has no column {name!r}; {proposal(name, known)}"
        )


def _changed(fault: SchemaChange, table: pa.Table) -> pa.Table:
    names = table.column_names
    if isinstance(fault, ColumnAdded):
        if fault.column in names:
            raise _InvalidFaultError(
                "column", f"{fault.table} already has a column {fault.column!r}"
            )
        if fault.value is not None:
            try:
                added_value(fault)
            except (pa.ArrowException, TypeError) as error:
                raise _InvalidFaultError(
                    "value", f"{fault.value!r} is not of type {fault.type}"
                ) from error
        return changed(fault, table)
    _has(fault.column, fault.table, names)
    if isinstance(fault, ColumnRenamed) and fault.to in names:
        raise _InvalidFaultError("to", f"{fault.table} already has a column {fault.to!r}")
    if isinstance(fault, ColumnRetyped):
        kind = kind_of(table.schema.field(fault.column).type)
        if fault.type not in RETYPES[kind]:
            can = ", ".join(RETYPES[kind]) or "nothing else"
            raise _InvalidFaultError(
                "type", f"{fault.column} is {kind}, and can be written as {can}"
            )
    if isinstance(fault, ColumnNested) and fault.into in names and fault.into != fault.column:
        if not pa.types.is_struct(table.schema.field(fault.into).type):
            raise _InvalidFaultError("into", f"{fault.into} is a column, not a struct")
        if fault.column in [each.name for each in table.schema.field(fault.into).type]:
            raise _InvalidFaultError("column", f"{fault.into} already has a {fault.column!r}")
    after = changed(fault, table)
    if not after.num_columns:
        raise _InvalidFaultError("column", f"{fault.column} is the last column of {fault.table}")
    return after


def _check(view: View, plan: TablePlan, fault: AnyFault) -> None:
    column = getattr(fault, "column", None)
    schema = view.arrow_schema(plan)
    if column is not None:
        if column in plan.table.fields and column not in plan.columns:
            raise _InvalidFaultError("column", f"{plan.name}.{column} is hidden: it is not written")
        _has(column, plan.name, plan.columns)
        _fits(plan, fault, schema.field(column).type)
    first, last = (getattr(fault, name, None) for name in ("from_", "to"))
    if isinstance(fault, TimedFault) and first and last and as_datetime(first) >= as_datetime(last):
        raise _InvalidFaultError("to", f"{last} is not after {first}")
    if isinstance(fault, LateRows | StaleFeed) and not plan.evolves:
        raise _InvalidFaultError(
            "table", f"{plan.name} is there from the beginning: nothing arrives"
        )
    timed = (isinstance(fault, TimedFault) and (first or last)) or (
        isinstance(fault, DayFault) and fault.column is None
    )
    if timed and not plan.evolves and clock_of(plan) is None:
        raise _InvalidFaultError("table", f"nothing in {plan.name} says when a row came into being")
    if isinstance(fault, DayFault):
        _day(view, plan, fault)
    if isinstance(fault, VolumeSpike) and plan.table.key:
        name = spiked_key(plan)
        if name is None or not is_key_kind(schema.field(name).type):
            raise _InvalidFaultError("kind", f"no new keys can be made for {plan.name}")
    if isinstance(fault, RowFault) and fault.rows is not None:
        limit = view.root_total(plan) * plan.root_stride
        if max(fault.rows) >= limit:
            raise _InvalidFaultError(
                "rows", f"{plan.name} has no row {max(fault.rows)}, only {limit}"
            )


def _fits(plan: TablePlan, fault: AnyFault, kind: pa.DataType) -> None:  # noqa: PLR0912 - a kind each
    """Whether a column can have a fault."""
    name = f"{plan.name}.{getattr(fault, 'column', '')}"
    what = kind_of(kind)
    item = plan.table.fields[str(getattr(fault, "column", ""))]
    is_number = what in {"integer", "number"} or number_text(item, kind)
    match fault:
        case OrphanKeys(column=column):
            target = key_target(plan, column)
            if target is None:
                raise _InvalidFaultError("column", f"{name} is not a foreign key")
            if not is_key_kind(kind):
                raise _InvalidFaultError("column", f"{name} is {what}; orphans are text or integer")
        case OutOfRange():
            if not is_number and what not in {"datetime", "date"}:
                raise _InvalidFaultError("column", f"{name} is {what}: it has no range")
            if fault.value is not None and not is_number:
                raise _InvalidFaultError("value", f"{name} is {what}, not a number")
        case TypeFlip():
            if what == "nested":
                raise _InvalidFaultError(
                    "column", f"{name} is nested: no value can be of another type"
                )
        case Drift(weights=None):
            if not is_number:
                raise _InvalidFaultError("column", f"{name} is {what}: give weights")
        case Drift(weights=dict(weights)):
            if what == "nested":
                raise _InvalidFaultError("column", f"{name} is nested: it cannot drift")
            try:
                pa.array(list(weights)).cast(kind)
            except (pa.ArrowException, TypeError) as error:
                raise _InvalidFaultError(
                    "weights", f"{name} is {what}; not all weights are"
                ) from error
        case DayFault(column=str()):
            if what not in {"datetime", "date"}:
                raise _InvalidFaultError("column", f"{name} is {what}, not a date or a datetime")


def _day(view: View, plan: TablePlan, fault: DayFault) -> None:
    """Whether there are days of the data before and after."""
    day = day_of(fault)
    name = fault.column or (None if plan.evolves else clock_of(plan))
    low, high = ALWAYS, NEVER
    item = plan.table.fields.get(name or "")
    if isinstance(item, Datetime) and item.range is not None:
        low, high = (to_us(as_datetime(timestamp)) for timestamp in item.range)
    elif plan.evolves:
        total = view.root_total(plan)
        root = Frame(view, plan.root, np.arange(min(1, total), dtype=np.int64))
        low, high = (int(root.at()[0]) if total else view.as_of), view.as_of
    if day + DAY_US <= low or day > high:
        first, last = (str(np.datetime64(timestamp, "us"))[:10] for timestamp in (low, high))
        raise _InvalidFaultError(
            "day", f"{as_datetime(fault.day):%Y-%m-%d} is outside the data: {first} to {last}"
        )


_SHARE: Final = ("share",)
_ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    "orphan_keys": _SHARE, "duplicates": _SHARE, "nulls": _SHARE, "out_of_range": _SHARE,
    "type_flip": _SHARE, "late_rows": ("share", "max"), "out_of_order": ("share", "distance"),
    "missing_day": ("day",), "volume_spike": ("day", "factor"), "volume_drop": ("day", "factor"),
    "drift": ("from", "scale", "shift"), "stale_feed": ("from",), "column_added": ("type", "value"),
    "column_dropped": (), "column_renamed": ("to",), "column_retyped": ("type",),
    "column_nested": ("into",),
}  # fmt: skip
"""What follows kind:table.column, in order."""
_TIMESTAMPS: Final = {"day", "from"}
_NUMBERS: Final = {"share", "factor", "scale", "shift", "distance"}


def faults_of(view: View) -> list[AnyFault]:
    """The faults of a view's schema file.

    Raises:
        SchemaError: one does not fit the tables; says where it stands.
    """
    document = view.world.document
    faults = list(view.world.schema.faults)
    found = problems(view, faults) if faults else []
    if found:
        raise SchemaError(
            [document.problem(each.message, "faults", each.number, each.key) for each in found]
        )
    return faults


def parse_spec(spec: str, view: View) -> list[AnyFault]:
    """Faults of a file, or of words such as ``nulls:customer.email:0.01``.

    Args:
        spec: the path of a YAML file, or kind:table.column:argument, several with commas.
        view: the tables as of some time.

    Raises:
        SynthError: a fault is not valid, or does not fit the tables.
    """
    path = Path(spec)
    if path.suffix.lower() in {".yml", ".yaml"} or (":" not in spec and path.exists()):
        return _read(path, view)
    words = [part.strip() for part in spec.split(",") if part.strip()]
    if not words:
        raise SynthError("--faults: name a file, or write kind:table.column:argument")
    faults = [_parse(word) for word in words]
    found = problems(view, faults)
    if found:
        raise SynthError(
            "\n".join(f"--faults {words[each.number]}: {each.message}" for each in found)
        )
    return faults


def _read(path: Path, view: View) -> list[AnyFault]:
    tree = load(read_text(path, "file of faults"), path)
    if isinstance(tree, CommentedSeq):
        whole = CommentedMap({"faults": tree})
        whole.lc.add_kv_line_col("faults", [0, 0, 0, 0])
        tree = whole
    if not isinstance(tree, CommentedMap):
        message = "a file of faults is a list of them, or a mapping with the key faults"
        raise SchemaError.at(Location(path), message)
    faults = validate(FaultFile, tree, path).faults
    found = problems(view, faults)
    if found:
        raise SchemaError(
            [
                SchemaProblem(
                    location_of(tree, path, ("faults", each.number, each.key)), each.message
                )
                for each in found
            ]
        )
    return faults


def _parse(text: str) -> AnyFault:
    """One fault of an inline spec."""
    kind, _, rest = text.partition(":")
    if kind not in FAULT_KINDS:
        raise SynthError(f"--faults {text}: unknown kind {kind!r}; {proposal(kind, FAULT_KINDS)}")
    target, _, rest = rest.partition(":")
    table, dot, column = target.partition(".")
    if not table:
        raise SynthError(f"--faults {text}: write {_form(kind)}")
    given: dict[str, Any] = {"kind": kind, "table": table}
    if dot:
        given["column"] = column
    names = _ARGUMENTS[kind]
    words = _split(rest, names)
    if len(words) > len(names):
        raise SynthError(f"--faults {text}: too many arguments; write {_form(kind)}")
    for name, word in zip(names, words, strict=False):
        given[name] = _value(text, name, word)
    try:
        fault: AnyFault = TypeAdapter(AnyFault).validate_python(given)
    except ValidationError as error:
        raise SynthError(f"--faults {text}: {_reason(error)}; write {_form(kind)}") from error
    return fault


def _split(rest: str, names: tuple[str, ...]) -> list[str]:
    """The arguments; a timestamp may hold colons."""
    if not rest:
        return []
    words = rest.split(":")
    if names and names[0] in _TIMESTAMPS and "T" in words[0]:
        count = 1
        while count < 3 and count < len(words) and words[count][:2].isdecimal():
            if "." in words[count] and count == 1:
                break
            count += 1
        words = [":".join(words[:count]), *words[count:]]
    return words


def _value(text: str, name: str, word: str) -> Any:
    try:
        if name in _TIMESTAMPS:
            return datetime.fromisoformat(word) if "T" in word else date.fromisoformat(word)
        if name in _NUMBERS:
            return int(word) if word.isdecimal() else float(word)
    except ValueError as error:
        wanted = "a day such as 2024-03-05" if name in _TIMESTAMPS else "a number"
        raise SynthError(f"--faults {text}: {name} is {word!r}, and not {wanted}") from error
    return word


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][-1]) if len(first["loc"]) > 1 else ""
    if first["type"] == "missing":
        return f"the {name} is missing"
    if first["type"] == "unknown_key":
        return f"it takes no {first['ctx']['key']}"
    message = first["msg"]
    return f"{name}: {message[0].lower()}{message[1:]}, not {first['input']!r}"


def _form(kind: str) -> str:
    """How a fault is written inline."""
    column = model_of(kind).model_fields.get("column")
    target = "table" if column is None else "table.column"
    if column is not None and not column.is_required():
        target = "table[.column]"
    return ":".join([kind, target, *(name.upper() for name in _ARGUMENTS[kind])])
