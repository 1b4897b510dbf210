"""``headrace quarantine``: rows are looked at, corrected, loaded once, and keep their history."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lab import Lab, Rows, Shop

from headrace.catalog import RunStore
from headrace.catalog.evidence import QuarantinedTable
from headrace.errors import LockedError, SourceError, WarehouseError
from headrace.pipeline import lock
from headrace.pipeline.quarantine import listing
from headrace.pipeline.quarantine import replay as quarantine_replay
from headrace.pipeline.quarantine.rows import STATUSES, Chosen

KEYED = "{orders: {pattern: '*', primary_key: [id]}}"
KEYLESS = "{orders: {pattern: '*'}}"
ORDERS = Chosen("store", "orders")


def rows(lab: Lab, columns: str = "id, amount") -> Rows:
    return lab.query(
        f"select {columns} from store_raw.orders where _dlt_load_id in "
        "(select load_id from store_raw._dlt_loads where status = 0) order by all"
    )


def statuses(lab: Lab) -> dict[str, int]:
    report = listing.listed(lab.resolved, ORDERS)
    sums = {name: sum(getattr(one, name) for one in report.counts) for name in STATUSES}
    return {name: number for name, number in sums.items() if number}


def replay(lab: Lab, *corrections: str, **options: Any) -> quarantine_replay.ReplayReport:
    report = quarantine_replay.replay(lab.resolved, ORDERS, corrections=corrections, **options)
    loaded = report.rows_new + report.rows_changed + report.rows_unchanged
    assert report.rows_given == loaded + len(report.left)
    return report


def spoiled(shop: Shop, tables: str = KEYED, **options: str) -> Lab:
    """A lab that has loaded two orders, and then two bad ones and a good one."""
    lab = shop.lab_with(tables, **options)
    shop.write("a.csv", "id,amount,day\n1,10,2024-01-01\n2,20,2024-01-02\n")
    lab.load()
    shop.write("b.csv", 'id,amount,day\n3,"1,5",2024-01-03\n4,40,2024-01-04\n5,5\n')
    report = lab.load()
    assert (report.tables[0].rows_new, report.tables[0].rows_quarantined) == (1, 2)
    assert report.rows_in_quarantine == 2
    return lab


@pytest.fixture(scope="module")
def _spoiled(tmp_path_factory: pytest.TempPathFactory, jaffle_root: Path) -> Shop:
    place = tmp_path_factory.mktemp("spoiled")
    shop = Shop(Lab(place / "data", jaffle_root), place / "files")
    spoiled(shop)
    return shop


@pytest.fixture
def spoiled_lab(shop: Shop, _spoiled: Shop) -> Lab:
    """What ``spoiled`` gives with a key (a copy)."""
    shutil.copytree(_spoiled.folder, shop.folder, dirs_exist_ok=True)
    shutil.copytree(_spoiled.lab.data_dir, shop.lab.data_dir)
    return shop.lab_with(KEYED)


@pytest.mark.parametrize("tables", [KEYED, KEYLESS], ids=["with a key", "without a key"])
def test_a_row_is_replayed_once_and_stays_when_its_file_grows(shop: Shop, tables: str) -> None:
    lab = spoiled(shop, tables)
    report = replay(lab, "amount = replace(amount, ',', '')")
    assert (report.rows_new, [row.where for row in report.left]) == (1, ["b.csv line 4"])
    good = [(1, 10), (2, 20), (3, 15), (4, 40)]
    assert rows(lab) == good
    assert statuses(lab) == {"open": 1, "replayed": 1}

    assert replay(lab).rows_new == 0  # what is left does not fit
    with (shop.folder / "b.csv").open("a") as file:
        file.write("6,60,2024-01-06\n")
    table = lab.load_one()
    assert (table.rows_given, table.rows_quarantined) == (4, 1)
    assert rows(lab) == [*good, (6, 60)]
    assert statuses(lab) == {"open": 1, "replayed": 1}

    shop.write("b.csv", "id,amount,day\n3,16,2024-01-03\n4,40,2024-01-04\n6,60,2024-01-06\n")
    table = lab.load_one()
    assert rows(lab) == [(1, 10), (2, 20), (3, 16), (4, 40), (6, 60)]
    assert statuses(lab) == {"superseded": 2}
    assert table.rows_quarantined == 0


def test_rows_are_exported_edited_and_replayed(spoiled_lab: Lab, tmp_path: Path) -> None:
    lab = spoiled_lab
    for name in ("bad.csv", "bad.jsonl", "bad.json"):
        out = tmp_path / name
        report = listing.shown(lab.resolved, ORDERS)
        assert listing.write_rows(report, out) == 2
        assert {row["amount"] for row in listing.read_rows(out).values()} == {"1,5", None}
    out = tmp_path / "bad.csv"
    text = out.read_text()
    assert '3,"1,5",2024-01-03' in text
    assert ',,,,"5,5"' in text
    out.write_text(text.replace('3,"1,5"', "3,15").replace(',,,,"5,5"', ',5,5,2024-01-05,"5,5"'))

    dry = replay(lab, edited=out, dry_run=True)
    assert (dry.run_id, dry.rows_new, dry.left) == (None, 2, ())
    assert statuses(lab) == {"open": 2}
    report_ = replay(lab, edited=out)
    assert (report_.rows_new, report_.left) == (2, ())
    assert rows(lab) == [(1, 10), (2, 20), (3, 15), (4, 40), (5, 5)]

    history = listing.shown(lab.resolved, ORDERS, status="all")
    names = [column.name for column in history.columns]
    for row in history.rows:
        told = dict(zip(names, row, strict=True))
        assert (told["_quarantine_status"], told["_quarantine_run"]) == (
            "replayed", report_.run_id,
        )  # fmt: skip
        assert json.loads(told["_quarantine_replayed_as"])["id"] in {"3", "5"}
    store = RunStore(lab.resolved.run_store_url)
    (run, *_) = store.last_runs(1)
    store.close()
    assert (run.command, run.status, run.rows_loaded) == (
        "headrace quarantine replay", "success", 2,
    )  # fmt: skip
    with pytest.raises(SourceError, match=r"no row of store\.orders is in quarantine"):
        replay(lab, edited=out)


def test_a_stopped_replay_has_done_nothing(
    spoiled_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = spoiled_lab
    before = rows(lab)

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(quarantine_replay, "add_history", stopped)
        with pytest.raises(KeyboardInterrupt):
            replay(lab, "amount = '15'")
    assert rows(lab) == before
    assert statuses(lab) == {"open": 2}
    assert replay(lab, "amount = '15'").rows_new == 1
    assert lab.load_one().rows_quarantined == 0


def test_what_is_newer_is_not_replaced_without_a_word(shop: Shop, spoiled_lab: Lab) -> None:
    lab = spoiled_lab
    shop.write("c.csv", "id,amount,day\n3,33,2024-01-09\n")
    lab.load()
    report = replay(lab, "amount = '15'", "id = coalesce(id, left(_quarantine_text, 1))")
    assert report.rows_new == 1
    assert [row.reason for row in report.left] == [
        "the table has a row of this id that was loaded with it or later"
    ]
    assert (3, 33) in rows(lab)
    assert replay(lab, "amount = '15'", overwrite=True).rows_changed == 1
    assert (3, 15) in rows(lab)


def test_the_cursor_says_what_is_newer(shop: Shop) -> None:
    lab = spoiled(shop, "{orders: {pattern: '*', primary_key: [id], cursor: day}}")
    shop.write("c.csv", "id,amount,day\n3,33,2024-01-02\n")
    lab.load()
    assert replay(lab, "amount = '15'").rows_changed == 1
    assert (3, 15) in rows(lab)
    shop.write("d.csv", "id,amount,day\n3,x,2024-01-01\n")
    lab.load()
    assert [row.reason for row in replay(lab, "amount = '16'").left] == [
        "it has no value: give it some", "the table has a newer day of it",
    ]  # fmt: skip
    assert (3, 15) in rows(lab)


def test_a_newer_snapshot_supersedes_the_rows_of_the_older_one(shop: Shop) -> None:
    lab = shop.lab_with("{orders: {pattern: 'day_*', primary_key: [id], write: snapshot}}")
    shop.write("day_2024-01-01.csv", "id,amount\n1,10\n2,20\n3,30\n4,40\n")
    lab.load()
    shop.write("day_2024-01-02.csv", "id,amount\n1,10\n2,20\n3,x\n4,y\n")
    lab.load()
    assert rows(lab) == [(1, 10), (2, 20), (3, 30), (4, 40)]  # the last good versions
    assert replay(lab, "amount = case when id = '3' then '31' else amount end").rows_changed == 1
    assert rows(lab) == [(1, 10), (2, 20), (3, 31), (4, 40)]
    shop.write("day_2024-01-03.csv", "id,amount\n1,10\n2,20\n4,z\n")
    table = lab.load_one()
    assert (table.rows_deleted, table.rows_quarantined) == (1, 1)
    assert rows(lab) == [(1, 10), (2, 20), (4, 40)]
    assert statuses(lab) == {"open": 1, "superseded": 2}


def test_discarded_rows_do_not_come_back_and_keep_their_history(
    shop: Shop, spoiled_lab: Lab
) -> None:
    lab = spoiled_lab
    report = quarantine_replay.discard(lab.resolved, Chosen("store", "orders", "malformed"))
    assert report.rows == 1
    assert statuses(lab) == {"open": 1, "discarded": 1}
    with (shop.folder / "b.csv").open("a") as file:
        file.write("6,60,2024-01-06\n")
    table = lab.load_one()
    assert (table.rows_quarantined, table.rows_new, table.rows_given) == (1, 1, 4)
    assert statuses(lab) == {"open": 1, "discarded": 1}


def test_a_full_refresh_opens_what_was_replayed(shop: Shop) -> None:
    lab = spoiled(shop, "{orders: {pattern: '*', primary_key: [id], columns: {amount: bigint}}}")
    replay(lab, "amount = '15'")
    quarantine_replay.discard(lab.resolved, Chosen("store", "orders", "malformed"))
    lab.load(full_refresh=True)
    assert statuses(lab) == {"open": 1, "discarded": 1}
    assert rows(lab) == [(1, 10), (2, 20), (4, 40)]
    assert replay(lab, "amount = '15'").rows_new == 1


def test_declared_ways_to_write_hold_for_a_replay(shop: Shop) -> None:
    lab = shop.lab_with(
        "{orders: {pattern: '*', decimal: ',', null_values: ['-'], "
        "columns: {amount: double, day: date %d/%m/%Y}}}"
    )
    shop.write("a.csv", 'id,amount,day\n1,"1,5",31/12/2024\n2,2.5,31/02/2024\n3,"3,5",-\n')
    assert lab.load_one().rows_quarantined == 1
    (row,) = lab.query("select row_json from store_raw._quarantine")
    assert json.loads(row[0]) == {"id": "2", "amount": "2.5", "day": "31/02/2024"}
    report = replay(lab, "amount = replace(amount, '.', ',')", "day = '-'")
    assert (report.rows_new, report.left) == (1, ())
    assert lab.query("select amount, day from store_raw.orders where id = 2") == [(2.5, None)]


def test_values_of_json_keep_their_form(shop: Shop) -> None:
    lab = shop.lab_with(KEYED)
    shop.write("a.jsonl", '{"id": 1, "n": 1, "deep": {"x": 1}, "s": "a"}\n')
    lab.load()
    deep = '{"x": [0.12345678901234567890, "é", null, true]}'
    shop.write("b.jsonl", f'{{"id": 2, "n": "x", "deep": {deep}, "s": "7"}}\n{{"id": 3}}\n')
    assert lab.load_one().rows_quarantined == 1
    assert replay(lab, "n = '2'").rows_new == 1
    assert lab.query("select n, deep::varchar, s from store_raw.orders where id = 2") == [
        (2, deep, "7")
    ]


def test_wrong_corrections_are_named(spoiled_lab: Lab) -> None:
    for correction, words in (
        ("amont = '1'", "has no column 'amont' (did you mean 'amount'?)"),
        ("amount", "write it as COLUMN = SQL"),
        ("amount = nonsense(1)", "nonsense"),
        ("amount = (select content from read_text('/etc/hosts'))", "disabled"),
    ):
        with pytest.raises(SourceError) as caught:
            replay(spoiled_lab, correction)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_cannot_be_replayed_is_said(shop: Shop, tmp_path: Path) -> None:
    lab = shop.lab_with(KEYED)
    with pytest.raises(WarehouseError, match="does not exist yet: run `headrace load`"):
        replay(lab)
    shop.write("a.csv", "id,amount\n,1\n,2\n")
    lab.load()
    with pytest.raises(SourceError, match=r"store\.orders has no rows yet"):
        replay(lab)
    with pytest.raises(SourceError, match="there is no source 'stor' in the settings"):
        listing.parse_table(lab.resolved, "stor.orders")
    with lock.hold(lab.resolved.target, "a run"), pytest.raises(LockedError):
        replay(lab)
    for name, text, words in (
        ("a.csv", "id\n1\n", "has no column _quarantine_id"),
        ("a.json", "{", "cannot be read"),
        ("a.json", "[1]", "has no column _quarantine_id"),
        ("a.jsonl", "{}\n", "has no column _quarantine_id"),
        ("a.csv", '_quarantine_id,"x\n', "cannot be read"),
    ):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(SourceError, match=words):
            listing.read_rows(path)
    with pytest.raises(SourceError, match=r"end the name in \.csv"):
        listing.write_rows(listing.shown(lab.resolved, ORDERS), tmp_path / "a.parquet")


def test_what_is_read_in_another_way_is_said(shop: Shop) -> None:
    """A dialect of a file that was there, of one that is new, and a type, after a full refresh."""
    lab = shop.lab_with(KEYLESS)
    shop.write("a.csv", "id,name\n1,a\n2,b\n")
    assert lab.load_one().changes == ()
    shop.write("b.csv", "id;name\n3;c\n4;d\n")
    (change,) = lab.load_one().changes
    assert change == (
        "b.csv is read in another way than before: its delimiter is ';', was ',' in earlier files"
    )
    shop.write("c.csv", "id;name\n5;e\n")
    assert lab.load_one().changes == ()
    shop.write("a.csv", "id,name\n1,Zoë\n".encode("utf-16"))
    (change,) = lab.load_one().changes
    assert change == "a.csv is read in another way than before: its encoding is utf-16, was utf-8"

    shop.write("a.csv", "id;name\nx;b\n")
    dialect, kind = lab.load_one(full_refresh=True).changes
    assert dialect.endswith(": its delimiter is ';', was ',', its encoding is utf-8, was utf-16")
    assert kind == "id is text, was bigint"
    assert lab.load_one(full_refresh=True).changes == ()


_KILLED = """
import os, sys
from headrace.pipeline.quarantine import replay as quarantine_replay
from headrace.pipeline.quarantine.rows import Chosen
from headrace.settings import resolve
from pathlib import Path

