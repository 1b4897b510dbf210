"""dlt's ``state.json``: what a pipeline remembers from one run to the next.

Source: dlt's pipeline state, engine version 4.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from headrace.artifacts.decoding import BadFileError
from headrace.artifacts.formats import ADVICE, fitted, read_dlt_file
from headrace.artifacts.reading import ArtifactPart, Notes, Read, without_type_mark

ENGINE = 4


@dataclass(frozen=True, slots=True)
class Cursor:
    """The cursor of an incremental resource.

    Attributes:
        source: dlt's source.
        resource: of the source.
        path: JSONPath of the cursor field.
        last_value: the largest value that was loaded.
    """

    source: str
    resource: str
    path: str
    last_value: Any


class DltState(ArtifactPart, frozen=True, kw_only=True):
    """A pipeline's state.

    Attributes:
        engine_version: of the format.
        version: goes up with each change.
        version_hash: of its content.
        pipeline_name: the pipeline.
        dataset_name: the warehouse schema that it loads into.
        default_schema_name: of its schemas.
        schema_names: all of them.
        destination_type: ``dlt.destinations.duckdb``.
        destination_name: where it has a name of its own.
        sources: the state of each source, by name.
        local: what holds on this machine only, such as ``first_run``.
    """

    pipeline_name: str
    engine_version: int = msgspec.field(name="_state_engine_version")
    version: int = msgspec.field(default=0, name="_state_version")
    version_hash: str | None = msgspec.field(default=None, name="_version_hash")
    dataset_name: str | None = None
    default_schema_name: str | None = None
    schema_names: list[str] = msgspec.field(default_factory=list)
    destination_type: str | None = None
    destination_name: str | None = None
    sources: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    local: dict[str, Any] = msgspec.field(default_factory=dict, name="_local")

    @property
    def cursors(self) -> tuple[Cursor, ...]:
        """The cursors of all incremental resources, sorted."""
        return tuple(sorted(self._cursors(), key=lambda each: (each.source, each.resource)))

    def _cursors(self) -> Iterator[Cursor]:
        for source, kept in self.sources.items():
            for resource, state in _objects(kept.get("resources")):
                for path, cursor in _objects(state.get("incremental")):
                    yield Cursor(
                        source, resource, path, without_type_mark(cursor.get("last_value"))
                    )


def _objects(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict):
                yield key, item


def load_state(path: Path, name: str) -> Read[DltState]:
    """Read a pipeline's state.

    Args:
        path: the file.
        name: what to call it in the reading: ``shop/state.json``.

    Raises:
        FileNotFoundError: there is none.
        UserError: it cannot be read.
    """
    return read_dlt_file(path, _read, name=name, advice=ADVICE)


def _read(document: dict[str, Any], notes: Notes) -> tuple[DltState, str]:
    if "_state_engine_version" not in document or "pipeline_name" not in document:
        raise BadFileError("is not the state of a dlt pipeline")
    state = fitted(document, DltState, notes)
    engine = state.engine_version
    if engine != ENGINE:
        notes.add(f"its engine version {engine} is not {ENGINE}, the one that is known")
    return state, f"engine {engine}"
