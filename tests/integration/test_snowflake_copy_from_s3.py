"""COPY INTO from a bucket into the stand-in for Snowflake: what is whole, and what is not."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("snowflake.connector", reason="uv sync --extra snowflake")
pytest.importorskip("moto", reason="the development group has it")

import snowflake.connector

from headrace.targets.snowflake_standin import PASSWORD, USER, process
from s3_lab import BUCKET, KEY, SECRET, Server, s3_server

pytestmark = pytest.mark.slow

_FORMATS = {
    "csv": "(type = csv parse_header = true)",
    "json": "(type = json)",
    "parquet": "(type = parquet)",
}
_BAD = {
    "csv": b"id,name\n1,a\nbad,b\n3,c\n",
    "json": b'{"id": 1, "name": "a"}\n{"id": "bad", "name": "b"}\n{"id": 3, "name": "c"}\n',
}
_ON_ERROR = ("abort_statement", "continue", "skip_file", "skip_file_2", "'skip_file_20%'")


@pytest.fixture(scope="module")
def s3() -> Iterator[Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def cursor(s3: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("copy") / "standin"
    try:
        with (
            pytest.MonkeyPatch.context() as patch,
            closing(_connect(folder, s3, patch)) as connection,
            connection.cursor() as found,
        ):
            found.execute("create database headrace")
            found.execute("create schema s")
            found.execute("use schema s")
            found.execute(
                f"create stage bronze url = 's3compat://{BUCKET}/in/' "
                f"endpoint = '{s3.url.removeprefix('http://')}' "
                f"credentials = (aws_key_id = '{KEY}' aws_secret_key = '{SECRET}')"
            )
            yield found
    finally:
        process.release(folder)
        process.wait_until_ended(folder)


def _connect(folder: Path, s3: Server, patch: pytest.MonkeyPatch) -> Any:
    patch.setenv("AWS_ENDPOINT_URL", s3.url)
    patch.setenv("AWS_ACCESS_KEY_ID", KEY)
    patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return snowflake.connector.connect(
        user=USER, password=PASSWORD, account="headrace_local", host="127.0.0.1",
        port=process.port_of(folder), protocol="http",
    )  # fmt: skip


def _parquet(**columns: list[Any]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue())


def _put(s3: Server, key: str, body: bytes) -> None:
    s3.client.put_object(Bucket=BUCKET, Key=f"in/{key}", Body=body)


def _new_table(cursor: Any, name: str) -> None:
    cursor.execute(f"create or replace table {name} (id int, name varchar)")


def _copy(cursor: Any, table: str, place: str, kind: str, more: str = "") -> list[Any]:
    cursor.execute(
        f"copy into {table} from {place} file_format = {_FORMATS[kind]} "
        f"match_by_column_name = case_insensitive {more}"
    )
    return list(cursor.fetchall())


def _rows(cursor: Any, table: str) -> list[Any]:
    cursor.execute(f"select id, name from {table} order by id, name")
    return list(cursor.fetchall())


@pytest.mark.parametrize("kind", _FORMATS)
@pytest.mark.parametrize("place", ["@bronze/good_{kind}/", "'s3://lake/in/good_{kind}/'"])
def test_a_good_file_is_loaded_once(s3: Server, cursor: Any, kind: str, place: str) -> None:
    bodies = {
        "csv": b"id,name\n1,a\n2,b\n",
        "json": b'{"id": 1, "name": "a"}\n{"id": 2, "name": "b"}\n',
        "parquet": _parquet(id=[1, 2], name=["a", "b"]),
    }
    _put(s3, f"good_{kind}/load_date=2024-06-01/one.{kind}", bodies[kind])
    _new_table(cursor, "good")
    (loaded,) = _copy(cursor, "good", place.format(kind=kind), kind)
    assert loaded[:4] == (f"in/good_{kind}/load_date=2024-06-01/one.{kind}", "LOADED", 2, 2)
    assert _copy(cursor, "good", place.format(kind=kind), kind) == [
        ("Copy executed with 0 files processed.",)
    ]
    assert _rows(cursor, "good") == [(1, "a"), (2, "b")]


def test_a_file_that_was_written_again_as_it_was_is_not_loaded_again(
    s3: Server, cursor: Any
) -> None:
    _new_table(cursor, "again")
    for _ in range(2):
        _put(s3, "again/one.csv", b"id,name\n1,a\n")
        _copy(cursor, "again", "@bronze/again/", "csv")
    assert _rows(cursor, "again") == [(1, "a")]


def test_which_files_a_table_has_goes_with_the_table(s3: Server, cursor: Any) -> None:
    _put(s3, "kept/one.csv", b"id,name\n1,a\n")

    def files_read(table: str) -> int:
        done = _copy(cursor, table, "@bronze/kept/", "csv")
        return 0 if "0 files" in done[0][0] else len(done)

    _new_table(cursor, "kept")
    assert [files_read("kept"), files_read("kept")] == [1, 0]
    cursor.execute("create table if not exists kept (id int)")
    cursor.execute("alter table kept rename to renamed")
    assert files_read("renamed") == 0
    _new_table(cursor, "kept")
    cursor.execute("alter table kept swap with renamed")
    assert [files_read("kept"), files_read("renamed")] == [0, 1]
    cursor.execute("truncate table kept")
    assert files_read("kept") == 1
    cursor.execute("drop table kept")
    cursor.execute("create table kept (id int, name varchar)")
    assert files_read("kept") == 1


@pytest.mark.parametrize(
    "body",
    [b"id,name\n1,a\n", _parquet(id=[1], name=["a"])[:150], b""],
    ids=["no Parquet", "half a file", "an empty file"],
)
def test_what_is_no_whole_parquet_file_loads_nothing_or_is_left_out(
    s3: Server, cursor: Any, body: bytes, request: pytest.FixtureRequest
) -> None:
    folder = request.node.callspec.id.replace(" ", "_")
    _put(s3, f"{folder}/a.parquet", _parquet(id=[1], name=["a"]))
    _put(s3, f"{folder}/b.parquet", body)
    _new_table(cursor, "whole")
    with pytest.raises(snowflake.connector.errors.ProgrammingError, match=r"b\.parquet"):
        _copy(cursor, "whole", f"@bronze/{folder}/", "parquet")
    assert _rows(cursor, "whole") == []
    done = _copy(cursor, "whole", f"@bronze/{folder}/", "parquet", "on_error = skip_file")
    assert [row[1] for row in done] == ["LOADED", "LOAD_FAILED"]
    assert _rows(cursor, "whole") == [(1, "a")]
    # it is mended, and then alone loaded
    _put(s3, f"{folder}/b.parquet", _parquet(id=[2], name=["b"]))
    (done,) = _copy(cursor, "whole", f"@bronze/{folder}/", "parquet")
    assert _rows(cursor, "whole") == [(1, "a"), (2, "b")]


@pytest.mark.parametrize("on_error", _ON_ERROR)
@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_one_bad_row(s3: Server, cursor: Any, kind: str, on_error: str) -> None:
    body = _BAD.get(kind) or _parquet(id=["1", "bad", "3"], name=["a", "b", "c"])
    _put(s3, f"bad_{kind}/one.{kind}", body)
    _new_table(cursor, "bad")
    place, more = f"@bronze/bad_{kind}/", f"on_error = {on_error}"
    good = [(1, "a"), (3, "c")]
    if on_error == "abort_statement":
        with pytest.raises(
            snowflake.connector.errors.ProgrammingError, match=r"Numeric value 'bad'.*ID"
        ):
            _copy(cursor, "bad", place, kind, more)
        assert _rows(cursor, "bad") == []
        return
    (done,) = _copy(cursor, "bad", place, kind, more)
    is_skipped = on_error in ("skip_file", "'skip_file_20%'")
    assert done[1] == ("LOAD_FAILED" if is_skipped else "PARTIALLY_LOADED")
    assert done[5] == 1
    assert _rows(cursor, "bad") == ([] if is_skipped else good)


@pytest.mark.parametrize("on_error", ["abort_statement", "continue", "skip_file"])
def test_a_line_that_is_no_json(s3: Server, cursor: Any, on_error: str) -> None:
    _put(s3, "torn/one.json", b'{"id": 1, "name": "a"}\n{"id": 2, "na\n{"id": 3, "name": "c"}\n')
    _new_table(cursor, "torn")
    if on_error == "abort_statement":
        with pytest.raises(snowflake.connector.errors.ProgrammingError, match="Json file"):
            _copy(cursor, "torn", "@bronze/torn/", "json")
    else:
        _copy(cursor, "torn", "@bronze/torn/", "json", f"on_error = {on_error}")
    expected = [(1, "a"), (3, "c")] if on_error == "continue" else []
    assert _rows(cursor, "torn") == expected


def test_a_schema_that_moved(s3: Server, cursor: Any) -> None:
    _put(s3, "moved/1.parquet", _parquet(id=[1], name=["a"]))
    _put(s3, "moved/2.parquet", _parquet(NAME=["b"], note=["new"], ID=[2]))
    _put(s3, "moved/3.parquet", _parquet(id=[3]))
    _new_table(cursor, "moved")
    _copy(cursor, "moved", "@bronze/moved/", "parquet")
    # by name, whatever order and case; a column that is not in the table is left out
    assert _rows(cursor, "moved") == [(1, "a"), (2, "b"), (3, None)]
    cursor.execute("create or replace table strict (id int, name varchar not null)")
    with pytest.raises(snowflake.connector.errors.Error, match="NAME"):
        _copy(cursor, "strict", "@bronze/moved/", "parquet")
    _put(s3, "wider/1.csv", b"1,a\n")
    _put(s3, "wider/2.csv", b"2,b,new\n")
    cursor.execute("create or replace table wider (id int, name varchar)")
    with pytest.raises(snowflake.connector.errors.Error, match="Number of columns"):
        cursor.execute("copy into wider from @bronze/wider/ file_format = (type = csv)")
    cursor.execute("select count(*) from wider")
    assert cursor.fetchall() == [(0,)]


def test_what_the_bucket_does_not_have_or_allow(s3: Server, cursor: Any) -> None:
    _new_table(cursor, "nothing")
    assert _copy(cursor, "nothing", "@bronze/nowhere/", "csv") == [
        ("Copy executed with 0 files processed.",)
    ]
    with pytest.raises(snowflake.connector.errors.ProgrammingError, match="was not found"):
        _copy(cursor, "nothing", "@bronze/", "csv", "files = ('not_there.csv')")
    with pytest.raises(snowflake.connector.errors.ProgrammingError, match="no bucket"):
        _copy(cursor, "nothing", "'s3://no-such-bucket/x/'", "csv")
    cursor.execute(
        "create or replace stage away url = 's3compat://lake/' endpoint = '127.0.0.1:1' "
        "credentials = (aws_key_id = 'a' aws_secret_key = 'b')"
    )
    with pytest.raises(snowflake.connector.errors.ProgrammingError, match="no server answers"):
        _copy(cursor, "nothing", "@away", "csv")
    for options, said in (("url = 's3compat://x/'", "ENDPOINT"), ("pipe = 1", "PIPE")):
        with pytest.raises(snowflake.connector.errors.ProgrammingError, match=said):
            cursor.execute(f"create stage other {options}")
