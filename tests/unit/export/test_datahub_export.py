"""The catalog as DataHub's metadata change proposals, read back by DataHub's own code."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from recording_server import Recorder, serving
from small_catalog import (
    CATALOG,
    EXPOSURE,
    ITEMS,
    MART,
    RAW,
    START,
    TOTALS,
    UNIQUE,
    UNIT,
    alarm,
    profile_of_mart,
)

from headrace.catalog import RunStore
from headrace.catalog.kept_profiles import KeptProfile
from headrace.catalog.model import Asset, Catalog, Column
from headrace.errors import ExportError
from headrace.export.datahub.export import DataHubOptions, to_file, to_server, vanished_assets
from headrace.settings import Resolved, resolve

pytest.importorskip("datahub", reason="uv sync --extra datahub")

ORDERS = "urn:li:dataset:(urn:li:dataPlatform:duckdb,wh.shop_raw.orders,PROD)"
FCT = "urn:li:dataset:(urn:li:dataPlatform:duckdb,wh.marts.fct_orders,PROD)"
RESOURCE = "urn:li:dataset:(urn:li:dataPlatform:dlt,shop.orders,PROD)"
TOKEN = "tok-5678"  # noqa: S105
CONFIG = b'{"noCode": "true", "versions": {"acryldata/datahub": {"version": "v1.2.0"}}}'


@dataclass(frozen=True)
class AssertionResult:
    """What the run store says of a test."""

    status: str
    failures: int | None = 0
    message: str | None = None
    run_id: str = "r-1"
    started_at: datetime | None = START


@pytest.fixture
def resolved(tmp_path: Path) -> Resolved:
    return resolve(tmp_path, flags=[f"data_dir={tmp_path}"], environ={})


def written(
    resolved: Resolved, catalog: Catalog = CATALOG, options: DataHubOptions | None = None
) -> Mapping[tuple[str, str], Any]:
    """The aspects by URN and name, after DataHub's own reader has taken the file."""
    from datahub.emitter.mcp import MetadataChangeProposalWrapper
    from datahub.ingestion.source.file import read_metadata_file

    path = resolved.data_dir / "datahub.json"
    report = to_file(resolved, catalog, path, options)
    found = {}
    for each in read_metadata_file(path):
        assert isinstance(each, MetadataChangeProposalWrapper)
        assert each.validate()
        found[str(each.entityUrn), str(each.aspectName)] = each.aspect
    assert len(found) == report.records, "no aspect is written twice"
    return found


def test_datasets_are_the_relations_and_resources(resolved: Resolved) -> None:
    found = written(resolved)

    assert {urn for urn, aspect in found if aspect == "datasetProperties"} == {
        RESOURCE,
        ORDERS,
        ORDERS.replace("orders", "orders__items"),
        FCT,  # the ephemeral model stands nowhere
    }
    properties = found[FCT, "datasetProperties"]
    assert (properties.name, properties.qualifiedName) == ("fct_orders", "wh.marts.fct_orders")
    assert properties.description == "One row per *order*."
    assert properties.customProperties["dbt_id"] == MART
    assert properties.customProperties["meta.tier"] == "1"
    assert found[FCT, "viewProperties"].viewLogic == "select 1 as order_id"


def test_columns_have_native_types_descriptions_and_tags(resolved: Resolved) -> None:
    from datahub.metadata.schema_classes import NumberTypeClass, RecordTypeClass, StringTypeClass

    found = written(resolved)
    fields = {field.fieldPath: field for field in found[FCT, "schemaMetadata"].fields}
    buyer = found[ORDERS, "schemaMetadata"].fields[2]

    assert fields["amount"].nativeDataType == "DECIMAL(18,2)"
    assert isinstance(fields["amount"].type.type, NumberTypeClass)
    assert isinstance(fields["email"].type.type, StringTypeClass)
    assert isinstance(buyer.type.type, RecordTypeClass)
    assert fields["amount"].description == "In dollars."
    assert (fields["order_id"].nullable, fields["order_id"].isPartOfKey) == (False, True)
    assert [tag.tag for tag in fields["amount"].globalTags.tags] == ["urn:li:tag:money"]
    assert [tag.tag for tag in fields["email"].globalTags.tags] == [
        "urn:li:tag:pii",
        "urn:li:tag:pii.email",
    ]
    assert found["urn:li:tag:pii.email", "tagProperties"].description == "Personal data: email."
    assert found[FCT, "schemaMetadata"].primaryKeys == ["order_id"]


