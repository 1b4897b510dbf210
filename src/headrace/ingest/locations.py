"""Where a source's files lie: a folder of this machine, an object store, or a web server."""

import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import xxhash
from pydantic import BeforeValidator

from headrace import secrets
from headrace.errors import SourceError
from headrace.exceptions import first_line
from headrace.ingest.discover import (
    FoundFiles,
    HashCache,
    SourceFile,
    find_files,
    is_archive,
    is_known,
    known_suffixes,
    members,
)
from headrace.ingest.http_files import HttpError, addresses, http_file
from headrace.ingest.model import FileTable
from headrace.ingest.reader import fetched
from headrace.system_errors import system_fault

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az"}
"""Schemes of addresses to the extra that reads them."""
_MODULES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}
_VERSIONS = ("ETag", "etag", "generation", "md5Hash")
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")
_ATTEMPTS = 3  # of reading an object that changes meanwhile
_ERRORS = {
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "azure.core.exceptions": ("AzureError",),
    "google.auth.exceptions": ("GoogleAuthError",),
    "gcsfs.retry": ("HttpError",),
    "aiohttp": ("ClientError",),
}
"""What the stores' libraries raise besides OSError, ValueError and TimeoutError."""


@dataclass(frozen=True)
class StoreLocation:
    """A place in an object store.

    Attributes:
        files: dlt's file system, with its credentials.
        root: the place below which patterns look, as the file system has it: ``bucket/folder``.
        address: of it, for messages.
        is_anonymous: whether no credentials were found.
    """

    files: "AbstractFileSystem"
    root: str
    address: str
    is_anonymous: bool = False

    @classmethod
    def open(cls, address: str, source: str) -> "StoreLocation":
        """The place at an address.

        Raises:
            SourceError: the extra of its scheme is missing, or its credentials are wrong.
        """
        scheme = urlsplit(address).scheme
        extra = EXTRAS[scheme]
        try:
            import_module(_MODULES[extra])
        except ImportError as error:
            raise SourceError(
                f"{scheme}:// addresses need the extra {extra}: run `uv sync --extra {extra}`"
            ) from error
        files, is_anonymous = _file_system(address, source, extra)
        root = str(files._strip_protocol(address)).rstrip("/")  # noqa: SLF001 - fsspec has no other
        return cls(files, root, secrets.hide(address), is_anonymous)

    def find(self, patterns: tuple[str, ...]) -> list[tuple[str, dict[str, Any]]]:
        """The objects that patterns match: the name below the root, and what the store says.

        Raises:
            SourceError: the bucket is not there, or refuses to be listed.
        """
        found: dict[str, dict[str, Any]] = {}
        with self._explained(self.address):
            self.files.invalidate_cache()
            for pattern in patterns:
                where = posixpath.join(self.root, pattern)
                for path, info in self.files.glob(where, detail=True).items():
                    found[str(path)] = info
            if not found:  # a glob does not tell a bucket that is not there, or refuses
                self.files.ls(self.root, detail=False)
        return [
            (path.removeprefix(f"{self.root}/"), info)
            for path, info in sorted(found.items())
            if not path.endswith("/")
        ]

    def file(
        self, name: str, info: dict[str, Any], scratch: Path, declared: str | None
    ) -> SourceFile:
        """An object as a file, to be fetched when it is read."""
        path = f"{self.root}/{name}"
        folder = xxhash.xxh3_64(f"{self.address} {path}".encode()).hexdigest()
        return SourceFile(
            scratch / "fetched" / folder / posixpath.basename(name),
            name,
            int(info.get("size") or 0),
            _digest(info),
            declared=declared,
            fetch=partial(self.download, name),
        )

    def download(self, name: str, target: Path) -> None:
        """Write an object to a file; once more where it changed meanwhile.

        Raises:
            SourceError: it is gone, is refused, or changes each time.
        """
        path = f"{self.root}/{name}"
        with self._explained(name):
            before = self.files.info(path)
            for _ in range(_ATTEMPTS):
                self.files.get_file(path, str(target))
                self.files.invalidate_cache()
                after = self.files.info(path)
                if _digest(before) == _digest(after) and target.stat().st_size == after["size"]:
                    return
                before = after
        raise SourceError(f"{name} changes while it is read: run again once it is written")

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Errors of the store as one line, without credentials."""
        try:
            yield
        except FileNotFoundError as error:
            if what == self.address:
                raise SourceError(
                    f"{what}: there is no such bucket, container or folder: correct the source's "
                    "path"
                ) from error
            raise SourceError(f"{what} vanished while it was read: run again") from error
        except PermissionError as error:
            raise SourceError(f"{what} {self._refused(error)}") from error
        except _errors() as error:
            if isinstance(error, OSError) and error.errno is not None and error.filename:
                raise  # of this machine
            said = secrets.hide(first_line(error))
            if any(word in said for word in ("Forbidden", "AccessDenied", "403", "401", "denied")):
                raise SourceError(f"{what} {self._refused(error)}") from error
            raise SourceError(f"{what} cannot be read: {said}") from error

    def _refused(self, error: Exception) -> str:
        """Why a store says no, and what to set."""
        advice = (
            "no credentials were found: set them in .dlt/secrets.toml below "
            "[sources.filesystem.credentials], or in the environment"
            if self.is_anonymous
            else "check the credentials in .dlt/secrets.toml or the environment, and their rights"
        )
        return f"is refused ({secrets.hide(first_line(error))}): {advice}"


def _file_system(address: str, source: str, extra: str) -> "tuple[AbstractFileSystem, bool]":
    """dlt's file system for an address, and whether it is without credentials."""
    from dlt.common.configuration.exceptions import ConfigurationException
    from dlt.common.configuration.resolve import resolve_configuration
    from dlt.common.storages.configuration import FilesystemConfiguration
    from dlt.common.storages.fsspec_filesystem import fsspec_from_config

    is_anonymous = False
    try:
        config = resolve_configuration(
            FilesystemConfiguration(bucket_url=address), sections=("sources", "filesystem", source)
        )
    except ConfigurationException as error:
        if extra == "az":
            raise SourceError(
                f"{secrets.hide(address)}: no credentials were found: set "
                "azure_storage_account_name and azure_storage_account_key (or a SAS token) in "
                ".dlt/secrets.toml below [sources.filesystem.credentials]"
            ) from error
        # a public bucket needs none
        free = {"anon": True} if extra == "s3" else {"token": "anon"}
        config, is_anonymous = FilesystemConfiguration(bucket_url=address, kwargs=free), True
    if config.credentials is not None:
        secrets.learn({"credentials": dict(config.credentials)})
    try:
        if is_anonymous:
            return _anonymous(address, config.kwargs or {}), True
        return fsspec_from_config(config)[0], False
    except _errors() as error:
        raise SourceError(
            f"{secrets.hide(address)}: its credentials cannot be used: "
            f"{secrets.hide(first_line(error))}"
        ) from error


