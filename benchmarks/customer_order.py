"""Customers and orders, generated, staged in S3, and loaded into both cloud stand-ins.

Each round is the whole: `headrace generate` in a process of its own, the Parquet files put into S3
(`s3://lake/bronze/customer_order/<table>/load_date=…`), `COPY INTO` the Snowflake stand-in and
`COPY` into Redshift's, by the clients of those warehouses, and the same questions asked of both.
The stand-ins and moto, which is the S3, are started once before. What a warehouse answers is held
to the files themselves, read by DuckDB.

Promises: p95 of the whole under 60 seconds, integrity errors under 0.1% of the rows.
Exit code 1 where one is not kept.
"""

import argparse
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import ROOT, BenchmarkError, environment, python
from benchmarks.report import commit, machine, parser, work_dir

CONTRACT = ROOT / "benchmarks" / "customer_order.yml"
STAGES = ("generate", "stage", "snowflake", "redshift", "query")
PROMISED_SECONDS = 60.0
PROMISED_ERRORS = 0.001
BUCKET, KEY, SECRET = "lake", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
DAY = "2026-01-01"

_SNOWFLAKE = {"int64": "number(38, 0)", "double": "float", "string": "varchar"}
_REDSHIFT = {"int64": "bigint", "double": "double precision", "string": "varchar(max)"}
QUESTIONS = {
    "customers": 'select count(*), count(distinct customer_id), count(customer_id) from "Customer"',
    "orders": 'select count(*), count(distinct order_id), count(order_id) from "Order"',
    "orphans": 'select count(*) from "Order" o left join "Customer" c '
    "on o.customer_id = c.customer_id where c.customer_id is null",
    "months": "select date_trunc('month', c.registration_date) as first_day, count(*), "
    'sum(o.order_total) from "Order" o join "Customer" c on o.customer_id = c.customer_id '
    "group by 1 order by 1",
}
"""Asked of each warehouse, and of the files."""

Answers = dict[str, list[tuple[Any, ...]]]


@dataclass
class Result:
    """All rounds.

    Attributes:
        seconds: of each stage, by round.
        rows: of all tables of a round.
        errors: rows that are missing, twice, without a key or without a customer, over all rounds.
        differences: answers of a warehouse that are not those of the files, over all rounds.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in STAGES})
    rows: int = 0
    errors: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def whole(self) -> list[float]:
        """Seconds of each round."""
        return [sum(taken) for taken in zip(*self.seconds.values(), strict=True)]

    @property
    def is_kept(self) -> bool:
        """Whether both promises are."""
        share = self.errors / max(1, self.rows * len(self.whole) * 2)
        fast = percentile(self.whole, 95) < PROMISED_SECONDS
        return fast and share < PROMISED_ERRORS and not self.differences

    def markdown(self) -> str:
        """A table of the stages, and below it what was promised."""
        lines = [
            "### A contract, to both cloud stand-ins",
            "",
            "| stage | p50 s | p95 s | most s |",
            "|---|---:|---:|---:|",
        ]
        for name, taken in (*self.seconds.items(), ("the whole", self.whole)):
            shown = (percentile(taken, 50), percentile(taken, 95), max(taken))
            lines.append(f"| {name} | {' | '.join(f'{one:.2f}' for one in shown)} |")
        runs = len(self.whole)
        rows = self.rows * runs * 2
        note = (
            f"{runs} rounds of {self.rows:,} rows, wall clock; promise: p95 of the whole under "
            f"{PROMISED_SECONDS:g} s. Integrity errors: {self.errors} of {rows:,} rows in two "
            f"warehouses (promise: under {PROMISED_ERRORS:.1%}). {machine()}, commit {commit()}."
        )
        lines += [
            "",
            note,
            *self.differences,
        ]
        return "\n".join(lines)


def percentile(values: Sequence[float], percent: int) -> float:
    """The nearest-rank percentile: the smallest value that so many percent are not above."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


@contextmanager
def s3() -> Iterator[Any]:
    """Moto in a process of its own with an empty bucket; boto3's client."""
    import boto3

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{url}/moto-api/", timeout=5).close()  # noqa: S310
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise BenchmarkError("moto does not start") from None
                time.sleep(0.1)
        client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )  # fmt: skip
        client.create_bucket(Bucket=BUCKET)
        with closing(client):
            yield client
    finally:
        process.kill()
        process.wait()


