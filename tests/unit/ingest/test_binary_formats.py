"""Avro files: each type of the schema, and files that are none."""

import datetime as dt
import decimal
import uuid
from pathlib import Path
from typing import Any

import duckdb
import pytest

from headrace.errors import SourceError
from headrace.ingest.discover import HashCache, find_files
from headrace.ingest.model import FileChanges, FileTable
from headrace.ingest.stage import stage
from ingest_lab import first_load

fastavro = pytest.importorskip("fastavro", reason="uv sync --extra avro")

_POINT = {"type": "record", "name": "Point", "fields": [{"name": "x", "type": "int"}]}
_COLUMNS: dict[str, tuple[Any, Any, str, Any]] = {
    "id": ("long", 1, "BIGINT", 1),
    "small": ("int", -2, "BIGINT", -2),
    "is_open": ("boolean", True, "BOOLEAN", True),
    "ratio": ("double", 0.5, "DOUBLE", 0.5),
    "name": (["null", "string"], "é", "VARCHAR", "é"),
    "missing": (["null", "long"], None, "BIGINT", None),
    "amount": (
        {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2},
        decimal.Decimal("-1234.50"),
        "DECIMAL(12,2)",
        decimal.Decimal("-1234.50"),
    ),
    "day": ({"type": "int", "logicalType": "date"}, dt.date(2024, 12, 31), "DATE",
            dt.date(2024, 12, 31)),
    "at": (
        {"type": "long", "logicalType": "timestamp-millis"},
        dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
        "TIMESTAMP WITH TIME ZONE",
        dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
    ),
    "local_at": (
        {"type": "long", "logicalType": "local-timestamp-micros"},
        dt.datetime.fromisoformat("2024-01-02T03:04:05.000006"),
        "TIMESTAMP",
        dt.datetime.fromisoformat("2024-01-02T03:04:05.000006"),
    ),
    "token": (
        {"type": "string", "logicalType": "uuid"},
        uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        "VARCHAR",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    ),
    "color": ({"type": "enum", "name": "Color", "symbols": ["RED"]}, "RED", "VARCHAR", "RED"),
    "other_color": ("Color", "RED", "VARCHAR", "RED"),
    "point": (_POINT, {"x": 1}, "JSON", '{"x":1}'),
    "points": ({"type": "array", "items": "Point"}, [{"x": 1}], "JSON", '[{"x":1}]'),
    "tags": ({"type": "map", "values": "long"}, {"a": 1}, "JSON", '{"a":1}'),
    "either": (["long", "string"], "b", "VARCHAR", "b"),
}  # fmt: skip


def write(path: Path, columns: dict[str, Any], rows: list[dict[str, Any]], codec: str) -> None:
    fields = [{"name": name, "type": kind} for name, kind in columns.items()]
    schema = fastavro.parse_schema({"type": "record", "name": "Row", "fields": fields})
    with path.open("wb") as stream:
        fastavro.writer(stream, schema, rows, codec=codec)


def staged(folder: Path) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    context = first_load(folder)
    files = find_files(folder, "*.avro", HashCache(context.cache_path)).files
    with duckdb.connect() as connection:
        found = stage(
            connection,
            "t",
            FileTable("*.avro"),
            FileChanges(files, files),
            context,
            lambda name: name,
        )
        rows = connection.execute(found.select).fetchall()
    return {column.name: column.duckdb_type for column in found.columns}, rows


@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_each_type_of_a_schema(tmp_path: Path, codec: str) -> None:
    row = {name: value for name, (_, value, *_) in _COLUMNS.items()}
    write(tmp_path / "a.avro", {name: kind for name, (kind, *_) in _COLUMNS.items()}, [row], codec)
    types, ((*values, _),) = staged(tmp_path)
    del types["_file_name"]
    assert types == {name: kind for name, (*_, kind, _) in _COLUMNS.items()}
    assert values == [value for *_, value in _COLUMNS.values()]


def test_files_with_other_schemas_are_joined_by_name(tmp_path: Path) -> None:
    write(tmp_path / "1.avro", {"id": "long", "n": "int"}, [{"id": 1, "n": 2}], "null")
    write(tmp_path / "2.avro", {"x": "string", "id": "long"}, [{"id": 2, "x": "a"}], "null")
    types, rows = staged(tmp_path)
    assert types["n"] == "BIGINT"
    assert rows == [(1, 2, None, "1.avro"), (2, None, "a", "2.avro")]


@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda _: b"id,x\n1,a\n"])
def test_what_is_no_whole_avro_file_is_refused(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "a.avro"
    write(path, {"id": "long"}, [{"id": n} for n in range(100)], "null")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SourceError, match=r"a\.avro cannot be read as Avro"):
        staged(tmp_path)


def test_values_that_are_no_records_have_no_columns(tmp_path: Path) -> None:
    with (tmp_path / "a.avro").open("wb") as stream:
        fastavro.writer(stream, "long", [1, 2])
    with pytest.raises(SourceError, match="no columns"):
        staged(tmp_path)
