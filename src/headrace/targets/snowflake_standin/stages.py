"""Stages: folders of files, here or in S3; and the formats that files are read in."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from headrace.errors import WarehouseError
from headrace.sql_text import identifier
from headrace.targets.object_store import S3Store
from headrace.targets.s3_access import S3Access
from headrace.targets.snowflake_standin.engine import HIDDEN
from headrace.targets.snowflake_standin.file_formats import complete, options_of
from headrace.targets.snowflake_standin.names import NAME, resolved
from headrace.targets.snowflake_standin.problems import problem
from headrace.targets.snowflake_standin.results import Result, rows, status

if TYPE_CHECKING:
    from headrace.targets.snowflake_standin.session import StandInSession

_S3 = ("s3://", "s3compat://")
_STAGE_OPTIONS = {
    "CREDENTIALS", "COMMENT", "DIRECTORY", "ENCRYPTION", "ENDPOINT", "FILE_FORMAT",
    "STORAGE_INTEGRATION",
}  # fmt: skip


@dataclass(frozen=True)
class StageLocation:
    """A place of files.

    Attributes:
        text: as it was written.
        folder: on this machine, or ``s3://…``.
        path: what names of files below it begin with; may be empty.
        options: of the stage: its file format, its credentials.
    """

    text: str
    folder: str
    path: str
    options: Mapping[str, Any]

    @property
    def is_remote(self) -> bool:
        """Whether it is in S3."""
        return self.folder.startswith("s3://")


def location(session: "StandInSession", text: str, credentials: Mapping[str, Any]) -> StageLocation:
    """Where ``@stage/path`` or ``s3://bucket/path`` is.

    Raises:
        ProgrammingError: there is no such stage, or the place is of another cloud.
    """
    given = text.strip()
    if given.startswith("'"):
        given = given[1:-1]
    if given.startswith(("gcs://", "azure://")):
        raise problem(2, "0A000", f"{given}: the stand-in reads stages and s3:// alone")
    if given.startswith(_S3):
        bucket = urlsplit(given)
        return StageLocation(given, f"s3://{bucket.netloc}", bucket.path.lstrip("/"), credentials)
    match = re.fullmatch(rf"@((?:{NAME}\.)*{NAME})(?:/(.*))?", given)
    if match is None:
        raise problem(1003, "42000", f"{given} is no stage: write @name/path, @~ or @%table")
    path = unquote((match[2] or "").replace('"', "")).lstrip("/")
    if ".." in path.split("/"):
        raise problem(1003, "42000", f"{given}: a path in a stage has no ..")
    if match[1] == "~":
        return _local(session, given, session.engine.stages / "~", path, {})
    database, schema, name = resolved(session, match[1])
    if name.startswith("%"):
        if not session.has_table(database, schema, name[1:]):
            raise problem(2003, "02000", f"Table '{database}.{schema}.{name[1:]}' does not exist")
        return _local(session, given, session.engine.stages / database / schema / name, path, {})
    row = session.ask(
        f"select url, options from {identifier(database)}.{HIDDEN}.headrace_stages "
        "where schema_name = ? and name = ?",
        [schema, name],
    )
    if not row:
        raise problem(2003, "02000", f"Stage '{database}.{schema}.{name}' does not exist")
    url, options = str(row[0][0] or ""), json.loads(str(row[0][1]))
    if url:  # s3compat:// is how Snowflake names a server that is not AWS's
        bucket = urlsplit(url)
        prefix = bucket.path.strip("/")
        whole = "/".join(part for part in (prefix, path) if part)
        return StageLocation(given, f"s3://{bucket.netloc}", whole, options)
    return _local(session, given, session.engine.stages / database / schema / name, path, options)


def _local(
    session: "StandInSession", text: str, folder: Path, path: str, options: Mapping[str, Any]
) -> StageLocation:
    del session
    folder.mkdir(parents=True, exist_ok=True)
    return StageLocation(text, str(folder), path, options)


def files_of(
    place: StageLocation,
    names: Sequence[str] = (),
    pattern: str | None = None,
) -> list[tuple[str, str, int, str]]:
    """Files: the name in the stage, what DuckDB opens, bytes, and a tag of the content.

    Args:
        place: where.
        names: relative to the place; by default all of them.
        pattern: a regular expression for the whole name.

    Raises:
        ProgrammingError: a named file is not there.
    """
    found = _remote(place) if place.is_remote else _here(place)
    if names:
        prefix = place.path.rstrip("/") + "/" if place.path else ""
        by_name = {one[0]: one for one in found}
        wanted = [prefix + name.lstrip("/") for name in names]
        for name in wanted:
            if name not in by_name:
                raise problem(
                    100016, "22000", f"Remote file '{name}' was not found in {place.text}"
                )
        found = [by_name[name] for name in wanted]
    if pattern is not None:
        found = [one for one in found if re.fullmatch(pattern, one[0])]
    return found


def _here(place: StageLocation) -> list[tuple[str, str, int, str]]:
    root = Path(place.folder)
    found = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and name.startswith(place.path):
            stat = path.stat()
            found.append((name, str(path), stat.st_size, f"{stat.st_size}-{stat.st_mtime_ns}"))
    return found


def _remote(place: StageLocation) -> list[tuple[str, str, int, str]]:
    try:
        return [
            (entry.key, f"{place.folder}/{entry.key}", entry.size, entry.tag)
            for entry in _bucket(place).list(place.path)
            if not entry.key.endswith("/")
        ]
    except WarehouseError as error:
        raise problem(1148, "22000", f"Failure using stage area {place.text}: {error}") from error


def _bucket(place: StageLocation) -> S3Store:
    """The bucket, by what the stage says (``CREDENTIALS``, ``ENDPOINT``), else AWS's variables."""
    given, environ = place.options.get("CREDENTIALS") or {}, os.environ
    endpoint = str(
        place.options.get("ENDPOINT")
        or environ.get("AWS_ENDPOINT_URL_S3")
        or environ.get("AWS_ENDPOINT_URL")
        or ""
    )
    if endpoint and "://" not in endpoint:
        is_here = re.match(r"(127\.0\.0\.1|localhost)(:|/|$)", endpoint)
        endpoint = f"{'http' if is_here else 'https'}://{endpoint}"
    return S3Store(
        S3Access(
            bucket=place.folder.removeprefix("s3://"), prefix="", endpoint=endpoint or None,
            region=environ.get("AWS_REGION", "us-east-1"), path_style=bool(endpoint),
            key_id=given.get("AWS_KEY_ID"), secret=given.get("AWS_SECRET_KEY"),
            token=given.get("AWS_TOKEN"), setting="the stage",
        )
    )  # fmt: skip


