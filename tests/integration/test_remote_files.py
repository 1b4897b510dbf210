"""Files at web addresses, in a local S3 and a stand-in for Azure: read once, faults explained."""

import base64
import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import Lab, Shop, partly_loaded, refused

from azure_server import blob_server
from file_server import FileServer, Served, file_server
from headrace.errors import SourceError
from headrace.ingest import http_files
from headrace.pipeline.file_preview import preview

_SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"  # noqa: S105 - of Amazon's documentation


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(http_files, "_PAUSE", 0.01)
    with file_server() as server:
        yield server


def store(tmp_path: Path, path: str, tables: str) -> Lab:
    lab = Shop(Lab(tmp_path / "data"), tmp_path).lab_with(tables)
    return lab.set(f"sources.store.path={path}")


def ids(lab: Lab, table: str = "t") -> list[int]:
    return [row[0] for row in lab.query(f"select id from store_raw.{table} order by id")]


def test_unchanged_files_of_a_server_are_not_fetched_again(web: FileServer, tmp_path: Path) -> None:
    web.files = {
        "/d/etag.csv": Served(b"id,x\n1,a\n", etag='"1"'),
        "/d/time.csv": Served(b"id,x\n2,a\n", modified=1e9, has_head=False),
        "/d/none.csv": Served(b"id,x\n3,a\n"),
    }
    lab = store(tmp_path, f"{web.url}/d", "{t: {pattern: [etag.csv, time.csv, none.csv]}}")
    assert lab.load_one().rows_new == 3
    web.given = {}
    again = lab.load_one()
    assert (again.files_read, again.files_unchanged) == (0, 3)
    # without HEAD the head of a GET tells; where nothing tells, the content does
    assert web.given == {"/d/time.csv": 1, "/d/none.csv": 1}
    web.files["/d/etag.csv"] = Served(b"id,x\n4,a\n", etag='"2"')
    web.files["/d/none.csv"].body = b"id,x\n5,a\n"
    assert lab.load_one().files_read == 2
    assert ids(lab) == [2, 4, 5]


def test_a_cut_connection_goes_on_where_it_ended(web: FileServer, tmp_path: Path) -> None:
    body = b"id\n" + b"".join(b"%d\n" % n for n in range(1000))
    web.files["/a.csv"] = Served(body, etag='"1"', cut_after=100, cuts=2)
    web.files["/b.csv"] = Served(body, cut_after=100, cuts=2)
    lab = store(tmp_path, web.url, "{t: {pattern: a.csv}, u: {pattern: b.csv}}")
    assert [table.rows_total for table in lab.load().tables] == [1000, 1000]
    went_on = [headers["range"] for path, headers in web.asked if "range" in headers]
    assert went_on[0] == "bytes=100-"


def test_a_busy_server_is_asked_again(web: FileServer, tmp_path: Path) -> None:
    web.files["/a.csv"] = Served(b"id\n1\n", statuses=[503, 429], headers={"Retry-After": "0"})
    assert store(tmp_path, web.url, "{t: {pattern: a.csv}}").load_one().rows_new == 1


def test_what_a_server_does_not_give_is_named_and_the_rest_is_loaded(
    web: FileServer, tmp_path: Path
) -> None:
    web.files = {
        "/good.csv": Served(b"id\n1\n"),
        "/busy.csv": Served(statuses=[503] * 9),
        "/refused.csv": Served(statuses=[403] * 9),
        "/login.csv": Served(b"<html>", media_type="text/html; charset=utf-8"),
        "/cut.csv": Served(b"id\n1\n", cuts=99),
        "/short.csv.gz": Served(gzip.compress(b"id\n1\n" * 99)[:-9], etag='"1"'),
        "/round.csv": Served(statuses=[302] * 99, headers={"Location": "/round.csv"}),
        "/unnamed": Served(b"id\n1\n", media_type="application/octet-stream"),
    }
    names = [*(path[1:] for path in web.files), "gone.csv"]
    lab = store(tmp_path, web.url, f"{{t: {{pattern: [{', '.join(names)}]}}}}")
    words = [
        "busy.csv cannot be read: the server answered 503 Service Unavailable 4 times",
        "refused.csv cannot be read: the server refuses it (403 Forbidden)",
        "login.csv cannot be read: the server sends a web page",
        "cut.csv cannot be read: the connection was cut 4 times",
        "short.csv.gz cannot be read: it ends before the compressed data do",
        "round.csv cannot be read: the server redirects without end",
        "unnamed does not say its format: set `format`",
        "gone.csv cannot be read: it is not on the server (404 Not Found)",
    ]
    partly_loaded(lab, "load", words=words)
    assert ids(lab) == [1]
    web.files["/busy.csv"] = Served(b"id\n2\n")
    partly_loaded(lab, "load", words=["gone.csv"])
    assert ids(lab) == [1, 2]