@contextmanager
def snowflake(folder: Path) -> Iterator[Any]:
    """A connection to the stand-in for Snowflake."""
    import snowflake.connector

    from headrace.targets.snowflake_standin import PASSWORD, USER, process

    port = process.port_of(folder)
    try:
        login = {"user": USER, "password": PASSWORD, "account": "headrace_local"}
        with closing(
            snowflake.connector.connect(**login, host="127.0.0.1", port=port, protocol="http")
        ) as connection:
            cursor = connection.cursor()
            for statement in ("create database shop", "use database shop", "create schema raw",
                              "use schema raw"):  # fmt: skip
                cursor.execute(statement)
            yield cursor
    finally:
        process.release(folder)
        process.wait_until_ended(folder)


@contextmanager
def redshift(endpoint: str) -> Iterator[Any]:
    """A connection to the stand-in for Redshift."""
    import redshift_connector

    from headrace.targets.redshift_mock import DATABASE, PASSWORD, USER, server
    from headrace.targets.redshift_mock.files import S3Files

    files = S3Files(endpoint=endpoint, region="us-east-1", key_id=KEY, secret=SECRET)
    with server.postgres(None, None) as upstream:
        mock = server.RedshiftMock(upstream, files)
        mock.check()
        with (
            mock.running() as port,
            closing(
                redshift_connector.connect(
                    host="127.0.0.1", port=port, user=USER, password=PASSWORD,
                    database=DATABASE, ssl=False,
                )
            ) as connection,
        ):  # fmt: skip
            connection.autocommit = True
            yield connection.cursor()


def type_of(kind: pa.DataType, known: dict[str, str]) -> str:
    """A column's type in a warehouse; times are kept as UTC without a zone."""
    return known.get(str(kind), "timestamp" if pa.types.is_timestamp(kind) else "varchar(256)")


def ask(cursor: Any) -> Answers:
    """The answers of a warehouse, decimals as floats and times without their zone."""
    found: Answers = {}
    for name, sql in QUESTIONS.items():
        cursor.execute(sql)
        found[name] = [tuple(_plain(value) for value in row) for row in cursor.fetchall()]
    return found


def _plain(value: Any) -> Any:
    if hasattr(value, "replace") and hasattr(value, "tzinfo"):
        return value.replace(tzinfo=None)
    return round(float(value), 2) if value is not None else None


def integrity_errors(answers: Answers, truth: Answers) -> int:
    """Rows that are missing or too many, keys that come twice or not at all, orphans."""
    errors = int(answers["orphans"][0][0])
    for table in ("customers", "orders"):
        rows, keys, known = answers[table][0]
        errors += int(abs(rows - truth[table][0][0]) + (known - keys) + (rows - known))
    return errors


