"""`headrace run --target postgres` from start to end: what readers have, and what stops a run."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from lab import ROOT, Lab, Shop, copy_project

from headrace.errors import LockedError, WarehouseError
from headrace.pipeline.publishing import publications
from headrace.pipeline.quarantine import listing
from headrace.pipeline.quarantine.rows import Chosen
from headrace.pipeline.query import database, query
from headrace.process import environment
from headrace.targets.postgres.target import PostgresTarget

psycopg = pytest.importorskip("psycopg", reason="uv sync --extra postgres")
pytest.importorskip("psycopg2", reason="uv sync --extra postgres")
pytest.importorskip("dbt.adapters.postgres", reason="uv sync --extra postgres")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from postgres_lab import postgres

    with postgres(tmp_path_factory) as server:
        yield server.get_uri()


@pytest.fixture(scope="module")
def ran(url: str, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The jaffle shop, run once."""
    root = copy_project(tmp_path_factory.mktemp("project") / "p")
    shutil.copytree(ROOT / "data" / "schemas", root / "data" / "schemas")
    lab = Lab(root / "data", root, ("target=postgres", f"targets.postgres.url={url}"))
    report = lab.run()
    assert report.status == "success"
    assert report.publish is not None
    assert report.publish.path.endswith("schema published")
    assert {table.name: table.rows for table in report.publish.tables} == {
        "marts.customers": 100,
        "marts.orders": 99,
    }
    return lab


def reader(lab: Lab) -> Any:
    target = lab.resolved.target
    assert isinstance(target, PostgresTarget)
    return psycopg.connect(**target.server.parts, autocommit=True)


def rows(lab: Lab, sql: str) -> list[Any]:
    with closing(reader(lab)) as connection:
        return list(connection.execute(sql).fetchall())


def total(lab: Lab) -> Any:
    return rows(lab, "select count(*), sum(amount) from published.orders")[0]


def test_what_readers_and_reports_have(ran: Lab) -> None:
    found = ran.resolved
    on_server = rows(ran, "select count(*), sum(amount) from published.orders")
    assert on_server == rows(ran, "select count(*), sum(amount) from marts.orders")
    for place in ("published", "warehouse"):
        answer = query(database(found, place), "select count(*), sum(amount) from marts.orders")
        assert [tuple(map(str, row)) for row in answer.rows] == [
            tuple(map(str, row)) for row in on_server
        ]
    (now,) = publications.published(found).publications
    assert [table.name for table in now.tables] == ["marts.customers", "marts.orders"]
    comments = "select obj_description('published.orders'::regclass)"
    assert "order" in rows(ran, comments)[0][0]
    assert rows(ran, "select column_name from information_schema.columns where table_schema = "
                "'marts' and table_name = 'orders' and data_type = 'numeric' "
                "and numeric_scale is null") == []  # fmt: skip
    # without these the server joins staging models by nested loops, which takes minutes
    analyzed = rows(ran, "select relname from pg_class where reltuples >= 0 and relkind = 'r' "
                    "and relnamespace = 'jaffle_shop_raw'::regnamespace")  # fmt: skip
    assert {(name,) for name in ("_dlt_loads", "raw_customers", "raw_orders")} <= set(analyzed)


def test_a_run_that_changes_nothing_is_recognised(ran: Lab) -> None:
    report = ran.run()
    assert report.build is not None
    assert report.publish is not None
    assert (report.build.reused, report.publish.written) == (True, False)
    # but not when somebody else writes a table
    with closing(reader(ran)) as other:
        other.execute("update jaffle_shop_raw.raw_orders set status = 'placed' where id = 1")
    again = ran.run()
    assert again.build is not None
    assert not again.build.reused


