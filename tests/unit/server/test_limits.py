"""What a client may send, and for how long: asked of the real server through a real socket."""

import json
import logging
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from server_lab import TOKEN, write_project

from headrace.server import events, security
from headrace.server.access import MAX_TOKENS, Access
from headrace.server.app import create_app
from headrace.server.runner import bound, config
from headrace.server.security import MAX_BODY, MAX_HEAD, MAX_URL

PATIENCE = 60  # seconds until a test gives up on the server
MOST_SENT = 64 * 1024 * 1024  # bytes of something that has no end
GET = b"GET /healthz HTTP/1.1\r\n"
HOST = b"Host: localhost\r\n"


@dataclass(frozen=True)
class Server:
    """A server in a thread of this process."""

    host: str
    port: int

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        with socket.create_connection((self.host, self.port), timeout=PATIENCE) as found:
            yield found

    def ask(self, *parts: bytes) -> bytes:
        """All that comes back until the server closes, or has said that it keeps the connection."""
        with self.connected() as connection:
            for part in parts:
                connection.sendall(part)
            return answer_of(connection)

    def get(self, path: str = "/healthz", **headers: str) -> int:
        lines = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in headers.items())
        return status(self.ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode()))


def answer_of(connection: socket.socket) -> bytes:
    """One response, or nothing where the connection was reset or closed."""
    answer = b""
    try:
        while True:
            head, found, body = answer.partition(b"\r\n\r\n")
            if found:
                length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
                if len(body) >= int(length or b"0"):
                    return answer
            part = connection.recv(65536)
            if not part:
                return answer
            answer += part
    except ConnectionError:
        return answer


def status(answer: bytes) -> int:
    """The status of a response; 0 where there is none."""
    return int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/1.1 ") else 0


@contextmanager
def serving(directory: Path, access: Access) -> Iterator[Server]:
    state = write_project(directory).state()
    with bound(access.host, 0) as listening:
        server = uvicorn.Server(config(create_app(state, access), access))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield Server(access.host, listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("served"), Access(token=TOKEN)) as found:
        yield found