@pytest.mark.parametrize(
    ("data_type", "kind"),
    [
        ("VARCHAR[]", "Array"),
        ("STRUCT(a INTEGER, b VARCHAR)[]", "Array"),
        ("MAP(VARCHAR, INTEGER)", "Map"),
        ("TIMESTAMP WITH TIME ZONE", "Time"),
        ("DATE", "Date"),
        ("double", "Number"),
        ("HUGEINT", "Number"),
        ("json", "Record"),
        ("BLOB", "Bytes"),
        ("ENUM('a', 'b')", "Enum"),
        ("GEOMETRY", "Null"),
        (None, "Null"),
    ],
)
def test_types(data_type: str | None, kind: str) -> None:
    from headrace.export.datahub.datasets import schema_field

    field = schema_field(Column("c", data_type), CATALOG.assets[MART])
    assert type(field.type.type).__name__ == f"{kind}TypeClass"


def test_lineage_of_tables_and_columns(resolved: Resolved) -> None:
    found = written(resolved)
    lineage = found[FCT, "upstreamLineage"]

    assert {each.dataset for each in lineage.upstreams} == {
        ORDERS,
        ORDERS.replace("orders", "orders__items"),
    }
    columns = {
        tuple(each.downstreams): (set(each.upstreams), each.transformOperation)
        for each in lineage.fineGrainedLineages
    }
    field = f"urn:li:schemaField:({FCT},%s)"
    source = f"urn:li:schemaField:({ORDERS},%s)"
    assert columns == {
        (field % "order_id",): ({source % "id"}, "renamed"),
        (field % "amount",): ({source % "cents"}, "aggregated, computed"),
        (field % "email",): ({source % "buyer"}, "computed"),
    }
    assert found[ORDERS, "upstreamLineage"].upstreams[0].dataset == RESOURCE


def test_columns_that_only_decide_are_sent_when_they_are_asked_for(resolved: Resolved) -> None:
    direct = written(resolved)[FCT, "upstreamLineage"].fineGrainedLineages
    every = written(resolved, options=DataHubOptions(indirect=True))[FCT, "upstreamLineage"]

    more = every.fineGrainedLineages[len(direct) :]
    field = f"urn:li:schemaField:({FCT},%s)"
    source = f"urn:li:schemaField:({ORDERS},%s)"
    assert [each.to_obj() for each in every.fineGrainedLineages[: len(direct)]] == [
        each.to_obj() for each in direct
    ]
    assert {
        (each.downstreamType, len(each.downstreams), *sorted(each.transformOperation.split(", ")))
        for each in more
    } == {
        ("FIELD", 1, "windowed"),  # of one column
        ("FIELD_SET", 4, "filtered", "grouped", "joined"),  # of the rows, so of all columns
    }
    assert {urn for each in more for urn in each.downstreams} <= {
        field % column.name for column in CATALOG.assets[MART].columns
    }
    assert source % "id" in {urn for each in more for urn in each.upstreams}


def test_what_has_vanished_is_marked_as_removed(resolved: Resolved) -> None:
    gone = replace(CATALOG.assets[MART], id="model.demo.old", identifier="old", name="old")
    moved = replace(CATALOG.assets[MART], id="model.other.fct_orders")  # its table is still there
    board = replace(CATALOG.assets[EXPOSURE], id="exposure.demo.old_board")

    found = written(resolved, options=DataHubOptions(vanished=(gone, moved, board)))

    removed = {urn for (urn, name), each in found.items() if name == "status" and each.removed}
    assert removed == {
        FCT.replace("fct_orders", "old"),
        "urn:li:dashboard:(dbt,demo.old_board)",
    }


def test_vanished_is_what_an_earlier_version_had(resolved: Resolved) -> None:
    store = RunStore(resolved.run_store_url)
    try:
        store.save_catalog(CATALOG, None)
        lost = {MART, UNIQUE, TOTALS, UNIT, EXPOSURE}
        store.save_catalog(
            Catalog(
                {id_: each for id_, each in CATALOG.assets.items() if id_ not in lost},
                {id_: each for id_, each in CATALOG.parents.items() if id_ not in lost},
            ),
            None,
        )
        newest = store.load_catalog()
        assert newest is not None
        assert [each.id for each in vanished_assets(store, newest)] == [EXPOSURE, MART]
        store.save_catalog(CATALOG, None)
        again = store.load_catalog()
        assert again is not None
        assert vanished_assets(store, again) == ()
    finally:
        store.close()


def test_owners_are_people_or_groups(resolved: Resolved) -> None:
    found = written(resolved)

    assert [owner.owner for owner in found[FCT, "ownership"].owners] == [
        "urn:li:corpuser:ada@example.org",
        "urn:li:corpGroup:Analytics",
    ]


