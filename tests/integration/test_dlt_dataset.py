"""What a notebook does with dlt itself: its dataset of a source that Headrace has loaded."""

import dlt
import pytest
from lab import Lab


@pytest.fixture
def dataset(done: Lab) -> "dlt.Dataset":
    return dlt.pipeline(
        pipeline_name="jaffle_shop",
        destination=dlt.destinations.duckdb(str(done.warehouse)),
        dataset_name="jaffle_shop_raw",
        pipelines_dir=str(done.data_dir / "dlt"),
    ).dataset()


def test_row_counts_select_and_filter(dataset: "dlt.Dataset", done: Lab) -> None:
    """The sqlglot that is locked is one that dlt works with (see pyproject.toml)."""
    tables = ("raw_customers", "raw_orders", "raw_payments")
    counts = {
        name: done.query(f"select count(*) from jaffle_shop_raw.{name}")[0][0] for name in tables
    }

    found = dataset.row_counts().arrow()

    assert found is not None
    listed = zip(*(column.to_pylist() for column in found.columns), strict=True)
    assert dict(listed).items() >= counts.items()
    chosen = dataset["raw_orders"].select("id", "status").where("id", "lt", 4).order_by("id")
    assert chosen.fetchall() == done.query(
        "select id, status from jaffle_shop_raw.raw_orders where id < 4 order by id"
    )
