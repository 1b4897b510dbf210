"""HTTP sessions that stay with their hosts, and answers within limits as JSON without a loss."""

import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any, cast
from urllib.parse import urlsplit

from dlt.sources.helpers.requests import Client, Session
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import BaseHTTPResponse

from headrace.errors import SourceError
from headrace.ingest.model import ApiLimits
from headrace.secrets import public_url

MAX_DEPTH = 64


class JsonResponse(Response):
    """A response whose ``json()`` loses nothing."""

    _source: str
    _parsed: Any
    _is_parsed: bool

    @classmethod
    def of(cls, response: Response, body: bytes, source: str) -> "JsonResponse":
        """The same response, its body read."""
        vars(response).update(_content=body, _content_consumed=True)  # what requests reads itself
        vars(response).update(_source=source, _parsed=None, _is_parsed=False)
        response.__class__ = cls
        return cast("JsonResponse", response)

    def json(self, **kwargs: Any) -> Any:
        """The body as JSON; numbers with a fraction are decimals; None of an answer without one.

        Raises:
            SourceError: it is no JSON, or not as JSON has to be.
        """
        del kwargs
        if not self._is_parsed:
            try:
                self._parsed = None if self.status_code == 204 else parse(self.content)
            except ValueError as error:
                kind = self.headers.get("Content-Type", "").partition(";")[0]
                raise SourceError(
                    f"source {self._source}: an answer was no JSON: see whether "
                    f"sources.{self._source}.base_url is that of the API "
                    f"({public_url(self.url)}{f', {kind}' if kind else ''}: {error})"
                ) from error
            self._is_parsed = True
        return self._parsed


def parse(content: bytes) -> Any:
    """A JSON text, in UTF-8, UTF-16 or UTF-32.

    Raises:
        ValueError: with what is wrong with it.
    """
    if not content.strip():
        raise ValueError("it is empty")
    try:
        text = content.decode(json.detect_encoding(content))
        parsed = json.loads(
            text,
            parse_float=_number,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not valid {error.encoding}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError as error:
        words = str(error)
        if "integer string conversion" in words:
            words = "a number has more than 4,300 digits"
        raise ValueError(words) from error
    if _depth(parsed) > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    return parsed


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text[:40]} is not a number that can be kept") from error


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not a number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the field {twice!r} twice")
    return found


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        following: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                following += [part for part in one.values() if isinstance(part, dict | list)]
            elif isinstance(one, list):
                following += [part for part in one if isinstance(part, dict | list)]
        depth, level = depth + 1, following
    return depth


_CHUNK = 65_536
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = {301, 302, 303, 307, 308}

Origin = tuple[str, str, int | None]


def open_session(
    source: str,
    base_url: str,
    allowed_hosts: Sequence[str],
    limits: ApiLimits,
    *,
    timeout: float,
    max_attempts: int,
    max_wait: float,
) -> Session:
    """A session that makes requests again when the API is busy.

    Every request passes the adapter below, those of redirects, ``next`` links and further
    attempts too.

    Args:
        source: the source's name, for messages.
        base_url: of the API: its scheme, host and port are allowed.
        allowed_hosts: further ones, as ``files.example.com``, ``host:8080`` or
            ``http://host:8080``; they are sent the credentials, too.
        limits: of an answer.
        timeout: how long to wait for a byte, in seconds.
        max_attempts: how often a request is made.
        max_wait: the longest pause between two attempts, in seconds.
    """
    session = Client(
        raise_for_status=False,
        status_codes=(),
        retry_condition=_is_busy,
        request_timeout=timeout,
        request_max_attempts=max_attempts,
        request_max_retry_delay=max_wait,
    ).session
    adapter = _Adapter(source, base_url, allowed_hosts, limits)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _is_busy(answer: Response | None, error: BaseException | None) -> bool:
    """Whether a request is worth another attempt; one that is not answered at all always is."""
    del error
    return answer is not None and (answer.status_code == 429 or answer.status_code >= 500)