def test_addresses_with_a_query_a_redirect_or_a_password(web: FileServer, tmp_path: Path) -> None:
    user = base64.b64encode(b"reader:hunter2secret").decode()
    web.files = {
        "/export": Served(b"id;x\n1;a\n", user=user),
        "/old.csv": Served(statuses=[301] * 9, headers={"Location": "/new.csv"}, has_head=False),
        "/new.csv": Served(b"id\n2\n"),
        "/typed": Served(b'{"id": 3}', media_type="application/json"),
        "/named": Served(
            b"id\n4\n", headers={"Content-Disposition": 'attachment; filename="rows.csv"'}
        ),
        "/packed.csv": Served(gzip.compress(b"id\n5\n"), headers={"Content-Encoding": "gzip"}),
    }
    base = web.url.replace("://", "://reader:hunter2secret@")
    lab = store(
        tmp_path,
        base,
        "{t: {pattern: 'export?id=5&token=abcdefgh', format: csv}, old: {pattern: old.csv}, "
        "typed: {pattern: typed}, named: {pattern: named}, packed: {pattern: packed.csv}}",
    )
    report = lab.load()
    assert [table.rows_total for table in report.tables] == [1, 1, 1, 1, 1]
    assert lab.query("select _file_name from store_raw.t") == [("export?id=5",)]
    written = b"".join(
        path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()
    )
    assert b"hunter2secret" not in written
    assert b"abcdefgh" not in written
    assert lab.load().tables[0].files_unchanged == 1
    web.files["/export"].user = "other"
    (failure,) = partly_loaded(lab, "load", words=["export?id=5", "401"]).failures
    message = failure.error
    assert "hunter2" not in message
    assert "abcdefgh" not in message


def test_wildcards_and_unknown_hosts_are_explained(web: FileServer, tmp_path: Path) -> None:
    refused(
        store(tmp_path, web.url, "{t: {pattern: 'a*.csv'}}"),
        "load",
        kind=SourceError,
        words=["no wildcard", "pattern: [orders-1.csv, orders-2.csv]"],
    )
    refused(
        store(tmp_path, "http://127.0.0.1:9", "{t: {pattern: a.csv}}"),
        "load",
        kind=SourceError,
        words=["127.0.0.1 cannot be reached"],
    )