def test_dbt_by_hand_builds_in_the_same_place(ran: Lab) -> None:
    """By `profiles.yml` and variables alone: models of what is loaded, in UTC."""
    from dbt.cli.main import dbtRunner

    target = ran.resolved.target
    assert isinstance(target, PostgresTarget)
    keys = ("host", "port", "user", "password", "dbname")
    told = {
        f"HEADRACE_TARGETS__POSTGRES__{key.upper()}": target.server.parts.get(key, "")
        for key in keys
    }
    before = total(ran)
    folder = str(ran.root / "dbt_project")
    with closing(reader(ran)) as admin, environment({**told, "DO_NOT_TRACK": "1"}):
        admin.execute("alter role current_user set timezone = 'America/New_York'")
        admin.execute("create table public.zones as select 'none' as zone")
        words = ("--project-dir", folder, "--profiles-dir", folder, "--target", "postgres")
        hook = "on-run-end: [\"insert into public.zones select current_setting('timezone')\"]\n"
        settings = ran.root / "dbt_project" / "dbt_project.yml"
        given = settings.read_text(encoding="utf-8")
        settings.write_text(given + hook, encoding="utf-8")
        done = dbtRunner().invoke(["--quiet", "build", *words])
        settings.write_text(given, encoding="utf-8")
        zones = admin.execute("select zone from public.zones order by zone").fetchall()
        admin.execute("drop table public.zones")
        admin.execute("alter role current_user reset timezone")
    assert done.success, done.exception
    names = {one.node.name for one in done.result.results}  # type: ignore[union-attr]
    assert {"customers", "orders", "stg_jaffle_shop__orders"} <= names
    assert not [name for name in names if "shop__" in name and "jaffle" not in name]
    assert zones == [("UTC",), ("none",)]
    assert total(ran) == before


def test_a_failed_audit_leaves_what_was_published(ran: Lab) -> None:
    before = total(ran)
    with closing(reader(ran)) as other:
        other.execute(
            "insert into jaffle_shop_raw.raw_orders (id, user_id, order_date, status, _dlt_load_id)"
            " select 5000, user_id, order_date, 'nonsense', _dlt_load_id "
            "from jaffle_shop_raw.raw_orders limit 1"
        )
    report = ran.run()
    assert report.status == "failed"
    assert report.audit is not None
    assert report.audit.problems
    assert total(ran) == before
    with closing(reader(ran)) as other:
        other.execute("delete from jaffle_shop_raw.raw_orders where id = 5000")
    # from the beginning, over the views that depend on the raw tables
    assert ran.run(full_refresh=True).status == "success"
    assert total(ran) == before


BI_VIEWS = """
create schema bi;
create role analyst;
create view bi."Placed" as
    select id, status from jaffle_shop_raw.raw_orders where status = 'placed';
create view bi.counted with (security_barrier) as select count(*) from bi."Placed";
alter table jaffle_shop_raw.raw_orders add column old int;
create view bi.needs_what_will_be_gone as select old from jaffle_shop_raw.raw_orders;
grant select (id) on bi."Placed" to analyst;
grant select on bi.counted to public;
comment on view bi.counted is 'How many';
alter view bi.counted owner to analyst
"""


def test_a_full_refresh_leaves_views_that_people_have_on_raw_tables(ran: Lab) -> None:
    with closing(reader(ran)) as admin:
        admin.execute(BI_VIEWS)
        shape = (
            "select pg_get_viewdef(oid), relacl::text, reloptions, relowner::regrole::text, "
            "obj_description(oid), (select array_agg(attacl::text) from pg_attribute "
            "where attrelid = v.oid) from pg_class as v where relname in ('Placed', 'counted') "
            "order by relname"
        )
        before = admin.execute(shape).fetchall()
        number = admin.execute("select * from bi.counted").fetchone()
        report = ran.run("load", full_refresh=True).load
        assert admin.execute(shape).fetchall() == before
        assert admin.execute("select * from bi.counted").fetchone() == number
        assert report is not None
        (said,) = {note for table in report.tables for note in table.notes if "view" in note}
        assert "the view bi.needs_what_will_be_gone, which cannot be made again (column" in said
        kept = "select definition from _headrace.dropped_views"
        assert "SELECT old" in admin.execute(kept).fetchall()[0][0]
        admin.execute("create materialized view bi.counts as select * from bi.counted")
        with pytest.raises(WarehouseError, match=r"bi\.counts, which could not be made again"):
            ran.run("load", full_refresh=True)
        assert admin.execute("select * from bi.counts").fetchone() == number
        admin.execute("drop schema bi cascade")
        admin.execute("drop owned by analyst")
        admin.execute("drop role analyst")
    assert ran.run().status == "success"


