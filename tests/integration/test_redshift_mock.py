"""The Redshift stand-in with the clients that people use, over a real PostgreSQL and a local S3."""

import io
import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from warm_process import run_module

from postgres_lab import server_in
from s3_lab import BUCKET, KEY, SECRET, Server, s3_server

pytest.importorskip("pg_mimic", reason="uv sync --extra redshift")
pytest.importorskip("psycopg2", reason="uv sync --extra redshift")
pytest.importorskip("redshift_connector", reason="uv sync --extra redshift")

import psycopg
import psycopg2
import redshift_connector
from psycopg.conninfo import conninfo_to_dict

from headrace.errors import WarehouseError
from headrace.libraries import dlt as libraries_dlt
from headrace.targets.redshift_mock import DATABASE, PASSWORD, USER
from headrace.targets.redshift_mock import server as mock
from headrace.targets.redshift_mock.commands import LOCAL_ROLE
from headrace.targets.redshift_mock.files import S3Files

pytestmark = pytest.mark.slow
ROLE = f"iam_role '{LOCAL_ROLE}'"
CLIENTS = ("psycopg", "psycopg2", "redshift_connector")


@dataclass(frozen=True)
class Lab:
    """A stand-in and its bucket."""

    port: int
    storage: Server
    made: mock.RedshiftMock

    def connect(self, client: str = "psycopg", **changes: Any) -> Any:
        """A connection of a client; it commits each statement."""
        given: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "user": USER}
        given |= {"password": PASSWORD, "database": DATABASE, **changes}
        if client == "redshift_connector":
            connection: Any = redshift_connector.connect(**given, ssl=False)
        else:
            given["dbname"] = given.pop("database")
            connection = (psycopg if client == "psycopg" else psycopg2).connect(**given)
        connection.autocommit = True
        return connection

    def run(self, sql: str, client: str = "psycopg") -> list[tuple[Any, ...]]:
        """The rows of the last of several statements, each sent alone."""
        with closing(self.connect(client)) as connection, closing(connection.cursor()) as cursor:
            for one in sql.split(";;"):
                cursor.execute(one)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def put(self, key: str, body: bytes) -> None:
        """Put a file into the bucket."""
        self.storage.client.put_object(Bucket=BUCKET, Key=key, Body=body)

    def error(self, sql: str, client: str = "psycopg") -> str:
        """What a client is told, with its hint."""
        with pytest.raises(Exception) as caught:  # noqa: PT011
            self.run(sql, client)
        said = caught.value.args[0]
        return f"{said['M']} {said.get('H', '')}" if isinstance(said, dict) else str(said)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("redshift")
    with server_in(folder) as url, s3_server() as storage:
        upstream = {key: str(value) for key, value in conninfo_to_dict(url).items()}
        files = S3Files(endpoint=storage.url, key_id=KEY, secret=SECRET)
        made = mock.RedshiftMock(upstream, files)
        made.check()
        with made.running() as port:
            yield Lab(port, storage, made)


def parquet(table: pa.Table) -> bytes:
    body = io.BytesIO()
    pq.write_table(table, body)
    return body.getvalue()


