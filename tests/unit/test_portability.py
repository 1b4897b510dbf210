"""Linux, macOS and Windows: what is guarded, and what those do that this machine does not."""

import ast
import errno
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from headrace import log_file, portable
from headrace.errors import ServeError, SettingsError
from headrace.pipeline import doctor
from headrace.server import static_site
from headrace.server.published import PublishedFileReader
from headrace.settings import resolve

ROOT = Path(__file__).parents[2]
GUARDED = ROOT / "src" / "headrace" / "portable.py"
# glibc's allocator, on Linux alone; synth is to stand alone
EXCUSED = {ROOT / "src" / "headrace" / "synth" / "writer.py"}
# sqlglot's trees have a replace() of their own
TREES = {
    ROOT / "src" / "headrace" / "lineage" / "verify" / "plan.py",
    ROOT / "src" / "headrace" / "quality" / "strength" / "mutations.py",
    ROOT / "src" / "headrace" / "targets" / "redshift_mock" / "tree.py",
    ROOT / "src" / "headrace" / "targets" / "redshift_mock" / "super_paths.py",
}

SOURCES = sorted(
    path
    for folder in ("src", "dlt_pipelines", "tests/project")
    for path in (ROOT / folder).rglob("*.py")
    if path != GUARDED and path not in EXCUSED
)

NOT_EVERYWHERE = {
    "os": {
        "fork", "forkpty", "kill", "killpg", "getuid", "geteuid", "getgid", "setuid", "setgid",
        "setsid", "getpgid", "chown", "mkfifo", "mknod", "nice", "link", "symlink", "readlink",
        "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC", "sched_getaffinity", "statvfs", "pread",
        "copy_file_range", "sendfile", "uname", "getloadavg", "waitpid", "wait", "WNOHANG",
        "startfile", "name",
    },
    "signal": {
        "SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "SIGPIPE", "SIGBREAK",
        "CTRL_C_EVENT", "CTRL_BREAK_EVENT", "alarm", "setitimer", "pause", "pthread_kill",
        "pthread_sigmask", "sigwait",
    },
    "sys": {"platform", "getwindowsversion"},
    "time": {"tzset", "clock_gettime"},
    "socket": {"AF_UNIX", "SO_REUSEADDR", "SO_REUSEPORT"},
}  # fmt: skip
MODULES = {
    "fcntl", "resource", "pwd", "grp", "pty", "tty", "termios", "posix", "syslog", "msvcrt",
    "winreg", "_winapi", "winsound",
}  # fmt: skip


def _root(name: str) -> str:
    return name.partition(".")[0]


def _literal(node: ast.expr | None) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((word.value for word in call.keywords if word.arg == name), None)


def _call(call: ast.Call, *, trees: bool) -> Iterator[str]:
    """What is wrong with a call."""
    function = call.func
    if isinstance(function, ast.Name) and function.id in {"getattr", "hasattr"}:
        owner, named = (*call.args, None, None)[:2]
        if isinstance(owner, ast.Name) and _literal(named) in NOT_EVERYWHERE.get(owner.id, ()):
            yield f"{function.id}({owner.id}, {_literal(named)!r})"
    if isinstance(function, ast.Name) and function.id == "open":
        yield from _text_file(call, mode=call.args[1] if len(call.args) > 1 else None)
    if not isinstance(function, ast.Attribute):
        return
    name = function.attr
    alone = len(call.args) == 1 and not call.keywords
    module = function.value.id if isinstance(function.value, ast.Name) else ""
    if name in {"replace", "rename"} and (module == "os" or (alone and not trees)):
        yield f".{name}(): portable.replace waits for who has the file open"
    elif name in {"symlink_to", "hardlink_to", "move"} and module in {"", "shutil"}:
        yield f".{name}()"
    elif name == "open" and module not in {"os", "webbrowser"}:
        yield from _text_file(call, mode=call.args[0] if call.args else None)
    elif name in {"read_text", "write_text"}:
        positional = 0 if name == "read_text" else 1
        if len(call.args) <= positional and _keyword(call, "encoding") is None:
            yield f".{name}() without an encoding"
    elif name == "get_context" and _literal(call.args[0] if call.args else None) != "spawn":
        yield "processes that are not started by spawn"
    if _literal(_keyword(call, "text")) is True and _keyword(call, "encoding") is None:
        yield "text=True without an encoding"


def _text_file(call: ast.Call, mode: ast.expr | None) -> Iterator[str]:
    given = _literal(mode if mode is not None else _keyword(call, "mode"))
    # another thing's open() takes no mode at all
    if isinstance(given, str) and "b" not in given and _keyword(call, "encoding") is None:
        yield "a text file without an encoding"