quarantine_replay.add_history = lambda *_, **__: os._exit(9)  # all rows are written by then
resolved = resolve(Path(sys.argv[1]), flags=sys.argv[2:])
quarantine_replay.replay(resolved, Chosen("store", "orders"), corrections=["amount = '15'"])
"""


@pytest.mark.parametrize("tables", [KEYED, KEYLESS], ids=["with a key", "without a key"])
def test_a_killed_replay_neither_loses_nor_doubles(shop: Shop, tables: str) -> None:
    lab = spoiled(shop, tables)
    before = rows(lab)
    flags = [f"data_dir={lab.data_dir}", *lab.flags]
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(lab.root), *flags], check=False, timeout=120
    )
    assert done.returncode == 9
    assert rows(lab) == before
    assert statuses(lab) == {"open": 2}
    assert replay(lab, "amount = '15'").rows_new == 1
    assert rows(lab) == [(1, 10), (2, 20), (3, 15), (4, 40)]
    assert statuses(lab) == {"open": 1, "replayed": 1}
    store = RunStore(lab.resolved.run_store_url)
    assert [run.status for run in store.last_runs(2)] == ["success", "interrupted"]
    store.close()


def test_rows_of_a_source_that_loads_into_another_schema(shop: Shop) -> None:
    lab = spoiled(shop, dataset_name="elsewhere")
    chosen = listing.parse_table(lab.resolved, "store.orders")
    (count, _) = listing.listed(lab.resolved, chosen).counts
    assert (count.source, count.table) == ("store", "orders")
    report = quarantine_replay.replay(
        lab.resolved, chosen, corrections=["amount = replace(amount, ',', '')"]
    )
    assert (report.rows_new, len(report.left)) == (1, 1)
    assert lab.query("select amount from elsewhere.orders where id = 3") == [(15,)]
    everything = listing.parse_table(lab.resolved, None)
    assert listing.listed(lab.resolved, everything).rows_open == 1


def kept(lab: Lab) -> list[QuarantinedTable]:
    store = RunStore(lab.resolved.run_store_url)
    try:
        return store.quarantine()
    finally:
        store.close()


def with_personal(lab: Lab, *columns: str) -> None:
    """Make the catalog's newest version one that declares columns of the raw table as PII."""
    store = RunStore(lab.resolved.run_store_url)
    try:
        catalog = store.load_catalog()
        assert catalog is not None
        raw = catalog.assets["table.store_raw.orders"]
        fields = tuple(
            replace(one, pii="name") if one.name in columns else one for one in raw.columns
        )
        assets = {**catalog.assets, raw.id: replace(raw, columns=fields)}
        store.save_catalog(replace(catalog, assets=assets), None)
    finally:
        store.close()