ORDERS = pa.table(
    {
        "id": pa.array([1, 2], pa.int64()),
        "price": pa.array([Decimal("1.10"), None], pa.decimal128(9, 2)),
        "name": ["Zoë 'quoted'", ""],
        "at": pa.array([datetime(2024, 6, 1, 23, 30, 0, 123, UTC)] * 2, pa.timestamp("us", "UTC")),
        "items": [[{"sku": "a", "n": 1}, {"sku": "b", "n": 2}], None],
    }
)
CREATE = (
    "create table if not exists {0} (id bigint not null encode az64 distkey, price decimal(9, 2), "
    "name varchar(20) encode lzo, at timestamptz, items super, primary key (id)) "
    "diststyle key compound sortkey (at, id);;truncate {0}"
)


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_load_query_and_unload(lab: Lab, client: str) -> None:
    assert "Redshift 1.0" in lab.run("select version()", client)[0][0]
    assert lab.run("select current_user::varchar", client) == [(USER,)]
    lab.put("orders/1.parquet", parquet(ORDERS))
    lab.put("orders/2.parquet", parquet(ORDERS))
    table, out = f"orders_{client}", f"s3://{BUCKET}/out/{client}_"
    lab.run(CREATE.format(table), client)
    lab.run(f"copy {table} from 's3://{BUCKET}/orders/' {ROLE} parquet serializetojson", client)
    # two rows have one id: keys are not enforced
    assert lab.run(f"select count(*), sum(price) from {table}", client) == [(4, Decimal("2.20"))]
    found = lab.run(
        f"select o.items[1].sku, o.items[1].n::int + 1, i.sku::varchar from {table} as o, "
        "o.items as i where i.n = 2 limit 1",
        client,
    )
    assert [str(value) for value in found[0]] == ['"b"', "3", "b"]
    assert lab.run(
        f"select name from {table} where id = 1 "
        "qualify row_number() over (partition by id order by price) = 1",
        client,
    ) == [("Zoë 'quoted'",)]
    lab.run(f"unload ('select * from {table} where id = 1') to '{out}' {ROLE} parquet", client)
    key = f"out/{client}_0000_part_00.parquet"
    body = lab.storage.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    rows = pq.read_table(io.BytesIO(body)).to_pylist()
    assert [row["price"] for row in rows] == [Decimal("1.10")] * 2
    assert rows[0]["at"] == ORDERS["at"][0].as_py()
    assert "not empty" in lab.error(f"unload ('select 1') to '{out}' {ROLE} parquet", client)
    assert "nope" in lab.error(f"unload ('select nope from {table}') to '{out}x' {ROLE}", client)
    assert lab.run("select 1", client) == [(1,)]


def test_parameters_and_transactions(lab: Lab) -> None:
    with closing(lab.connect("psycopg")) as connection:
        connection.autocommit = False
        row = connection.execute("select dateadd(day, %s, %s::date), %s", [1, "2024-02-28", "x"])
        assert row.fetchone() == (datetime.fromisoformat("2024-02-29"), "x")
        connection.execute("create temp table t (a int)")
        lab.put("rows/a.csv", b"1\n2\n")
        copied = connection.execute(f"copy t from 's3://{BUCKET}/rows/' {ROLE} csv")
        assert copied.rowcount == 2
        connection.rollback()
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("select * from t")
    with closing(lab.connect("psycopg")) as connection:  # several statements in one message
        connection.autocommit = False
        cursor = connection.execute(
            f"create temp table t (a int); copy t from 's3://{BUCKET}/rows/' {ROLE} csv; "
            "select sum(a) from t"
        )
        while cursor.nextset():
            pass
        assert connection.execute("select sum(a) from t").fetchone() == (3,)


@pytest.mark.parametrize(
    ("name", "body", "how", "said"),
    [
        ("none", b"hello", "parquet", "not a Parquet file"),
        ("half", parquet(ORDERS)[:400], "parquet", "not a Parquet file, or only a part of one"),
        ("moved", parquet(ORDERS.drop(["items"])), "parquet", "items is in the table alone"),
        (
            "retyped",
            parquet(ORDERS.set_column(0, "id", pa.array(["1", "2"]))),
            "parquet serializetojson",
            "incompatible Parquet schema for column 'id'",
        ),
        ("nested", parquet(ORDERS), "parquet", "SERIALIZETOJSON"),
        ("bad", b"1|2|x|2024-01-01|{}\nx|2|x|2024-01-01|{}\n", "", "line 2, column id"),
        ("json", b'{"id": 1}\nnope\n', "json 'auto'", "line 2: Invalid JSON"),
        ("avro", b"", "avro", "FORMAT AVRO is not supported"),
    ],
)
def test_what_cannot_be_loaded(lab: Lab, name: str, body: bytes, how: str, said: str) -> None:
    lab.put(f"bad/{name}/a", body)
    lab.run(CREATE.format("wrong"))
    assert said in lab.error(f"copy wrong from 's3://{BUCKET}/bad/{name}/' {ROLE} {how}")
    assert lab.run("select count(*) from wrong") == [(0,)]


