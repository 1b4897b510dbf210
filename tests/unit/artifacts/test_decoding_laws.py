"""Laws: whatever happens to a file, it ends in a user's error, or in a reading that hides nothing.

What a reading hides is judged by its own comparison with the file: every field that the file has
and a struct knows must have the file's value, or else there must be a note.
"""

import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.artifacts import Read
from headrace.artifacts.dbt_catalog import load_catalog
from headrace.artifacts.dbt_manifest import load_manifest
from headrace.artifacts.dbt_results import load_run_results, load_sources
from headrace.artifacts.dlt_load import load_state
from headrace.artifacts.dlt_schema import load_schema
from headrace.artifacts.dlt_trace import load_trace
from headrace.errors import UserError

FIXTURES = Path(__file__).parents[2] / "fixtures" / "artifacts"
SHOP = FIXTURES / "dlt_1_31" / "shop_api"
LOADERS: dict[str, Any] = {
    "manifest.json": load_manifest,
    "run_results.json": load_run_results,
    "sources.json": load_sources,
    "catalog.json": load_catalog,
    "shop_api.schema.json": lambda path: load_schema(path, path.name),
    "state.json": lambda path: load_state(path, path.name),
    "trace.json": lambda path: load_trace(path, path.name),
}
FILES = (
    *(FIXTURES / f"dbt_1_{minor}" / "manifest.json" for minor in (8, 10, 12)),
    *(
        FIXTURES / "dbt_1_12" / name
        for name in ("run_results.json", "sources.json", "catalog.json")
    ),
    SHOP / "schemas" / "shop_api.schema.json",
    SHOP / "state.json",
    SHOP / "trace.json",
)
GONE = object()
VALUES: tuple[Any, ...] = (
    GONE, GONE, GONE, None, True, 0, -1, 1 << 80, 1.5, "", "x", "\u202e<b>\0",
    [], [None], ["x"], [{}], [[["x"]]], {}, {"x": None}, {"name": 5}, {"nodes": ["x"]},
)  # fmt: skip
EXAMPLES = 40
LAW = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.data_too_large,
    ],
)


@cache
def content(path: Path) -> bytes:
    return path.read_bytes()


@cache
def places_in(path: Path) -> list[tuple[Any, ...]]:
    return places(json.loads(content(path)))


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in a document."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [at] * bool(at) + [way for key, item in items for way in places(item, (*at, key))]


def damage(document: Any, way: tuple[Any, ...], value: Any) -> None:
    """Put another value in a place, or ``GONE``; nothing, if the place is no more."""
    *path, last = way
    try:
        for key in path:
            document = document[key]
        if value is GONE:
            del document[last]
        else:
            document[last] = deepcopy(value)  # the next damage may be in it
    except (KeyError, IndexError, TypeError):
        return


def read(path: Path, data: bytes) -> Read[Any] | None:
    path.write_bytes(data)
    try:
        found: Read[Any] = LOADERS[path.name](path)
    except UserError as error:
        message = str(error)
    else:
        return found
    assert "\n" not in message
    assert str(path) in message
    return None


def is_all_there(value: Any, document: Any) -> bool:
    """Whether every field of ``value`` is what the document says."""
    if isinstance(value, msgspec.Struct):
        return isinstance(document, dict) and all(
            is_all_there(getattr(value, field.name), document[field.encode_name])
            for field in msgspec.structs.fields(value)
            if field.encode_name in document
        )
    if isinstance(value, dict):
        return (
            isinstance(document, dict)
            and value.keys() == document.keys()
            and all(is_all_there(item, document[key]) for key, item in value.items())
        )
    if isinstance(value, list):
        return (
            isinstance(document, list)
            and len(value) == len(document)
            and all(is_all_there(*pair) for pair in zip(value, document, strict=True))
        )
    return bool(type(value) is type(document) and value == document) or (
        isinstance(value, float) and type(document) is int and value == document
    )


@LAW
@given(data=st.data())
@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.name}")
def test_nothing_is_dropped_without_a_note(file: Path, data: st.DataObject, tmp_path: Path) -> None:
    document = json.loads(content(file))
    for _ in range(data.draw(st.integers(1, 3))):
        way = data.draw(st.sampled_from(places_in(file)))
        damage(document, way, data.draw(st.sampled_from(VALUES)))
    found = read(tmp_path / file.name, json.dumps(document).encode())
    if found is not None:
        assert found.reading.mode in {"strict", "lenient"}
        assert bool(found.reading.notes) == (found.reading.mode == "lenient")
        assert all("\n" not in note and len(note) <= 300 for note in found.reading.notes)
        assert is_all_there(found.value, document) or found.reading.notes


@LAW
@given(data=st.data())
@pytest.mark.parametrize("file", FILES[2:], ids=lambda file: file.name)
def test_any_bytes_end_in_a_reading_or_an_error(
    file: Path, data: st.DataObject, tmp_path: Path
) -> None:
    raw = bytearray(content(file))
    start = data.draw(st.integers(0, len(raw) - 1))
    change = data.draw(st.sampled_from(["cut", "replace", "remove", "repeat"]))
    end = min(len(raw), start + data.draw(st.integers(1, 40)))
    if change == "cut":
        del raw[start:]
    elif change == "replace":
        raw[start:end] = data.draw(st.binary(max_size=8))
    elif change == "remove":
        del raw[start:end]
    else:
        raw[start:start] = raw[start:end] * data.draw(st.integers(1, 3))
    read(tmp_path / file.name, bytes(raw))
