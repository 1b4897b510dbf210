"""The profiles that runs keep: of what changed, for a while, without personal values."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from step_lab import project

from headrace.catalog import Catalog, RunStore
from headrace.catalog.model import Asset, Column, ColumnEdge, ColumnLineageProblem
from headrace.pipeline.quality import kept_profiles, monitor
from headrace.pipeline.quality.raw_stamps import RawStamps
from headrace.pipeline.reports import Event
from headrace.quality.profile import TableProfile
from headrace.settings import Resolved

MART = "model.p.orders"
RAW = "table.shop_raw.orders"
CHILD = "table.shop_raw.orders__lines"


def asset(key: str, kind: str, schema: str, columns: str, **more: object) -> Asset:
    name = key.rpartition(".")[2]
    return Asset(
        id=key, kind=kind, name=name, schema=schema, identifier=name,  # type: ignore[arg-type]
        columns=tuple(Column(one) for one in columns.split()), **more,  # type: ignore[arg-type]
    )  # fmt: skip


def catalog_of(**pii: str) -> Catalog:
    assets = (
        asset(RAW, "table", "shop_raw", "id city _dlt_load_id"),
        asset(CHILD, "table", "shop_raw", "sku", parent_table=RAW),
        asset("table.shop_raw.gone", "table", "shop_raw", "id"),
        asset(MART, "model", "marts", "id city"),
    )
    marked = {
        one.id: replace(
            one,
            columns=tuple(
                replace(column, pii=pii.get(column.name) if one.id == MART else None)
                for column in one.columns
            ),
        )
        for one in assets
    }
    return Catalog(
        assets=marked,
        parents={**dict.fromkeys(marked, ()), MART: (RAW,)},
        column_edges=tuple(ColumnEdge(RAW, name, MART, name, "copied") for name in ("id", "city")),
    )


class Shop:
    """A project whose warehouse and published file are written by hand."""

    def __init__(self, root: Path, config: str = "{}\n") -> None:
        self.resolved: Resolved = project(root, config)
        self.resolved.published.parent.mkdir(parents=True, exist_ok=True)
        self.store = RunStore(self.resolved.run_store_url)
        self.runs = 0
        self.store.save_catalog(catalog_of(), None)

    def fill(self, rows: int, *, load: int = 1, print_: str = "one") -> None:
        file = self.resolved.target.database_file
        assert file is not None
        with duckdb.connect(str(file)) as connection:
            connection.execute("create schema if not exists shop_raw")
            connection.execute(
                "create or replace table shop_raw.orders as select i as id, "
                f"['Oslo', 'Bergen'][1 + i % 2] as city, '{load}' as _dlt_load_id "
                f"from range({rows}) r(i)"
            )
            connection.execute(
                "create or replace table shop_raw.orders__lines as select 'A1' as sku from range(5)"
            )
        with duckdb.connect(str(self.resolved.published)) as connection:
            for schema in ("marts", "_headrace"):
                connection.execute(f"create schema if not exists {schema}")
            connection.execute(
                "create or replace table marts.orders as select i as id, "
                f"['Oslo', 'Bergen'][1 + i % 2] as city from range({rows}) r(i)"
            )
            connection.execute(
                "create or replace table _headrace.tables as select 'marts.orders' as name, "
                f"{rows} as row_count, '{MART}' as unique_id, '{print_}' as fingerprint"
            )
            connection.execute(
                "create or replace table _headrace.publication as select 'r' as run_id, "
                "now() as published_at, 'c' as code_version, 'duckdb' as target"
            )

    def keep(self) -> list[str]:
        self.runs += 1
        run_id = f"r{self.runs}"
        self.store.begin_run(run_id, command="c", target="t", lock="l", code_version="v")
        told: list[Event] = []
        done, problems = kept_profiles.keep(self.resolved, self.store, run_id, told.append)
        assert not problems
        assert told == [Event("profiles", f"profiling {name}", "phase") for name in done]
        return done

    def newest(self, asset_id: str) -> TableProfile:
        return TableProfile.model_validate_json(self.store.profiles(asset_id, 1)[0].payload)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    with closing(made.store):
        yield made


def test_only_what_changed_is_profiled(shop: Shop) -> None:
    shop.fill(20)
    assert shop.keep() == ["shop_raw.orders", "shop_raw.orders__lines", "marts.orders"]
    assert shop.newest(RAW).column("city").distinct == 2
    assert shop.newest(RAW).rows == 20
    assert "_dlt_load_id" not in [one.name for one in shop.newest(RAW).columns]
    assert shop.keep() == []
    shop.fill(20)  # the file is another one, the content is not
    assert shop.keep() == []
    shop.fill(20, load=2)  # rows that changed: of the child table nothing else tells
    assert shop.keep() == ["shop_raw.orders", "shop_raw.orders__lines"]
    shop.fill(21, load=2, print_="two")
    assert shop.keep() == ["shop_raw.orders", "shop_raw.orders__lines", "marts.orders"]
    assert [one.rows for one in shop.store.profiles(MART, 9)] == [21, 20]
    assert set(shop.store.newest_profiles("r5")) == {RAW, CHILD, MART}
    assert set(shop.store.newest_profiles("r1")) == set()


def test_monitors_and_profiles_read_once_whether_a_nested_table_was_loaded(shop: Shop) -> None:
    raw, now = ("shop_raw.orders", "shop_raw.orders__lines"), datetime.now(UTC)
    for number, load, measured in ((1, 1, raw), (2, 1, ()), (3, 2, raw)):
        shop.fill(20, load=load)
        shop.store.begin_run(f"r{number}", command="c", target="t", lock="l", code_version="v")
        stamps = RawStamps(shop.resolved.target.database)
        report = monitor.watch(shop.resolved, shop.store, f"r{number}", now=now, stamps=stamps)
        assert report.measured == measured
        with kept_profiles.opened(shop.resolved) as connection:
            assert connection is not None
            again = RawStamps(shop.resolved.target.database)
            for one in (catalog_of().assets[CHILD], catalog_of().assets[RAW]):
                again.of(connection, catalog_of().assets, one)
        assert stamps == again, "all that is needed is known, without another look"


def test_only_tables_that_should_exist_are_missed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = Shop(tmp_path, "sources: {on: {kind: files}, off: {kind: files, enabled: false}}\n")
    assets = (
        asset("table.raw.loaded", "table", "raw", "id", package="on"),
        asset("table.raw.unwanted", "table", "raw", "id", package="off"),
        asset("table.raw.foreign", "table", "raw", "id", package="of another team"),
    )
    with closing(made.store):
        made.store.save_catalog(
            Catalog({one.id: one for one in assets}, {one.id: () for one in assets}), None
        )
        made.fill(1)
        with caplog.at_level("INFO", logger="headrace.pipeline"):
            assert made.keep() == []
            report = monitor.watch(made.resolved, made.store, "r1", now=datetime.now(UTC))
    assert (report.measured, report.notes) == ((), ())
    about = [one.getMessage().split(":")[:2] for one in caplog.records]
    assert about == [
        ["no profile of raw.loaded", " Catalog Error"],
        ["not measured", " raw.loaded"],
    ]


def test_so_many_are_kept_as_the_settings_say(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "quality: {keep_profiles: 2}\n")
    with closing(shop.store):
        for number in range(4):
            shop.fill(10 + number, load=number, print_=str(number))
            assert len(shop.keep()) == 3
        assert [one.rows for one in shop.store.profiles(RAW, 9)] == [13, 12]
        assert [one.rows for one in shop.store.profiles(MART, 9)] == [13, 12]


def test_none_are_made_if_none_are_kept(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "quality: {keep_profiles: 0}\n")
    with closing(shop.store):
        shop.fill(10)
        assert shop.keep() == []


def test_what_becomes_personal_is_removed_from_earlier_profiles(shop: Shop) -> None:
    shop.fill(20)
    shop.keep()
    shop.fill(21, load=2, print_="two")
    shop.keep()
    assert [one.value for one in shop.newest(MART).column("city").top] == ["Oslo", "Bergen"]
    shop.store.save_catalog(catalog_of(city="city"), None)
    assert shop.keep() == []
    for key in (MART, RAW):  # of the raw column, only the model above says what it holds
        kept = shop.store.profiles(key, 9)
        assert len(kept) == 2
        assert not any("Oslo" in one.payload for one in kept)
    shop.fill(22, load=3, print_="three")
    shop.keep()
    assert not any("Oslo" in one.payload for one in shop.store.profiles(MART, 9))
    assert shop.newest(MART).column("id").max == "21"


def test_values_of_columns_whose_origin_is_not_known_for_a_while_stay(shop: Shop) -> None:
    """As while a model's SQL is wrong; whoever reads them masks them meanwhile."""
    shop.fill(20)
    shop.keep()
    unread = ColumnLineageProblem(MART, "its SQL cannot be read")
    shop.store.save_catalog(replace(catalog_of(), column_edges=(), problems=(unread,)), None)
    shop.keep()
    shop.store.save_catalog(catalog_of(), None)
    shop.keep()
    assert {one.value for one in shop.newest(MART).column("city").top} == {"Oslo", "Bergen"}


def test_values_before_a_column_was_of_unknown_origin_are_removed_when_it_is_personal(
    shop: Shop,
) -> None:
    shop.fill(20)
    shop.keep()
    unread = ColumnLineageProblem(MART, "its SQL cannot be read")
    shop.store.save_catalog(replace(catalog_of(), column_edges=(), problems=(unread,)), None)
    shop.fill(21, load=2, print_="two")
    shop.keep()  # without values
    shop.store.save_catalog(catalog_of(city="city"), None)
    shop.keep()
    kept = shop.store.profiles(MART, 9)
    assert len(kept) == 2
    assert not any("Oslo" in one.payload for one in kept)
