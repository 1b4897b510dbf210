"""Runs the server: from the settings to a bound port, until a signal ends it."""

import errno
import importlib.util
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from headrace import portable
from headrace.errors import ServeError
from headrace.extras import how_to_install
from headrace.server.access import Access, access_of
from headrace.settings import Resolved

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

    from headrace.server.state import ServerState

_NEEDED = ("fastapi", "uvicorn", "jinja2")
_OTHER_PORTS = 20
_GRACE_SECONDS = 3


def serve(
    resolved: Resolved,
    *,
    token_file: Path | None,
    make_token: bool = False,
    allow_pii: bool,
    tell: Callable[[str], None],
    catalog_only: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        resolved: the settings.
        token_file: holds the token; overrules ``serve.token``.
        make_token: see ``access_of``.
        allow_pii: whether personal data is shown when asked for.
        tell: called with one line that says where it listens.
        catalog_only: of a dbt project that is no project of Headrace.

    Raises:
        ServeError: it cannot listen there, or a token is missing.
        RunStoreError: the run store cannot be opened, or is of a newer version.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ServeError(
            f"the page needs {', '.join(missing)}: install the extra, `{how_to_install('serve')}`"
        )
    access = access_of(resolved, token_file, make_token=make_token)
    port = resolved.settings.serve.port
    with bound(access.host, port) as listening:
        from headrace.server.state import open_state

        state = open_state(
            resolved, allow_pii=allow_pii, is_long_lived=True, catalog_only=catalog_only
        )
        try:
            state.start()
            hint = "; the catalog is large and is being read"
            if state.is_ready:
                is_there = state.snapshot().has_catalog
                hint = "" if is_there else "; there is no catalog yet: headrace run"
            asks = ", which asks for the token" if access.token else ""
            if make_token and not resolved.settings.serve.token:
                asks += f" in {token_file}"
            where = _address(access.host, listening.getsockname()[1])
            tell(f"{resolved.root.name} is served at {where}{asks}; Ctrl-C ends it{hint}")
            sys.stdout.flush()
            _run(state, access, listening)
        finally:
            state.close()


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that is bound to an address.

    Raises:
        ServeError: the port is in use or may not be used, or the host is not of this machine.
    """
    try:
        listening = _bind(host, port)
    except OSError as error:
        raise ServeError(_why_not(host, port, error)) from error
    with listening:
        yield listening


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        portable.reuse_address(listening)
        listening.bind(address)
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    return listening


def _why_not(host: str, port: int, error: OSError) -> str:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine: choose another one with --host"
    if error.errno == errno.EADDRINUSE:
        other = _free_port(host, port)
        advice = f"`headrace serve --port {other}`" if other else "choose another one with --port"
        return f"port {port} of {host} is in use, perhaps by another `headrace serve`: {advice}"
    if isinstance(error, PermissionError):
        return (
            f"port {port} needs privileges that you do not have: choose one above 1023 with --port"
        )
    return f"cannot listen on {host} port {port}: {error.strerror or error}"


def _free_port(host: str, port: int) -> int | None:
    """The next port that is free."""
    for other in range(port + 1, min(port + _OTHER_PORTS, 65536)):
        try:
            _bind(host, other).close()
        except OSError:
            continue
        return other
    return None


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def config(app: "FastAPI", access: Access) -> "uvicorn.Config":
    """Uvicorn's configuration; the limits of connections are in ``security``."""
    import uvicorn

    from headrace.server.security import MAX_HEAD, LimitedProtocol

    return uvicorn.Config(
        app,
        http=LimitedProtocol,
        ws="none",
        log_config=None,
        log_level="error",  # what is wrong with a request is in its response
        access_log=False,
        server_header=False,
        proxy_headers=bool(access.trusted_proxies),
        forwarded_allow_ips=list(access.trusted_proxies),
        h11_max_incomplete_event_size=MAX_HEAD,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def _run(state: "ServerState", access: Access, listening: socket.socket) -> None:
    from headrace.libraries.uvicorn import Server
    from headrace.server.app import create_app

    handled = partial(portable.handled, portable.stop_signals())
    app = create_app(state, access)
    server = Server(config(app, access), handled, app.state.streams.end)
    server.run(sockets=[listening])