def test_roles(lab: Lab) -> None:
    lab.run(CREATE.format("wrong"))
    other = "arn:aws:iam::123456789012:role/other"
    assert "not authorized to assume" in lab.error(
        f"copy wrong from 's3://{BUCKET}/orders/' iam_role '{other}' parquet"
    )
    assert "no ARN" in lab.error(f"copy wrong from 's3://{BUCKET}/x' iam_role 'me' parquet")
    assert "needs IAM_ROLE" in lab.error(f"copy wrong from 's3://{BUCKET}/x' parquet")
    assert "does not exist" in lab.error(f"copy wrong from 's3://{BUCKET}/no' {ROLE} parquet")


@pytest.mark.parametrize(("most", "loads"), [(0, False), (1, False), (3, False), (4, True)])
def test_bad_rows_and_maxerror(lab: Lab, most: int, loads: bool) -> None:
    lab.put("rows.csv", b'id,name\n1,a\n2,"b, ""c"""\nx,bad\n4\n5,e,f\n6,\n')
    table = f"people_{most}"
    lab.run(f"create table {table} (id int, name varchar(10))")
    sql = f"copy {table} from 's3://{BUCKET}/rows.csv' {ROLE} csv ignoreheader 1 maxerror {most}"
    if loads:
        lab.run(sql)
    else:
        assert "Check 'stl_load_errors'" in lab.error(sql)
    expected = [(1, "a"), (2, 'b, "c"'), (6, "")] if loads else []
    assert lab.run(f"select * from {table} order by id") == expected
    errors = lab.run(
        "select line_number, trim(err_reason) from stl_load_errors "
        f"where tbl = '{table}'::regclass::oid order by 1"
    )
    assert errors == [
        (4, "Invalid value for integer"),
        (5, "Delimiter not found"),
        (6, "Extra column(s) found"),
    ]


def test_a_late_view_outlives_its_table(lab: Lab) -> None:
    lab.run(
        "create table base (a int);;insert into base values (1);;"
        "create view late as select a from base with no schema binding;;drop table base"
    )
    assert "base" in lab.error("select * from late")
    assert lab.run("create table base as select 2 as a;;select * from late") == [(2,)]
    assert lab.run(
        "select col_name::varchar, col_type from pg_get_late_binding_view_cols() "
        "cols(view_schema name, view_name name, col_name name, col_type varchar, col_num int)"
    ) == [("a", "integer")]


def test_a_stand_in_that_is_stopped_leaves_nothing_half(lab: Lab) -> None:
    lab.put("stopped/a.csv", b"1\n2\n")
    lab.run("create table stopped (a int)")
    copy = f"copy stopped from 's3://{BUCKET}/stopped/' {ROLE} csv"
    second = mock.RedshiftMock(lab.made.upstream, lab.made.files)
    with closing(lab.connect(port=lab.port)), second.running() as port:
        connection = lab.connect(port=port)
        connection.autocommit = False
        connection.execute(copy)
    with closing(connection), pytest.raises(psycopg.OperationalError, match="connection"):
        connection.execute("select 1")
    assert lab.run("select count(*) from stopped") == [(0,)]
    lab.run(copy)
    assert lab.run("select count(*) from stopped") == [(2,)]