class _Adapter(HTTPAdapter):
    def __init__(
        self, source: str, base_url: str, allowed_hosts: Sequence[str], limits: ApiLimits
    ) -> None:
        super().__init__(pool_maxsize=50)
        self._source = source
        self._limits = limits
        self.poolmanager.pool_classes_by_scheme = _pools(limits.max_response_seconds)
        self._home = origin(base_url)
        self._user = urlsplit(base_url).netloc.rpartition("@")[0]
        self._allowed = {self._home, *(_allowed(host, self._home) for host in allowed_hosts)}

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Response:
        del stream
        self._check(str(request.url))
        started = time.monotonic()
        try:
            response = super().send(
                request, stream=True, timeout=timeout, verify=verify, cert=cert, proxies=proxies
            )
        except _TooSlowError:
            raise self._too_slow(str(request.url)) from None
        if response.status_code not in _REDIRECTS:
            body = self._read(response, started)
            return JsonResponse.of(response, body, self._source)
        return response

    def _check(self, url: str) -> None:
        """Refuse an address that is not of the API.

        Raises:
            SourceError: it is of another scheme, host or port, or has a user in it.
        """
        there = origin(url)
        shown = f"{there[0]}://{there[1]}" + (
            f":{there[2]}" if there[2] != _PORTS.get(there[0]) else ""
        )
        if there not in self._allowed:
            raise SourceError(
                f"source {self._source}: the API leads to another host, {shown}, which would get "
                f"the credentials: set sources.{self._source}.allowed_hosts to [{shown!r}] if it "
                "may have them"
            )
        if urlsplit(url).netloc.rpartition("@")[0] not in {"", self._user}:
            raise SourceError(
                f"source {self._source}: the API leads to an address of {shown} with a user in "
                f"it, which is not followed: set paginator at its resource in "
                f"sources.{self._source}.resources to another one"
            )

    def _read(self, response: Response, started: float) -> bytes:
        """The body, up to the limits.

        Raises:
            SourceError: it is larger, or takes longer.
        """
        parts: list[bytes] = []
        size = 0
        limits = self._limits
        name = f"source {self._source}: the answer of {public_url(response.url)}"
        for part in _parts(response):
            parts.append(part)
            size += len(part)
            if size > limits.max_response_mb * 1_000_000:
                response.close()
                raise SourceError(
                    f"{name} is larger than {limits.max_response_mb:g} MB: ask for smaller pages "
                    f"(params), or raise sources.{self._source}.max_response_mb"
                )
            if time.monotonic() - started > limits.max_response_seconds:
                response.close()
                raise self._too_slow(response.url)
        return b"".join(parts)

    def _too_slow(self, url: str) -> SourceError:
        return SourceError(
            f"source {self._source}: the answer of {public_url(url)} takes longer than "
            f"{self._limits.max_response_seconds:g} seconds: ask for smaller pages (params), or "
            f"raise sources.{self._source}.max_response_seconds"
        )


class _TooSlowError(Exception):
    """The head of an answer did not end in time; neither urllib3 nor dlt makes it another error."""


def _pools(seconds: float) -> dict[str, type[HTTPConnectionPool]]:
    """Pools whose connections wait so long for the head of an answer, however it drips in.

    The timeout that requests takes is for each byte.
    """

    def bounded(
        connection: HTTPConnection, read: Callable[[], BaseHTTPResponse]
    ) -> BaseHTTPResponse:
        is_over = threading.Event()

        def end() -> None:
            is_over.set()
            with suppress(OSError):  # it was closed just now
                if connection.sock is not None:
                    connection.sock.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            return read()
        finally:
            timer.cancel()
            if is_over.is_set():  # a head that was cut may look whole
                connection.close()
                raise _TooSlowError

    class Plain(HTTPConnection):
        def getresponse(self) -> Any:
            return bounded(self, super().getresponse)

    class Secure(HTTPSConnection):
        def getresponse(self) -> Any:
            return bounded(self, super().getresponse)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _parts(response: Response) -> Any:
    """Pieces of a body as they come in, unpacked; errors are those that requests has for them."""
    import requests
    from urllib3.exceptions import DecodeError, HTTPError, ProtocolError

    try:
        while True:
            part = response.raw.read1(_CHUNK, decode_content=True)
            if not part:
                break
            yield part
        response.raw.release_conn()
    except ProtocolError as error:
        raise requests.exceptions.ChunkedEncodingError(error, request=response.request) from error
    except DecodeError as error:
        raise requests.exceptions.ContentDecodingError(error, request=response.request) from error
    except HTTPError as error:
        raise requests.ConnectionError(error, request=response.request) from error


def origin(url: str) -> Origin:
    """Scheme, host and port of an address, the port of the scheme where it has none."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    scheme = parts.scheme.lower()
    host = (parts.hostname or "").lower().rstrip(".")
    return scheme, host, port if port is not None else _PORTS.get(scheme)


def _allowed(host: str, home: Origin) -> Origin:
    return origin(host if "://" in host else f"{home[0]}://{host}")