@contextmanager
def readable(place: StageLocation, name: str, path: str) -> Iterator[str]:
    """A file on this machine: that of a bucket is fetched, and removed at the end.

    DuckDB could read a bucket itself, but not with a secret that is newer than the transaction.

    Args:
        place: where it is.
        name: of the file in the stage.
        path: as ``files_of`` gives it.

    Raises:
        ProgrammingError: it cannot be fetched.
    """
    if not place.is_remote:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="headrace-stage-") as folder:
        here = Path(folder) / Path(name).name  # its ending says how it is compressed
        try:
            _bucket(place).download(name, here)
        except WarehouseError as error:
            raise problem(
                1148, "22000", f"Failure using stage area {place.text}: {name}: {error}"
            ) from error
        yield str(here)


def put(session: "StandInSession", sql: str) -> Result:
    """``PUT file:///… @stage``: the connector copies the files itself, it is told where to.

    Raises:
        ProgrammingError: the stage is in S3, or the statement cannot be read.
    """
    match = re.match(r"put\s+('[^']+'|\S+)\s+('[^']+'|\S+)(.*)$", sql, re.IGNORECASE | re.DOTALL)
    if match is None:
        raise problem(1003, "42000", "PUT: write PUT file:///path/name @stage")
    source, target = match[1].strip("'"), match[2]
    options = options_of(match[3], "PUT")
    place = location(session, target, {})
    if place.is_remote:
        raise problem(
            2, "0A000", f"PUT to {place.text}: a stage in S3 is written by S3's own tools"
        )
    folder = Path(place.folder) / place.path
    folder.mkdir(parents=True, exist_ok=True)
    return Result(
        status("").table,
        transfer={
            "command": "UPLOAD",
            "operation": "Node",
            "src_locations": [unquote(source.removeprefix("file://"))],
            "autoCompress": str(options.get("AUTO_COMPRESS", "TRUE")).upper() == "TRUE",
            "sourceCompression": str(options.get("SOURCE_COMPRESSION", "auto_detect")).lower(),
            "overwrite": str(options.get("OVERWRITE", "FALSE")).upper() == "TRUE",
            "parallel": 1,
            "localLocation": None,
            "encryptionMaterial": None,
            "stageInfo": {"locationType": "LOCAL_FS", "location": str(folder), "creds": {}},
        },
    )


def get(session: "StandInSession", sql: str) -> Result:
    """``GET @stage/path file:///folder``.

    Raises:
        ProgrammingError: the stage is in S3, or the statement cannot be read.
    """
    match = re.match(r"get\s+('[^']+'|\S+)\s+('[^']+'|\S+)", sql, re.IGNORECASE)
    if match is None:
        raise problem(1003, "42000", "GET: write GET @stage/path file:///folder")
    place = location(session, match[1], {})
    if place.is_remote:
        raise problem(2, "0A000", f"GET from {place.text}: read S3 by its own tools")
    target = unquote(match[2].strip("'").removeprefix("file://"))
    return Result(
        status("").table,
        transfer={
            "command": "DOWNLOAD",
            "operation": "Node",
            "src_locations": [name for name, *_ in _here(place)],
            "parallel": 1,
            "localLocation": target,
            "encryptionMaterial": [],
            "stageInfo": {"locationType": "LOCAL_FS", "location": place.folder, "creds": {}},
        },
    )


