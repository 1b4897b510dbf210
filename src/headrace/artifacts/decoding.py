"""JSON decoded into typed values, strictly first, then leniently.

    bytes ─► decode: msgspec, straight into structs ─► value
               │ does not fit
               └─► each entry of the large maps alone ─► fit: field by field ─► value, notes

The strict way skips what no struct asks for without making Python objects of it. The lenient way
leaves out what is not of its type, with a note: one bad node costs no more than itself, and a
struct that lacks a required field is left out by its name.
"""

import json
import math
import re
import stat
import types
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, TypeVar, Union, get_args, get_origin

import msgspec

from headrace.artifacts.reading import Notes, shown
from headrace.process import gc_paused


class UnfitError(Exception):
    """A value is not of its type, and no part of it can be used."""


def fit(value: Any, kind: Any, *, place: str, notes: Notes) -> Any:
    """``value`` as ``kind``, without the parts that do not fit.

    Args:
        value: what a JSON parser returns.
        kind: a type that msgspec knows: a struct, a dict, a list, a union, a plain type.
        place: its path in the file, for the notes.
        notes: receives what is left out.

    Raises:
        UnfitError: nothing of it fits.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        reason = plain(error)
    for member in _members(kind):
        origin, arguments = get_origin(member) or member, get_args(member)
        if isinstance(value, dict):
            if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
                return _fit_struct(value, member, place=place, notes=notes)
            if origin is dict and len(arguments) == 2:
                return _fit_dict(value, arguments[1], place=place, notes=notes)
        if isinstance(value, list) and origin in {list, tuple} and arguments:
            return _fit_list(value, arguments[0], place=place, notes=notes)
    raise UnfitError(reason)


def plain(error: Exception) -> str:
    """msgspec's message, in a line: ``expected str, got int``."""
    text = str(error).partition(" - at ")[0].replace("`", "")
    return shown(text[:1].lower() + text[1:])


def _members(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) in {Union, types.UnionType}:
        return get_args(kind)
    return (kind,)


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(kind)  # computes the types on every call


def _fit_struct(value: Mapping[Any, Any], kind: Any, *, place: str, notes: Notes) -> Any:
    read: dict[str, Any] = {}
    for known in _fields(kind):
        if known.encode_name not in value:
            if known.required:
                raise UnfitError(f"it has no `{known.encode_name}`")
            continue
        item = value[known.encode_name]
        where = f"{place}.{known.encode_name}" if place else known.encode_name
        try:
            read[known.name] = fit(item, known.type, place=where, notes=notes)
        except UnfitError as error:
            if known.required:
                raise UnfitError(f"its `{known.encode_name}` cannot be read: {error}") from error
            if item is None:
                notes.null(known.encode_name)
            else:
                notes.add(f"`{where}` is left out: {error}")
    return kind(**read)


def _fit_dict(value: Mapping[Any, Any], kind: Any, *, place: str, notes: Notes) -> dict[str, Any]:
    read = {}
    for key, item in value.items():
        try:
            read[str(key)] = fit(item, kind, place=f"{place}.{key}", notes=notes)
        except UnfitError as error:
            notes.add(f"`{place}.{key}` is left out: {error}")
    return read


def _fit_list(value: list[Any], kind: Any, *, place: str, notes: Notes) -> list[Any]:
    read = []
    for number, item in enumerate(value):
        try:
            read.append(fit(item, kind, place=f"{place}[{number}]", notes=notes))
        except UnfitError as error:
            notes.add(f"`{place}[{number}]` is left out: {error}")
    return read


S = TypeVar("S", bound=msgspec.Struct)
_BLANK = b" \t\r\n\0"
_BOM = b"\xef\xbb\xbf"
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_UNIQUE_ID = re.compile(rb'"unique_id":\s?"([^"]*)"')
# Looking for duplicate keys takes a Python call for each object of the file. In a file larger than
# this, it is done only where one of dbt's ids occurs twice.
CHECK_ALL_KEYS_UP_TO = 8_000_000
MAX_BYTES = 2 << 30


class BadFileError(Exception):
    """Why a file cannot be read: the second half of a sentence."""