def test_schemas_are_containers(resolved: Resolved) -> None:
    found = written(resolved)
    schema = found[FCT, "container"].container
    database = found[schema, "container"].container

    assert found[schema, "containerProperties"].name == "marts"
    assert found[database, "containerProperties"].name == "wh"
    assert (database, "container") not in found


def test_tests_are_assertions_with_their_newest_result(resolved: Resolved) -> None:
    results = {
        UNIQUE: AssertionResult("fail", 3, "broken by 3 rows"),
        TOTALS: AssertionResult("skipped"),
    }
    found = written(resolved, options=DataHubOptions(results=results))
    infos = {
        aspect.customProperties["asset"]: (urn, aspect)
        for (urn, name), aspect in found.items()
        if name == "assertionInfo"
    }

    assert set(infos) == {UNIQUE, TOTALS}, "a unit test says nothing of the data"
    urn, info = infos[UNIQUE]
    assert info.datasetAssertion.dataset == FCT
    assert info.datasetAssertion.fields == [f"urn:li:schemaField:({FCT},order_id)"]
    assert (info.datasetAssertion.nativeType, info.customProperties["severity"]) == (
        "unique",
        "error",
    )
    run = found[urn, "assertionRunEvent"]
    assert (run.result.type, run.result.unexpectedCount) == ("FAILURE", 3)
    assert run.timestampMillis == int(START.timestamp() * 1000)
    assert (infos[TOTALS][0], "assertionRunEvent") not in found, "it was skipped"
    assert infos[TOTALS][1].datasetAssertion.dataset == FCT


def test_exposure_is_a_dashboard(resolved: Resolved) -> None:
    ((urn, info),) = (
        (urn, aspect)
        for (urn, name), aspect in written(resolved).items()
        if name == "dashboardInfo"
    )
    assert urn == f"urn:li:dashboard:(dbt,{EXPOSURE.removeprefix('exposure.')})"
    assert info.dashboardUrl == "https://bi.example.org/board"
    assert [edge.destinationUrn for edge in info.datasetEdges] == [FCT]


def test_load_is_a_job_from_resources_to_tables_and_those_within(resolved: Resolved) -> None:
    found = written(resolved)
    job = "urn:li:dataJob:(urn:li:dataFlow:(dlt,shop,PROD),load)"

    flow = found[job, "dataJobInputOutput"]
    assert flow.inputDatasets == [RESOURCE]
    assert set(flow.outputDatasets) == {ORDERS, ORDERS.replace("orders", "orders__items")}
    assert CATALOG.assets[ITEMS].parent_table == RAW


def test_instance_and_fabric_are_in_every_name(resolved: Resolved) -> None:
    found = written(resolved, options=DataHubOptions(fabric="DEV", instance="north"))
    names = [urn for urn, aspect in found if aspect == "datasetProperties"]

    assert names
    assert all(",north." in urn and urn.endswith(",DEV)") for urn in names)


def test_odd_names_stay_names(resolved: Resolved) -> None:
    name = 'a,b (c) "d".<e>/שלום%'
    odd = Asset(
        f"table.s.{name}", "table", name, database="wh", schema="s", identifier=name,
        columns=(Column(name, "VARCHAR", tags=("x,(y)",)),), owners=("Team, (north)",),
        tags=("t,(1)",), description='<script>alert("x")</script>',
    )  # fmt: skip
    child = replace(odd, id="model.demo.child", kind="model", name="child", identifier="child")
    catalog = Catalog(
        assets={odd.id: odd, child.id: child}, parents={odd.id: (), child.id: (odd.id,)}
    )
    found = written(resolved, catalog)
    urns = {urn for urn, aspect in found if aspect == "datasetProperties"}
    lineage = found[
        "urn:li:dataset:(urn:li:dataPlatform:duckdb,wh.s.child,PROD)", "upstreamLineage"
    ]

    assert len(urns) == 2
    assert lineage.upstreams[0].dataset in urns
    assert {found[urn, "schemaMetadata"].fields[0].fieldPath for urn in urns} == {name}


def test_server_gets_what_the_file_has(resolved: Resolved) -> None:
    with serving(Recorder(body=CONFIG)) as server:
        report = to_server(resolved, CATALOG, server.url, token=TOKEN)

    assert report.destination == server.url
    assert server.requests[0][:2] == ("GET", "/config")
    sent = [
        proposal
        for _, path, _, body in server.requests
        if "ingestProposalBatch" in path
        for proposal in json.loads(body)["proposals"]
    ]
    assert len(sent) == report.records
    assert {FCT, ORDERS, RESOURCE} <= {proposal["entityUrn"] for proposal in sent}
    assert all(
        headers["authorization"] == f"Bearer {TOKEN}" for _, _, headers, _ in server.requests
    )