def test_who_may_come_in(lab: Lab) -> None:
    for changes in ({"password": "wrong"}, {"user": "admin"}):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            lab.connect(**changes)
    with pytest.raises(psycopg.OperationalError, match='database "nix" does not exist'):
        lab.connect(database="nix")
    with socket.create_connection(("127.0.0.1", lab.port), 10) as raw:
        raw.sendall(b"\0\0\0\x08\0\x02\0\0")  # version 2 of the protocol
        assert b"unsupported frontend protocol 2.0" in raw.recv(1000)
    with socket.create_connection(("127.0.0.1", lab.port), 10) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"protocol" in raw.recv(1000)


def test_it_listens_to_this_machine_alone(lab: Lab) -> None:
    import asyncio

    made = mock.RedshiftMock({}, S3Files())
    with pytest.raises(WarehouseError, match="listens on this machine alone"):
        asyncio.run(made.listen("0.0.0.0"))  # noqa: S104
    with pytest.raises(WarehouseError, match="is taken"):
        asyncio.run(made.listen(port=lab.port))


PAGE = Path(__file__).parents[2] / "docs/how-to/use-the-redshift-stand-in.md"


TABLES = """drop table if exists orders, loaded;
create table orders (
    id int not null distkey, name varchar(20), amount decimal(9, 2), at timestamp sortkey,
    tags super
);
insert into orders values
(1, 'a', 1.50, '2024-01-31 10:00:00', json_parse('{"color": "red", "sizes": [1, 2]}')),
(2, 'b', 2.50, '2024-02-29 23:59:59', null), (3, 'c', 3.50, '2024-03-01', null);
create table loaded (id int, name varchar(10))"""


def _lines() -> list[tuple[str, str, str, str]]:
    found = []
    for line in PAGE.read_text("utf-8").splitlines():
        match = re.fullmatch(r"\| (.+?) \| `(.+)` \| (.+): `(.+)` \|", line)
        if match is not None:
            found.append((match[1], match[2], match[3], match[4]))
    return found


def test_each_line_of_the_page_is_read() -> None:
    table = PAGE.read_text("utf-8").split("## What works")[1]
    assert len(_lines()) == table.count("\n|") - 2 >= 40


@pytest.fixture(scope="module")
def page(lab: Lab) -> Iterator[psycopg.Connection[Any]]:
    """What the page's examples read."""
    rows = pa.table({"id": pa.array([6, 7], pa.int32()), "name": ["p", "q"]})
    files = {
        "orders.parquet": parquet(rows), "half.parquet": parquet(rows)[:200],
        "moved.parquet": parquet(rows.select(["id"])), "orders.csv": b"id,name\n4,x\n5,\nbad,z\n",
        "orders.json": b'{"id": 8, "name": "r"}\n{"id": 9}\n',
    }  # fmt: skip
    for name, body in files.items():
        lab.put(f"files/{name}", body)
    with closing(lab.connect()) as connection:
        for sql in TABLES.split(";"):
            connection.execute(sql)
        yield connection


@pytest.mark.parametrize(("what", "sql", "here", "result"), _lines(), ids=[x[0] for x in _lines()])
def test_what_the_page_says_of_sql_holds(
    page: psycopg.Connection[Any], what: str, sql: str, here: str, result: str
) -> None:
    del what
    page.execute("truncate loaded")
    try:
        for one in sql.split("; "):
            cursor = page.execute(one)
            got = repr(cursor.fetchall()) if cursor.description else str(cursor.statusmessage)
    except psycopg.Error as error:
        got = str(error)
        assert here.startswith("refused"), got
    else:
        assert here.startswith("works"), got
    page.execute("rollback")
    assert result in got
    assert page.execute("select count(*) from orders").fetchall() == [(3,)]