def read_bytes(path: Path) -> bytes:
    """The file's content.

    Raises:
        FileNotFoundError: there is none.
        BadFileError: it cannot be read, or is empty, or larger than ``MAX_BYTES``.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise BadFileError("is a directory")
        if not stat.S_ISREG(found.st_mode):
            raise BadFileError("is not a file")  # a pipe would be waited for
        if found.st_size > MAX_BYTES:
            raise BadFileError(f"is too large ({found.st_size:,} bytes; {MAX_BYTES:,} at most)")
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadFileError(f"cannot be opened ({error.strerror or error})") from error
    if not data[:1024].strip(_BLANK) and not data.strip(_BLANK):
        raise BadFileError("is empty")
    return data


def decode(data: bytes, kind: type[S], notes: Notes) -> S:
    """``data`` as ``kind``: strictly if possible, else leniently.

    Args:
        data: JSON.
        kind: a struct.
        notes: receives what is not as it should be; stays empty after a strict reading.

    Raises:
        BadFileError: it is not JSON, or not an object, or lacks a required field.
    """
    with gc_paused():
        try:
            value = msgspec.json.decode(data, type=kind)
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, too
            return _decode_leniently(data, kind, notes)
        check_keys(data, notes)
        return value


def parse(data: bytes, notes: Notes) -> dict[str, Any]:
    """``data`` as a JSON object of plain Python values.

    What msgspec refuses and Python's own parser accepts is read with a note: a byte order mark,
    ``NaN``, ``Infinity`` and numbers that are too large (null), and halves of surrogate pairs (a
    question mark).

    Raises:
        BadFileError: it is not JSON, or not an object.
    """
    try:
        value = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        value = _parse_in_python(data, notes)
    if not isinstance(value, dict):
        raise BadFileError(f"holds {_kind_of(value)} where a JSON object is expected")
    check_keys(data, notes)
    return value


def check_keys(data: bytes, notes: Notes) -> None:
    """Note the keys that occur twice in one object."""
    if len(data) > CHECK_ALL_KEYS_UP_TO and not _has_id_twice(data):
        return
    twice: dict[str, None] = {}

    def look(pairs: list[tuple[str, Any]]) -> None:
        if len({key for key, _ in pairs}) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    twice[key] = None
                seen.add(key)

    try:
        json.loads(data, object_pairs_hook=look)
    except (ValueError, RecursionError):
        return  # the caller has read what can be read
    for key in twice:
        notes.add(f"`{key}` is a duplicate key: the last value counts")


def _has_id_twice(data: bytes) -> bool:
    seen: set[bytes] = set()
    for match in _UNIQUE_ID.finditer(data):
        if match[1] in seen:
            return True
        seen.add(match[1])
    return False


def _decode_leniently(data: bytes, kind: type[S], notes: Notes) -> S:
    found = Notes()
    try:
        parts = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        read = _read_parts(parts, kind, found)
    except (ValueError, RecursionError, UnfitError):
        value = parse(data, notes)  # raises if it is not a JSON object
    else:
        check_keys(data, found)
        notes.merge(found)
        return read
    try:
        fitted: S = fit(value, kind, place="", notes=notes)
    except (UnfitError, RecursionError) as error:
        raise BadFileError(f"cannot be used: {error}") from error
    return fitted


def _read_parts(parts: dict[str, msgspec.Raw], kind: type[S], notes: Notes) -> S:
    read: dict[str, Any] = {}
    for known in msgspec.structs.fields(kind):
        raw = parts.get(known.encode_name)
        if raw is None:
            if known.required:
                raise UnfitError(f"it has no `{known.encode_name}`")
            continue
        try:
            read[known.name] = _decode_part(raw, known.type, known.encode_name, notes)
        except UnfitError as error:
            if known.required:
                raise UnfitError(f"its `{known.encode_name}` cannot be read: {error}") from error
            notes.add(f"`{known.encode_name}` is left out: {error}")
    return kind(**read)


def _decode_part(raw: msgspec.Raw, kind: Any, place: str, notes: Notes) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError:
        pass
    if get_origin(kind) is not dict or bytes(memoryview(raw)[:1]) != b"{":
        return fit(msgspec.json.decode(raw), kind, place=place, notes=notes)
    member = get_args(kind)[1]
    decoder = msgspec.json.Decoder(member)
    read = {}
    for key, item in msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).items():
        try:
            read[key] = decoder.decode(item)
        except msgspec.ValidationError:
            try:
                read[key] = fit(msgspec.json.decode(item), member, place=key, notes=notes)
            except UnfitError as error:
                notes.add(f"`{key}` in `{place}` is left out: {error}")
    return read


def _parse_in_python(data: bytes, notes: Notes) -> Any:
    if data.startswith(_BOM):
        notes.add("it starts with a byte order mark")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadFileError(f"is not UTF-8 (byte {error.start})") from error
    odd: dict[str, None] = {}

    def constant(name: str) -> None:
        odd[f"{name} in place of a number: read as null"] = None

    def number(digits: str) -> float | None:
        value = float(digits)
        if math.isfinite(value):
            return value
        odd["a number is too large: read as null"] = None
        return None

    try:
        value = json.loads(text, parse_constant=constant, parse_float=number)
        if _ESCAPED_SURROGATE.search(data):
            value = _without_surrogates(value, odd)
    except json.JSONDecodeError as error:
        _refuse(text, error)
    except RecursionError as error:
        raise BadFileError("is nested too deep to be an artifact") from error
    except ValueError as error:  # a number of thousands of digits
        raise BadFileError(f"is not JSON that can be read ({shown(str(error))})") from error
    for note in odd:
        notes.add(note)
    return value


def _refuse(text: str, error: json.JSONDecodeError) -> NoReturn:
    if error.pos >= len(text.rstrip()) or "Unterminated" in error.msg:
        raise BadFileError("is cut off: the JSON in it does not end") from error
    where = f"line {error.lineno}, column {error.colno}"
    raise BadFileError(f"is not JSON ({error.msg}, {where})") from error


def _without_surrogates(value: Any, odd: dict[str, None]) -> Any:
    if isinstance(value, str) and not value.isascii() and _SURROGATE.search(value):
        odd["half a surrogate pair in a text: read as `?`"] = None
        return _SURROGATE.sub("?", value)
    if isinstance(value, dict):
        return {
            _without_surrogates(key, odd): _without_surrogates(item, odd)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_without_surrogates(item, odd) for item in value]
    return value


def _kind_of(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
