"""A lake in S3: two machines, a lease, a server that fails, is slow, or lets nothing be written."""

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from lab import Lab, Shop
from warm_process import run_module

from headrace.errors import HeadraceError, LockedError, PublishError, WarehouseError
from headrace.libraries.duckdb import connect
from headrace.settings import resolve
from headrace.targets import BuiltTable, Publication
from headrace.targets import object_store as stores
from headrace.targets.lake.target import LakeTarget
from s3_lab import BUCKET, KEY, SECRET, Fault, Server, s3_server

pytest.importorskip("deltalake", reason="uv sync --extra lake")
ROWS = "create or replace table marts.orders as select range as id from range({})"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with s3_server() as found:
        yield found


@pytest.fixture
def s3(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, which answers as it should, asked by a client without patience."""
    monkeypatch.setattr(stores, "_TRIES", 2)
    monkeypatch.setattr(stores, "_READ_S", 1)
    server.fail()
    yield server
    server.fail()


def lake(s3: Server, tmp_path: Path, *flags: str, machine: str = "a") -> LakeTarget:
    (tmp_path / "config").mkdir(exist_ok=True)
    given = [f"data_dir={tmp_path / machine}", "target=lake", *s3.flags(tmp_path.name), *flags]
    target = resolve(tmp_path, flags=given, environ={}).target
    assert isinstance(target, LakeTarget)
    return target


def build(target: LakeTarget, rows: int) -> None:
    with target.lock("a test"):
        target.prepare()
        with target.engine.connect(read_only=False) as connection:
            target.prepare_engine(connection)
            connection.execute("create schema if not exists marts")
            connection.execute(ROWS.format(rows))
        target.release()


def publish(target: LakeTarget, run: str) -> None:
    publisher = target.publisher()
    rows, content = publisher.fingerprints([("marts", "orders")])["marts", "orders"]
    table = BuiltTable("marts", "orders", "model.orders", rows, content, "", {})
    one = Publication(run, datetime.now(UTC), "abc", (table,))
    publisher.publish(one, [table], keep=2, tell=lambda built, seconds: None)


def readers_count(target: LakeTarget) -> int:
    """What a reader with DuckDB alone finds."""
    found = target.store.get("_headrace/published.json")
    assert found is not None
    (table,) = json.loads(found.body)["tables"]
    files = ", ".join(f"'{target.url}/{file}'" for file in table["files"])
    with closing(connect()) as connection:
        target.open(connection)
        (count,) = connection.execute(f"select count(*) from read_parquet([{files}])").fetchall()
        return int(count[0])


def test_machines_take_turns_and_readers_read_on(s3: Server, tmp_path: Path) -> None:
    first, second = lake(s3, tmp_path), lake(s3, tmp_path, machine="b")
    build(first, 3)
    publish(first, "run1")
    counts: list[int] = []
    over = threading.Event()

    def read() -> None:
        while not over.wait(0.05):
            counts.append(readers_count(second))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(4, 7):
        build(second if number % 2 else first, number)
        publish(second if number % 2 else first, f"run{number}")
    over.set()
    reader.join()
    assert set(counts) <= {3, 4, 5, 6}
    assert counts == sorted(counts)
    assert readers_count(first) == 6


def test_a_lease_is_seen_renewed_and_over_by_itself(
    s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = "targets.lake.lock_seconds=4"
    first, second = lake(s3, tmp_path, short), lake(s3, tmp_path, short, machine="b")
    with first.lock("headrace run"):
        before = first.store.get("_headrace/lock.json")
        threading.Event().wait(4.5)
        after = first.store.get("_headrace/lock.json")
        assert before is not None
        assert after is not None
        assert after.age < 4
        with pytest.raises(LockedError) as caught, second.lock("headrace build"):
            pass
        assert "`headrace run`, process" in str(caught.value)
        assert "if that machine is gone, the lock ends in" in str(caught.value)
    with second.lock("headrace build"):
        pass
    # a machine that died neither renews nor releases
    lease = {"id": "x", "host": "dead", "pid": 1, "command": "c", "since": "2024", "seconds": 600}
    first.store.put("_headrace/lock.json", json.dumps(lease).encode())
    with pytest.raises(LockedError, match="process 1 on dead"), second.lock("c"):
        pass
    first.store.put("_headrace/lock.json", json.dumps({**lease, "seconds": 0.5}).encode())
    threading.Event().wait(2)  # S3 tells whole seconds
    with second.lock("c"):
        pass


def test_a_server_that_ignores_conditions_is_refused(
    s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = stores.S3Store.put

    def ignoring(self: Any, key: str, body: bytes, *, tag: str | None = None) -> str:
        del tag
        return put(self, key, body)

    monkeypatch.setattr(stores.S3Store, "put", ignoring)
    with (
        pytest.raises(WarehouseError, match="ignores conditional writes"),
        lake(s3, tmp_path).lock("c"),
    ):
        pass
    monkeypatch.undo()
    with lake(s3, tmp_path).lock("c"):
        pass


def test_an_answer_that_is_lost_is_no_conflict(s3: Server, tmp_path: Path) -> None:
    store = lake(s3, tmp_path).store
    tag = store.put("x", b"1", tag="")
    # the first try arrived, its answer did not
    assert store.put("x", b"1", tag="") == tag
    with pytest.raises(stores.ConflictError):
        store.put("x", b"2", tag="")
    with pytest.raises(stores.ConflictError):
        store.put("none", b"2", tag='"0"')


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(status=503, code="SlowDown"), "the server is overloaded (503)"),
        (Fault(status=500, code="InternalError"), "the server failed several times"),
        (Fault("PUT", status=403, code="AccessDenied"), "access is denied: let these"),
        (Fault("PUT", status=507, code="XMinioStorageFull"), "the store is full"),
        (Fault(status=403, code="RequestTimeTooSkewed"), "this machine's clock is off"),
        (Fault(status=400, code="ExpiredToken"), "the session's token has expired"),
        (Fault(status=403, code="SignatureDoesNotMatch"), "the server refuses the credentials"),
        (Fault(status=404, code="NoSuchBucket"), f"there is no bucket {BUCKET}: create it"),
        (Fault("PUT", status=501, code="NotImplemented"), "does not know a request that is needed"),
        (Fault("PUT", seconds=3), "the server answers too slowly"),
    ],
    ids=lambda value: getattr(value, "code", None),
)
def test_what_the_server_refuses_is_one_line(
    s3: Server, tmp_path: Path, fault: Fault, words: str
) -> None:
    s3.fail(fault)
    with pytest.raises(WarehouseError) as caught, lake(s3, tmp_path).lock("c"):
        pass
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    assert SECRET not in message
    assert KEY not in message


def test_a_short_trouble_is_not_noticed(s3: Server, tmp_path: Path) -> None:
    target = lake(s3, tmp_path)
    s3.fail(Fault(status=503, code="SlowDown", times=1))
    build(target, 3)
    s3.fail(Fault("PUT", "gold", status=503, code="SlowDown", times=1))
    build(target, 4)
    assert target.count_rows([("marts", "orders")]) == {("marts", "orders"): 4}


@pytest.mark.parametrize("place", ["gold/", "_headrace/state", "_headrace/published"])
def test_what_fails_in_the_middle_leaves_what_readers_had(
    s3: Server, tmp_path: Path, place: str
) -> None:
    target = lake(s3, tmp_path)
    build(target, 3)
    publish(target, "run1")
    s3.fail(Fault("PUT|POST", place, status=403, code="AccessDenied"))

    def again() -> None:
        build(target, 4)
        publish(target, "run2")

    with pytest.raises(HeadraceError, match="access is denied") as caught:
        again()
    assert isinstance(caught.value, WarehouseError | PublishError)
    assert readers_count(target) == 3
    s3.fail()
    build(target, 4)
    publish(target, "run3")
    assert readers_count(target) == 4


def test_a_bucket_that_fails_in_mid_load_loses_nothing(s3: Server, tmp_path: Path) -> None:
    lab = Lab(tmp_path / "data", flags=("target=lake", *s3.flags(tmp_path.name)))
    shop = Shop(lab, tmp_path / "in")
    lab = shop.lab_with("{orders: {pattern: 'o_*.csv', primary_key: [id]}}")
    shop.write("o_1.csv", "id,amount\n1,10\n2,20\n")
    assert lab.load_one("store").rows_new == 2
    shop.write("o_2.csv", "id,amount\n2,25\n3,30\n")
    s3.fail(Fault("PUT|POST", "bronze/", status=507, code="XMinioStorageFull"))
    with pytest.raises(WarehouseError, match="the store is full") as caught:
        lab.load("store")
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    s3.fail()
    assert lab.resolved.target.row_counts("store_raw") == {"orders": 2}
    again = lab.load_one("store")
    assert (again.rows_new, again.rows_changed, again.rows_total) == (1, 1, 3)


_KILLED = """
import os, signal, sys
from pathlib import Path
place, url, folder, *tests = sys.argv[1:]
sys.path += tests
from headrace.targets import object_store
put = object_store.S3Store.put
def dying(self, key, body, *, tag=None):
    if place in key:
        os.kill(os.getpid(), signal.SIGKILL)
    return put(self, key, body, tag=tag)
object_store.S3Store.put = dying
import test_lake_in_s3 as lab
from s3_lab import Server
target = lab.lake(Server(url), Path(folder), "targets.lake.lock_seconds=1")
lab.build(target, 4)
lab.publish(target, "run2")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("place", ["_headrace/state", "publications/", "_headrace/published"])
def test_a_kill_leaves_what_readers_had(s3: Server, tmp_path: Path, place: str) -> None:
    target = lake(s3, tmp_path, "targets.lake.lock_seconds=1")
    build(target, 3)
    publish(target, "run1")
    (tmp_path / "killed.py").write_text(_KILLED)
    words = (place, s3.url, str(tmp_path), *(str(Path(__file__).parents[up]) for up in (0, 1)))
    ended = run_module("killed", words, cwd=tmp_path, env=os.environ)
    assert ended.returncode == -signal.SIGKILL
    assert readers_count(target) == 3
    threading.Event().wait(1.5)  # for the lease of the dead to be over
    build(target, 5)
    publish(target, "run3")
    assert readers_count(target) == 5


def test_without_credentials_or_a_server(
    s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    flags = ["target=lake", f"targets.lake.url=s3://{BUCKET}/x", f"targets.lake.endpoint={s3.url}"]
    (tmp_path / "config").mkdir()
    with pytest.raises(WarehouseError, match=r"set targets\.lake\.access_key_id and secret"):
        resolve(tmp_path, flags=flags, environ={}).target.exists()
    gone = lake(s3, tmp_path, "targets.lake.endpoint=http://127.0.0.1:9")
    with pytest.raises(WarehouseError, match=r"no server answers at http://127\.0\.0\.1:9"):
        gone.exists()