PROJECT = {
    "dbt_project.yml": "name: small\nversion: 1.0.0\nprofile: small\n"
    "snapshots: {+unique_key: id, +strategy: check, +check_cols: all}\n",
    "seeds/countries.csv": "id,name\n1,Kenya\n2,Peru\n",
    "models/sources.yml": "sources: [{name: shop, schema: shop_raw, tables: [{name: orders}]}]\n"
    "models: [{name: orders, columns: [{name: id, data_tests: [unique, not_null]}]}]\n",
    "models/orders.sql": "{{ config(materialized='incremental', unique_key='id', dist='id', "
    "sort=['id']) }}\nselect id, name, amount, {{ dbt.dateadd('day', 1, \"ordered_on\") }} as due "
    "from {{ source('shop', 'orders') }}\n"
    "{% if is_incremental() %} where id > (select max(id) from {{ this }}) {% endif %}",
    "models/by_name.sql": "{{ config(materialized='table') }}\nselect name, listagg(id, ',') "
    "within group (order by id) as ids, sum(amount) as amount from {{ ref('orders') }} group by 1",
    "models/late.sql": "{{ config(materialized='view', bind=false) }}\n"
    "select name from {{ ref('by_name') }}",
    "models/early.sql": "{{ config(materialized='view') }}\nselect id from {{ ref('countries') }}",
    "snapshots/kept.sql": "{% snapshot kept %}select id, name from {{ ref('orders') }}"
    "{% endsnapshot %}",
}


def test_dlt_loads_and_dbt_builds_again_and_again(lab: Lab, tmp_path: Path) -> None:
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    output = {
        "type": "redshift", "host": "127.0.0.1", "port": lab.port, "user": USER,
        "password": PASSWORD, "dbname": DATABASE, "schema": "marts", "threads": 2,
        "sslmode": "disable",
    }  # fmt: skip
    profile = {"small": {"target": "mock", "outputs": {"mock": output}}}
    (tmp_path / "profiles.yml").write_text(json.dumps(profile), "utf-8")
    for last in (2, 3):
        _load(lab, tmp_path / "dlt", last, staged=last == 3)
        for command in ("build", "docs generate --no-compile")[: last - 1]:
            words = (*command.split(), "--profiles-dir", ".")
            done = run_module("dbt.cli.main", words, cwd=tmp_path, env=os.environ)
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
        assert lab.run("select count(*), max(due) from marts.orders") == [
            (last, datetime.fromisoformat(f"2024-01-0{last + 1}"))
        ]
        ids = ",".join(str(one) for one in range(1, last + 1))
        assert lab.run("select ids from marts.by_name") == [(ids,)]
        assert lab.run("select count(*) from marts.kept") == [(last,)]
        assert lab.run("select name from marts.late") == [("it's \\ here",)]


def _load(lab: Lab, folder: Path, last: int, *, staged: bool) -> None:
    """Rows with dlt's redshift destination: by INSERT, or staged in the bucket and by COPY."""
    import dlt
    from dlt.common.configuration.specs import AwsCredentials

    url = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{lab.port}/{DATABASE}"
    storage = dlt.destinations.filesystem(
        f"s3://{BUCKET}/staging",
        credentials=AwsCredentials(
            aws_access_key_id=KEY, aws_secret_access_key=SECRET, endpoint_url=lab.storage.url,
            region_name="us-east-1",
        ),
    )  # fmt: skip
    pipeline = dlt.pipeline(
        pipeline_name="shop", pipelines_dir=str(folder), dataset_name="shop_raw",
        destination=dlt.destinations.redshift(credentials=url, staging_iam_role=LOCAL_ROLE),
        staging=storage if staged else None,
    )  # fmt: skip

    @dlt.resource(name="orders", primary_key="id", write_disposition="merge")
    def orders() -> Iterator[dict[str, Any]]:
        for number in range(1, last + 1):
            yield {
                "id": number, "name": "it's \\ here", "amount": Decimal("1.50"),
                "ordered_on": datetime(2024, 1, number, tzinfo=UTC).date(),
                "tags": {"a": [number, None]},
            }  # fmt: skip

    with libraries_dlt.environment():
        pipeline.run(orders(), loader_file_format="parquet" if staged else "insert_values")
