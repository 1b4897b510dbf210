"""How a file of dbt or dlt is read: which formats, and the errors where it cannot be."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from headrace.artifacts.decoding import BadFileError, UnfitError, decode, fit, parse, read_bytes
from headrace.artifacts.reading import ArtifactPart, Notes, Read, shown
from headrace.errors import TransformError, UserError

_FORMAT = re.compile(
    r"(?:[^\s]*/(?P<kind>[a-z-]+)/)?v(?P<number>\d{1,6})(?:\.json|/[a-z-]+\.json)?"
)
# dbt's names of the kinds, by file name; and the format versions that are read.
KINDS = {
    "manifest.json": "manifest",
    "catalog.json": "catalog",
    "run_results.json": "run-results",
    "sources.json": "sources",
}
FORMATS = {
    "manifest": (7, 8, 9, 10, 11, 12),
    "catalog": (1,),
    "run-results": (4, 5, 6),
    "sources": (3,),
}
_OPEN = object()
_WRITERS = "those of dbt 1.3 to 1.12"


class Metadata(ArtifactPart, frozen=True, kw_only=True):
    """The metadata of a file of dbt: who wrote it, and when.

    Attributes:
        dbt_schema_version: ``https://schemas.getdbt.com/dbt/manifest/v12.json``.
        dbt_version: ``1.12.6``.
        generated_at: UTC, ISO 8601.
        invocation_id: of the dbt command.
        invocation_started_at: UTC, ISO 8601; dbt 1.10 and later.
        adapter_type: ``duckdb``; of a manifest.
        project_name: of a manifest.
    """

    dbt_schema_version: str
    dbt_version: str | None = None
    generated_at: str | None = None
    invocation_id: str | None = None
    invocation_started_at: str | None = None
    adapter_type: str | None = None
    project_name: str | None = None
    env: dict[str, str] = msgspec.field(default_factory=dict)


class _Head(ArtifactPart, frozen=True, kw_only=True):
    metadata: Metadata


D = TypeVar("D", bound=_Head)


class DbtFile(_Head, frozen=True, kw_only=True):
    """Base of the files of dbt."""


def read_file(
    path: Path,
    kind: type[D],
    advice: str,
    check: Callable[[D, Notes], D] = lambda value, _: value,
) -> Read[D]:
    """Read one of dbt's files.

    Args:
        path: the file; its name says what it should be.
        kind: the struct to read it as.
        advice: what to run when it cannot be read: ``delete it and run ...``.
        check: corrects what was read, once all of it is known.

    Raises:
        FileNotFoundError: there is none.
        TransformError: it cannot be read.
    """
    try:
        return _read(read_bytes(path), path.name, kind, check)
    except BadFileError as error:
        raise TransformError(f"{shown(str(path))} {error}: {advice}") from error


def _read(data: bytes, name: str, kind: type[D], check: Callable[[D, Notes], D]) -> Read[D]:
    notes = Notes()
    try:
        value = decode(data, kind, notes)
    except BadFileError:
        # that it is another kind of file says more than what is wrong in it
        _check_format(_metadata(data), name)
        raise
    number = _check_format({"dbt_schema_version": value.metadata.dbt_schema_version}, name)
    version = f"v{number}, dbt {shown(value.metadata.dbt_version or 'unknown', 40)}"
    known = FORMATS[KINDS[name]]
    if number > max(known):
        notes.add(f"its format v{number} is newer than v{max(known)}, the newest that is known")
    value = check(value, notes)
    return Read(value, notes.reading(name, version))


def _metadata(data: bytes) -> Any:
    """The metadata of a file that could not be read; ``_OPEN`` where it is not JSON."""
    try:
        return parse(data, Notes()).get("metadata")
    except BadFileError:
        return _OPEN


def _check_format(metadata: Any, name: str) -> int:
    """The version of the format.

    Raises:
        BadFileError: it is not a format that can be read.
    """
    if metadata is _OPEN:
        return 0
    kind = KINDS[name]
    written = metadata.get("dbt_schema_version") if isinstance(metadata, dict) else None
    match = _FORMAT.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        raise BadFileError(f"is not dbt's {kind}: its metadata names no format of dbt's")
    if match["kind"] not in {None, kind}:
        raise BadFileError(f"is not dbt's {kind}, but its {match['kind']}")
    number = int(match["number"])
    if number < min(FORMATS[kind]):
        first, last = min(FORMATS[kind]), max(FORMATS[kind])
        read = f"v{first}" if first == last else f"v{first} to v{last}"
        raise BadFileError(f"has dbt's {kind} format v{number}; Headrace reads {read} ({_WRITERS})")
    return number


S = TypeVar("S", bound=msgspec.Struct)
ADVICE = "delete the pipeline's directory and run `headrace load`, dlt restores it"


def read_dlt_file(
    path: Path, read: Callable[[dict[str, Any], Notes], tuple[S, str]], *, name: str, advice: str
) -> Read[S]:
    """Read one of dlt's files.

    Args:
        path: the file.
        read: makes the artifact and its version from the file's object.
        name: what to call it in the reading: ``shop/state.json``.
        advice: what to do when it cannot be read.

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
    """The object as a struct, read leniently.

    Raises:
        BadFileError: it lacks a required field.
    """
    try:
        value: S = fit(document, kind, place="", notes=notes)
    except (UnfitError, RecursionError) as error:
        raise BadFileError(f"cannot be used: {error}") from error
    return value