def wrong(text: str, *, trees: bool = False) -> list[str]:
    """What of a module's text does not work everywhere; the line and why."""
    found = []
    for node in ast.walk(ast.parse(text)):
        whys: list[str] = []
        if isinstance(node, ast.Import):
            whys += [each.name for each in node.names if _root(each.name) in MODULES]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            module = node.module or ""
            whys += [module] if _root(module) in MODULES else []
            whys += [
                f"{module}.{each.name}"
                for each in node.names
                if each.name in NOT_EVERYWHERE.get(module, ())
            ]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in NOT_EVERYWHERE.get(node.value.id, ()):
                whys.append(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Call):
            whys += _call(node, trees=trees)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            starts = ("/tmp/", "/proc/", "/dev/shm", "/var/")  # noqa: S108
            whys += [node.value] if node.value.startswith(starts) else []
        found += [f"line {getattr(node, 'lineno', 0)}: {why}" for why in whys]
    return found


def test_what_not_every_system_has_stands_in_one_place() -> None:
    found = [
        f"{path.relative_to(ROOT).as_posix()}, {what}"
        for path in SOURCES
        for what in wrong(path.read_text(encoding="utf-8"), trees=path in TREES)
    ]
    assert found == [], "see headrace.portable, which is the place for it"


@pytest.mark.parametrize(
    "text",
    [
        "import fcntl",
        "from resource import getrusage",
        "from os import fork",
        "import os\nos.kill(1, 9)",
        "import os\nhasattr(os, 'sched_getaffinity')",
        "import signal\nsignal.SIGKILL",
        "import sys\nsys.platform == 'win32'",
        "import os\nos.replace('a', 'b')",
        "from pathlib import Path\nPath('a').replace(Path('b'))",
        "from pathlib import Path\nPath('a').rename(Path('b'))",
        "from pathlib import Path\nPath('a').symlink_to('b')",
        "from pathlib import Path\nPath('a').write_text('b')",
        "from pathlib import Path\nPath('a').read_text()",
        "from pathlib import Path\nPath('a').open('w')",
        "open('a', 'r')",
        "import subprocess\nsubprocess.run([], text=True)",
        "import multiprocessing as m\nm.get_context('fork')",
        "place = '/tmp/x'",
    ],
)
def test_a_call_that_not_every_system_has_is_found(text: str) -> None:
    assert len(wrong(text)) == 1


def test_what_works_everywhere_is_not_found() -> None:
    text = """
import os, subprocess, signal
from datetime import UTC, datetime
from pathlib import Path
os.getpid(); os.cpu_count(); os.fsync(1); signal.SIGTERM
"a".replace("b", "c"); datetime.now().replace(tzinfo=UTC)
Path("a").read_text(encoding="utf-8"); Path("a").read_text("utf-8")
Path("a").open("rb"); Path("a").write_text("b", encoding="utf-8")
subprocess.run([], text=True, encoding="utf-8")
"""
    assert wrong(text) == []


# ── files that somebody has open ────────────────────────────────────────────