def test_two_machines_at_once(ran: Lab, tmp_path: Path) -> None:
    elsewhere = Lab(tmp_path / "data", ran.root, ran.flags)
    with ran.resolved.target.lock("headrace run"), pytest.raises(LockedError, match="headrace run"):
        elsewhere.run()


def test_who_comes_next_does_not_meet_a_run_that_has_ended(
    ran: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy server a session ends some time after the client has closed it."""
    target = ran.resolved.target
    late: list[Any] = []

    def close(self: Any) -> None:
        late.append(self)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Connection, "close", close)
        for _ in range(2):
            with target.lock("headrace run"):
                pass
    for connection in late:
        connection.close()
    assert len(late) == 2


def shop_of(ran: Lab, folder: Path) -> Shop:
    return Shop(ran.set("data_dir=" + str(folder / "data")), folder / "in")


def test_values_that_are_awkward_on_the_way(ran: Lab, tmp_path: Path) -> None:
    shop = shop_of(ran, tmp_path)
    long = "a_column_whose_name_is_longer_than_the_sixty_three_bytes_that_are_kept"
    shop.write(
        "t_1.csv", f'id,price,name,{long}\n1,1.10,"a ""quoted"" one",x\n2,oops,b,y\n3,-2.00,"",\n'
    )
    lab = shop.lab_with("{t: {pattern: 't_*.csv', primary_key: [id], columns: {price: decimal}}}")
    report = lab.load("store")
    assert [(table.rows_new, table.rows_quarantined) for table in report.tables] == [(2, 1)]
    assert rows(ran, "select id, name from store_raw.t order by id") == [
        (1, 'a "quoted" one'),
        (3, None),
    ]
    assert listing.listed(lab.resolved, Chosen()).rows_open == 1
    shop.write("t_2.csv", "id,price,name\n1,9.99,new\n4,5.00,d\n")
    report = lab.load("store")
    assert [(table.rows_new, table.rows_changed) for table in report.tables] == [(1, 1)]
    shop.write("t_3.csv", b'id,price,name\n5,1.00,"a\x00b"\n')
    with pytest.raises(Exception, match="the character NUL"):
        lab.load("store")


def test_a_server_that_ends_the_sessions_in_mid_load(ran: Lab, tmp_path: Path) -> None:
    shop = shop_of(ran, tmp_path)
    shop.write("big_1.csv", "id,name\n" + "".join(f"{i},n{i}\n" for i in range(30_000)))
    lab = shop.lab_with("{big: {pattern: 'big_*.csv', primary_key: [id]}}")
    done = threading.Event()

    def end_sessions() -> None:
        with closing(reader(ran)) as admin:
            while not done.is_set():
                admin.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where application_name = 'headrace-load'"
                )

    thread = threading.Thread(target=end_sessions)
    thread.start()
    try:
        with pytest.raises(WarehouseError, match="ended the connection"):
            lab.load("store")
    finally:
        done.set()
        thread.join()
    report = lab.load("store")
    assert [table.rows_total for table in report.tables] == [30_000]
    shutil.rmtree(tmp_path / "data")  # another machine, or one whose disk is gone
    lab.load("store")
    assert rows(ran, "select count(*), count(distinct id) from store_raw.big") == [(30_000, 30_000)]