def test_inspect_reads_an_address(web: FileServer) -> None:
    web.files["/d/prices.csv"] = Served(b"id;price\n1;2,50\n")
    report = preview(f"{web.url}/d/prices.csv?token=abcdefgh", {})
    assert [column.name for column in report.columns] == ["id", "price"]
    assert report.directory == f"{web.url}/d/"
    assert report.files == ("prices.csv",)
    assert report.doubts[0].settings["decimal"] == ","


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    pytest.importorskip("s3fs", reason="uv sync --extra s3")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of a bucket ``lake`` that is empty; dlt's environment variables lead there."""
    import boto3
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    prefix = "SOURCES__FILESYSTEM__CREDENTIALS__"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(f"{prefix}AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv(f"{prefix}AWS_SECRET_ACCESS_KEY", _SECRET)
    monkeypatch.setenv(f"{prefix}ENDPOINT_URL", s3_url)
    client = boto3.client(
        "s3",
        endpoint_url=s3_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - moto takes any
    )
    client.create_bucket(Bucket="lake")
    yield client
    for found in client.list_objects_v2(Bucket="lake").get("Contents", ()):
        client.delete_object(Bucket="lake", Key=found["Key"])
    client.delete_bucket(Bucket="lake")
    client.close()


def put(client: Any, key: str, body: bytes) -> None:
    client.put_object(Bucket="lake", Key=key, Body=body)


def test_objects_are_found_by_globs_and_read_once(s3: Any, tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("a.csv", "id\n1\n")
        opened.writestr("b.csv", "id\n2\n")
    put(s3, "in/orders-1.csv", b"id,x\n1,a\n")
    put(s3, "in/orders-2.csv.gz", gzip.compress(b"id,x\n2,b\n"))
    put(s3, "in/year=2024/events.jsonl", b'{"id": 3}\n')
    put(s3, "in/both.zip", archive.getvalue())
    lab = store(
        tmp_path,
        "s3://lake/in",
        "{t: {pattern: 'orders*', primary_key: [id]}, e: {pattern: '**/*.jsonl'}, "
        "z: {pattern: '*.zip'}}",
    )
    assert [table.rows_new for table in lab.load().tables] == [2, 1, 2]
    assert lab.query("select id, year from store_raw.e") == [(3, "2024")]
    again = lab.load().tables
    assert [(one.files_read, one.files_unchanged) for one in again] == [(0, 2), (0, 1), (0, 2)]
    put(s3, "in/orders-1.csv", b"id,x\n1,new\n")
    (changed, *_) = lab.load().tables
    assert (changed.files_read, changed.rows_changed) == (1, 1)
    s3.delete_object(Bucket="lake", Key="in/orders-2.csv.gz")
    (after, *_) = lab.load().tables
    assert "orders-2.csv.gz is gone" in " ".join(after.notes)


def test_an_object_that_changes_or_vanishes_while_it_is_read(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    put(s3, "a.csv", b"id\n1\n")
    lab = store(tmp_path, "s3://lake", "{t: {pattern: '*.csv'}}")
    get = s3fs.S3FileSystem.get_file
    changes = [b"id\n1\n2\n"]

    def get_while_it_changes(self: Any, path: str, target: str, **options: Any) -> None:
        get(self, path, target, **options)
        if changes:
            put(s3, "a.csv", changes.pop())

    monkeypatch.setattr(s3fs.S3FileSystem, "get_file", get_while_it_changes)
    assert lab.load_one().rows_total == 2
    put(s3, "a.csv", b"id\n9\n")
    changes += [b"id\n%d\n" % n for n in range(9)]
    refused(lab, "load", kind=SourceError, words=["a.csv changes while it is read"])
    assert ids(lab) == [1, 2]

    def vanish(self: Any, path: str, target: str, **options: Any) -> None:
        s3.delete_object(Bucket="lake", Key="a.csv")
        get(self, path, target, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "get_file", vanish)
    refused(lab, "load", kind=SourceError, words=["a.csv vanished while it was read"])
    assert ids(lab) == [1, 2]


def test_buckets_that_are_not_there_or_refuse(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto import settings

    refused(
        store(tmp_path, "s3://no-such-lake/in", "{t: {pattern: '*.csv'}}"),
        "load",
        kind=SourceError,
        words=["s3://no-such-lake/in", "no such bucket, container or folder"],
    )
    put(s3, "a.csv", b"id\n1\n")
    monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0.0)
    monkeypatch.setattr("moto.core.responses.ActionAuthenticatorMixin.request_count", 1)
    lab = store(tmp_path, "s3://lake", "{t: {pattern: '*.csv'}}")
    message = refused(lab, "load", kind=SourceError, words=["s3://lake", "check the credentials"])
    assert _SECRET not in message
    monkeypatch.undo()


def test_a_preview_of_objects(s3: Any, tmp_path: Path) -> None:
    put(s3, "in/a 1.csv", b"id\n1\n")
    report = preview("s3://lake/in/*.csv", {})
    assert (report.directory, report.settings["pattern"]) == ("s3://lake/in", "*.csv")
    assert json.loads(report.model_dump_json())["rows_given"] == 1


def test_blobs_of_azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("adlfs", reason="uv sync --extra az")
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"):
        monkeypatch.delenv(name, raising=False)
    lab = store(tmp_path, "az://lake/in", "{t: {pattern: '*.csv', primary_key: [id]}}")
    refused(lab, "load", kind=SourceError, words=["no credentials", "azure_storage_account_name"])
    with blob_server() as server:
        prefix = "SOURCES__FILESYSTEM__"
        monkeypatch.setenv(f"{prefix}CREDENTIALS__AZURE_STORAGE_ACCOUNT_NAME", "acct")
        monkeypatch.setenv(f"{prefix}CREDENTIALS__AZURE_STORAGE_ACCOUNT_KEY", "a2V5a2V5a2V5a2V5")
        options = {"connection_string": server.connection_string}
        monkeypatch.setenv(f"{prefix}KWARGS", json.dumps(options))
        server.blobs = {"in/1.csv": (b"id,x\n1,a\n", 1), "in/2.csv": (b"id,x\n2,b\n", 1)}
        assert lab.load_one().rows_new == 2
        server.read.clear()
        assert lab.load_one().files_unchanged == 2
        assert server.read == []
        server.blobs["in/2.csv"] = (b"id,x\n2,new\n", 2)
        assert lab.load_one().rows_changed == 1
        assert set(server.read) == {"in/2.csv"}
        lab = store(tmp_path, "az://nowhere/in", "{other: {pattern: '*.csv'}}")
        refused(lab, "load", kind=SourceError, words=["az://nowhere/in", "no such bucket"])
