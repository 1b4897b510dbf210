"""Files of a lake, in a local folder or in S3: read, replaced on a condition, listed, leased.

Both give each object a *tag* that changes with its content (S3's ETag), so that two writers never
overwrite one another unseen. Ages are told by the clock of the server, not of this machine.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Protocol

from headrace import portable
from headrace.errors import HeadraceError, WarehouseError
from headrace.exceptions import first_line
from headrace.secrets import hide
from headrace.system_errors import system_fault
from headrace.targets.s3_access import S3Access, botocore
from headrace.targets.s3_errors import code, problem

ABSENT = ""
"""The tag of an object that is not there: to write it only if nobody did."""
_TRIES = 5
_CONNECT_S, _READ_S = 5, 60
_PIECE = 1 << 20
_TOO_MANY = 1_000  # keys of one request to delete


class ConflictError(HeadraceError):
    """Another writer was first: the object has not the tag that was expected."""


@dataclass(frozen=True)
class Content:
    """An object.

    Attributes:
        body: its bytes.
        tag: changes with them.
        age: seconds since it was written, by the clock of the server.
    """

    body: bytes
    tag: str
    age: float


@dataclass(frozen=True)
class Entry:
    """An object of a listing.

    Attributes:
        key: its name below the root of the lake, for example ``bronze/shop_raw/orders/a.parquet``.
        size: in bytes.
        tag: changes with its content.
        age: seconds since it was written, by the clock of the server.
    """

    key: str
    size: int
    tag: str
    age: float


class ObjectStore(Protocol):
    """The root of a lake."""

    @property
    def url(self) -> str:
        """Its address, as DuckDB, dlt and deltalake take it: a path or ``s3://bucket/prefix``."""

    def get(self, key: str) -> Content | None:
        """An object; None where there is none.

        Raises:
            WarehouseError: it cannot be read.
        """

    def put(self, key: str, body: bytes, *, tag: str | None = None) -> str:
        """Write an object in one step.

        Args:
            key: its name.
            body: its content.
            tag: that it must have now (``ABSENT``: it must not be there); None for any.

        Returns:
            Its tag.

        Raises:
            ConflictError: it has another tag.
            WarehouseError: it cannot be written.
        """

    def make_folder(self, key: str) -> None:
        """Make a folder for what others write, where there are folders.

        Raises:
            WarehouseError: it cannot be made.
        """

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """All objects below a prefix, sorted by key."""

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; those that are not there are fine."""

    def explain(self, error: BaseException) -> WarehouseError:
        """An error of whatever reads or writes here, as one line that says what to do."""


class LocalStore:
    """A folder of this machine, or one that it mounts."""

    def __init__(self, folder: Path) -> None:
        """Use a folder; it need not be there yet."""
        self.folder = folder

    @property
    def url(self) -> str:
        """See ``ObjectStore``."""
        return self.folder.as_posix()

    def get(self, key: str) -> Content | None:
        """See ``ObjectStore``."""
        path = self.folder / key
        try:
            body, age = path.read_bytes(), time.time() - path.stat().st_mtime
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self.explain(error) from error
        return Content(body, _digest(body), max(0.0, age))

    def put(self, key: str, body: bytes, *, tag: str | None = None) -> str:
        """See ``ObjectStore``; the condition holds among those who hold the run lock."""
        if tag is not None:
            now = self.get(key)
            if (now.tag if now else ABSENT) != tag:
                raise ConflictError(f"{self.folder / key} was changed by another program")
        try:
            (self.folder / key).parent.mkdir(parents=True, exist_ok=True)
            portable.write_file(self.folder / key, body)
        except OSError as error:
            raise self.explain(error) from error
        return _digest(body)

    def make_folder(self, key: str) -> None:
        """See ``ObjectStore``."""
        try:
            (self.folder / key).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self.explain(error) from error

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See ``ObjectStore``; a prefix is a folder here."""
        now, found = time.time(), []
        for folder, _, names in os.walk(self.folder / prefix):
            for name in names:
                path = Path(folder, name)
                try:
                    stat = path.stat()
                except FileNotFoundError:
                    continue
                key = path.relative_to(self.folder).as_posix()
                tag = f"{stat.st_size}-{stat.st_mtime_ns}"
                found.append(Entry(key, stat.st_size, tag, max(0.0, now - stat.st_mtime)))
        yield from sorted(found, key=lambda entry: entry.key)

    def delete(self, keys: Iterable[str]) -> None:
        """See ``ObjectStore``; folders that are empty then go, too."""
        for key in keys:
            path = self.folder / key
            try:
                path.unlink(missing_ok=True)
                while path.parent != self.folder and not any(path.parent.iterdir()):
                    path = path.parent
                    path.rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self.explain(error) from error

    def explain(self, error: BaseException) -> WarehouseError:
        """See ``ObjectStore``."""
        fault = system_fault(error, place=self.folder)
        why = fault.message if fault else hide(first_line(error))
        return WarehouseError(f"the lake at {self.folder}: {why}")


