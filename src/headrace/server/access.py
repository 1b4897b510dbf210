"""Who may use the server: a token, a session that began with it, and how many wrong tokens."""

import hashlib
import hmac
import ipaddress
import secrets
import socket
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from headrace import portable
from headrace.errors import ServeError

if TYPE_CHECKING:
    from headrace.settings import Resolved
from collections import OrderedDict
from collections.abc import Callable

COOKIE = "headrace_session"
SESSION_SECONDS = 12 * 3600
MIN_TOKEN_LENGTH = 16


@dataclass(frozen=True)
class Access:
    """What a client must show, and which host names it may use.

    Attributes:
        host: the address that the server listens on.
        token: the token that is required, if any. Never shown, never logged.
        allowed_hosts: host names that the server accepts, besides those of this machine.
        trusted_proxies: addresses or networks whose ``X-Forwarded-For`` is believed.
        public_metrics: whether the metrics of runs need no token.
    """

    host: str = "127.0.0.1"
    token: str | None = field(default=None, repr=False)
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    public_metrics: bool = False

    def is_token(self, text: str) -> bool:
        """Whether that is the token, in constant time."""
        return self.token is not None and hmac.compare_digest(_digest(text), _digest(self.token))

    def session(self, now: float | None = None) -> str:
        """A new session's cookie: when it ends, signed with the token."""
        ends = int((time.time() if now is None else now) + SESSION_SECONDS)
        return f"{ends}.{self._sign(ends)}"

    def is_session(self, cookie: str, now: float | None = None) -> bool:
        """Whether that is the cookie of a session that has not ended."""
        ends, _, signature = cookie.partition(".")
        if not (ends.isascii() and ends.isdigit() and len(ends) <= 12):
            return False
        good = hmac.compare_digest(signature.encode(), self._sign(int(ends)).encode())
        return good and int(ends) > (time.time() if now is None else now)

    def is_allowed_host(self, header: str) -> bool:
        """Whether a Host header names this server.

        A page elsewhere can make a browser send requests here under a name of its own (DNS
        rebinding); it cannot make it send another Host.
        """
        name = _host_name(header)
        if name is None:
            return False
        if name in self._names:
            return True
        address = _ip(name)
        # an address can't be rebound; beyond loopback a token is required, too
        return address is not None and (address.is_loopback or not is_loopback(self.host))

    @cached_property
    def _names(self) -> frozenset[str]:
        names = ["localhost", self.host, *self.allowed_hosts]
        if not is_loopback(self.host):
            names.append(socket.gethostname())
        return frozenset(name.casefold().removesuffix(".") for name in names)

    def _sign(self, ends: int) -> str:
        key = (self.token or "").encode()
        return hmac.new(key, f"headrace session {ends}".encode(), hashlib.sha256).hexdigest()


def access_of(resolved: "Resolved", token_file: Path | None, *, make_token: bool = False) -> Access:
    """Who may use the server, by the settings.

    Args:
        resolved: the settings.
        token_file: holds the token; overrules ``serve.token``.
        make_token: without ``serve.token``, write a new token to ``token_file`` if it is missing.

    Raises:
        ServeError: the token cannot be read or written, is too short, is on the command line,
            or is missing where one is required.
    """
    settings = resolved.settings.serve
    if resolved.origins.get("serve.token") == "flag":
        raise ServeError(
            "a token on the command line can be read by everybody on this machine: set "
            "HEADRACE_SERVE__TOKEN, or write it to a file and name that with --token-file"
        )
    token = settings.token.get_secret_value() if settings.token is not None else None
    if make_token and token_file is None:
        raise ServeError("--make-token needs a file for the token: name it with --token-file")
    if token_file is not None and not (make_token and token is not None):
        if make_token:
            _make_token(token_file)
        token = _read_token(token_file)
    if token is not None and len(token) < MIN_TOKEN_LENGTH:
        raise ServeError(
            f"the token is shorter than {MIN_TOKEN_LENGTH} characters: "
            "`openssl rand -hex 32` makes a good one"
        )
    if token is None and not is_loopback(settings.host):
        raise ServeError(
            f"{settings.host} can be reached from other machines, so a token is required: set "
            "HEADRACE_SERVE__TOKEN, or name a file that holds one with --token-file "
            "(`openssl rand -hex 32 > token` makes one)"
        )
    return Access(
        host=settings.host,
        token=token,
        allowed_hosts=settings.allowed_hosts,
        trusted_proxies=settings.trusted_proxies,
        public_metrics=settings.public_metrics,
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    address = _ip(host)
    return host.casefold() == "localhost" if address is None else address.is_loopback


def _read_token(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ServeError(f"no token can be read from {path}: {reason}") from error


def _make_token(path: Path) -> None:
    """Write a new token, which its owner alone can read, if there is no file yet."""
    if path.exists():
        return
    try:
        portable.write_file(path, f"{secrets.token_hex(32)}\n", is_private=True)
    except OSError as error:
        raise ServeError(f"no token can be written to {path}: {error.strerror}") from error


def _digest(text: str) -> bytes:
    """A hash of fixed length, so that a comparison does not reveal the token's length."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _host_name(header: str) -> str | None:
    """The name of a Host header, without the port."""
    if header.startswith("["):
        name, bracket, port = header[1:].partition("]")
        port = port.removeprefix(":")
        if not bracket:
            return None
    else:
        name, _, port = header.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return None
    return name.casefold().removesuffix(".") or None


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


MAX_TOKENS = 20  # different wrong tokens that an address may send in a window
WINDOW = 60.0  # seconds
_MAX_ADDRESSES = 4096


class RateLimit:
    """The wrong tokens of the last minute, by the address that sent them.

    The same wrong token counts once, so that a program with an outdated one does not lock out
    everybody behind the same proxy. Only a hash of a token is kept.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without any attempt; ``clock`` gives seconds."""
        self._clock = clock
        self._wrong: OrderedDict[str, dict[bytes, float]] = OrderedDict()

    def wait(self, address: str) -> int:
        """For how many seconds an address may send no token; 0 if it may."""
        known = self._recent(address)
        if len(known) < MAX_TOKENS:
            return 0
        return max(1, round(WINDOW - (self._clock() - min(known.values()))))

    def add(self, address: str, token: str) -> None:
        """Count a wrong token."""
        known = self._recent(address)
        known.setdefault(
            hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest(), self._clock()
        )
        self._wrong[address] = known
        self._wrong.move_to_end(address)
        while len(self._wrong) > _MAX_ADDRESSES:
            self._wrong.popitem(last=False)

    def _recent(self, address: str) -> dict[bytes, float]:
        oldest = self._clock() - WINDOW
        known = self._wrong.get(address, {})
        return {token: at for token, at in known.items() if at > oldest}
