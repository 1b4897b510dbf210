"""Files at ``http(s)://`` addresses.

An address cannot be listed, so a table names its files. What the server says of a file (its etag,
or when it was modified) tells whether it changed; where the server says nothing, the file is
fetched and its content tells.
"""

import email.utils
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlencode, urljoin, urlsplit, urlunsplit

import xxhash

from headrace import secrets
from headrace.errors import SourceError
from headrace.ingest.discover import SourceFile, content_hash, suffix_of

if TYPE_CHECKING:
    import requests

_ATTEMPTS = 4
_PAUSE = 0.5  # seconds, doubled after each attempt
_LONGEST_PAUSE = 30.0
_TIMEOUT = (10.0, 60.0)  # seconds to connect, and for the next byte
_CHUNK = 1 << 20
_AS_IT_IS = {"Accept-Encoding": "identity"}
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_RACY = 2.0  # seconds: a file that was modified so recently may change again unseen
_OF_TYPES = {
    "text/csv": "csv",
    "application/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/json": "json",
    "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}
_SIGNED = re.compile(r"x-(amz|goog)-|s[vertp]$|sp?r$|spr|se|sig|expires$", re.IGNORECASE)


class HttpError(OSError):
    """A file that a server does not give; the text is why, for the caller to name the file."""


@dataclass(frozen=True)
class Answer:
    """What a server says of a file.

    Attributes:
        etag: its version, in the server's words.
        modified: when it was modified, in the server's words; None where that may be too recent
            to tell one version from the next.
        size: in bytes; None where it is not said, or of what is compressed on its way.
        media_type: such as ``text/csv``.
        name: what the server calls the file.
    """

    etag: str | None
    modified: str | None
    size: int | None
    media_type: str
    name: str

    @property
    def digest(self) -> str | None:
        """Of what tells this version from others; None where nothing does."""
        if self.etag is None and self.modified is None:
            return None
        version = self.etag or f"{self.modified} {self.size}"
        return xxhash.xxh3_128(version.encode()).hexdigest()


def addresses(base: str, patterns: Sequence[str]) -> dict[str, str]:
    """The names of a table's files to their addresses.

    A name is the path below the base, with the parameters that are no secret: what is signed
    differs each time.

    Args:
        base: the address of the source, ``https://example.org/exports/``.
        patterns: of the table: paths below it, or whole addresses.

    Raises:
        SourceError: a pattern with a wildcard, or two addresses of one name.
    """
    parts = urlsplit(base)
    folder = urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/", query="", fragment=""))
    found: dict[str, str] = {}
    for pattern in patterns:
        if re.search(r"[*\[]", urlsplit(pattern).path):
            raise SourceError(
                f"{secrets.hide(pattern)!r}: a web server cannot be asked which files it has, so "
                "there is no wildcard: list the files, pattern: [orders-1.csv, orders-2.csv]"
            )
        address = urljoin(folder, pattern.lstrip("/") if "://" not in pattern else pattern)
        there = urlsplit(address)
        if not there.query and parts.query:
            address = urlunsplit(there._replace(query=parts.query))
        name = _name(address, folder)
        if found.setdefault(name, address) != address:
            raise SourceError(f"two addresses are both called {name}: give each a table of its own")
    return found


def _name(address: str, folder: str) -> str:
    """A file's name: nothing in it is secret, or differs from one signature to the next."""
    parts = urlsplit(address)
    name = unquote(parts.path)
    above = unquote(urlsplit(folder).path)
    if parts.netloc != urlsplit(folder).netloc:
        name = f"{parts.hostname}{name}"
    name = name.removeprefix(above).lstrip("/")
    given = parse_qsl(parts.query, keep_blank_values=True)
    is_signed = any(secrets.is_secret(key) for key, _ in given)
    kept = [
        (key, value)
        for key, value in given
        if not secrets.is_secret(key) and not (is_signed and _SIGNED.match(key))
    ]
    query = secrets.hide(f"?{urlencode(kept)}")[1:] if kept else ""
    return f"{name}?{query}" if query else name or str(parts.hostname)


def http_file(
    name: str, address: str, scratch: Path, declared: str | None, *, is_known: bool
) -> SourceFile:
    """A file at an address, as the server describes it; fetched where it says too little.

    Args:
        name: of the file.
        address: of it.
        scratch: where it is fetched to.
        declared: the format that the settings say.
        is_known: whether its name says the format.

    Raises:
        HttpError: the server does not give it.
    """
    answer = _look(address)
    _refuse_page(answer, name)
    if declared is None and not is_known:
        declared = suffix_of(answer.name).removeprefix(".") or _OF_TYPES.get(answer.media_type)
    folder = xxhash.xxh3_64(address.encode()).hexdigest()
    path = scratch / "fetched" / folder / _file_name(address, declared)
    fetch = partial(download, address)
    digest, size = answer.digest, answer.size
    if digest is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        download(address, path)
        digest, size = content_hash(path), path.stat().st_size
    # a size that is not said is found when the file is fetched
    return SourceFile(
        path, name, 1 if size is None else size, digest, declared=declared, fetch=fetch
    )


def _file_name(address: str, declared: str | None) -> str:
    name = re.sub(r"[^\w.=-]", "_", Path(unquote(urlsplit(address).path)).name)[-80:]
    return name if name.strip("._") else f"file.{declared or 'bin'}"


def download(address: str, target: Path) -> None:
    """Write what is at an address to a file; go on where a connection was cut, if it is the same.

    Raises:
        HttpError: the server does not give it, or it was cut each time.
        OSError: the file cannot be written.
    """
    import requests
    from urllib3.exceptions import HTTPError

    version: str | None = None
    problem = ""
    for attempt in range(_ATTEMPTS):
        have = target.stat().st_size if version and target.exists() else 0
        more = {"Range": f"bytes={have}-", "If-Range": version or ""} if have else {}
        with _answer(address, more) as response:
            goes_on = response.status_code == 206
            encoded = response.headers.get("Content-Encoding", "identity") != "identity"
            unpack = encoded and suffix_of(target.name, compressed=True) not in {".gz", ".zst"}
            etag = response.headers.get("ETag", "")
            can_go_on = etag.startswith('"') and not encoded
            version = etag if can_go_on else None
            try:
                with target.open("ab" if goes_on else "wb") as file:
                    for part in response.raw.stream(_CHUNK, decode_content=unpack):
                        file.write(part)
            except (requests.RequestException, HTTPError) as error:
                problem = type(error).__name__
            else:
                return
        time.sleep(_pause(attempt, None))
    raise HttpError(f"the connection was cut {_ATTEMPTS} times ({problem}): run again")


def _look(address: str) -> Answer:
    """What the server says of a file.

    Some answer HEAD with an error, or have signed the address for GET alone: they are asked for
    the file, which is not read.
    """
    import requests

    try:
        found = requests.head(
            address, headers=_AS_IT_IS, timeout=_TIMEOUT, allow_redirects=True, stream=True
        )
    except (requests.RequestException, ValueError):
        pass  # the next request says what is wrong
    else:
        if found.status_code == 200:
            return _described(found)
    with _answer(address, {}) as response:
        return _described(response)


@contextmanager
def _answer(address: str, headers: dict[str, str]) -> "Iterator[requests.Response]":
    """An answer that has not been read yet, after as many attempts as it takes."""
    import requests

    with requests.Session() as session:
        response = _asked(session, address, _AS_IT_IS | headers)
        try:
            _check(response)
            yield response
        finally:
            response.close()


def _asked(
    session: "requests.Session", address: str, headers: dict[str, str]
) -> "requests.Response":
    import requests

    for attempt in range(_ATTEMPTS):
        is_last = attempt == _ATTEMPTS - 1
        wait = None
        try:
            response = session.get(address, headers=headers, stream=True, timeout=_TIMEOUT)
        except (requests.ConnectionError, requests.Timeout) as error:
            if is_last:
                raise HttpError(_unreachable(address, error)) from error
        except requests.TooManyRedirects as error:
            raise HttpError(f"the server redirects without end ({error})") from error
        except (requests.RequestException, ValueError) as error:
            raise HttpError(f"it is not an address that can be read: {_masked(error)}") from error
        else:
            if response.status_code not in _BUSY or is_last:
                return response
            wait = response.headers.get("Retry-After")
            response.close()
        time.sleep(_pause(attempt, wait))
    raise AssertionError


def _pause(attempt: int, wanted: str | None) -> float:
    """Seconds until the next attempt; as many as the server wants, within limits."""
    wait = float(wanted) if wanted and wanted.isdigit() else _PAUSE * 2**attempt
    return min(wait, _LONGEST_PAUSE)


def _unreachable(address: str, error: Exception) -> str:
    host = urlsplit(address).hostname
    words = _masked(error)
    if "timed out" in words:
        return f"{host} does not answer: try again later"
    if "resolve" in words or "not known" in words:
        return f"there is no host {host}: correct the address"
    if "certificate" in words.lower() or "SSL" in words:
        return f"the certificate of {host} cannot be verified ({words[-120:]})"
    return f"{host} cannot be reached: check the address and the network"


def _masked(error: Exception) -> str:
    return secrets.hide(str(error))


def _check(response: "requests.Response") -> None:
    """Refuse an answer that is no file.

    Raises:
        HttpError: with what to do about it.
    """
    code = response.status_code
    if code in {200, 206}:
        return
    said = f"{code} {response.reason}".strip()
    if code in {401, 403, 407}:
        raise HttpError(f"the server refuses it ({said}): check its credentials or signature")
    if code in {404, 410}:
        raise HttpError(f"it is not on the server ({said}): correct its address or remove it")
    if code in _BUSY:
        raise HttpError(f"the server answered {said} {_ATTEMPTS} times: try again later")
    raise HttpError(f"the server answered {said}")


def _described(response: "requests.Response") -> Answer:
    headers = response.headers
    encoded = headers.get("Content-Encoding", "identity") != "identity"
    length = headers.get("Content-Length", "")
    found = re.search(r'filename="?([^";]+)', headers.get("Content-Disposition", ""))
    return Answer(
        etag=headers.get("ETag") or None,
        modified=_settled(headers.get("Last-Modified"), headers.get("Date")),
        size=int(length) if length.isdigit() and not encoded else None,
        media_type=headers.get("Content-Type", "").partition(";")[0].strip().lower(),
        name=found[1] if found else "",
    )


def _settled(modified: str | None, now: str | None) -> str | None:
    """The time of the last change, unless the file may have changed again within that second."""
    try:
        then = email.utils.parsedate_to_datetime(modified or "")
        passed = (email.utils.parsedate_to_datetime(now or "") - then).total_seconds()
    except (ValueError, TypeError):
        return None
    return modified if passed >= _RACY else None


def _refuse_page(answer: Answer, name: str) -> None:
    """Refuse a page where a file is expected: of a login, or of an error with the status 200."""
    # .xls is what many reports are called that are pages for Excel
    if answer.media_type in {"text/html", "application/xhtml+xml"} and suffix_of(name) != ".xls":
        raise HttpError(
            "the server sends a web page in its place (text/html): it may ask to sign in, so open "
            "its address in a browser, or correct it"
        )