class S3Store:
    """A bucket, or what is below a prefix in it."""

    def __init__(self, access: S3Access) -> None:
        """Use a bucket; nothing is sent yet."""
        self.access = access
        self._client: tuple[int, Any] | None = None

    @property
    def url(self) -> str:
        """See ``ObjectStore``."""
        return f"s3://{self.access.bucket}/{self.access.prefix}".rstrip("/")

    def make_bucket(self) -> None:
        """Make the bucket, where there is none; for a server on this machine.

        Raises:
            WarehouseError: it cannot be made.
        """
        try:
            self._s3.create_bucket(Bucket=self.access.bucket)
        except Exception as error:
            if code(error) not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise self.explain(error) from error

    def get(self, key: str) -> Content | None:
        """See ``ObjectStore``."""
        try:
            found = self._s3.get_object(Bucket=self.access.bucket, Key=self._key(key))
            body = found["Body"].read()
        except Exception as error:
            if code(error) == "NoSuchKey":
                return None
            raise self.explain(error) from error
        age = (_server_time(found) - found["LastModified"]).total_seconds()
        return Content(body, found["ETag"], max(0.0, age))

    def download(self, key: str, path: Path) -> None:
        """Copy an object, which may be larger than memory, into a file.

        Raises:
            WarehouseError: it cannot be read.
        """
        try:
            body = self._s3.get_object(Bucket=self.access.bucket, Key=self._key(key))["Body"]
            with path.open("wb") as file:
                shutil.copyfileobj(body, file, _PIECE)
        except Exception as error:
            raise self.explain(error) from error

    def put(self, key: str, body: bytes, *, tag: str | None = None) -> str:
        """See ``ObjectStore``.

        An answer may be lost after the server took the object, and the next try then meets the
        object itself: what is there tells.
        """
        condition: dict[str, str] = {}
        if tag is not None:
            condition = {"IfNoneMatch": "*"} if tag == ABSENT else {"IfMatch": tag}
        try:
            answer = self._s3.put_object(
                Bucket=self.access.bucket, Key=self._key(key), Body=body, **condition
            )
        except Exception as error:
            if code(error) in {"PreconditionFailed", "ConditionalRequestConflict"} or (
                tag and code(error) == "NoSuchKey"
            ):
                now = self.get(key)
                if now is not None and now.body == body:
                    return now.tag
                message = f"{self.url}/{key} was changed by another program"
                raise ConflictError(message) from error
            raise self.explain(error) from error
        return str(answer["ETag"])

    def make_folder(self, key: str) -> None:
        """Nothing: there are no folders."""

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See ``ObjectStore``."""
        start = len(self._key(""))
        try:
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.access.bucket, Prefix=self._key(prefix)
            )
            for page in pages:
                now = _server_time(page)
                for one in page.get("Contents", ()):
                    age = max(0.0, (now - one["LastModified"]).total_seconds())
                    yield Entry(one["Key"][start:], one["Size"], one["ETag"], age)
        except Exception as error:
            raise self.explain(error) from error

    def delete(self, keys: Iterable[str]) -> None:
        """See ``ObjectStore``."""
        left = [{"Key": self._key(key)} for key in keys]
        try:
            for at in range(0, len(left), _TOO_MANY):
                part = {"Objects": left[at : at + _TOO_MANY], "Quiet": True}
                answer = self._s3.delete_objects(Bucket=self.access.bucket, Delete=part)
                for problem in answer.get("Errors", ()):
                    raise WarehouseError(
                        f"{self.url}: {problem.get('Key')} cannot be deleted "
                        f"({problem.get('Code')}): let these credentials delete"
                    )
        except WarehouseError:
            raise
        except Exception as error:
            raise self.explain(error) from error

    def explain(self, error: BaseException) -> WarehouseError:
        """See ``ObjectStore``."""
        if isinstance(error, WarehouseError):
            return error
        access = self.access
        why = problem(
            error,
            bucket=access.bucket,
            url=self.url,
            setting=access.setting,
            endpoint=access.endpoint,
        )
        return WarehouseError(f"{self.url}: {why}")

    @property
    def _s3(self) -> Any:
        """A client of this process: a fork must not share connections."""
        if self._client is None or self._client[0] != os.getpid():
            access = self.access
            key_id, secret, token = access.credentials()
            options = botocore().config.Config(
                connect_timeout=_CONNECT_S,
                read_timeout=_READ_S,
                retries={"mode": "standard", "total_max_attempts": _TRIES},
                s3={"addressing_style": "path" if access.path_style else "auto"},
                # other servers than AWS's do not know its newest checksums
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            )
            client = botocore().session.Session().create_client(
                "s3",
                region_name=access.region,
                endpoint_url=access.endpoint,
                aws_access_key_id=key_id,
                aws_secret_access_key=secret,
                aws_session_token=token,
                config=options,
            )  # fmt: skip
            self._client = (os.getpid(), client)
        return self._client[1]

    def _key(self, key: str) -> str:
        return f"{self.access.prefix}/{key}" if self.access.prefix else key


def _digest(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _server_time(answer: Any) -> datetime:
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date) if date else datetime.now(UTC)