def _anonymous(address: str, options: dict[str, Any]) -> "AbstractFileSystem":
    import fsspec

    return fsspec.filesystem(urlsplit(address).scheme, use_listings_cache=False, **options)


def _digest(info: dict[str, Any]) -> str:
    """Of what a store says of a version of an object: its etag, or size and time."""
    version = next((info[key] for key in _VERSIONS if info.get(key)), None)
    when = next((info[key] for key in _TIMES if info.get(key)), None)
    said = f"{version} {info.get('size')}" if version else f"{when} {info.get('size')}"
    return xxhash.xxh3_128(said.encode()).hexdigest()


def _errors() -> tuple[type[Exception], ...]:
    """What a store may raise, by the libraries that are installed."""
    found: list[type[Exception]] = [OSError, ValueError, TimeoutError]
    for module, names in _ERRORS.items():
        try:
            loaded = import_module(module)
        except ImportError:
            continue
        found += [getattr(loaded, name) for name in names]
    return tuple(found)


_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_HTTP = frozenset({"http", "https"})


def is_address(text: str) -> bool:
    """Whether a path is an address, such as ``s3://bucket/folder``."""
    return _SCHEME.match(text) is not None


def _parsed(value: object) -> object:
    if not isinstance(value, str) or not is_address(value):
        return Path(value) if isinstance(value, str) else value
    scheme = urlsplit(value).scheme
    if scheme == "file":
        return Path(urlsplit(value).path)
    if scheme not in _HTTP | EXTRAS.keys():
        raise ValueError(
            f"{scheme}:// is no address that is read; use a folder, https://, s3://, gs:// or az://"
        )
    return value


Location = Annotated[Path | str, BeforeValidator(_parsed)]
"""A folder, or an address; in settings a text."""


def split_address(address: str) -> tuple[str, str]:
    """An address of files as the place and the pattern below it: ``s3://bucket/in``, ``*.csv``."""
    parts = urlsplit(address)
    if parts.scheme in _HTTP:
        folder, _, name = parts.path.rpartition("/")
        return (
            urlunsplit(parts._replace(path=f"{folder}/", query="", fragment="")),
            f"{name}?{parts.query}" if parts.query else name,
        )
    scheme, _, rest = address.partition("://")
    *folders, name = rest.split("/")
    if name and not re.search(r"[*?\[.]", name):
        folders, name = [*folders, name], ""  # a folder
    first = next((n for n, part in enumerate(folders) if re.search(r"[*?\[]", part)), len(folders))
    below = "/".join([*folders[first:], name])
    return f"{scheme}://{'/'.join(folders[:first])}", below or "*"


