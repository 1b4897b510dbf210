"""The target postgres: what readers see while it publishes, what stops it, and who may not."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import LockedError, PublishError, WarehouseError
from headrace.pipeline import lock
from headrace.settings import resolve
from headrace.targets import BuiltTable, Publication
from headrace.targets.postgres.target import PostgresTarget

psycopg = pytest.importorskip("psycopg", reason="uv sync --extra postgres")
pytest.importorskip("psycopg2", reason="uv sync --extra postgres")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from postgres_lab import postgres

    with postgres(tmp_path_factory) as found:
        yield found


class Lab:
    """A database of its own: built tables, a target, and readers."""

    def __init__(self, server: Any, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.host = str(psycopg.conninfo.conninfo_to_dict(server.get_uri())["host"])
        self.runs = 0
        with closing(self.reader(dbname="postgres")) as admin:
            admin.execute(f"create database {name}")
        self.admin = self.reader()
        self.target = self.target_of()
        self.target.prepare()
        self.publisher = self.target.publisher()
        self.admin.execute("create schema marts")

    def target_of(self, **given: Any) -> PostgresTarget:
        (self.folder / "config").mkdir(exist_ok=True)
        parts = {"host": self.host, "user": "postgres", "dbname": self.name, **given}
        flags = ["target=postgres", *(f"targets.postgres.{key}={parts[key]}" for key in parts)]
        found = resolve(self.folder, flags=flags, environ={}).target
        assert isinstance(found, PostgresTarget)
        return found

    def reader(self, **given: Any) -> Any:
        parts = {"host": self.host, "user": "postgres", "dbname": self.name, **given}
        return psycopg.connect(**parts, autocommit=True)

    def build(self, orders: int, columns: str = "i as id, 'o' || i as name") -> None:
        """Two marts whose rows are as many: readers must never see two numbers."""
        for name in ("orders", "people"):
            self.admin.execute(f"drop table if exists marts.{name}")
            self.admin.execute(
                f"create table marts.{name} as select {columns} from generate_series(1, {orders}) i"
            )

    def publish(self, *names: str, keep: int = 1, texts: Mapping[str, str] | None = None) -> str:
        names = names or ("orders", "people")
        found = self.publisher.fingerprints([("marts", name) for name in names])
        tables = [
            BuiltTable("marts", name, f"model.p.{name}", *found["marts", name], "About.",
                       texts or {"id": "The key."})
            for name in names
        ]  # fmt: skip
        current = self.publisher.current()
        before = {one.name: one.fingerprint for one in current.tables} if current else {}
        self.runs += 1
        run = f"r{self.runs}"
        self.publisher.publish(
            Publication(run, datetime.now(UTC), "c", tuple(tables)),
            [one for one in tables if before.get(one.name) != one.fingerprint],
            keep=keep,
            tell=lambda *_: None,
        )
        return run

    def rows(self, sql: str) -> list[Any]:
        return list(self.admin.execute(sql).fetchall())

    def counts(self, connection: Any = None) -> tuple[int, int]:
        found = (
            (connection or self.admin)
            .execute(
                "select (select count(*) from published.orders), "
                "(select count(*) from published.people)"
            )
            .fetchone()
        )
        return (int(found[0]), int(found[1]))

    def own_tables(self) -> set[str]:
        return {
            str(name)
            for (name,) in self.rows(
                "select relname from pg_class where relnamespace = '_headrace'::regnamespace "
                "and relkind in ('r', 'p') and relname ~ '^[vp][0-9]'"
            )
        }


@pytest.fixture
def lab(server: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    found = Lab(server, tmp_path, f"db_{abs(hash(request.node.name)) % 10**9}")
    found.build(3)
    yield found
    found.admin.close()


def test_readers_are_never_blocked_and_never_see_half(lab: Lab) -> None:
    lab.publish()
    seen: list[tuple[int, int]] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def read_on() -> None:
        with closing(lab.reader()) as connection:
            connection.execute("set statement_timeout = '5s'")  # blocked is an error here
            try:
                while not done.is_set():
                    seen.append(lab.counts(connection))
            except BaseException as error:
                errors.append(error)

    thread = threading.Thread(target=read_on)
    thread.start()
    # in a transaction it is as of its beginning, over several publications and statements
    with closing(psycopg.connect(host=lab.host, user="postgres", dbname=lab.name)) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert lab.counts(old) == (3, 3)
        for number in (10, 200, 3000):
            lab.build(number)
            lab.publish()
            assert lab.counts() == (number, number)
            assert lab.counts(old) == (3, 3)
    done.set()
    thread.join()
    assert not errors
    assert all(one == other for one, other in seen)
    assert {one for one, _ in seen} <= {3, 10, 200, 3000}


def test_a_publish_costs_what_changed_and_old_versions_go(lab: Lab) -> None:
    lab.publish()
    for number in (4, 5, 6):
        lab.admin.execute(f"insert into marts.orders values ({number}, 'new')")
        lab.publish()
    # orders has the version before, people its only one
    assert len([name for name in lab.own_tables() if name.startswith("v")]) == 3
    assert [one.run_id for one in lab.publisher.history()] == ["r4", "r3"]
    lab.publisher.restore("r3")
    assert lab.counts() == (5, 3)
    assert [one.run_id for one in lab.publisher.history()] == ["r3", "r4", "r3"]
    lab.publish(keep=0)
    assert lab.counts() == (6, 3)
    assert len(lab.publisher.history()) == 1


def test_a_version_that_a_long_transaction_may_read_goes_later(lab: Lab) -> None:
    lab.publish()
    with closing(psycopg.connect(host=lab.host, user="postgres", dbname=lab.name)) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert lab.counts(old) == (3, 3)
        lab.build(4)
        lab.publish(keep=0)
        assert lab.counts(old) == (3, 3)
    before = lab.own_tables()
    lab.build(5)
    lab.publish(keep=0)
    assert len(lab.own_tables()) <= len(before)
    assert len([name for name in lab.own_tables() if name.startswith("v")]) == 2


def _depend(lab: Lab) -> None:
    """Grants, comments and views of others on what is published."""
    for sql in (
        (
            "do $$ begin if not exists (select from pg_roles where rolname = 'reader') then "
            "create role reader login; end if; end $$"
        ),
        "grant usage on schema published to reader",
        "grant select on published.orders to reader",
        "comment on view published.people is 'mine'",
        "create schema reports",
        "create view reports.daily as select count(*) as orders from published.orders",
        "create view reports.again as select orders from reports.daily",
        "grant usage on schema reports to public",
        "grant select on reports.daily to public",
        "comment on view reports.daily is 'of sales'",
    ):
        lab.admin.execute(sql)


def test_grants_comments_and_dependent_views_survive(lab: Lab) -> None:
    lab.publish()
    _depend(lab)
    for columns in (
        "i as id, 'o' || i as name",
        "i as id, 'o' || i as name, i * 2 as twice",  # one more at the end
        "i::bigint as id, i as rank, 'o' || i as name",  # another type, and one between
        "i::bigint as id",  # fewer
    ):
        lab.build(7, columns)
        lab.publish()
        assert lab.rows("select orders from reports.again") == [(7,)]
        with closing(lab.reader(user="reader")) as reader:
            assert reader.execute("select count(*) from published.orders").fetchone() == (7,)
            assert reader.execute("select orders from reports.daily").fetchone() == (7,)
        assert lab.rows(
            "select obj_description('reports.daily'::regclass), "
            "col_description('published.orders'::regclass, 1)"
        ) == [("of sales", "The key.")]
    # and back, over other columns
    lab.publisher.restore("r4")
    assert lab.rows("select max(rank) from published.orders") == [(7,)]
    assert lab.rows("select orders from reports.again") == [(7,)]


def test_a_view_that_needs_a_column_that_is_gone_stops_the_publish(lab: Lab) -> None:
    lab.publish()
    lab.admin.execute("create schema reports")
    lab.admin.execute("create view reports.names as select name from published.orders")
    lab.build(9, "i as id")
    with pytest.raises(PublishError, match=r"the view reports\.names, which reads it, cannot be"):
        lab.publish()
    assert lab.counts() == (3, 3)
    assert lab.rows("select count(name) from reports.names") == [(3,)]
    lab.admin.execute("drop view reports.names")
    lab.admin.execute("create materialized view reports.kept as select id from published.orders")
    with pytest.raises(PublishError, match=r"reports\.kept, which depends on it, is no view"):
        lab.publish()
    lab.admin.execute("drop materialized view reports.kept")
    lab.publish()
    assert lab.counts() == (9, 9)
    lab.admin.execute("create view reports.ids as select id from published.people")
    with pytest.raises(PublishError, match="other objects depend on that view"):
        lab.publish("orders")  # the mart people is gone


def test_a_reader_in_the_way_of_other_columns_is_named(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.targets.postgres.views.PATIENCE_S", 0.3)
    lab.publish()
    lab.build(5, "i as id")
    with closing(
        psycopg.connect(
            host=lab.host, user="postgres", dbname=lab.name, application_name="dashboard"
        )
    ) as slow:
        assert lab.counts(slow) == (3, 3)
        with pytest.raises(PublishError, match="`dashboard` has it open"):
            lab.publish()
        # meanwhile nobody else had to wait for long, and nothing changed
        assert lab.counts() == (3, 3)
    lab.publish()
    assert lab.counts() == (5, 5)


def test_a_transaction_from_before_other_columns_sees_an_error_and_no_empty_table(lab: Lab) -> None:
    lab.publish()
    lab.admin.execute("create table public.other as select 1 as one")
    with closing(psycopg.connect(host=lab.host, user="postgres", dbname=lab.name)) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("select * from public.other")
        lab.build(5, "i as id")
        lab.publish()
        with pytest.raises(psycopg.Error, match="has other columns since this transaction began"):
            lab.counts(old)


@pytest.mark.parametrize(
    "place", ["publisher.copied", "publisher.point", "publisher.note", "publisher.make_view"]
)
def test_a_publish_that_is_killed_leaves_the_old_and_the_next_one_cleans_up(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    lab.publish()
    lab.build(8, "i as id, i as other")
    before = lab.own_tables()
    with monkeypatch.context() as patch:
        calls: list[Any] = []

        def killed(connection: Any, *given: Any, **named: Any) -> Any:
            calls.append(given)
            if len(calls) == (2 if place.endswith(("copied", "view")) else 1):
                # the server ends the session, as it does for a client that is gone
                pid = connection.info.backend_pid
                lab.admin.execute("select pg_terminate_backend(%s)", [pid])
            return real(connection, *given, **named)

        from headrace.targets.postgres import publisher as postgres_publisher

        real = getattr(postgres_publisher, place.partition(".")[2])
        patch.setattr(f"headrace.targets.postgres.{place}", killed)
        with pytest.raises(WarehouseError, match="ended the connection"):
            lab.publish()
    assert lab.counts() == (3, 3)
    lab.publish()
    assert lab.counts() == (8, 8)
    versions = [name for name in lab.own_tables() if name.startswith("v")]
    assert len(versions) == 4  # two of each, what was left half is gone
    assert before < lab.own_tables()


def test_two_that_publish_at_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace.targets.postgres import publisher as postgres_publisher
    from headrace.targets.postgres import versions as postgres_versions

    lab.publish()
    lab.build(6)
    real = postgres_versions.copied

    def slow(*given: Any) -> Any:
        monkeypatch.setattr(postgres_publisher, "copied", real)
        lab.publish()  # another machine, whose lock was lost
        return real(*given)

    monkeypatch.setattr(postgres_publisher, "copied", slow)
    with pytest.raises(PublishError, match="another run published"):
        lab.publish()
    assert lab.counts() == (6, 6)


def test_names_that_readers_could_not_tell_apart_or_that_are_taken(lab: Lab) -> None:
    lab.admin.execute("create schema published")
    lab.admin.execute("create table published.people (id int)")
    with pytest.raises(PublishError, match="that Headrace did not make"):
        lab.publish()
    found = lab.publisher.fingerprints([("marts", "orders")])["marts", "orders"]
    same = tuple(
        BuiltTable(schema, "orders", "m", *found, "", {}) for schema in ("marts", "reports")
    )
    with pytest.raises(PublishError, match=r"would both be published\.orders"):
        lab.publisher.publish(
            Publication("r", datetime.now(UTC), "c", same), [], keep=1, tell=lambda *_: None
        )


def test_another_machine_sees_the_lock(lab: Lab, tmp_path: Path) -> None:
    here = lab.target_of()
    elsewhere = lab.target_of()
    with here.lock("headrace run"):
        with (
            pytest.raises(LockedError, match=r"`headrace run on .*, process \d+` \(from"),
            elsewhere.lock("headrace build"),
        ):
            raise AssertionError("it was taken twice")
        # a holder whose session ends holds nothing: a machine that was switched off
        lab.admin.execute(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'"
        )
        with elsewhere.lock("headrace build"):
            pass
    with lock.hold(here, "headrace run"):  # and the one of this machine around it
        pass


@contextmanager
def _password_required(lab: Lab, role: str) -> Iterator[None]:
    (path,) = lab.rows("show hba_file")[0]
    file = Path(path)
    kept = file.read_text()
    file.write_text(f"local all {role} scram-sha-256\n{kept}")
    lab.admin.execute("select pg_reload_conf()")
    try:
        yield
    finally:
        file.write_text(kept)
        lab.admin.execute("select pg_reload_conf()")


def test_bad_places_and_roles(lab: Lab) -> None:
    lab.admin.execute("create role limited login password 'sesame-open-1'")
    lab.admin.execute("create role standby login superuser")
    lab.admin.execute("alter role standby set default_transaction_read_only = on")
    for given, why in {
        ("host", "/nowhere"): "there is no PostgreSQL server at /nowhere:5432",
        ("host", "no.such.host.invalid"): "the host no.such.host.invalid is not known",
        ("dbname", "elsewhere"): "there is no database elsewhere on",
        ("user", "nobody_here"): "has no role nobody_here",
        ("user", "limited"): "the role limited may not create schemas in",
        ("user", "standby"): "is read-only",
    }.items():
        target = lab.target_of(**dict([given]))
        with pytest.raises(WarehouseError, match=why) as caught:
            target.check()
        assert "\n" not in str(caught.value)
        assert not target.exists() or given[0] == "user"
    with _password_required(lab, "limited"):
        target = lab.target_of(user="limited", password="wrong-sesame-2")  # noqa: S106
        for ask in (target.check, lambda: _attached(target)):
            with pytest.raises(WarehouseError, match="refuses the password of limited") as caught:
                ask()
            assert "sesame" not in str(caught.value)
        assert "sesame" not in repr(target)
    lab.admin.execute("comment on schema _headrace is 'Headrace, format 99: x'")
    with pytest.raises(WarehouseError, match=r"written by a newer Headrace \(format 99"):
        lab.target.check()


def _attached(target: PostgresTarget) -> bool:
    import duckdb

    with duckdb.connect() as connection:
        return target.attach(connection, "target")


def test_a_run_store_in_the_same_database_is_no_change(lab: Lab) -> None:
    lab.admin.execute("create table public.catalog_lineage (id int)")
    before = lab.target.signature()
    lab.admin.execute("insert into public.catalog_lineage values (1)")
    lab.publish()
    assert lab.target.signature() == before
    with closing(lab.reader()) as other:
        other.execute("update marts.orders set name = 'x'")
    wait_for_end_of_sessions(lab)
    assert lab.target.signature() != before


def wait_for_end_of_sessions(lab: Lab) -> None:
    sql = "select count(*) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()"
    for _ in range(200):
        if lab.admin.execute(sql, [lab.name]).fetchone() == (0,):
            return
        lab.admin.execute("select pg_sleep(0.02)")


NUMBERS = """
create table marts.numbers (
    id int, bare numeric, wide numeric(50, 20), rounded numeric(3, -2), tiny numeric(2, 5),
    price numeric(12, 2), list numeric[], day date, moment timestamptz, span interval,
    clock timetz, bytes bytea, words text[], said jsonb
);
insert into marts.numbers values (
    1, 12345678901234567890.123456789012345678, 123456789012345678.12345678901234567890, 12345,
    0.00012, -1.10, '{1.10,NaN}', 'infinity', '-infinity', '1 year 2 days 03:04:05.6',
    '12:00:01.5+05:30', '\\x0001ff', '{a,"b c",null}', '{"a": 1.10}'
);
insert into marts.numbers (id, bare) values (2, -0.1);
create view marts.totals as select sum(price) as total, avg(price) as mean from marts.numbers
"""


def read_of(lab: Lab, sql: str) -> list[Any]:
    """Rows of DuckDB's SQL, in which ``target`` is the database; all values as DuckDB's texts."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        assert lab.target.attach(connection, "target")
        connection.execute("set enable_external_access = false")  # as for a query
        return connection.execute(f"select columns(*)::varchar from ({sql})").fetchall()