def listing(session: "StandInSession", sql: str) -> Result:
    """``LIST @stage``."""
    match = re.match(r"(?:list|ls)\s+('[^']+'|\S+)(.*)$", sql, re.IGNORECASE | re.DOTALL)
    assert match is not None
    place = location(session, match[1], {})
    options = options_of(match[2], "LIST")
    found = files_of(place, pattern=options.get("PATTERN"))
    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    prefix = "" if place.is_remote else Path(place.folder).name.lower() + "/"
    return rows(
        ["name", "size", "md5", "last_modified"],
        [(f"{place.folder}/{name}" if place.is_remote else prefix + name, size, tag, now)
         for name, _, size, tag in found],
    )  # fmt: skip


def remove(session: "StandInSession", sql: str) -> Result:
    """``REMOVE @stage/path``.

    Raises:
        ProgrammingError: the stage is in S3.
    """
    match = re.match(r"(?:remove|rm)\s+('[^']+'|\S+)(.*)$", sql, re.IGNORECASE | re.DOTALL)
    assert match is not None
    place = location(session, match[1], {})
    if place.is_remote:
        raise problem(2, "0A000", f"REMOVE {place.text}: delete in S3 by its own tools")
    pattern = options_of(match[2], "REMOVE").get("PATTERN")
    found = files_of(place, pattern=pattern)
    for _, path, *_ in found:
        Path(path).unlink()
    return rows(["name", "result"], [(name, "removed") for name, *_ in found])


def create(session: "StandInSession", sql: str) -> Result:
    """``CREATE STAGE`` and ``CREATE FILE FORMAT``.

    Raises:
        ProgrammingError: it is there already, or has an option that the stand-in does not know.
    """
    match = re.match(
        rf"create\s+(or\s+replace\s+)?(?:temp(?:orary)?\s+)?(stage|file\s+format)\s+"
        rf"(if\s+not\s+exists\s+)?((?:{NAME}\.)*{NAME})(.*)$",
        sql, re.IGNORECASE | re.DOTALL,
    )  # fmt: skip
    if match is None:
        raise problem(1003, "42000", f"cannot read {sql[:80]!r}")
    replace, kind, quietly, name, rest = match.groups()
    is_stage = kind.lower() == "stage"
    database, schema, short = resolved(session, name)
    options = options_of(rest, f"CREATE {kind.upper()}")
    url = str(options.pop("URL", "")) if is_stage else ""
    if url and not url.startswith(_S3):
        raise problem(2, "0A000", f"the stage's URL {url}: the stand-in knows s3:// alone")
    if is_stage:
        for key in options.keys() - _STAGE_OPTIONS:
            raise problem(2, "0A000", f"the stage's {key}: the stand-in does not know it")
        if url.startswith("s3compat://") and not options.get("ENDPOINT"):
            raise problem(1003, "42000", "a stage of s3compat:// needs an ENDPOINT")
    else:
        complete(options)
    table = f"{identifier(database)}.{HIDDEN}.headrace_{'stages' if is_stage else 'formats'}"
    there = session.ask(
        f"select 1 from {table} where schema_name = ? and name = ?", [schema, short]
    )
    if there and quietly:
        return status(f"{short} already exists, statement succeeded.")
    if there and not replace:
        raise problem(2002, "42710", f"Object '{database}.{schema}.{short}' already exists.")
    session.ask(f"delete from {table} where schema_name = ? and name = ?", [schema, short])
    content = [schema, short, *([url] if is_stage else []), json.dumps(options)]
    marks = ", ".join("?" for _ in content)
    session.ask(f"insert into {table} values ({marks})", content)
    what = "Stage area" if is_stage else "File format"
    return status(f"{what} {short} successfully created.")


def drop(session: "StandInSession", sql: str) -> Result:
    """``DROP STAGE`` and ``DROP FILE FORMAT``.

    Raises:
        ProgrammingError: there is none of that name.
    """
    match = re.match(
        rf"drop\s+(stage|file\s+format)\s+(if\s+exists\s+)?((?:{NAME}\.)*{NAME})\s*$",
        sql,
        re.IGNORECASE,
    )
    if match is None:
        raise problem(1003, "42000", f"cannot read {sql[:80]!r}")
    is_stage = match[1].lower() == "stage"
    database, schema, short = resolved(session, match[3])
    table = f"{identifier(database)}.{HIDDEN}.headrace_{'stages' if is_stage else 'formats'}"
    gone = session.ask(
        f"delete from {table} where schema_name = ? and name = ? returning name", [schema, short]
    )
    if not gone and not match[2]:
        raise problem(2003, "02000", f"'{database}.{schema}.{short}' does not exist")
    if is_stage:
        shutil.rmtree(session.engine.stages / database / schema / short, ignore_errors=True)
    return status(f"{short} successfully dropped.")
