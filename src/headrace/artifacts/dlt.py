"""What dlt's files have in common: small JSON objects, read whole and then field by field."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from headrace.artifacts.files import BadFileError, parse, read_bytes
from headrace.artifacts.lenient import UnfitError, fit
from headrace.artifacts.reading import Notes, Read, shown
from headrace.errors import UserError

S = TypeVar("S", bound=msgspec.Struct)
ADVICE = "delete the pipeline's directory and run `headrace load`, dlt restores it"


def read_dlt_file(
    path: Path, read: Callable[[dict[str, Any], Notes], tuple[S, str]], *, name: str, advice: str
) -> Read[S]:
    """Read one of dlt's files.

    Args:
        path: the file.
        read: makes the artifact, and says of which version it is, from the file's object.
        name: what to call it in the reading: ``shop/state.json``.
        advice: what to do, when it cannot be read.

    Raises:
        FileNotFoundError: there is none.
        UserError: it cannot be read.
    """
    notes = Notes()
    try:
        value, version = read(read_object(path, notes), notes)
    except BadFileError as error:
        raise UserError(f"{shown(str(path))} {error}: {advice}") from error
    return Read(value, notes.reading(shown(name), version))


def read_object(path: Path, notes: Notes) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        FileNotFoundError: there is none.
        BadFileError: it cannot be read.
    """
    return parse(read_bytes(path), notes)


def fitted(document: dict[str, Any], kind: type[S], notes: Notes) -> S:
    """The object as a struct, as far as it goes.

    Raises:
        BadFileError: it lacks what it must have.
    """
    try:
        value: S = fit(document, kind, place="", notes=notes)
    except (UnfitError, RecursionError) as error:
        raise BadFileError(f"cannot be used: {error}") from error
    return value