def test_numbers_are_read_with_all_their_digits(lab: Lab) -> None:
    lab.target.prepare()
    lab.admin.execute(NUMBERS)
    first, second = read_of(lab, "select * from target.marts.numbers order by id")
    assert first == (
        "1", "12345678901234567890.123456789012345678", "123456789012345678.12345678901234567890",
        "12300", "0.00012", "-1.10", "[1.10, NaN]", "infinity", "-infinity",
        "1 year 2 days 03:04:05.6", "12:00:01.5+05:30", r"\x00\x01\xFF", "[a, b c, NULL]",
        '{"a": 1.10}',
    )  # fmt: skip
    assert second[1] == "-0.100000000000000000"
    assert set(second[2:]) == {None}
    kinds = read_of(lab, "select typeof(total), total, typeof(mean) from target.marts.totals")
    assert kinds == [("DECIMAL(38,18)", "-1.100000000000000000", "DECIMAL(38,18)")]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("numeric(12, 2)", "NaN"),
        ("numeric", "NaN"),
        ("numeric", "-Infinity"),
        ("numeric", "1e20"),
        ("numeric(50, 20)", "-1e18"),
        ("numeric(60, 45)", "1e-45"),
    ],
)
def test_a_number_that_duckdb_cannot_hold_is_refused(lab: Lab, kind: str, value: str) -> None:
    import duckdb

    lab.target.prepare()
    lab.admin.execute(f"create table marts.odd (id int, other numeric(9, 2), it {kind})")
    lab.admin.execute("insert into marts.odd values (1, 1, '0'), (2, null, null)")
    assert read_of(lab, "select sum(id), sum(it) from target.marts.odd") != []
    lab.admin.execute(f"insert into marts.odd values (3, 3, '{value}')")
    for sql in ("select it from target.marts.odd", "select count(*) from target.marts.odd"):
        with pytest.raises(duckdb.Error) as caught:
            read_of(lab, sql)
        said = str(lab.target.explain(caught.value))
        assert "marts.odd has numbers that DuckDB cannot hold (NaN, an infinity" in said
        assert said.endswith("in the column it")
    assert read_of(lab, "select max(id) from target.marts.orders") == [("3",)]  # the others are


def test_a_relation_that_is_dropped_meanwhile_is_left_out(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.target.prepare()
    lab.admin.execute("create table marts.orders__dbt_tmp (id int, amount numeric)")
    from headrace.targets.postgres import numerics, target

    real = numerics.columns_of

    def dropped(connection: Any) -> Any:
        found = real(connection)
        lab.admin.execute("drop table marts.orders__dbt_tmp")
        return found

    monkeypatch.setattr(target, "columns_of", dropped)
    assert read_of(lab, "select count(*) from target.marts.orders") == [("3",)]
