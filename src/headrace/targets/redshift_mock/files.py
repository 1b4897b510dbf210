"""The files of COPY and UNLOAD: DuckDB reads and writes them, as Redshift would.

A COPY checks every file and every row before PostgreSQL gets one: it loads all, or nothing. Rows
that are bad are in `stl_load_errors`, also of a COPY that failed.
"""

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace import portable
from headrace.errors import WarehouseError
from headrace.libraries.duckdb import connect, create_secret, load_extension
from headrace.sql_text import identifier, literal
from headrace.targets.redshift_mock.commands import (
    LOCAL_ROLE,
    BucketAccess,
    Copy,
    RefusedError,
    Unload,
)
from headrace.targets.redshift_mock.rows import LoadError, Rows, said
from headrace.targets.s3_access import S3Access, botocore

if TYPE_CHECKING:
    import duckdb

_ROLE = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]+")
_CSV = "(format csv, header false, nullstr '\\N', force_quote *, quote '\"', escape '\"')"
_SHOWN_ERRORS = 100  # rows of one COPY in stl_load_errors


@dataclass(frozen=True, repr=False)
class S3Files:
    """Reads and writes a bucket.

    Attributes:
        endpoint: URL of a server that speaks S3; None for AWS.
        region: of the buckets.
        key_id: of an access key, for statements with a role; None for what AWS's tools find.
        secret: of the access key.
        roles: that may be named, beside the local one.
        log: gets the bad rows of a table.
    """

    endpoint: str | None = None
    region: str = "us-east-1"
    key_id: str | None = None
    secret: str | None = None
    roles: tuple[str, ...] = ()
    log: Callable[[str, Sequence[LoadError]], None] = field(default=lambda table, errors: None)

    def scratch(self) -> Path:
        """A new temporary file."""
        with tempfile.NamedTemporaryFile(prefix="headrace-redshift-", delete=False) as file:
            return Path(file.name)

    def read(self, copy: Copy, columns: list[tuple[str, str]]) -> Path:
        """See ``FileWork``."""
        access = self._access(copy.url, copy.access)
        if not columns:
            raise RefusedError(f'relation "{copy.name}" does not exist', "42P01")
        if copy.columns and len(columns) != len(copy.columns):
            missing = ", ".join(sorted(set(copy.columns) - {name for name, _ in columns}))
            raise RefusedError(
                f'column "{missing}" of relation "{copy.name}" does not exist', "42703"
            )
        with self._connection(access) as connection:
            files = self._listed(copy, access)
            reader = Rows(connection, copy, columns)
            if copy.format == "parquet":
                query, errors = reader.parquet(files), list[LoadError]()
            elif copy.format in {"csv", "text"}:
                query, errors = reader.csv(files)
            elif copy.format == "json":
                query, errors = reader.json(files)
            else:
                raise RefusedError(f"COPY … FORMAT {copy.format.upper()} is not supported here")
            if errors:
                self.log(copy.name, errors[:_SHOWN_ERRORS])
            if errors and len(errors) >= copy.max_errors:
                raise RefusedError(
                    f"Load into table '{copy.table[-1]}' failed. Check 'stl_load_errors' system "
                    "table for details.",
                    "XX000",
                    f"{_where(errors[0])}: {errors[0].reason}",
                )
            path = self.scratch()
            try:
                with said(f"COPY {copy.name}"):
                    connection.execute(f"copy ({query}) to {literal(str(path))} {_CSV}")
            except RefusedError:
                path.unlink(missing_ok=True)
                raise
        return path

    def write(self, unload: Unload, columns: list[tuple[str, int, int]], rows: Path) -> None:
        """See ``FileWork``."""
        access = self._access(unload.url, unload.access)
        bucket, _, prefix = unload.url[5:].partition("/")
        with self._connection(access) as connection, said("UNLOAD"):
            client = self._client(access)
            if "allowoverwrite" not in unload.options and "cleanpath" not in unload.options:
                there = client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
                if there.get("KeyCount"):
                    raise RefusedError(
                        "Specified unload destination on S3 is not empty. Consider using a "
                        "different bucket / prefix, manually removing the target files in S3, or "
                        "using the ALLOWOVERWRITE option.",
                        "XX000",
                    )
            if "cleanpath" in unload.options:
                for key in _keys(client, bucket, prefix):
                    client.delete_object(Bucket=bucket, Key=key)
            with tempfile.TemporaryDirectory() as folder:
                written = []
                for file in _unloaded(connection, unload, columns, rows, Path(folder)):
                    key = prefix + file.relative_to(folder).as_posix()
                    client.upload_file(str(file), bucket, key)
                    written.append({"url": f"s3://{bucket}/{key}"})
                if "manifest" in unload.options:
                    body = json.dumps({"entries": written}, indent=2).encode()
                    client.put_object(Bucket=bucket, Key=f"{prefix}manifest", Body=body)

    def _access(self, url: str, access: BucketAccess) -> S3Access:
        """How a statement reaches its bucket.

        Raises:
            RefusedError: its role may not.
        """
        role = access.role
        if role is not None and role not in {"default", LOCAL_ROLE, *self.roles}:
            if not all(_ROLE.fullmatch(one.strip()) for one in role.split(",")):
                raise RefusedError(f"Invalid IAM role: {role!r} is no ARN of a role", "XX000")
            raise RefusedError(
                f"User is not authorized to assume IAM Role {role}",
                "XX000",
                f"the stand-in knows {LOCAL_ROLE} and those named with --iam-role",
            )
        key_id, secret = (
            (access.key_id, access.secret) if role is None else (self.key_id, self.secret)
        )
        bucket, _, prefix = url[5:].partition("/")
        return S3Access(
            bucket=bucket, prefix=prefix, endpoint=self.endpoint, region=self.region,
            path_style=self.endpoint is not None, key_id=key_id, secret=secret, token=access.token,
            setting="redshift-mock",
        )  # fmt: skip

    @contextmanager
    def _connection(self, access: S3Access) -> "Iterator[duckdb.DuckDBPyConnection]":
        with connect() as connection:
            connection.execute("set TimeZone = 'UTC'; set memory_limit = '1GB'")
            try:
                load_extension(connection, "httpfs", extra="redshift")
                connection.execute(create_secret(access.duckdb_secret("bucket")))
            except WarehouseError as error:
                raise RefusedError(str(error), "XX000") from error
            yield connection

    def _client(self, access: S3Access) -> Any:
        import boto3

        config = botocore().config.Config(
            retries={"total_max_attempts": 3}, connect_timeout=5,
            s3={"addressing_style": "path" if access.path_style else "auto"},
        )  # fmt: skip
        key_id, secret, token = access.credentials()
        return boto3.client(
            "s3", endpoint_url=access.endpoint, region_name=access.region, config=config,
            aws_access_key_id=key_id, aws_secret_access_key=secret, aws_session_token=token,
        )  # fmt: skip

    def _listed(self, copy: Copy, access: S3Access) -> list[str]:
        """The URLs of the files, in the order of their keys."""
        with said(f"COPY {copy.name}"):
            client = self._client(access)
            if "manifest" in copy.options:
                body = client.get_object(Bucket=access.bucket, Key=copy.url[5:].partition("/")[2])
                try:
                    entries = json.loads(body["Body"].read())["entries"]
                    return [str(entry["url"]) for entry in entries]
                except (ValueError, KeyError, TypeError) as error:
                    raise RefusedError(f"{copy.url} is not a manifest: {error}", "XX000") from error
            prefix = copy.url[5:].partition("/")[2]
            keys = [key for key in _keys(client, access.bucket, prefix) if not key.endswith("/")]
        if not keys:
            raise RefusedError(
                f"The specified S3 prefix '{prefix}' does not exist in {access.bucket}", "XX000"
            )
        return [f"s3://{access.bucket}/{key}" for key in keys]


