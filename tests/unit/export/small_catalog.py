"""A catalog of a few assets of every kind, by hand; and reports of a build of it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import duckdb

from headrace.catalog.metric_tables import StoredAlarm
from headrace.catalog.model import Asset, Catalog, Column, ColumnEdge, TestInfo
from headrace.pipeline.reports import NodeReport, TableReport
from headrace.quality.profile import TableProfile, profile_quickly

START = datetime(2024, 6, 1, 8, 0, 0, tzinfo=UTC)
RESOURCE = "resource.shop.orders"
RAW = "table.shop_raw.orders"
ITEMS = "table.shop_raw.orders__items"
STAGING = "model.demo.stg_orders"
MART = "model.demo.fct_orders"
UNIQUE = "test.demo.unique_fct_orders_order_id"
TOTALS = "test.demo.totals_add_up"
UNIT = "unit_test.demo.fct_orders.cents"
EXPOSURE = "exposure.demo.board"

_ASSETS = (
    Asset(
        RESOURCE, "resource", "shop.orders", package="shop",
        columns=(Column("id", "bigint"), Column("cents", "bigint")), primary_key=("id",),
    ),
    Asset(
        RAW, "table", "orders", database="wh", schema="shop_raw", identifier="orders",
        package="shop", dbt_id="source.demo.shop.orders", description="Orders as they came.",
        owners=("data_platform",), primary_key=("id",),
        columns=(
            Column("id", "BIGINT", "The key.", nullable=False),
            Column("cents", "BIGINT"),
            Column("buyer", "STRUCT(email VARCHAR, tags VARCHAR[])", pii="email"),
        ),
    ),
    Asset(
        ITEMS, "table", "orders__items", database="wh", schema="shop_raw",
        identifier="orders__items", package="shop", parent_table=RAW,
        columns=(Column("_dlt_parent_id", "VARCHAR"), Column("sku", "VARCHAR")),
    ),
    Asset(
        STAGING, "model", "stg_orders", database="wh", schema="staging", identifier="stg_orders",
        materialized="ephemeral", package="demo", dbt_id=STAGING,
        columns=(Column("order_id", "BIGINT"), Column("cents", "BIGINT")),
    ),
    Asset(
        MART, "model", "fct_orders", database="wh", schema="marts", identifier="fct_orders",
        materialized="table", package="demo", dbt_id=MART, description="One row per *order*.",
        owners=("ada@example.org", "Analytics"), tags=("finance",), path="models/fct_orders.sql",
        raw_code="select * from {{ ref('stg_orders') }}", compiled_code="select 1 as order_id",
        columns=(
            Column("order_id", "BIGINT", "The key.", nullable=False),
            Column("amount", "DECIMAL(18,2)", "In dollars.", tags=("money",)),
            Column("email", "VARCHAR", pii="email"),
            Column("n", "BIGINT"),
        ),
        primary_key=("order_id",), meta={"tier": 1},
    ),
    Asset(
        UNIQUE, "test", "unique(order_id) on fct_orders", dbt_id=UNIQUE,
        compiled_code="select order_id from marts.fct_orders group by 1 having count(*) > 1",
        test=TestInfo("unique", MART, "order_id", "error"),
    ),
    Asset(
        TOTALS, "test", "totals_add_up", dbt_id=TOTALS, description="Both sums agree.",
        test=TestInfo("singular", None, None, "warn"),
    ),
    Asset(UNIT, "unit_test", "cents on fct_orders", test=TestInfo("unit", MART, None, "error")),
    Asset(
        EXPOSURE, "exposure", "Board", description="For the board.", owners=("ada@example.org",),
        url="https://bi.example.org/board", tags=("weekly",), meta={}, dbt_id=EXPOSURE,
    ),
)  # fmt: skip

_EDGES = (
    ColumnEdge(RESOURCE, "id", RAW, "id", "copied"),
    ColumnEdge(RAW, "id", STAGING, "order_id", "renamed"),
    ColumnEdge(RAW, "cents", STAGING, "cents", "copied"),
    ColumnEdge(RAW, "cents", STAGING, "", "filtered"),
    ColumnEdge(STAGING, "order_id", MART, "order_id", "copied"),
    ColumnEdge(STAGING, "cents", MART, "amount", "aggregated"),
    ColumnEdge(STAGING, "cents", MART, "amount", "computed"),
    ColumnEdge(ITEMS, "sku", MART, "amount", "windowed"),
    ColumnEdge(ITEMS, "", MART, "n", "aggregated"),
    ColumnEdge(RAW, "buyer", MART, "email", "computed"),
    ColumnEdge(STAGING, "order_id", MART, "", "joined"),
    ColumnEdge(ITEMS, "_dlt_parent_id", MART, "", "joined"),
    ColumnEdge(STAGING, "order_id", MART, "", "grouped"),
)

CATALOG = Catalog(
    assets={asset.id: asset for asset in _ASSETS},
    parents={
        RESOURCE: (),
        RAW: (RESOURCE,),
        ITEMS: (RAW,),
        STAGING: (RAW,),
        MART: (STAGING, ITEMS),
        UNIQUE: (MART,),
        TOTALS: (MART, RAW),
        UNIT: (MART,),
        EXPOSURE: (MART,),
    },
    column_edges=_EDGES,
)


def node(unique_id: str, status: str = "success", **changes: object) -> NodeReport:
    """What a build says of an asset."""
    asset = CATALOG.assets[unique_id]
    content: dict[str, object] = {
        "unique_id": unique_id,
        "name": asset.name,
        "label": asset.name,
        "resource_type": asset.kind,
        "status": status,
        "seconds": 2.0,
        "started_at": START,
        "severity": asset.test.severity if asset.kind == "test" and asset.test else None,
        "failures": 0 if asset.kind == "test" else None,
    }
    return NodeReport.model_validate(content | changes)


def table(name: str = "orders", new: int = 3, changed: int = 1) -> TableReport:
    """What a load says of a table."""
    return TableReport(
        source="shop",
        table=name,
        rows_given=new + changed,
        rows_new=new,
        rows_changed=changed,
        rows_total=10,
    )


def alarm(**other: Any) -> StoredAlarm:
    """An open alarm on the mart's amounts."""
    made = StoredAlarm(
        number=1, asset_id=MART, table="marts.fct_orders", metric="amount.mean", grain="day",
        since=START, last=START, side="down", value=3.0, expected=15.0, low=10.0, high=20.0,
        score=-9.0, status="open", run_id="r-8", last_run_id="r-9",
        text="the mean of amount fell to 3",
    )  # fmt: skip
    return replace(made, **other)


def profile_of_mart() -> TableProfile:
    """A profile of the mart, 400 rows; of its e-mail addresses it has shapes alone."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(
            "create table t as select i as order_id, (i % 5)::decimal(18, 2) as amount, "
            "'p' || i || '@example.org' as email, case when i % 4 = 0 then null else 1 end as n "
            "from range(400) r(i)"
        )
        return profile_quickly(connection, "t", "marts.fct_orders", personal=(), is_stored=True)
