"""``headrace serve`` as a process of its own, over a real run."""

import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from lab import ROOT, Lab

from headrace.catalog import RunStore

TOKEN = "a-token-of-many-letters"  # noqa: S105


@dataclass
class Served:
    """A running server."""

    process: "subprocess.Popen[str]"
    port: int
    said: str

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Ask; the path goes out as it stands."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.putrequest("GET", path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, names, answer.read()
        finally:
            connection.close()

    def json(self, path: str, **headers: str) -> Any:
        status, _, body = self.get(path, **headers)
        assert status == 200, body
        return json.loads(body)

    def stop(self, how: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """The exit code and what it said on the error stream."""
        self.process.send_signal(how)
        _, errors = self.process.communicate(timeout=120)
        return self.process.returncode, errors


def start(lab: Lab, *arguments: str) -> "subprocess.Popen[str]":
    plain = {key: text for key, text in os.environ.items() if not key.startswith("HEADRACE_")}
    flags = [word for flag in (f"data_dir={lab.data_dir}", *lab.flags) for word in ("--set", flag)]
    return subprocess.Popen(
        [sys.executable, "-m", "headrace", "serve", *arguments, *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=plain | dict(lab.environ),
    )


@contextmanager
def served(lab: Lab, *arguments: str) -> Iterator[Served]:
    process = start(lab, "--port", "0", *arguments)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert "http://" in said, process.communicate(timeout=120)
        yield Served(
            process, int(said.partition("http://")[2].partition(":")[2].split("/")[0]), said
        )
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=120)


def refused(lab: Lab, *arguments: str) -> str:
    """What the command says when it does not start."""
    process = start(lab, *arguments)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 2, (out, errors)
    assert out == ""
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    return errors


@pytest.fixture(scope="module")
def server(_sample_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """It serves the jaffle shop, which was loaded, built and published."""
    data_dir = tmp_path_factory.mktemp("served") / "data"
    shutil.copytree(_sample_run, data_dir)
    with served(Lab(data_dir)) as found:
        yield found


def test_it_serves_a_real_run(server: Served) -> None:
    assert f"http://127.0.0.1:{server.port}/" in server.said
    home = server.json("/api/v1/home")
    assert home["runs"][0]["status"] == "success"
    assert home["publish"]["status"] == "published"
    assert home["publish"]["is_current"] is True
    assert {source["source"] for source in home["freshness"]} == {"jaffle_shop"}
    detail = server.json("/api/v1/asset?id=model.headrace.customers")
    assert detail["published_rows"] == 100
    assert {test["status"] for test in detail["tests"]} == {"pass"}
    assert len(server.json("/api/v1/sample?id=model.headrace.customers&limit=5")["rows"]) == 5
    column = "id=model.headrace.customers&column=customer_lifetime_value"
    graph = server.json(f"/api/v1/lineage?{column}")
    assert {node["kind"] for node in graph["nodes"]} >= {"resource", "table", "model"}
    run = server.json(f"/api/v1/run?id={home['runs'][0]['run_id']}")
    assert [step["step"] for step in run["steps"]][:2] == ["load", "build"]
    assert run["nodes_total"] == len(run["nodes"]) > 20
    assert {load["asset"] for load in run["loads"]} >= {"table.jaffle_shop_raw.raw_orders"}
    assert run["log"]
    status, headers, body = server.get("/", accept="text/html")
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert b"jaffle_shop" in body


def test_the_warehouse_is_never_opened(server: Served) -> None:
    for path in ("/api/v1/home", "/api/v1/sample?id=model.headrace.orders", "/assets"):
        assert server.get(path)[0] == 200
    files = Path(f"/proc/{server.process.pid}/fd")
    if not files.exists():
        pytest.skip("no /proc here")
    opened = {str(each.readlink()) for each in files.iterdir() if each.is_symlink()}
    assert any(path.endswith("published.duckdb") for path in opened)
    assert not any("warehouse" in path for path in opened)


def test_a_run_goes_on_beside_it_and_is_seen(done: Lab) -> None:
    with served(done) as server:
        server.json("/api/v1/sample?id=model.headrace.orders")
        report = done.run()
        assert report.status == "success"
        for _ in range(1_200):
            home = server.json("/api/v1/home")
            if home["runs"][0]["run_id"] == report.run_id:
                break
            time.sleep(0.1)
        assert home["runs"][0]["run_id"] == report.run_id
        assert len(server.json("/api/v1/sample?id=model.headrace.orders")["rows"]) == 10
        assert server.stop(signal.SIGTERM) == (0, "")


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd", "/static/../app.py", "/static/../../settings.py",
        "/static/..%2f..%2fsettings.py", "/static/%2e%2e/%2e%2e/settings.py", "//etc/passwd",
        "/api/v1/../../etc/passwd", "/static/%00", "/assets/../../../etc/passwd", "/%2e%2e/%2e%2e/",
        "/static/....//app.py", "/static\\..\\app.py", "/data/../graph.json", "/runs/..%2f..%2fx",
    ],
)  # fmt: skip
def test_no_path_reaches_a_file(server: Served, path: str) -> None:
    status, _, body = server.get(path)
    assert status == 404, body
    assert b"root:" not in body
    assert b"import " not in body


def test_nonsense_on_the_wire_does_not_stop_it(server: Served) -> None:
    for nonsense in (
        b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET /" + b"a" * 100_000,
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    ):  # fmt: skip
        with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
            connection.sendall(nonsense)
            connection.shutdown(socket.SHUT_WR)
            try:
                answer = connection.recv(65536)
            except ConnectionResetError:
                answer = b""
            assert not answer.startswith(b"HTTP/1.1 2")
    assert server.json("/healthz") == {"status": "ok"}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 has to be set up first")