@pytest.fixture(autouse=True)
def quiet(server: Server, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a client does, nothing is logged, and the next one is answered."""
    yield
    assert server.get() == 200
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not told, [record.getMessage() for record in told]


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"GET /", id="request line"),
        pytest.param(GET + HOST + b"X-Long: ", id="one header"),
        pytest.param(GET + HOST + b"X-Folded: a\r\n ", id="folded header"),
        pytest.param(b"a", id="no HTTP"),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;x=",
            id="chunk extension",
        ),
    ],
)
@pytest.mark.parametrize("piece", [b"a" * 65536, b"\r\na: b" * 1000], ids=["letters", "lines"])
def test_a_head_without_end_is_refused(server: Server, start: bytes, piece: bytes) -> None:
    sent = 0
    with server.connected() as connection:
        try:
            connection.sendall(start)
            while sent < MOST_SENT:
                connection.sendall(piece)
                sent += len(piece)
        except ConnectionError:
            pass
    assert sent < MOST_SENT, "all of it was taken"


@pytest.mark.parametrize("header", [b"X-Long: ", b"Cookie: ", b"Authorization: Bearer "])
def test_a_head_that_is_too_long_is_told(server: Server, header: bytes) -> None:
    whole = GET + HOST + header + b"a" * MAX_HEAD + b"\r\n\r\n"
    for parts in ((whole,), (whole[:100], whole[100 : MAX_HEAD + 30])):
        answer = server.ask(*parts)
        assert status(answer) == 431
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "too_large"
    assert status(server.ask(GET + HOST + header + b"a" * 8000 + b"\r\n\r\n")) == 200


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize("path", [b"/healthz", b"/api/v1/home", b"/login"])
def test_a_body_is_short(server: Server, method: bytes, path: bytes) -> None:
    head = method + b" " + path + b" HTTP/1.1\r\n" + HOST
    for length in (MAX_BODY + 1, 10**12, 10**18):
        answer = server.ask(head + b"Content-Length: %d\r\n\r\n" % length)
        assert status(answer) == 413
    chunk = b"%x\r\n" % (MAX_BODY + 1) + b"a" * (MAX_BODY + 1) + b"\r\n"
    assert status(server.ask(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)) == 413


@pytest.mark.parametrize("kind", [b"Content-Length: 4000000000", b"Transfer-Encoding: chunked"])
def test_a_body_without_end_is_not_taken(server: Server, kind: bytes) -> None:
    sent = 0
    piece = b"ffff\r\n" + b"a" * 0xFFFF + b"\r\n"  # a chunk, and as good as any other body
    with server.connected() as connection:
        connection.sendall(b"POST /login HTTP/1.1\r\n" + HOST + kind + b"\r\n\r\n")
        try:
            while sent < MOST_SENT:
                connection.sendall(piece)
                sent += len(piece)
        except ConnectionError:
            pass
    assert sent < MOST_SENT, "all of it was taken"


PARTS = (
    b"G", GET, GET + HOST + b"X: ",
    b"POST /login HTTP/1.1\r\n" + HOST + b"Content-Length: 20\r\n\r\ntok",
    b"POST /login HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\ntok",
)  # fmt: skip


@pytest.mark.parametrize("part", [b"", *PARTS, *(GET + HOST + b"\r\n" + part for part in PARTS)])
def test_a_request_that_never_ends_is_closed(
    server: Server, part: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "REQUEST_SECONDS", 0.2)
    with server.connected() as connection:
        _, whole, rest = part.rpartition(GET + HOST + b"\r\n")
        if whole:
            connection.sendall(whole)
            assert status(answer_of(connection)) == 200
        connection.sendall(rest)
        assert status(answer_of(connection)) == 408


def test_a_drip_of_headers_does_not_keep_a_connection(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "REQUEST_SECONDS", 0.5)
    dripped = 0
    with server.connected() as connection:
        connection.sendall(GET)
        connection.settimeout(0.05)
        while dripped < 600:
            try:
                if connection.recv(65536):
                    break
            except TimeoutError:
                connection.sendall(b"X-A: b\r\n")
                dripped += 1
    assert 0 < dripped < 600


def test_many_idle_connections_do_not_lock_others_out(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "MAX_CONNECTIONS", 10)
    held = [socket.create_connection((server.host, server.port)) for _ in range(30)]
    try:
        assert server.get() == 200
        held[0].settimeout(PATIENCE)
        with suppress(ConnectionError):  # which is as good
            assert held[0].recv(1) == b"", "the oldest one is closed"
    finally:
        for connection in held:
            connection.close()


def test_requests_in_one_piece_are_answered_in_order(server: Server) -> None:
    pieces = [b"GET /nothing-%d HTTP/1.1\r\n" % number + HOST for number in range(50)]
    last = GET + HOST + b"Connection: close\r\n\r\n"
    with server.connected() as connection:
        connection.sendall(b"".join(piece + b"\r\n" for piece in pieces) + last)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    _, *found = answer.split(b"HTTP/1.1 ")
    assert [each[:3] for each in found] == [b"401"] * 50 + [b"200"]


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(GET + HOST + HOST, id="host twice"),
        pytest.param(GET + HOST + b"Host: evil.example.com\r\n", id="two hosts"),
        pytest.param(GET, id="no host"),
        pytest.param(b"GET http://evil.example.com/healthz HTTP/1.1\r\n" + HOST, id="other host"),
        pytest.param(b"GET http://localhost/healthz HTTP/1.1\r\n" + HOST, id="absolute"),
        pytest.param(b"GET healthz HTTP/1.1\r\n" + HOST, id="no slash"),
        pytest.param(b"GET * HTTP/1.1\r\n" + HOST, id="star"),
        pytest.param(GET + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n", id="two lengths"),
        pytest.param(GET + HOST + b"Content-Length: 1, 2\r\n", id="two lengths in one"),
        pytest.param(GET + HOST + b"Content-Length: +1\r\n", id="length with sign"),
        pytest.param(GET + HOST + b"Content-Length: 0x1\r\n", id="hexadecimal length"),
        pytest.param(
            GET + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", id="both"
        ),
        pytest.param(
            GET + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            id="chunked twice",
        ),
        pytest.param(
            GET + HOST + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", id="two tokens"
        ),
        pytest.param(GET + HOST + b"X: a\0b\r\n", id="NUL"),
        pytest.param(GET + HOST + b"X: a\rb\r\n", id="CR"),
        pytest.param(GET + HOST + b"X y: a\r\n", id="blank in name"),
        pytest.param(GET + HOST + b"X : a\r\n", id="blank after name"),
        pytest.param(GET + b" Host: localhost\r\n", id="first header folded"),
        pytest.param(b"GET /\xff HTTP/1.1\r\n" + HOST, id="not ASCII"),
        pytest.param(b"GET /healthz HTTP/2.0\r\n" + HOST, id="HTTP/2"),
        pytest.param(b"GET /healthz\r\n", id="HTTP/0.9"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n", id="HTTP/2 preface"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\r\n", id="TLS"),
    ],
)
def test_what_is_ambiguous_or_no_http_is_refused(server: Server, request_: bytes) -> None:
    answer = server.ask(request_ + b"\r\n")
    assert status(answer) in {400, 501, 505}, answer
    assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200), ("LOCALHOST:1", 200), ("localhost.", 200), ("127.0.0.1:8585", 200),
        ("127.0.0.2", 200), ("[::1]", 200), ("[::ffff:127.0.0.1]:80", 200), ("user@localhost", 421),
        ("localhost@evil.example.com", 421), ("evil.example.com", 421), ("10.0.0.1", 421),
        ("", 421), ("localhost:80@evil.example.com", 421), ("localhost, evil.example.com", 421),
    ],
)  # fmt: skip
def test_the_host_must_be_this_machine(server: Server, host: str, expected: int) -> None:
    answer = server.ask(GET + f"Host: {host}\r\n\r\n".encode())
    assert status(answer) == expected


def test_http_1_0_needs_a_host_too(server: Server) -> None:
    assert status(server.ask(b"GET /healthz HTTP/1.0\r\n\r\n")) == 421
    assert status(server.ask(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")) == 200


def guess(server: Server, number: int, **headers: str) -> int:
    return server.get("/api/v1/home", authorization=f"Bearer wrong-{number}", **headers)


@pytest.mark.parametrize(
    "header",
    ["X-Forwarded-For", "X_Forwarded_For", "Forwarded", "X-Real-IP", "X-Forwarded-Host", "Via",
     "True-Client-IP", "X-Forwarded-Proto", "X-Forwarded-Port"],
)  # fmt: skip
def test_a_forged_address_does_not_pass_the_lock_out(tmp_path: Path, header: str) -> None:
    with serving(tmp_path, Access(token=TOKEN)) as fresh:
        for number in range(MAX_TOKENS):
            found = fresh.ask(
                b"GET /api/v1/home HTTP/1.1\r\n" + HOST
                + f"{header}: 10.0.0.{number}\r\nAuthorization: Bearer no-{number}\r\n\r\n".encode()
            )  # fmt: skip
            assert status(found) == 401
        good = {"authorization": f"Bearer {TOKEN}", header.replace("-", "_"): "10.9.9.9"}
        assert fresh.get("/api/v1/home", **good) == 429


def test_a_trusted_proxy_says_who_asks(tmp_path: Path) -> None:
    access = Access(token=TOKEN, trusted_proxies=("127.0.0.0/8",))
    with serving(tmp_path, access) as behind:
        for number in range(MAX_TOKENS):
            assert guess(behind, number, X_Forwarded_For="10.0.0.1") == 401
        good = f"Bearer {TOKEN}"
        assert behind.get("/api/v1/home", authorization=good, X_Forwarded_For="10.0.0.1") == 429
        assert behind.get("/api/v1/home", authorization=good, X_Forwarded_For="10.0.0.2") == 200
        # what a client wrote itself stands left of what the proxy adds
        forged = "10.0.0.2, 10.0.0.1"
        assert behind.get("/api/v1/home", authorization=good, X_Forwarded_For=forged) == 429


@pytest.mark.parametrize(
    "start",
    [b"", GET[:5], GET + HOST, GET + HOST + b"\r\n",
     b"GET /api/v1/assets HTTP/1.1\r\n" + HOST + f"Authorization: Bearer {TOKEN}\r\n\r\n".encode(),
     b"POST /login HTTP/1.1\r\n" + HOST + b"Content-Length: 20\r\n\r\ntoken",
     b"GET /healthz HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"],
)  # fmt: skip
@pytest.mark.parametrize("how", ["reset", "close", "half"])
def test_a_client_that_hangs_up_leaves_no_trace(server: Server, start: bytes, how: str) -> None:
    for _ in range(5):
        with server.connected() as connection:
            connection.sendall(start)
            if how == "reset":
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            elif how == "half":
                connection.shutdown(socket.SHUT_WR)
                answer_of(connection)


def test_a_client_that_takes_no_response_is_closed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "RESPONSE_SECONDS", 0.2)
    bearer = f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
    ask = b"GET /api/openapi.json HTTP/1.1\r\n" + HOST + bearer
    taken = 0
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((server.host, server.port))
        connection.settimeout(PATIENCE)
        try:
            while taken < 100_000:
                connection.sendall(ask)
                taken += 1
        except ConnectionError:
            pass
    assert taken < 100_000


def test_the_docs_say_the_limits() -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "serve-the-page.md").read_text("utf-8")
    for words in (
        f"{MAX_HEAD // 1024} KiB", f"{MAX_URL // 1024} KiB", f"{MAX_BODY // 1024} KiB",
        f"{security.REQUEST_SECONDS:g} s", f"{security.RESPONSE_SECONDS:g} s",
        f"connections | {security.MAX_CONNECTIONS} |", f"events | {events.MAX_STREAMS}, of",
    ):  # fmt: skip
        assert words in page
