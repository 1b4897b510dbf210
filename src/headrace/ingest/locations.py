"""Where a source's files lie: a folder of this machine, an object store, or a web server."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit, urlunsplit

from pydantic import BeforeValidator

from headrace import secrets
from headrace.errors import SourceError
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
from headrace.ingest.object_store import EXTRAS, ObjectStore
from headrace.ingest.reader import fetched
from headrace.system_errors import system_fault

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
    store = ObjectStore.open(place, source)
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
    store = ObjectStore.open(place, source)
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