class Round:
    """One round.

    Args:
        folder: of its files.
        number: of the round; also the seed.
        servers: S3's client, and a cursor of each warehouse.
    """

    def __init__(self, folder: Path, number: int, servers: tuple[Any, Any, Any]) -> None:
        self.folder, self.number = folder / f"round-{number}", number
        self.s3, self.snowflake, self.redshift = servers
        self.prefix = f"bronze/{number}/customer_order"
        self.tables: dict[str, pa.Schema] = {}
        self.answers: dict[str, Answers] = {}

    def generate(self, schema: Path, scale: float) -> None:
        """Write the tables as Parquet."""
        words = ["generate", str(schema), "--out", str(self.folder), "--seed", str(self.number)]
        command = python("-m", "headrace", *words, "--scale", str(scale), "--json")
        done = subprocess.run(
            command, env=environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchmarkError(f"headrace generate: {done.stderr.strip()}")
        for table in json.loads(done.stdout)["tables"]:
            name = table["table"]
            self.tables[name] = pq.read_schema(self.folder / f"{name}.parquet")

    def stage(self) -> None:
        """Put the files into S3, in a folder for each table and day."""
        for name in self.tables:
            key = f"{self.prefix}/{name}/load_date={DAY}/{name}.parquet"
            self.s3.upload_file(str(self.folder / f"{name}.parquet"), BUCKET, key)

    def load_snowflake(self) -> None:
        """Make the tables, and copy the files into them."""
        endpoint = self.s3.meta.endpoint_url
        self.snowflake.execute(
            f"create or replace stage bronze url = 's3compat://{BUCKET}/{self.prefix}/' "
            f"endpoint = '{endpoint}' credentials = (aws_key_id = '{KEY}' "
            f"aws_secret_key = '{SECRET}') file_format = (type = parquet)"
        )
        for name, schema in self.tables.items():
            columns = ", ".join(f"{one.name} {type_of(one.type, _SNOWFLAKE)}" for one in schema)
            self.snowflake.execute(f'create or replace table "{name}" ({columns})')
            self.snowflake.execute(
                f'copy into "{name}" from @bronze/{name}/ '
                "match_by_column_name = case_insensitive on_error = abort_statement"
            )

    def load_redshift(self) -> None:
        """Make the tables, with keys of distribution and order, and copy the files into them."""
        from headrace.targets.redshift_mock.commands import LOCAL_ROLE

        for name, schema in self.tables.items():
            columns = ", ".join(f"{one.name} {type_of(one.type, _REDSHIFT)}" for one in schema)
            self.redshift.execute(f'drop table if exists "{name}"')
            self.redshift.execute(
                f'create table "{name}" ({columns}) distkey (customer_id) '
                f"sortkey ({schema.names[0]})"
            )
            self.redshift.execute(
                f"copy \"{name}\" from 's3://{BUCKET}/{self.prefix}/{name}/' "
                f"iam_role '{LOCAL_ROLE}' format as parquet"
            )

    def query(self) -> None:
        """Ask both warehouses."""
        self.answers = {"snowflake": ask(self.snowflake), "redshift": ask(self.redshift)}

    def truth(self) -> Answers:
        """The answers of the files."""
        import duckdb

        with duckdb.connect() as connection:
            connection.execute("set timezone = 'UTC'")
            for name in self.tables:
                path = str(self.folder / f"{name}.parquet").replace("'", "''")
                connection.execute(f"create view \"{name}\" as select * from '{path}'")
            return ask(connection)


def measure(work: Path, *, schema: Path = CONTRACT, scale: float = 1.0, runs: int = 20) -> Result:
    """Do it so many times.

    Args:
        work: where everything is written.
        schema: the contract.
        scale: multiplies its counts.
        runs: how many rounds; each has a seed of its own.

    Raises:
        BenchmarkError: a stage fails.
    """
    result = Result()
    with ExitStack() as servers:
        client = servers.enter_context(s3())
        cursors = (
            servers.enter_context(snowflake(work / "snowflake")),
            servers.enter_context(redshift(client.meta.endpoint_url)),
        )
        for number in range(runs):
            one = Round(work, number, (client, *cursors))
            steps = (
                lambda one=one: one.generate(schema, scale), one.stage, one.load_snowflake,
                one.load_redshift, one.query,
            )  # fmt: skip
            for name, step in zip(STAGES, steps, strict=True):
                began = time.monotonic()
                step()
                result.seconds[name].append(time.monotonic() - began)
            truth = one.truth()
            result.rows = int(truth["customers"][0][0] + truth["orders"][0][0])
            for who, answers in one.answers.items():
                result.errors += integrity_errors(answers, truth)
                result.differences += [
                    f"round {number}: {who} has other {name} than the files"
                    for name in QUESTIONS
                    if answers[name] != truth[name]
                ]
    return result


def main() -> None:
    """Print the table; exit 1 where a promise is not kept."""
    options: argparse.ArgumentParser = parser(__doc__)
    options.set_defaults(runs=20)
    options.add_argument("--schema", type=Path, default=CONTRACT, help="the contract")
    options.add_argument("--scale", type=float, default=1.0, help="multiplies its counts")
    given = options.parse_args()
    with work_dir(given.work_dir) as work:
        result = measure(work, schema=given.schema, scale=given.scale, runs=given.runs)
    print(result.markdown(), flush=True)
    if given.out is not None:
        content = {"seconds": result.seconds, "whole": result.whole, "rows": result.rows,
                   "errors": result.errors, "differences": result.differences}  # fmt: skip
        given.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        given.out.with_suffix(".md").write_text(result.markdown() + "\n", encoding="utf-8")
    if not result.is_kept:
        sys.exit(1)


if __name__ == "__main__":
    main()
