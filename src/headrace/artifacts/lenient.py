"""Read what fits: field by field, leaving out what is not of the type that it should be.

Each thing left out is a note. A struct that lacks a field it must have does not fit; where it is
one of many, it is left out, by its name, and the others stay.
"""

import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Union, get_args, get_origin

import msgspec

from headrace.artifacts.reading import Notes, shown


class UnfitError(Exception):
    """A value is not of its type, and no part of it can stand in for it."""


def fit(value: Any, kind: Any, *, place: str, notes: Notes) -> Any:
    """``value`` as ``kind``, without the parts that do not fit.

    Args:
        value: what a JSON parser returns.
        kind: a type that msgspec knows: a struct, a dict, a list, a union, a plain type.
        place: where it stands, for the notes.
        notes: is told of what is left out.

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
    return msgspec.structs.fields(kind)  # which works out the types anew each time


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