@pytest.mark.parametrize("status", [401, 500])
def test_server_that_refuses_is_an_error_without_secrets(resolved: Resolved, status: int) -> None:
    with serving(Recorder(status=status, body=CONFIG)) as server:
        url = server.url.replace("//", "//ada:pa55word@")
        with pytest.raises(ExportError, match="--token-env") as caught:
            to_server(resolved, CATALOG, url, token=TOKEN)

    assert "pa55word" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert caught.value.__cause__ is None


def test_server_that_is_not_there_is_an_error(resolved: Resolved) -> None:
    with pytest.raises(ExportError, match=r"http://127\.0\.0\.1:1 did not take the catalog"):
        to_server(resolved, CATALOG, "http://127.0.0.1:1", token=None)


def test_file_that_cannot_be_written_is_an_error(resolved: Resolved, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match="--out"):
        to_file(resolved, CATALOG, tmp_path / "file" / "x.json")


def test_unknown_fabric_is_an_error(resolved: Resolved) -> None:
    with pytest.raises(ExportError, match="PROD"):
        to_file(resolved, CATALOG, resolved.data_dir / "x.json", DataHubOptions(fabric="MOON"))
    assert not (resolved.data_dir / "x.json").exists()


def test_missing_extra_says_how_to_get_it(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("datahub", "datahub.metadata.schema_classes", "datahub.emitter"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(ExportError, match="uv sync --extra datahub"):
        to_file(resolved, CATALOG, resolved.data_dir / "x.json")


def test_profiles_and_alarms(resolved: Resolved) -> None:
    text = profile_of_mart().model_dump_json(exclude_defaults=True)
    kept = KeptProfile(MART, "r-1", START, "abc", 400, text)
    options = DataHubOptions(
        profiles={MART: kept, "model.demo.gone": kept},
        alarms=(alarm(), alarm(metric="rows", high=None, status="over")),
    )
    found = written(resolved, options=options)

    profile = found[FCT, "datasetProfile"]
    assert profile.timestampMillis == int(START.timestamp() * 1000)
    assert (profile.rowCount, profile.columnCount) == (400, 4)
    fields = {one.fieldPath: one for one in profile.fieldProfiles}
    amount = fields["amount"]
    assert (amount.min, amount.max, amount.uniqueCount, amount.median) == ("0.00", "4.00", 5, "2.0")
    assert sum(amount.histogram.heights) == 400
    assert len(amount.histogram.boundaries) == len(amount.histogram.heights) + 1
    assert (fields["n"].nullCount, fields["n"].nullProportion) == (100, 0.25)
    assert fields["email"].distinctValueFrequencies is None
    assert "example.org" not in str(profile)
    runs = [aspect for (_, name), aspect in found.items() if name == "assertionRunEvent"]
    of_alarms = {one.result.nativeResults["status"]: one for one in runs}
    assert of_alarms["open"].result.type == "FAILURE"
    assert of_alarms["open"].result.actualAggValue == 3.0
    assert of_alarms["over"].result.type == "SUCCESS"
    info = found[of_alarms["open"].assertionUrn, "assertionInfo"].datasetAssertion
    assert (info.scope, info.operator, info.nativeType) == ("DATASET_COLUMN", "BETWEEN", "monitor")
    assert info.parameters.maxValue.value == "20"
    other = found[of_alarms["over"].assertionUrn, "assertionInfo"].datasetAssertion
    assert (other.scope, other.fields) == ("DATASET_ROWS", None)


def test_a_column_that_became_personal_since_its_profile_is_masked(resolved: Resolved) -> None:
    asset = CATALOG.assets[MART]
    columns = tuple(
        replace(one, pii="declared") if one.name == "amount" else one for one in asset.columns
    )
    catalog = replace(CATALOG, assets={**CATALOG.assets, MART: replace(asset, columns=columns)})
    text = profile_of_mart().model_dump_json(exclude_defaults=True)
    kept = KeptProfile(MART, "r-1", START, "abc", 400, text)
    found = written(resolved, catalog, DataHubOptions(profiles={MART: kept}))

    fields = {one.fieldPath: one for one in found[FCT, "datasetProfile"].fieldProfiles}
    assert (fields["amount"].min, fields["amount"].histogram) == (None, None)
    assert fields["amount"].uniqueCount == 5
