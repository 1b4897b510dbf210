"""The SQL source that ``headrace add source`` writes, against a PostgreSQL on this machine."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from datetime import time as clock
from decimal import Decimal
from pathlib import Path
from typing import Any

import api_lab
import pytest
from lab import ROOT, Lab, Rows
from sqlalchemy import URL, Engine, NullPool, create_engine, make_url, text

from headrace.add import AddRequest
from headrace.errors import SourceError
from postgres_lab import postgres

if sys.platform == "win32":
    pytest.skip("the PostgreSQL package is for POSIX systems", allow_module_level=True)

PASSWORD = "hush-hush-of-the-test"  # noqa: S105 - of a server on this machine
CUSTOMERS = (
    "create table customers (id int primary key, name text, updated_at timestamptz)",
    (
        "insert into customers select n, 'name ' || n, make_timestamptz(2026, 1, n, 0, 0, 0, "
        "'UTC') from generate_series(1, 7) as n"
    ),
)
EVERYTHING = "select id, name, updated_at from crm_raw.customers order by id"
KINDS = {
    "id": "BIGINT", "small": "BIGINT", "money": "DECIMAL(12,2)", "wide": "DECIMAL(38,18)",
    "half": "DOUBLE", "dbl": "DOUBLE", "flag": "BOOLEAN", "txt": "VARCHAR",
    "short": "VARCHAR", "d": "DATE", "t": "TIME", "local": "TIMESTAMP",
    "moment": "TIMESTAMP WITH TIME ZONE", "j": "JSON", "jb": "JSON", "u": "VARCHAR",
    "b": "BLOB", "numbers": "JSON", "words": "JSON", "mood": "VARCHAR",
    "address": "VARCHAR", "span": "VARCHAR", "bits": "VARCHAR", "blank": "DOUBLE",
}  # fmt: skip


@dataclass(frozen=True)
class Database:
    """An empty database; ``reader`` may read what is made in it, by a password."""

    owner: Engine
    url: URL

    def execute(self, *statements: str) -> None:
        with self.owner.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    with postgres(tmp_path_factory) as running:
        url = make_url(running.get_uri()).set(drivername="postgresql+psycopg")
        engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            connection.execute(text(f"create role reader login password '{PASSWORD}'"))
            rules = running.pgdata / "pg_hba.conf"
            rules.write_text("local all reader scram-sha-256\n" + rules.read_text())
            connection.execute(text("select pg_reload_conf()"))
        yield url


@pytest.fixture
def database(server: URL) -> Database:
    name = f"crm_{uuid.uuid4().hex}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(f"create database {name}"))
    owner = create_engine(server.set(database=name), poolclass=NullPool)
    made = Database(owner, server.set(database=name, username="reader")._replace(password=None))
    made.execute("alter default privileges grant select on tables to reader", *CUSTOMERS)
    return made


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lab = api_lab.project(tmp_path_factory.mktemp("sql"))
    api_lab.added(lab, AddRequest(name="crm", kind="sql_database"))
    return lab.root


@pytest.fixture
def crm(root: Path, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    url = database.url.render_as_string()
    lab = Lab(
        tmp_path / "data", root, (f"sources.crm.url={url}", f"sources.crm.password={PASSWORD}")
    )
    api_lab.use_pipelines(monkeypatch, lab)
    return lab


def with_tables(lab: Lab, **tables: dict[str, Any]) -> Lab:
    return lab.set(f"sources.crm.tables={json.dumps(tables)}")


def failure(lab: Lab) -> str:
    with pytest.raises(SourceError) as caught:
        lab.load("crm")
    message = str(caught.value)
    assert "\n" not in message
    assert PASSWORD not in message
    return message


def clean(lab: Lab, tmp_path: Path) -> Rows:
    """What one load into an empty warehouse would have brought."""
    other = Lab(tmp_path / "clean", lab.root, lab.flags)
    other.load("crm")
    return other.query(EVERYTHING)


def test_only_what_changed_is_read_and_merged(crm: Lab, database: Database, tmp_path: Path) -> None:
    crm = with_tables(crm, customers={"cursor": "updated_at"}).set("sources.crm.chunk_rows=2")
    assert crm.load_one("crm").rows_new == 7
    loads = "select count(distinct _dlt_load_id) from crm_raw.customers"
    assert crm.query(loads) == [(1,)]
    database.execute(
        "update customers set name = 'unseen' where id = 1",
        "update customers set name = 'seen', updated_at = '2026-02-01Z' where id = 2",
        "insert into customers values (8, 'new', '2026-02-02Z')",
    )
    report = crm.load_one("crm")
    assert (report.rows_new, report.rows_changed, report.rows_total) == (1, 1, 8)
    names = [row[1] for row in crm.query(EVERYTHING)]
    assert names[:2] == ["name 1", "seen"]  # only what moved the cursor was asked for
    database.execute("update customers set name = 'name 1' where id = 1")
    assert crm.query(EVERYTHING) == clean(crm, tmp_path)


def test_without_a_cursor_deleted_rows_go(crm: Lab, database: Database) -> None:
    crm = with_tables(crm, customers={})
    assert crm.load_one("crm").rows_total == 7
    database.execute("delete from customers where id = 3")
    assert crm.load_one("crm").rows_total == 6
    database.execute("delete from customers")
    crm.load("crm")
    assert crm.query("select count(*) from crm_raw.customers") == [(0,)]


def test_types_arrive_as_they_are(crm: Lab, database: Database) -> None:
    database.execute(
        "create type mood as enum ('ok', 'bad')",
        "create table kinds (id bigint primary key, small smallint, money numeric(12, 2), "
        "wide numeric, half real, dbl double precision, flag boolean, txt text, short char(3), "
        "d date, t time, local timestamp, moment timestamptz, j json, jb jsonb, u uuid, b bytea, "
        "numbers int[], words text[], mood mood, address inet, span interval, bits bit(3), "
        "blank double precision)",
    )
    crm = with_tables(crm, kinds={"cursor": "moment"})
    assert [(t.table, t.rows_total) for t in crm.load("crm").tables] == [("kinds", 0)]
    assert crm.schema("crm_raw.kinds") == KINDS  # of a table that has no row yet
    database.execute(
        "insert into kinds values (1, 2, 12345.67, 3.14159265358979, 0.5, 2.5, true, 'äß', 'abc', "
        "'2026-01-02', '12:13:14', '2026-01-02 03:04:05.678901', '2026-01-02 03:04:05+05', "
        """'{"a": [1, 2]}', '{"b": null}', '7b0a5c4e-0000-4000-8000-000000000001', """
        """'\\x0001ff', '{1,2,null}', '{a,"b c"}', 'ok', '10.0.0.1', '1 day 2 hours', '101')""",
        "insert into kinds (id) values (2)",
    )
    crm.load("crm")
    assert crm.schema("crm_raw.kinds") == KINDS
    first, second = crm.query("select * exclude (_dlt_load_id) from crm_raw.kinds order by id")
    assert first[:10] == (
        1, 2, Decimal("12345.67"), Decimal("3.141592653589790000"), 0.5, 2.5, True, "äß", "abc",
        date(2026, 1, 2),
    )  # fmt: skip
    assert first[10:12] == (clock(12, 13, 14), datetime(2026, 1, 2, 3, 4, 5, 678901))  # noqa: DTZ001
    assert first[12].astimezone(UTC) == datetime(2026, 1, 1, 22, 4, 5, tzinfo=UTC)
    assert [json.loads(value) for value in first[13:15]] == [{"a": [1, 2]}, {"b": None}]
    assert first[15:17] == ("7b0a5c4e-0000-4000-8000-000000000001", b"\x00\x01\xff")
    assert [json.loads(value) for value in first[17:19]] == [[1, 2, None], ["a", "b c"]]
    assert first[19:] == ("ok", "10.0.0.1/32", "1 day 02:00:00", "101", None)
    assert second == (2, *[None] * 23)


ODD = (
    "bare numeric, wide numeric(50, 20), price numeric(12, 2), d date, local timestamp, "
    "moment timestamptz, zoned timetz, span interval, list numeric[], jb jsonb"
)


def test_all_digits_arrive(crm: Lab, database: Database) -> None:
    database.execute(
        f"create table odd (id int primary key, {ODD})",
        "insert into odd values (1, 12345678901234567890.123456789012345678, "
        "123456789012345678901234567890.12345678901234567890, -0.01, '0001-01-01', "
        "'9999-12-31 23:59:59.999999', '0001-01-02Z', '12:00:01.5+05:30', '1 year 2 days', "
        """'{1.10,2}', '{"a": 1.10, "big": 12345678901234567890.123}')""",
    )
    crm = with_tables(crm, odd={})
    crm.load("crm")
    names = "bare, wide, price, d, local, zoned, span"
    (row,) = crm.query(f"select columns(*)::varchar from (select {names} from crm_raw.odd)")
    assert row == (
        "12345678901234567890.123456789012345678",
        "123456789012345678901234567890.12345678901234567890",
        "-0.01", "0001-01-01", "9999-12-31 23:59:59.999999", "12:00:01.5+05:30", "1 year 2 days",
    )  # fmt: skip
    ((numbers, said),) = crm.query("select list::varchar, jb::varchar from crm_raw.odd")
    assert [Decimal(str(one)) for one in json.loads(numbers)] == [Decimal("1.1"), 2]
    assert json.loads(said, parse_float=Decimal)["a"] == Decimal("1.1")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("bare", "NaN"),
        ("bare", "1e20"),
        ("price", "NaN"),
        ("d", "infinity"),
        ("d", "0044-03-15 BC"),
        ("local", "-infinity"),
        ("moment", "infinity"),
    ],
)
def test_a_value_that_cannot_be_held_stops_the_load(
    crm: Lab, database: Database, column: str, value: str
) -> None:
    database.execute(
        f"create table odd (id int primary key, {ODD})",
        f"insert into odd (id, {column}) values (1, null), (7, '{value}')",
    )
    message = failure(with_tables(crm, odd={}))
    assert re.search(rf"table odd: a value cannot be read \(|odd\.{column} is decimal", message)
    assert message.endswith("in the database, or load a view that casts it")


def test_every_row_names_its_load(crm: Lab) -> None:
    with_tables(crm, customers={"cursor": "updated_at"}).load("crm")
    assert crm.query(
        "select count(*) from crm_raw.customers join crm_raw._dlt_loads on load_id = _dlt_load_id "
        "where status = 0"
    ) == [(7,)]


def test_an_empty_table_and_a_null_cursor(crm: Lab, database: Database) -> None:
    database.execute(
        "create table later (id int primary key, at timestamptz, note text)",
        "insert into customers values (8, 'no date', null)",
    )
    crm = with_tables(
        crm, customers={"cursor": "updated_at"}, later={"cursor": "at", "deleted": "note"}
    )
    # dlt reads them in turn, and says in which order they came
    rows = {table.table: table.rows_total for table in crm.load("crm").tables}
    assert rows == {"customers": 8, "later": 0}
    database.execute(
        "update customers set name = 'changed' where id = 8",
        "insert into later values (1, null, null), (2, '2026-01-01Z', null)",
    )
    crm.load("crm")
    assert crm.query(EVERYTHING)[-1] == (8, "changed", None)
    assert crm.query("select id, note from crm_raw.later order by id") == [(1, None), (2, None)]
    database.execute("update later set at = '2026-01-02Z', note = 'gone' where id = 2")
    crm.load("crm")
    assert crm.query("select id, note from crm_raw.later order by id") == [(1, None)]


def test_views_and_keyless_tables(crm: Lab, database: Database) -> None:
    database.execute(
        "create view recent as select * from customers",
        "create table log (a int)",
        "insert into log values (1), (1)",
    )
    message = failure(with_tables(crm, recent={"cursor": "updated_at"}))
    assert "table recent has a cursor, and no primary key to merge by" in message
    keyed = {"cursor": "updated_at", "primary_key": ["id"]}
    crm = with_tables(crm, recent=keyed, log={})
    for _ in range(2):
        totals = {t.table: t.rows_total for t in crm.load("crm").tables}
        assert totals["log"] == 2
    assert crm.query("select count(*) from crm_raw.recent") == [(7,)]


def test_what_is_not_there(crm: Lab, database: Database) -> None:
    cursor = failure(with_tables(crm, customers={"cursor": "changed_on"}))
    assert cursor == (
        "source crm: table customers has no column changed_on, its cursor; it has id, name, "
        "updated_at: set cursor at customers in config/default.yml"
    )
    table = failure(with_tables(crm, clients={}))
    assert table == (
        "source crm: there is no table clients that this user may see: correct "
        "sources.crm.tables, or sources.crm.schema"
    )
    database.execute("revoke select on customers from reader")
    assert "permission denied for table customers" in failure(with_tables(crm, customers={}))


def test_a_wrong_password_and_wrong_addresses(crm: Lab, database: Database) -> None:
    crm = with_tables(crm, customers={})
    message = failure(crm.set("sources.crm.password=not-the-right-one"))
    assert "password authentication failed" in message
    assert "set HEADRACE_SOURCES__CRM__PASSWORD in .env or the environment" in message
    assert "not-the-right-one" not in message
    with api_lab.serve() as gone:
        port = gone.server_port
    cases = {
        f"postgresql+psycopg://reader@127.0.0.1:{port}/crm": "Connection refused",
        "postgresql+psycopg://reader@no-such-host.invalid/crm": "no-such-host.invalid",
        "nonsense": "sources.crm.url is not one that SQLAlchemy knows",
        "foo://reader@127.0.0.1/crm": "sources.crm.url is not one that SQLAlchemy knows",
        "mysql+pymysql://reader@127.0.0.1/crm": "the driver pymysql is not installed: run `uv add",
    }
    for url, words in cases.items():
        assert words in failure(crm.set(f"sources.crm.url={url}")), url


def test_a_load_that_is_killed_is_made_anew(crm: Lab, database: Database, tmp_path: Path) -> None:
    crm = with_tables(crm, customers={"cursor": "updated_at"})
    crm.load("crm")
    # the next load is held up by a lock of somebody else, and killed while it waits
    database.execute(
        "insert into customers select n, 'more', '2026-03-01Z' from generate_series(8, 50) n"
    )
    flags = [word for flag in (f"data_dir={crm.data_dir}", *crm.flags) for word in ("--set", flag)]
    command = [sys.executable, "-m", "headrace", "load", "--source", "crm", *flags]
    plain = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    with database.owner.connect() as connection:
        connection.execute(text("lock table customers in access exclusive mode"))
        with subprocess.Popen(
            command, cwd=crm.root, env=plain, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            waiting = text("select count(*) from pg_locks where not granted")
            until = time.monotonic() + 300
            while not connection.scalar(waiting) and time.monotonic() < until:
                time.sleep(0.05)
            assert connection.scalar(waiting)
            process.kill()
        connection.rollback()
    crm.load("crm")
    assert len(crm.query(EVERYTHING)) == 50
    assert crm.query(EVERYTHING) == clean(crm, tmp_path)


def test_a_load_that_fails_midway_is_made_anew(
    crm: Lab, database: Database, tmp_path: Path
) -> None:
    database.execute("insert into customers values (8, 'future', 'infinity')")
    crm = with_tables(crm, customers={"cursor": "updated_at"}).set("sources.crm.chunk_rows=2")
    assert "timestamp" in failure(crm)
    database.execute("update customers set updated_at = '2026-02-01Z' where id = 8")
    crm.load("crm")
    assert len(crm.query(EVERYTHING)) == 8
    assert crm.query(EVERYTHING) == clean(crm, tmp_path)


def test_no_file_holds_the_password(crm: Lab) -> None:
    crm = with_tables(crm, customers={"cursor": "updated_at"})
    crm.load("crm")
    failure(with_tables(crm, clients={}))
    for path in crm.data_dir.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path


def test_the_example_of_the_how_to(database: Database, tmp_path: Path) -> None:
    database.execute(
        "create table countries (code text primary key, name text)",
        "insert into countries values ('CH', 'Switzerland'), ('NO', 'Norway')",
    )
    lab = api_lab.project(tmp_path)
    shutil.copy(ROOT / ".env.example", lab.root)
    (lab.root / ".env").write_text(f"HEADRACE_SOURCES__CRM__PASSWORD={PASSWORD}\n")
    words, output = api_lab.example("add-a-sql-database.md")
    url = database.url.set(drivername="postgresql").render_as_string()
    result = lab.command(*(url if word.startswith("postgresql:") else word for word in words))
    assert sorted(result.stdout.splitlines()) == sorted(output), result.stderr
    settings = (lab.root / "config" / "default.yml").read_text()
    page = (ROOT / "docs" / "how-to" / "add-a-sql-database.md").read_text(encoding="utf-8")
    block = page.split("```yaml\n")[1].split("```")[0].splitlines()
    assert settings.splitlines()[-len(block) :] == [
        f"    url: {settings.split('url: ')[1].splitlines()[0]}" if "url:" in line else line
        for line in block
    ]


def test_a_table_that_is_not_there_is_refused_at_once(database: Database, tmp_path: Path) -> None:
    lab = api_lab.project(tmp_path)
    url = database.url.set(password=PASSWORD).render_as_string(hide_password=False)
    words = ("add", "source", "crm", "--kind", "sql_database", "--url", url)
    for more, message in (
        (("--table", "clients"), "--table clients: the database has no such table or view; it has"),
        (("--schema", "nowhere"), "schema nowhere has no table that this user may see"),
        (("--cursor", "at"), "--cursor at: none of customers has such a column and a key"),
    ):
        result = lab.command(*words, *more)
        assert (result.returncode, result.stdout) == (2, "")
        assert message in result.stderr
    assert not (lab.root / "dlt_pipelines" / "crm").exists()
