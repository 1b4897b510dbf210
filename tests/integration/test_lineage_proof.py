"""The column lineage of the real project against the data: every raw column, every model."""

from dataclasses import replace

import pytest
from lab import Lab

from headrace.catalog import Catalog
from headrace.lineage.find import find
from headrace.lineage.verify import VerifyOptions, VerifyReport, verify, warehouse_alias
from headrace.pipeline.catalog import current

ROWS = 200


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The jaffle shop and a small simulated shop, loaded and built."""
    lab = Lab(tmp_path_factory.mktemp("proof") / "data").set(
        "sources.shop.scale=0.02", "sources.shop.as_of=2024-06-01"
    )
    assert lab.run("load", "build", sources=("jaffle_shop", "shop")).status == "success"
    return lab


@pytest.fixture(scope="module")
def catalog(lab: Lab) -> Catalog:
    return current(lab.resolved)


def _verify(lab: Lab, catalog: Catalog, *names: str) -> VerifyReport:
    target = lab.resolved.target
    marts = [key for key, asset in catalog.assets.items() if asset.schema == "marts"]
    places = [find(catalog, name) for name in names]
    return verify(
        catalog,
        lambda connection: target.attach(connection, warehouse_alias()),
        only=places,
        options=VerifyOptions(rows=ROWS, marts=marts),
    )


def test_all_that_changes_with_a_raw_column_is_claimed(lab: Lab, catalog: Catalog) -> None:
    report = _verify(lab, catalog)
    assert report.missed == ()
    assert report.unread == ()
    assert [failure for failure in report.failures if failure.raw is None] == []
    assert report.marts is not None
    assert (report.all.recall, report.marts.recall) == (1.0, 1.0)
    assert report.perturbed > 250
    assert report.all.changed > 1_000
    assert report.marts.changed > 500
    # lower bounds: so small a shop is too constant to show every dependency
    assert (report.all.precision_direct or 0) > 0.95
    assert (report.marts.precision_direct or 0) > 0.90
    assert (report.all.precision or 0) > 0.9


@pytest.mark.parametrize(
    ("child", "column", "raw", "missed"),
    [
        ("orders", "amount", "raw_payments.amount", "model.headrace.customers"),
        ("stg_shop__customers", "email", "shop_raw.customer.email", "model.headrace.dim_customers"),
        ("stg_jaffle_shop__orders", "", "raw_orders._dlt_load_id", "model.headrace.orders"),
    ],
)
def test_without_the_edges_of_a_column_the_claim_fails(
    lab: Lab, catalog: Catalog, child: str, column: str, raw: str, missed: str
) -> None:
    key = find(catalog, child).asset
    kept = tuple(
        edge for edge in catalog.column_edges if (edge.child, edge.child_column) != (key, column)
    )
    assert len(kept) < len(catalog.column_edges)
    report = _verify(lab, replace(catalog, column_edges=kept), raw)
    assert not report.ok
    assert missed in {pair.asset for pair in report.missed}
    assert {pair.raw for pair in report.missed} == {find(catalog, raw).asset}


def test_the_command_proves_it(lab: Lab) -> None:
    done = lab.command("lineage", "--verify", "customers", "--rows", "50")
    assert done.returncode == 0, done.stderr
    assert "✓ all that changed is claimed" in done.stdout