def find_source_files(
    place: Path | str, table: FileTable, cache: HashCache, scratch: Path, source: str
) -> FoundFiles:
    """The files of a table, in whatever place.

    Args:
        place: a folder, or an address.
        table: its patterns and format.
        cache: of content hashes.
        scratch: where files of remote places are fetched to.
        source: the source's name, by which credentials are looked up.

    Raises:
        SourceError: there is no such place, or it refuses; a pattern that cannot be used.
    """
    if isinstance(place, Path):
        return find_files(place, table.pattern, cache, table.format)
    if urlsplit(place).scheme in _HTTP:
        return _on_server(place, table, cache, scratch)
    return _in_store(place, table, cache, scratch, source)


def list_files(place: str, source: str) -> list[str]:
    """The names of all files below an address of an object store.

    Raises:
        SourceError: it is not there, or refuses.
    """
    store = StoreLocation.open(place, source)
    return [name for name, info in store.find(("**",)) if info.get("type") != "directory"]


def can_be_listed(address: str) -> bool:
    """Whether an address is of a place that says which files it has; a web server does not."""
    return urlsplit(address).scheme not in _HTTP


def has_password(address: str) -> bool:
    """Whether an address holds what must not be written to a file of settings."""
    return secrets.hide(address) != address


def shown(place: Path | str) -> str:
    """A place for messages, and for what is written: without credentials."""
    return secrets.hide(str(place))


def _on_server(place: str, table: FileTable, cache: HashCache, scratch: Path) -> FoundFiles:
    files: list[SourceFile] = []
    unreadable: list[str] = []
    ignored: list[str] = []
    named = addresses(place, table.patterns)
    known = known_suffixes(table.patterns, [_plain(name) for name in named])
    for name, address in sorted(named.items()):
        try:
            file = http_file(
                name, address, scratch, table.format, is_known=is_known(_plain(name), known)
            )
            if file.declared is None and not is_known(_plain(name), known):
                unreadable.append(f"{name} does not say its format: set `format` of its table")
            elif is_archive(_plain(name)):
                files += _remote_members(file, ignored, cache)
            else:
                files.append(file)
        except HttpError as error:
            unreadable.append(f"{name} cannot be read: {error}")
        except (OSError, SourceError) as error:
            unreadable.append(_unreadable(name, error))
    return FoundFiles(files, tuple(unreadable), tuple(ignored))


def _plain(name: str) -> str:
    return name.partition("?")[0]


def _in_store(
    place: str, table: FileTable, cache: HashCache, scratch: Path, source: str
) -> FoundFiles:
    if re.search(r"[*?\[]", place):
        raise SourceError(
            f"{shown(place)}: write wildcards into the `pattern` of its tables, not into the path"
        )
    patterns = table.patterns
    store = StoreLocation.open(place, source)
    found = store.find(patterns)
    known = known_suffixes(patterns, [name for name, _ in found])
    files: list[SourceFile] = []
    unreadable: list[str] = []
    ignored: list[str] = []
    for name, info in found:
        if info.get("type") == "directory":
            ignored.append(f"{name}/")
        elif table.format is None and not is_known(name, known):
            ignored.append(name)
        else:
            file = store.file(name, info, scratch, table.format)
            try:
                files += _remote_members(file, ignored, cache) if is_archive(name) else [file]
            except (OSError, SourceError) as error:
                unreadable.append(_unreadable(name, error))
    return FoundFiles(files, tuple(unreadable), tuple(ignored))


def _remote_members(archive: SourceFile, ignored: list[str], cache: HashCache) -> list[SourceFile]:
    """The files in a remote archive; what is in it is remembered, so that it is fetched once."""
    key = f"members of {archive.name} {archive.digest}"
    match cache.recall(key):
        case list(known):
            return [
                replace(archive, name=name, size=size, digest=digest, member=member)
                for name, size, digest, member in known
            ]
    found = list(members(fetched(archive), ignored))
    cache.remember(key, [[one.name, one.size, one.digest, one.member] for one in found])
    return found


def _unreadable(name: str, error: Exception) -> str:
    if system_fault(error) is not None:
        raise error
    said = str(error)
    return said if said.startswith(name) else f"{name} cannot be read: {said}"
