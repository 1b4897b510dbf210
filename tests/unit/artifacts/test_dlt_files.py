"""What the readers take from real files of dlt 0.5, 1.4 and 1.31, and what they say of bad ones."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts import DltArtifacts, Reading, dump_trace, read_artifacts, read_pipeline
from headrace.artifacts.dlt_schema import load_schema
from headrace.artifacts.dlt_trace import load_trace
from headrace.errors import UserError

FIXTURES = Path(__file__).parents[2] / "fixtures" / "artifacts"
VERSIONS = ("0.5", "1.4", "1.31")
SCHEMA = Path("schemas") / "shop_api.schema.json"


def folder(version: str) -> Path:
    return FIXTURES / f"dlt_{version.replace('.', '_')}"


def shop(version: str) -> DltArtifacts:
    return read_pipeline(folder(version) / "shop_api")[0]


def copied(tmp_path: Path) -> Path:
    path = tmp_path / "shop_api"
    shutil.copytree(folder("1.31") / "shop_api", path)
    return path


def modes(readings: list[Reading]) -> dict[str, str]:
    return {reading.artifact: reading.mode for reading in readings}


def test_every_file_of_the_newest_version_is_read_strictly(tmp_path: Path) -> None:
    artifacts = read_artifacts(tmp_path, folder("1.31"))
    found = {reading.artifact: reading.mode for reading in artifacts.readings}
    assert {name for name, mode in found.items() if mode != "strict"} == {
        "manifest.json",
        "catalog.json",
        "run_results.json",
        "sources.json",
    }
    assert sum(name.startswith("shop_api/load/") for name in found) == 2
    assert sorted(artifacts.dlt) == ["refused", "shop_api"]


@pytest.mark.parametrize("version", ["0.5", "1.4"])
def test_older_versions_are_complete_and_noted(version: str) -> None:
    newest = shop("1.31").schema
    older = shop(version).schema
    assert older is not None
    assert newest is not None
    lenient = [
        reading
        for name in ("shop_api", "refused")
        for reading in read_pipeline(folder(version) / name)[1]
        if reading.mode != "strict"
    ]
    assert lenient
    assert all("engine version" in note for reading in lenient for note in reading.notes)
    assert [table.name for table in older.data_tables] == [
        table.name for table in newest.data_tables
    ]
    for table in newest.data_tables:
        types = {name: column.data_type for name, column in table.columns.items()}
        found = older.tables[table.name].columns
        # rows of child tables point to their root in newer versions only, where rows are merged
        assert {name: found[name].data_type for name in types if name in found} == {
            name: kind for name, kind in types.items() if name in found
        }
        assert set(types) - set(found) <= {"_dlt_root_id"}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_depth_of_child_tables(version: str) -> None:
    schema = shop(version).schema
    assert schema is not None
    deepest = "orders__lines__discounts"
    assert [(each.name, schema.depth(each.name)) for each in schema.data_tables] == [
        ("orders", 0),
        ("orders__lines", 1),
        (deepest, 2),
        ("statuses", 0),
    ]
    assert schema.ancestors(deepest) == ("orders__lines", "orders")
    assert (schema.root(deepest), schema.resource(deepest)) == ("orders", "orders")
    assert schema.children("orders") == ("orders__lines",)
    assert schema.tables[deepest].columns["_dlt_parent_id"].parent_key
    assert schema.tables["_dlt_loads"].is_internal


@pytest.mark.parametrize("version", VERSIONS)
def test_a_table_and_its_columns(version: str) -> None:
    schema = shop(version).schema
    assert schema is not None
    orders = schema.tables["orders"]
    assert (orders.primary_key, orders.write_disposition) == (("id",), "merge")
    assert orders.is_seen
    column = orders.columns["id"]
    assert (column.data_type, column.nullable, column.description) == ("bigint", False, "The key.")
    assert orders.columns["placed_at"].hints == {"x-pii": "none"}
    assert orders.columns["customer__address__city"].nullable
    assert orders.columns["_dlt_id"].row_key
    assert orders.columns["_dlt_id"].unique


@pytest.mark.parametrize("version", VERSIONS)
def test_packages_come_newest_first(version: str) -> None:
    newest, oldest = shop(version).packages
    assert newest.load_id > oldest.load_id
    assert (newest.status, newest.failed) == ("loaded", ())
    assert list(newest.updates) == ["orders"]
    assert list(newest.updates["orders"].columns) == ["note"]
    assert "orders__lines__discounts" in oldest.updates
    assert newest.created_at is not None
    assert oldest.created_at is not None
    assert newest.created_at > oldest.created_at
    assert newest.schema_version == (oldest.schema_version or 0) + 1
    if version == "1.31":  # older ones do not say what became of each file
        assert {job.table_name for job in newest.jobs} > {"orders", "orders__lines"}
        assert newest.completed_at is not None
        assert newest.completed_at > newest.created_at


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_that_the_destination_refused(version: str) -> None:
    (package,) = read_pipeline(folder(version) / "refused")[0].packages
    (job,) = package.failed
    assert job.table == "statuses"
    assert job.message.endswith("statuses is not taken")


@pytest.mark.parametrize("version", VERSIONS)
def test_state_and_trace(version: str) -> None:
    pipeline = shop(version)
    assert pipeline.state is not None
    assert pipeline.trace is not None
    assert (pipeline.dataset_name, pipeline.state.schema_names) == ("shop_api_raw", ["shop_api"])
    (cursor,) = pipeline.state.cursors
    assert (cursor.source, cursor.resource, cursor.path) == ("shop_api", "orders", "placed_at")
    assert cursor.last_value == "2026-11-03T10:00:00Z"
    trace = pipeline.trace
    assert [step.step for step in trace.steps] == ["extract", "normalize", "load"]
    assert (trace.dlt_version or "").startswith(version)
    rows = {table: count for table, count in trace.rows.items() if not table.startswith("_")}
    assert rows == {
        "orders": 1,
        "orders__lines": 2,
        "orders__lines__discounts": 1,
        "statuses": 2,
    }
    load = trace.step("load")
    assert load is not None
    assert load.load_ids == (pipeline.packages[0].load_id,)
    assert load.started is not None
    assert load.finished is not None
    assert load.started < load.finished
    assert load.load_info is not None
    assert load.load_info.dataset_name == "shop_api_raw"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_trace_is_written_without_settings_and_secrets(version: str, tmp_path: Path) -> None:
    path = folder(version) / "shop_api" / "trace.json"
    whole = json.loads(path.read_text("utf-8"))
    written = dump_trace(whole)
    for secret in (b"nobody-should-see", b"resolved_config", b"credentials", b"exception_traces"):
        assert secret not in written
    (tmp_path / "trace.json").write_bytes(written)
    again = load_trace(tmp_path / "trace.json", "shop_api/trace.json")
    assert again.value == load_trace(path, "shop_api/trace.json").value


def test_only_a_trace_is_written() -> None:
    with pytest.raises(UserError, match="is not the trace of a dlt pipeline"):
        dump_trace({"resolved_config_values": ["secret"]})


BAD: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is empty"),
    "cut in half": ('{"name": "shop_api", "tables": {"ord', "is cut off"),
    "a list": ("[]", "holds a list where a JSON object is expected"),
    "not dlt's": ('{"name": "x"}', "is not a schema of dlt"),
    "too old": ('{"engine_version": 8, "tables": {}}', "version 8; Headrace reads 9 to 11"),
    "no name": ('{"engine_version": 11, "tables": {}}', "it has no `name`"),
    "tables in a list": (
        '{"engine_version": 11, "name": "x", "tables": []}',
        "its `tables` cannot be read: expected object, got array",
    ),
    "not text": (b"\xff\xfe\x00", "is not UTF-8"),
    "too deep": ("[" * 100_000, "is nested too deep"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_schema_that_cannot_be_read_is_an_error_of_one_line(name: str, tmp_path: Path) -> None:
    content, reason = BAD[name]
    pipeline = copied(tmp_path)
    raw = content.encode() if isinstance(content, str) else content
    (pipeline / SCHEMA).write_bytes(raw)
    with pytest.raises(UserError) as caught:
        load_schema(pipeline / SCHEMA, "shop_api.schema.json")
    message = str(caught.value)
    assert reason in message
    assert message.startswith(str(pipeline / SCHEMA))
    assert message.endswith("and run `headrace load`, dlt restores it")
    assert "\n" not in message
    artifacts, readings = read_pipeline(pipeline)
    assert artifacts.schema is None
    assert modes(readings)["shop_api/shop_api.schema.json"] == "unreadable"
    assert modes(readings)["shop_api/state.json"] == "strict"


Edit = Callable[[dict[str, Any]], Any]
EDITED: dict[str, tuple[Edit, str]] = {
    "a column that is a text": (
        lambda tables: tables["orders"]["columns"].update(id="bigint"),
        "`tables.orders.columns.id` is left out: expected object, got str",
    ),
    "a type that is a number": (
        lambda tables: tables["orders"]["columns"]["id"].update(data_type=5),
        "`tables.orders.columns.id.data_type` is left out: expected str | null, got int",
    ),
    "columns that are null": (
        lambda tables: tables["orders"].update(columns=None),
        "`columns` is null 1 time: read as not given",
    ),
    "a table that is null": (
        lambda tables: tables.update(statuses=None),
        "`tables.statuses` is left out: expected object, got null",
    ),
    "a parent that is missing": (
        lambda tables: tables["orders__lines"].update(parent="gone"),
        "`orders__lines` is nested in `gone`, which is missing",
    ),
    "another name": (
        lambda tables: tables["orders"].update(name="purchases"),
        "`orders` calls itself `purchases`",
    ),
}


@pytest.mark.parametrize("name", EDITED)
def test_a_schema_edited_by_hand_is_read_leniently(name: str, tmp_path: Path) -> None:
    edit, note = EDITED[name]
    pipeline = copied(tmp_path)
    document = json.loads((pipeline / SCHEMA).read_text("utf-8"))
    edit(document["tables"])
    (pipeline / SCHEMA).write_text(json.dumps(document))
    read = load_schema(pipeline / SCHEMA, "shop_api.schema.json")
    assert (read.reading.mode, read.reading.notes) == ("lenient", (note,))
    assert "orders__lines__discounts" in read.value.tables
    assert all(name == table.name for name, table in read.value.tables.items())


def test_a_cycle_of_nested_tables(tmp_path: Path) -> None:
    pipeline = copied(tmp_path)
    document = json.loads((pipeline / SCHEMA).read_text("utf-8"))
    document["tables"]["orders"]["parent"] = "orders__lines__discounts"
    document["tables"]["statuses"]["parent"] = "statuses"
    (pipeline / SCHEMA).write_text(json.dumps(document))
    schema = load_schema(pipeline / SCHEMA, "shop_api.schema.json").value
    assert schema.depth("orders") == 2
    assert schema.depth("statuses") == 0
    assert schema.resource("orders__lines") is not None


def test_a_package_is_read_without_its_broken_parts(tmp_path: Path) -> None:
    pipeline = copied(tmp_path)
    newest = max((pipeline / "load" / "loaded").iterdir())
    (newest / "schema.json").write_text("{")
    (newest / "load_package_state.json").unlink()
    (newest / "applied_schema_updates.json").write_text('{"orders": 5}')
    (newest / "package_completed.json").write_text("aborted")
    (newest / "failed_jobs").mkdir()
    (newest / "failed_jobs" / "orders.abc.0.parquet").write_text("x")
    (pipeline / "load" / "loaded" / "not a load").mkdir()
    artifacts, readings = read_pipeline(pipeline)
    package = artifacts.packages[0]
    assert len(artifacts.packages) == 2
    assert (package.load_id, package.status) == (newest.name, "aborted")
    assert [(job.table, job.message) for job in package.failed] == [("orders", "")]
    (found,) = [each for each in readings if each.artifact.endswith(newest.name)]
    assert found.notes == (
        "`load_package_state.json` is missing",
        "`schema.json` is cut off: the JSON in it does not end",
        "`tables.orders` is left out: expected object, got int",
        "there is no message that says why `orders.abc.0.parquet` failed",
    )


def test_at_most_the_requested_number_of_packages_is_read() -> None:
    artifacts, _ = read_pipeline(folder("1.31") / "shop_api", newest_packages=1)
    (package,) = artifacts.packages
    assert package.load_id == shop("1.31").packages[0].load_id


def test_a_pending_package_is_not_loaded(tmp_path: Path) -> None:
    pipeline = copied(tmp_path)
    newest = max((pipeline / "load" / "loaded").iterdir())
    (pipeline / "load" / "normalized").mkdir()
    (newest / "package_completed.json").unlink()
    newest.rename(pipeline / "load" / "normalized" / newest.name)
    package = read_pipeline(pipeline)[0].packages[0]
    assert (package.status, package.completed_at) == ("normalized", None)


def test_a_pipeline_without_files(tmp_path: Path) -> None:
    (tmp_path / "gone" / "schemas").mkdir(parents=True)
    artifacts, readings = read_pipeline(tmp_path / "gone")
    assert artifacts == DltArtifacts("gone", {})
    assert artifacts.schema is None
    assert modes(readings) == {"gone/state.json": "missing", "gone/trace.json": "missing"}
    (tmp_path / "gone" / "state.json").mkdir()
    (tmp_path / "gone" / "trace.json").write_text("[1]")
    _, readings = read_pipeline(tmp_path / "gone")
    assert modes(readings) == {"gone/state.json": "unreadable", "gone/trace.json": "unreadable"}
    assert readings[0].notes[0].partition(": ")[0].endswith("gone/state.json is a directory")


def test_a_second_schema_does_not_hide_the_first(tmp_path: Path) -> None:
    pipeline = copied(tmp_path)
    shutil.copy(pipeline / SCHEMA, pipeline / "schemas" / "other.schema.json")
    artifacts, _ = read_pipeline(pipeline)
    assert sorted(artifacts.schemas) == ["other", "shop_api"]
    assert artifacts.schema is artifacts.schemas["shop_api"]