class Busy:
    """A file of Windows that a reader lets go of after some tries."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tries: int) -> None:
        self.tries, self.real = tries, Path.replace
        monkeypatch.setattr(portable, "WINDOWS", True)

        def replace(source: Path, target: Path) -> Path:
            return self.replace(source, target)

        monkeypatch.setattr(Path, "replace", replace)

    def replace(self, source: Path, target: Path) -> Path:
        if self.tries:
            self.tries -= 1
            raise PermissionError(errno.EACCES, "Access is denied", str(target))
        return self.real(source, target)


def pair(tmp_path: Path) -> tuple[Path, Path]:
    new, old = tmp_path / "new", tmp_path / "old"
    new.write_text("new")
    old.write_text("old")
    return new, old


def test_a_file_in_use_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    new, old = pair(tmp_path)
    busy = Busy(monkeypatch, tries=3)
    portable.replace(new, old)
    assert (busy.tries, old.read_text(), new.exists()) == (0, "new", False)


def test_a_file_that_stays_in_use_is_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    new, old = pair(tmp_path)
    busy = Busy(monkeypatch, tries=1_000_000)
    with pytest.raises(PermissionError):
        portable.replace(new, old, patience=0.2)
    assert busy.tries < 1_000_000, "it tried"
    assert (old.read_text(), new.read_text()) == ("old", "new")


def test_elsewhere_a_missing_right_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    new, old = pair(tmp_path)
    busy = Busy(monkeypatch, tries=2)
    monkeypatch.setattr(portable, "WINDOWS", False)
    with pytest.raises(PermissionError):
        portable.replace(new, old)
    assert busy.tries == 1


def test_a_site_in_use_stays_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = tmp_path / "site"
    with static_site.replaced_folder(out) as made:
        (made / "index.html").write_text("old")

    def refuse(source: Path, target: Path) -> None:
        if target == out and source.suffix == ".tmp":
            raise PermissionError(errno.EACCES, "Access is denied", str(target))
        source.rename(target)

    monkeypatch.setattr(portable, "replace", refuse)
    with (
        pytest.raises(ServeError, match="the old files are unchanged"),
        static_site.replaced_folder(out) as made,
    ):
        (made / "index.html").write_text("new")
    assert (out / "index.html").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


@pytest.mark.parametrize("windows", [True, False])
def test_the_server_holds_no_file_between_looks_where_that_is_in_the_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, windows: bool
) -> None:
    file = tmp_path / "published.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute(
            "create schema _headrace; create table _headrace.publication as select 'r' as run_id, "
            "now() as published_at; create table _headrace.tables "
            "(name varchar, row_count bigint, unique_id varchar)"
        )
    monkeypatch.setattr(portable, "WINDOWS", windows)
    published = PublishedFileReader(file)
    try:
        assert published.publication().status == "published"
        assert published.is_open is not windows
    finally:
        published.close()


def test_a_log_that_somebody_reads_goes_on_in_its_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(source: str, target: str) -> None:
        raise PermissionError(errno.EACCES, "in use", source, None, target)

    monkeypatch.setattr(log_file, "MAX_BYTES", 300)
    monkeypatch.setattr(os, "rename", refuse)
    handler = log_file.open_log(tmp_path, "info")
    try:
        for number in range(10):
            logging.getLogger(log_file.LOGGER).info("line %d of some length", number)
    finally:
        log_file.close_log(handler)
    lines = (tmp_path / "headrace.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["message"].split()[1] for line in lines] == list("0123456789")
    assert capsys.readouterr().err == ""


# ── names and paths ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["con", "NUL", "aux.csv", "com1", "lpt9.tar.gz"])
def test_names_of_devices(name: str) -> None:
    assert portable.is_reserved(name)


@pytest.mark.parametrize("name", ["console", "com", "orders", "nul_values", "auxiliary.csv"])
def test_names_that_only_look_like_it(name: str) -> None:
    assert not portable.is_reserved(name)


def test_a_source_of_a_devices_name_is_refused_everywhere(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="aux is a device's name on Windows") as caught:
        resolve(tmp_path, flags=["sources.aux.enabled=true"], environ={})
    assert "Value error" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("windows", "long_paths", "length", "deep"),
    [
        (True, False, 60, False),
        (True, False, 90, True),
        (True, True, 90, False),
        (False, False, 90, False),
    ],
)
def test_a_project_that_stands_too_deep(
    monkeypatch: pytest.MonkeyPatch, windows: bool, long_paths: bool, length: int, deep: bool
) -> None:
    monkeypatch.setattr(portable, "WINDOWS", windows)
    monkeypatch.setattr(portable, "has_long_paths", lambda: long_paths)
    place = Path("/" + "x" * (length - 1))
    assert portable.is_too_deep(place) is deep
    checks = doctor._paths(place)
    assert len(checks) == windows
    assert all((check.good is None, "long" in check.advice) == (deep, deep) for check in checks)


def test_without_a_registry_no_path_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "winreg", None)
    assert not portable.has_long_paths()


# ── calls that a system lacks ───────────────────────────────────────────────


def test_without_the_calls_of_linux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("O_DIRECTORY", "copy_file_range", "sched_getaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    new, old = pair(tmp_path)
    portable.copy_file(new, old)
    assert old.read_text() == "new"
    portable.make_durable(old)
    portable.make_names_durable(tmp_path)
    assert portable.cores() == (os.cpu_count() or 1)


def test_a_copy_between_file_systems(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    new, old = pair(tmp_path)
    portable.copy_file(new, old)
    assert old.read_text() == "new"


def _interrupted_soon() -> None:
    threading.Timer(0.05, portable.interrupt_main).start()
    for _ in range(6_000):
        time.sleep(0.05)


def test_ctrl_c_without_signals_to_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "pthread_kill", raising=False)
    with pytest.raises(KeyboardInterrupt):
        _interrupted_soon()


def test_a_kill_can_end_like_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), portable.stopping_like_ctrl_c():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_asks_a_process_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert portable.stop_signals()[:2] == (signal.SIGINT, signal.SIGTERM)
    monkeypatch.setattr(signal, "SIGBREAK", 21, raising=False)
    assert portable.stop_signals()[2:] == (21,)
    monkeypatch.setattr(portable, "WINDOWS", True)
    assert portable.stop_command(7) == "taskkill /PID 7"
    monkeypatch.setattr(portable, "WINDOWS", False)
    assert portable.stop_command(7) == "kill 7"


def test_who_reads_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    invalid = OSError(errno.EINVAL, "Invalid argument")
    monkeypatch.setattr(portable, "WINDOWS", False)
    assert portable.is_closed_pipe(BrokenPipeError())
    assert not portable.is_closed_pipe(invalid)
    monkeypatch.setattr(portable, "WINDOWS", True)
    assert portable.is_closed_pipe(invalid)
    assert not portable.is_closed_pipe(OSError(errno.ENOSPC, "full"))


# ── output in a code page ───────────────────────────────────────────────────


def printed(text: str, encoding: str, *, is_json: bool) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    portable.print_anything(stream, is_json=is_json)
    stream.write(text)
    stream.flush()
    return raw.getvalue().decode(encoding)


def test_marks_become_plain_ones() -> None:
    text = "✓ published · 3 rows → orders … ✗ 日 Ünïcode"
    assert (
        printed(text, "cp1252", is_json=False)
        == "+ published · 3 rows > orders … x \\u65e5 Ünïcode"
    )
    assert printed(text, "ascii", is_json=False).startswith("+ published - 3 rows > orders ... x")
    assert printed(text, "utf-8", is_json=False) == text


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437", "utf-8"])
def test_json_loses_nothing(encoding: str) -> None:
    content = {"✓": "→ 日本 \U0001f600 Ünïcode", "plain": "\\u2713 as text"}
    text = json.dumps(content, ensure_ascii=False)
    assert json.loads(printed(text, encoding, is_json=True)) == content


def test_another_error_of_decoding_is_not_swallowed() -> None:
    error = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    with pytest.raises(UnicodeDecodeError):
        portable._simplify(error)


def test_a_table_in_a_code_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich draws with plain characters there."""
    from rich.table import Table

    from headrace.cli.terminal import new_console

    raw = io.BytesIO()
    stream: Any = io.TextIOWrapper(raw, encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    portable.print_anything(stream)
    table = Table("model", "status")
    table.add_row("orders", "✓")
    new_console().print(table)
    stream.flush()
    shown = raw.getvalue().decode("cp1252")
    assert "orders" in shown
    assert "\\u" not in shown


def test_no_two_files_differ_by_case_alone_and_no_name_is_a_devices() -> None:
    """A clone of this repository can be made on Windows and macOS."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not in a clone")
    import subprocess

    # also in a checkout that another user made
    words = [git, "-c", "safe.directory=*", "ls-files", "-z"]
    out = subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    names = [name for name in out.split("\0") if name]
    assert len({name.lower() for name in names}) == len(names)
    assert [name for name in names if any(map(portable.is_reserved, name.split("/")))] == []
    # copier's answers file is named by a template; < > : " | ? * and \\ are Windows' own
    assert [name for name in names if set(name) & set('<>:"|?*\\')] == []
    assert max(map(len, names)) < 160


def test_a_private_file_is_its_owners_alone_also_where_it_was_not(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "profiles.yml"
    portable.write_file(path, "password: a")
    path.chmod(0o644)
    portable.write_file(path, "password: b", is_private=True)
    assert path.read_text("utf-8") == "password: b"
    assert sys.platform == "win32" or path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_written_whole_through_a_link_and_keeps_its_mode(tmp_path: Path) -> None:
    path, link = tmp_path / "new folder" / "out", tmp_path / "link"
    portable.write_file(path, "é\r\n")
    assert path.read_bytes() == "é\r\n".encode()
    if not portable.WINDOWS:
        path.chmod(0o600)
        link.symlink_to(path)
        portable.write_file(link, b"other")
        assert link.is_symlink()
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_bytes() == b"other"
    before = path.read_bytes()
    with pytest.raises(FileNotFoundError), portable.replaced_file(path) as temporary:
        temporary.write_bytes(b"half" + (tmp_path / "none").read_bytes())
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["out"]


def test_what_a_dead_process_left_beside_a_file_is_removed_by_the_next(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    path = tmp_path / "out"
    (tmp_path / f".out.{ended.pid}.tmp").mkdir()
    (tmp_path / f".out.{ended.pid}.tmp" / "half").write_text("half")
    (tmp_path / f".other.{ended.pid}.tmp").touch()
    (tmp_path / f".out.{os.getppid()}.tmp").touch()
    portable.write_file(path, b"whole")
    assert {entry.name for entry in tmp_path.iterdir()} == {
        "out",
        f".other.{ended.pid}.tmp",
        f".out.{os.getppid()}.tmp",
    }