def test_the_address_that_it_announces_is_answered_and_who_hangs_up_is_not_logged(
    tmp_path: Path,
) -> None:
    with served(Lab(tmp_path / "data"), "--host", "127.0.0.2") as server:
        where = f"http://127.0.0.2:{server.port}/"
        assert where in server.said
        with urllib.request.urlopen(f"{where}healthz", timeout=120) as answer:  # noqa: S310
            assert answer.status == 200
        for part in (b"GET", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            with socket.create_connection(("127.0.0.2", server.port), timeout=120) as connection:
                connection.sendall(part)
                reset = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        with urllib.request.urlopen(f"{where}healthz", timeout=120) as answer:  # noqa: S310
            assert answer.status == 200
        assert server.stop() == (0, "")


def test_a_port_in_use_is_said_with_another_one(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(Lab(tmp_path), "--port", str(port))
    assert f"port {port} of 127.0.0.1 is in use" in said
    other = int(said.partition("--port ")[2].split("`")[0])
    assert port < other < port + 20


def test_before_the_first_run_it_serves_and_makes_nothing(tmp_path: Path) -> None:
    with served(Lab(tmp_path / "data")) as server:
        assert "there is no catalog yet: headrace run" in server.said
        assert "headrace run" in server.json("/api/v1/home")["hint"]
        assert server.stop() == (0, "")
    assert not (tmp_path / "data").exists()


def test_beyond_this_machine_a_token_is_demanded(tmp_path: Path) -> None:
    said = refused(Lab(tmp_path), "--host", "0.0.0.0")  # noqa: S104
    assert "HEADRACE_SERVE__TOKEN" in said
    assert "--token-file" in said


@pytest.mark.parametrize("source", ["environment", "both"])
def test_with_a_token_it_serves_whoever_has_it(tmp_path: Path, source: str) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    environ = {
        "environment": {"HEADRACE_SERVE__TOKEN": TOKEN},
        "both": {"HEADRACE_SERVE__TOKEN": "another-token-than-that"},
    }[source]
    arguments = () if source == "environment" else ("--token-file", str(file))
    lab = Lab(tmp_path / "data", environ=environ)
    with served(lab, "--host", "0.0.0.0", *arguments) as server:  # noqa: S104
        assert server.get("/api/v1/home")[0] == 401
        assert server.json("/api/v1/home", authorization=f"Bearer {TOKEN}")["runs"] == []
        command = Path(f"/proc/{server.process.pid}/cmdline")
        assert not command.exists() or TOKEN not in command.read_text()
        code, errors = server.stop()
        assert (code, TOKEN in errors + server.said) == (0, False)


@pytest.mark.parametrize(
    ("arguments", "content", "words"),
    [
        (("--set", f"serve.token={TOKEN}"), None, "HEADRACE_SERVE__TOKEN"),
        (("--token-file", "{file}"), None, "no token can be read"),
        (("--token-file", "{file}"), b"short", "shorter than 16 characters"),
        (("--token-file", "{file}"), b"\xff\xfe", "it is not UTF-8 text"),
        (("--host", "no.such.host.invalid"), b"x" * 20, "no.such.host.invalid"),
        (("--set", "serve.port=99999"), None, "serve.port"),
        (("--set", "serve.token=[1]"), None, "serve.token = ***"),
        (("--set", "serve.trusted_proxies=['*']"), None, "like 127.0.0.1 or 10.0.0.0/8"),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path, arguments: tuple[str, ...], content: bytes | None, words: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    given = [word.format(file=file) for word in arguments]
    if "--host" in given:
        given += ["--token-file", str(file)]
    said = refused(Lab(tmp_path / "data"), *given)
    assert words in said
    assert TOKEN not in said


def test_a_run_store_of_a_newer_version_is_one_line(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'headrace.sqlite'}"
    store = RunStore(url)
    with store.begin() as connection:
        connection.exec_driver_sql("update meta set value = '999'")
    store.close()
    assert "upgrade Headrace" in refused(Lab(tmp_path))


def test_a_run_store_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "headrace.sqlite").write_bytes(b"this is no database, and long enough to see it")
    assert "run_store.url" in refused(Lab(tmp_path))


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    script = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n, *a: None if n == 'fastapi' else find(n, *a)\n"
        f"sys.argv = ['headrace', 'serve', '--set', 'data_dir={tmp_path}']\n"
        "from headrace.cli.main import main\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "needs fastapi: install the extra, `uv sync --extra serve`" in result.stderr


def test_a_token_is_made_where_there_is_none(tmp_path: Path) -> None:
    file = tmp_path / "kept" / "token"
    lab = Lab(tmp_path / "data")
    made = ("--token-file", str(file), "--make-token")
    with served(lab, "--host", "0.0.0.0", *made) as server:  # noqa: S104
        token = file.read_text().strip()
        assert len(token) == 64
        assert sys.platform == "win32" or file.stat().st_mode & 0o777 == 0o600
        assert str(file) in server.said
        assert token not in server.said
        assert server.get("/api/v1/home")[0] == 401
        server.json("/api/v1/home", authorization=f"Bearer {token}")
    with served(lab, "--host", "0.0.0.0", *made) as server:  # noqa: S104
        assert file.read_text().strip() == token, "it stays"

    with served(replace(lab, environ={"HEADRACE_SERVE__TOKEN": TOKEN}), *made) as server:
        assert str(file) not in server.said
        server.json("/api/v1/home", authorization=f"Bearer {TOKEN}")

    assert "--token-file" in refused(lab, "--make-token")
    (tmp_path / "file").write_text("")
    nowhere = str(tmp_path / "file" / "token")
    assert "no token can be written" in refused(lab, "--token-file", nowhere, "--make-token")
