"""The stand-in for Snowflake: each line of the table in the docs, and what a kill leaves."""

import json
import os
import re
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.errors import LockedError, PublishError, WarehouseError
from headrace.settings import resolve
from headrace.targets import Publication
from headrace.targets.snowflake.target import SnowflakeTarget

pytest.importorskip("snowduck", reason="uv sync --extra snowflake")
pytest.importorskip("snowflake.connector", reason="uv sync --extra snowflake")

import snowflake.connector

from headrace.targets.snowflake_standin import PASSWORD, USER, process

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs/how-to/use-snowflake.md"
SETUP = """
create database headrace;
create schema s;
use schema s;
create table orders as
select 1 as id, 'a' as name, 1.5::number(10, 2) as amount,
parse_json('{"color": "red", "sizes": [1, 2]}') as tags
union all select 2, 'b', 2.5, null union all select 3, 'c', 3.5, null;
create table loaded (id int, name varchar);
create table skipped (id int, name varchar);
create table json_rows (v variant);
create table parquet_rows (id int, name varchar);
create table names (name varchar, file varchar);
create stage files
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    found = tmp_path_factory.mktemp("snowflake") / "standin"
    yield found
    process.release(found)
    process.wait_until_ended(found)
    assert not (found / "server.json").exists()


def _connect(folder: Path, **given: Any) -> snowflake.connector.SnowflakeConnection:
    login = {"user": USER, "password": PASSWORD, "account": "headrace_local"}
    return snowflake.connector.connect(
        **{**login, **given}, host="127.0.0.1", port=process.port_of(folder), protocol="http"
    )


@pytest.fixture(scope="module")
def cursor(folder: Path) -> Iterator[Any]:
    files = folder.parent
    (files / "orders.csv").write_text("id,name\n4,x\n5,\nbad,z\n")
    (files / "orders.jsonl").write_text('{"id": 7, "name": "x"}\n{"id": 8, "name": "y"}\n')
    pq.write_table(pa.table({"id": [1, 2], "name": ["p", "q"]}), files / "orders.parquet")
    whole = (files / "orders.parquet").read_bytes()
    (files / "half.parquet").write_bytes(whole[: len(whole) // 2])
    with closing(_connect(folder)) as connection, connection.cursor() as found:
        found.execute(SETUP, num_statements=0)
        while found.nextset():
            pass
        for name in ("orders.csv", "orders.jsonl", "orders.parquet", "half.parquet"):
            found.execute(f"put file://{files / name} @files auto_compress = false")
        yield found


def _lines() -> list[tuple[str, str, str, str]]:
    found = []
    for line in PAGE.read_text("utf-8").splitlines():
        match = re.fullmatch(r"\| (.+?) \| `(.+)` \| (.+): `(.+)` \|", line)
        if match is not None:
            found.append((match[1], match[2], match[3], match[4]))
    return found


def test_each_line_of_the_page_is_read() -> None:
    assert (
        len(_lines()) == PAGE.read_text("utf-8").split("## What the stand-in")[1].count("\n|") - 2
    )


def _rows(cursor: Any) -> str:
    return repr(cursor.fetchall()) + repr([column[0] for column in cursor.description])


@pytest.mark.parametrize(("what", "sql", "here", "result"), _lines(), ids=[x[0] for x in _lines()])
def test_what_the_page_says_of_sql_holds(
    cursor: Any, what: str, sql: str, here: str, result: str
) -> None:
    del what
    try:
        cursor.execute(sql, num_statements=0)
        got = _rows(cursor)
        while cursor.nextset():
            got = _rows(cursor)
    except snowflake.connector.errors.ProgrammingError as error:
        cursor.execute("rollback")
        got = str(error)
        assert here.startswith("refused") or "lost" in here, got
    else:
        assert here.startswith("works"), got
    assert result in got
    cursor.execute("select count(*) from orders")
    assert cursor.fetchall() == [(3,)]


def test_values_arrive_as_they_were(cursor: Any) -> None:
    values = (1, 1.5, "it's \\ ü", True, None)
    cursor.execute("select %s, %s, %s, %s, %s", values)
    (row,) = cursor.fetchall()
    assert tuple(row) == values
    cursor.execute(
        "select '1900-01-01'::date, '2024-02-29 23:59:59.123456'::timestamp_ntz, "
        "to_binary('ff', 'hex'), 12345678901234567890123::number(38, 0)"
    )
    (row,) = cursor.fetchall()
    assert [str(one) for one in row[:2]] == ["1900-01-01", "2024-02-29 23:59:59.123456"]
    assert bytes(row[2]) == b"\xff"
    assert row[3] == 12345678901234567890123


def test_a_result_of_many_rows_comes_in_chunks(cursor: Any) -> None:
    cursor.execute("select seq4() as n from table(generator(rowcount => 120000))")
    assert sum(one.num_rows for one in cursor.fetch_arrow_batches()) == 120_000


def test_another_user_is_refused(folder: Path) -> None:
    with pytest.raises(snowflake.connector.errors.Error, match="Incorrect username"):
        _connect(folder, password="wrong", login_timeout=5)  # noqa: S106


@pytest.mark.parametrize(
    ("client", "version"),
    [("JDBC", "3.20.0"), ("PythonConnector", "2.7.9"), ("PythonConnector", "")],
)
def test_a_client_that_cannot_read_its_answers_is_refused(
    folder: Path, client: str, version: str
) -> None:
    given = {"LOGIN_NAME": USER, "PASSWORD": PASSWORD, "CLIENT_APP_ID": client,
             "CLIENT_APP_VERSION": version}  # fmt: skip
    request = urllib.request.Request(
        f"http://127.0.0.1:{process.port_of(folder)}/session/v1/login-request",
        json.dumps({"data": given}).encode(),
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        told = json.load(answer)
    assert not told["success"]
    assert f"version 3 or later, and this is {client} {version}" in told["message"]


def test_a_file_that_was_changed_is_loaded_again(cursor: Any, folder: Path) -> None:
    cursor.execute("create table again (id int)")
    cursor.execute("create stage pieces")
    file = folder.parent / "piece.csv"
    for content, expected in (("1\n", 1), ("1\n2\n", 3)):
        file.write_text(content)
        cursor.execute(f"put file://{file} @pieces auto_compress = false overwrite = true")
        cursor.execute("copy into again from @pieces")
        cursor.execute("select count(*) from again")
        assert cursor.fetchall() == [(expected,)]


@pytest.fixture
def target(folder: Path, tmp_path: Path) -> SnowflakeTarget:
    flags = ["target=snowflake", f"targets.snowflake.path={folder}"]
    found = resolve(tmp_path, flags=flags, environ={}).target
    assert isinstance(found, SnowflakeTarget)
    return found


def test_two_runs_at_once_are_refused(target: SnowflakeTarget) -> None:
    with (
        target.lock("headrace run"),
        pytest.raises(LockedError, match="headrace run"),
        target.lock("headrace load"),
    ):
        pass
    with target.lock("headrace load"):
        pass


def test_a_killed_server_is_started_again_and_what_was_not_committed_is_gone(
    target: SnowflakeTarget, cursor: Any, folder: Path
) -> None:
    cursor.execute("create or replace table kept as select 1 as a")
    cursor.execute("begin")
    cursor.execute("insert into kept values (2)")
    assert target.server.ask("select count(*) from headrace.s.kept") == [(1,)]
    os.kill(json.loads((folder / "server.json").read_bytes())["pid"], signal.SIGKILL)
    with pytest.raises(snowflake.connector.errors.Error, match="Session no longer exists"):
        cursor.execute("select count(*) from kept")
    assert target.server.ask("select count(*) from headrace.s.kept") == [(1,)]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "needs account and user"),
        (["account=a-b", "user=u"], "nothing to log in with"),
        (["account=a-b", "user=u", "private_key=nonsense"], "PKCS#8"),
        (["account=a-b", "user=u", "private_key_path=not_there.p8"], "private_key_path"),
    ],
)
def test_an_account_without_what_it_needs_is_told_of(
    tmp_path: Path, flags: list[str], said: str
) -> None:
    given = [f"targets.snowflake.{flag}" for flag in ["local=false", *flags]]
    resolved = resolve(tmp_path, flags=["target=snowflake", *given], environ={})
    with pytest.raises(WarehouseError, match=said):
        _ = resolved.target.name


def test_dlt_and_dbt_log_in_to_an_account_by_its_key(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    phrase = serialization.BestAvailableEncryption(b"phrase")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, phrase)
    (tmp_path / "key.p8").write_bytes(pem)
    given = ["local=false", "account=my-org", "user=me", "role=r", "warehouse=w",
             "private_key_path=key.p8", "private_key_passphrase=phrase"]  # fmt: skip
    flags = ["target=snowflake", *(f"targets.snowflake.{one}" for one in given)]
    target = resolve(tmp_path, flags=flags, environ={}).target
    assert isinstance(target, SnowflakeTarget)
    output = target.dbt_output()
    assert output["account"], output["warehouse"] == ("my-org", "w")
    assert "host" not in output
    from dlt.common.libs.cryptography import decode_private_key

    assert decode_private_key(output["private_key"]) == target.server.login["private_key"]
    credentials = target.dlt_destination().config_params["credentials"]
    assert credentials.to_connector_params()["private_key"] == target.server.login["private_key"]
    assert "phrase" not in repr(target)


def test_another_program_has_taken_its_port(target: SnowflakeTarget, folder: Path) -> None:
    assert target.server.ask("select 1") == [(1,)]
    told = json.loads((folder / "server.json").read_bytes())
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        os.kill(told["pid"], signal.SIGKILL)
        for _ in range(200):
            try:
                other.bind(("127.0.0.1", told["port"]))
                break
            except OSError:
                time.sleep(0.01)
        other.listen()
        target.server.close()
        assert target.server.ask("select 1") == [(1,)]
        assert json.loads((folder / "server.json").read_bytes())["port"] != told["port"]


def test_what_a_newer_headrace_published_is_left_alone(target: SnowflakeTarget) -> None:
    record = json.dumps({"format": 99})
    target.server.ask("create schema if not exists headrace.published")
    target.server.ask(
        f"create table headrace.published._headrace_publication as select '{record}' as content"
    )
    publisher = target.publisher()
    empty = Publication("run1", datetime(2024, 6, 1, tzinfo=UTC), "abc", ())
    for ask in (
        publisher.current,
        lambda: publisher.publish(empty, [], keep=1, tell=lambda *_: None),
    ):
        with pytest.raises(PublishError, match="was published by a newer Headrace: upgrade"):
            ask()
    assert target.server.ask("select content from headrace.published._headrace_publication") == [
        (record,)
    ]
