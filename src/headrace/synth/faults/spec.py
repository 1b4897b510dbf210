"""Reads faults from the schema file, a file of faults, or words: ``nulls:customer.email:0.01``."""

from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from headrace.synth.errors import Location, SchemaError, SchemaProblem, SynthError, proposal
from headrace.synth.faults.checks import problems
from headrace.synth.schema.fault import FAULT_KINDS, AnyFault, FaultFile, model_of
from headrace.synth.schema.read import load, location_of, read_text, validate
from headrace.synth.view import View

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