def _where(error: LoadError) -> str:
    column = f", column {error.column}" if error.column else ""
    return f"{error.file}, line {error.line}{column}"


def _keys(client: Any, bucket: str, prefix: str) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [str(one["Key"]) for page in pages for one in page.get("Contents", [])]


# PostgreSQL's numbers of types, as DuckDB's
_TYPES = {
    16: "BOOLEAN", 17: "BLOB", 20: "BIGINT", 21: "SMALLINT", 23: "INTEGER", 700: "FLOAT",
    701: "DOUBLE", 1082: "DATE", 1083: "TIME", 1114: "TIMESTAMP", 1184: "TIMESTAMPTZ",
}  # fmt: skip


def _unloaded(
    connection: "duckdb.DuckDBPyConnection",
    unload: Unload,
    columns: list[tuple[str, int, int]],
    path: Path,
    folder: Path,
) -> list[Path]:
    """Write the files of an UNLOAD to a folder, named as Redshift names them."""
    options = unload.options
    chosen = []
    for name, oid, modifier in columns:
        kind = _TYPES.get(oid, "VARCHAR")
        column = identifier(name)
        if oid == 1700:
            precision, scale = (
                ((modifier - 4) >> 16, (modifier - 4) & 0xFFFF) if modifier > 4 else (38, 10)
            )
            kind = f"DECIMAL({min(precision, 38)}, {scale})"
        if kind == "BLOB":
            chosen.append(f"unhex({column}[3:]) as {column}")
        else:
            chosen.append(f"cast({column} as {kind}) as {column}")
    typed = ", ".join(f"{literal(name)}: 'VARCHAR'" for name, _, _ in columns)
    source = (
        f"select {', '.join(chosen)} from read_csv({literal(str(path))}, columns = {{{typed}}}, "
        "auto_detect = false, header = false, delim = ',', quote = '\"', escape = '\"', "
        "nullstr = '\\N', allow_quoted_nulls = false)"
    )
    part = {"parquet": "0000_part_00.parquet", "json": "0000_part_00.json"}.get(
        unload.format, "000" if options.get("parallel") in {"off", "false"} else "0000_part_00"
    )
    how = ["format parquet"]
    if unload.format == "json":
        how = ["format json"]
    elif unload.format in {"csv", "text"}:
        is_csv = unload.format == "csv"
        quoted = is_csv or "addquotes" in options
        how = [
            "format csv",
            f"header {str('header' in options).lower()}",
            f"delim {literal(options.get('delimiter', ',' if is_csv else '|'))}",
            f"nullstr {literal(options.get('null', ''))}",
            "quote '\"'" if quoted else "quote ''",
            *([] if quoted else ["escape ''"]),
        ]
    if "compression" in options:
        how.append(f"compression {options['compression']}")
        part += {"gzip": ".gz", "zstd": ".zst"}.get(options["compression"], "")
    if "partition" in options:
        names = ", ".join(identifier(name) for name in options["partition"].split(","))
        target = folder / "parts"
        connection.execute(
            f"copy ({source}) to {literal(str(target))} ({', '.join(how)}, partition_by ({names}))"
        )
        return [_moved(file, target, folder, part) for file in sorted(target.rglob("*.*"))]
    file = folder / part
    connection.execute(f"copy ({source}) to {literal(str(file))} ({', '.join(how)})")
    return [file]


def _moved(file: Path, source: Path, folder: Path, part: str) -> Path:
    to = folder / file.parent.relative_to(source) / part
    to.parent.mkdir(parents=True, exist_ok=True)
    portable.replace(file, to)
    return to


def with_log(files: S3Files, log: Callable[[str, Sequence[LoadError]], None]) -> S3Files:
    """The same, whose bad rows are logged elsewhere."""
    return replace(files, log=log)
