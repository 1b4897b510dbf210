"""What the load step does when a source fails; a stand-in for a source raises the error."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from step_lab import project, stand_in

from headrace.artifacts import Manifest
from headrace.artifacts.dbt_manifest import SourceNode
from headrace.artifacts.formats import Metadata
from headrace.errors import HeadraceError, SourceError, WarehouseError
from headrace.pipeline.loading.load import affected_by, load
from headrace.pipeline.reports import LoadFailure, LoadReport
from headrace.settings import Resolved
from headrace.synth.errors import SynthError

pytestmark = pytest.mark.slow

CONFIG = """
sources:
  first:
    kind: api
  second:
    kind: api
  third:
    kind: api
"""


def rows() -> Any:
    """A source of one table of two rows."""

    @dlt.source(name="tables")
    def tables() -> Any:
        def given() -> Iterator[dict[str, int]]:
            yield from ({"id": number} for number in range(2))

        return dlt.resource(given, name="things", primary_key="id", write_disposition="merge")

    return tables()


@pytest.fixture
def resolved(tmp_path: Path) -> Resolved:
    found = project(tmp_path, CONFIG)
    found.target.prepare()
    return found


def loaded(
    resolved: Resolved,
    monkeypatch: pytest.MonkeyPatch,
    *,
    full_refresh: bool = False,
    chosen: tuple[str, ...] = ("first", "second", "third"),
    **errors: Exception,
) -> LoadReport:
    """Load the three sources, or some; those that are named raise what is given."""

    def build(_: object, name: str, *__: object) -> Any:
        if name in errors:
            raise errors[name]
        return rows()

    stand_in(monkeypatch, "loading.sources.build", build)
    return load(
        resolved,
        resolved.target,
        {name: resolved.settings.sources[name] for name in chosen},
        full_refresh=full_refresh,
        listen=lambda _: None,
    )


def markers(resolved: Resolved) -> list[str]:
    return sorted(path.name for path in (resolved.data_dir / "refreshing").glob("*"))


def test_all_sources_are_loaded_and_all_rows_accounted_for(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = loaded(resolved, monkeypatch)
    assert [(table.source, table.rows_new) for table in report.tables] == [
        ("first", 2), ("second", 2), ("third", 2),
    ]  # fmt: skip
    again = loaded(resolved, monkeypatch)
    assert [(table.rows_new, table.rows_unchanged) for table in again.tables] == [(0, 2)] * 3
    assert again.rows_loaded == 0


def test_a_source_that_fails_does_not_stop_the_others(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = SourceError("its token is wrong")
    report = loaded(resolved, monkeypatch, first=ImportError("No module named 'x'"), second=wrong)
    assert [(table.source, table.rows_new) for table in report.tables] == [("third", 2)]
    assert [(failure.source, failure.table) for failure in report.failures] == [
        ("first", None), ("second", None),
    ]  # fmt: skip
    assert [failure.sentence for failure in report.failures] == [
        "source first: ImportError: No module named 'x' (--debug shows where)",
        "source second: its token is wrong",
    ]
    counts = [
        resolved.target.row_counts(resolved.raw_schema(name)) for name in resolved.settings.sources
    ]
    assert [found.get("things") for found in counts] == [None, None, 2]
    assert loaded(resolved, monkeypatch).failures == ()


def test_it_is_an_error_when_nothing_was_loaded(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = SourceError("its token is wrong")
    with pytest.raises(SourceError, match=r"^source first: .* wrong; source second: .*; source t"):
        loaded(resolved, monkeypatch, first=wrong, second=wrong, third=wrong)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (SynthError("no such table"), SourceError, "source first: no such table"),
        (OSError(28, "No space left"), WarehouseError, "source first: the disk is full"),
        (
            ValueError("one line\nand more"),
            SourceError,
            "source first: ValueError: one line (--debug shows where)",
        ),
    ],
)
def test_each_error_is_one_line_with_the_sources_name(
    resolved: Resolved,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    kind: type[HeadraceError],
    said: str,
) -> None:
    with pytest.raises(kind) as caught:
        loaded(resolved, monkeypatch, chosen=("first",), first=error)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_secret_is_not_in_the_message(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace import secrets

    secrets.learn({"token": "a-long-secret-token"})
    with pytest.raises(SourceError) as caught:
        loaded(
            resolved,
            monkeypatch,
            chosen=("first",),
            first=ValueError("refused a-long-secret-token"),
        )
    assert "a-long-secret-token" not in str(caught.value)


def test_a_full_refresh_goes_on_after_a_source_that_failed(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(resolved, monkeypatch)
    report = loaded(
        resolved, monkeypatch, full_refresh=True, second=SourceError("its token is wrong")
    )
    assert [(table.source, table.rows_new) for table in report.tables] == [
        ("first", 2), ("third", 2),
    ]  # fmt: skip
    assert markers(resolved) == ["duckdb.second"]
    report = loaded(resolved, monkeypatch)
    assert [table.rows_new for table in report.tables] == [0, 2, 0]
    assert "full refresh" in report.tables[1].notes[0]
    assert markers(resolved) == []


def test_a_full_disk_stops_a_full_refresh_and_says_which_sources_did_not_begin(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(28, "No space left")
    with pytest.raises(WarehouseError, match="the full refresh of third did not begin") as caught:
        loaded(resolved, monkeypatch, full_refresh=True, second=full)
    assert str(caught.value).startswith("source second: the disk is full")
    assert markers(resolved) == ["duckdb.second"]


def raw(source: str, table: str) -> SourceNode:
    return SourceNode(
        unique_id=f"source.p.{source}.{table}",
        name=table,
        source_name=source,
        schema_name=f"{source}_raw",
    )


SOURCES = (raw("shop", "orders"), raw("shop", "orders__items"), raw("shop", "places"),
           raw("crm", "orders"))  # fmt: skip
MANIFEST = Manifest(
    metadata=Metadata(dbt_schema_version="https://schemas.getdbt.com/dbt/manifest/v12.json"),
    nodes={},
    sources={node.unique_id: node for node in SOURCES},
    parent_map={
        "model.p.stg_orders": ["source.p.shop.orders"],
        "model.p.items": ["source.p.shop.orders__items"],
        "model.p.sales": ["model.p.stg_orders", "source.p.shop.places"],
        "test.p.sales_have_places": ["model.p.sales", "model.p.places"],
        "model.p.places": ["source.p.shop.places"],
        "model.p.contacts": ["source.p.crm.orders"],
        "model.p.sales_again": ["model.p.sales", "model.p.loop"],
        "model.p.loop": ["model.p.sales_again"],
    },
)


@pytest.mark.parametrize(
    ("table", "models"),
    [
        ("orders", {"stg_orders", "items", "sales", "sales_again", "loop"}),
        ("places", {"places", "sales", "sales_again", "loop"}),
        (None, {"stg_orders", "items", "places", "sales", "sales_again", "loop"}),
        ("unknown", set()),
    ],
)
def test_everything_downstream_of_a_failed_table(
    table: str | None, models: set[str], tmp_path: Path
) -> None:
    failures = [LoadFailure(source="shop", table=table, error="x")]
    found = affected_by(failures, MANIFEST, project(tmp_path))
    assert {id_.rpartition(".")[2] for id_ in found if id_.startswith("model")} == models
    assert ("test.p.sales_have_places" in found) == bool(models)
    assert "source.p.crm.orders" not in found


def test_a_source_may_load_into_another_schema(tmp_path: Path) -> None:
    resolved = project(tmp_path, "sources:\n  sales: {kind: files, dataset_name: shop_raw}\n")
    found = affected_by(
        [LoadFailure(source="sales", table="places", error="x")], MANIFEST, resolved
    )
    assert "model.p.places" in found
    assert affected_by([LoadFailure(source="shop", error="x")], MANIFEST, project(tmp_path))