def test_the_page_knows_what_is_in_quarantine_now(spoiled_lab: Lab) -> None:
    lab = spoiled_lab
    misfit, malformed = kept(lab)
    assert (misfit.source, misfit.table, misfit.reason, misfit.rows) == (
        "store", "orders", "data_type", 1,
    )  # fmt: skip
    (row,) = misfit.sample
    assert (row.where, row.values) == (
        "b.csv line 2", {"id": "3", "amount": "1,5", "day": "2024-01-03"},
    )  # fmt: skip
    assert "amount" in row.message
    assert (malformed.reason, malformed.sample[0].values) == ("malformed", {})

    replay(lab, "amount = replace(amount, ',', '')")
    assert [one.reason for one in kept(lab)] == ["malformed"]
    quarantine_replay.discard(lab.resolved, ORDERS)
    assert kept(lab) == []


def test_personal_data_in_quarantine_is_not_kept_for_the_page(spoiled_lab: Lab) -> None:
    lab = spoiled_lab
    with_personal(lab, "amount")
    resolved = lab.resolved
    store = RunStore(resolved.run_store_url)
    listing.keep(resolved, store, "r", ["store"])
    store.close()
    misfit, malformed = kept(lab)
    assert misfit.sample[0].values == {"id": "3", "amount": "***", "day": "2024-01-03"}
    assert malformed.sample[0].message == ""
    assert "1,5" not in repr(kept(lab))


def test_the_quarantine_is_no_table_of_the_source(spoiled_lab: Lab) -> None:
    lab = spoiled_lab
    store = RunStore(lab.resolved.run_store_url)
    catalog = store.load_catalog()
    changes = store.catalog_changes(1, store.catalog_version() or 0)
    store.close()
    assert catalog is not None
    assert [key for key in catalog.assets if "store" in key] == [
        "resource.store.orders", "table.store_raw.orders",
    ]  # fmt: skip
    assert not any(
        column.name == "row_json" for a in catalog.assets.values() for column in a.columns
    )
    assert not any("_quarantine" in change.asset for change in changes)


def test_a_table_without_a_row_is_an_asset(shop: Shop) -> None:
    lab = shop.lab_with("{orders: {pattern: '*', allow_empty: true}}")
    shop.write("a.csv", "id,amount\n")
    lab.load()
    store = RunStore(lab.resolved.run_store_url)
    catalog = store.load_catalog()
    (loaded,) = store.loaded_tables()
    counts = store.rows_of_raw("store", "orders", 10)
    store.close()
    assert loaded.rows_total == 0
    assert [one.rows_total for one in counts] == [0]
    assert catalog is not None
    assert catalog.assets["table.store_raw.orders"].columns == ()
