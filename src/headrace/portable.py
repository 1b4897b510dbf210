"""What differs between operating systems.

Nowhere else is it asked which one this is, and nowhere else stands a call that not all of them
have; ``tests/unit/test_portability.py`` sees to it.

Windows does not let go of a file that somebody has open: it can neither be replaced nor deleted.
Readers of ours close what they read after each look, and a virus scanner soon lets go of a new
file, so ``replace`` waits a while.
"""

import codecs
import errno
import os
import re
import shutil
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self, TextIO

Handler = Callable[[int, FrameType | None], Any]

WINDOWS: bool = sys.platform == "win32"

PATIENCE_SECONDS: Final = 15.0
LONGEST_BELOW_DATA: Final = 190
"""No path that a run makes below the data directory has more characters."""
_LONGEST_PATH: Final = 259  # on Windows, unless long paths are switched on
_TEMPORARY: Final = re.compile(r"\.(.+)\.(\d{1,10})\.tmp(\.wal)?", re.DOTALL)
_RESERVED: Final = frozenset(
    {"aux", "con", "nul", "prn", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(10))}
)
_PLAIN: Final = {
    "✓": "+", "✗": "x", "→": ">", "←": "<", "·": "-", "…": "...",
    "─": "-", "│": "|", "├": "|", "└": "+", "≥": ">=", "≤": "<=",
}  # fmt: skip


# ── files ───────────────────────────────────────────────────────────────────


def replace(source: Path, target: Path, *, patience: float = PATIENCE_SECONDS) -> None:
    """Put a file or a folder in another's place, in one step.

    Args:
        source: what is put there.
        target: what it replaces; it may not be there. A folder is not replaced.
        patience: for how many seconds, on Windows, to wait for whoever has a file open.

    Raises:
        OSError: it cannot be done; both are what they were.
    """
    ends, pause = time.monotonic() + patience, 0.01
    while True:
        try:
            source.replace(target)
        except PermissionError:
            if not WINDOWS or time.monotonic() >= ends:
                raise
        else:
            return
        time.sleep(pause)
        pause = min(2 * pause, 0.5)


def temporary_beside(path: Path) -> Path:
    """A hidden name beside a file or folder, to write to before it is renamed to its own.

    What processes that have ended left there under such a name is removed.
    """
    if path.parent.is_dir():
        for entry in path.parent.iterdir():
            found = _TEMPORARY.fullmatch(entry.name)
            if found and found[1] == path.name and not is_running(int(found[2])):
                remove(entry)
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def remove(path: Path) -> None:
    """Remove a file or a folder, read-only files in it included; what cannot be removed stays."""
    with suppress(OSError):
        if not path.is_dir() or path.is_symlink():
            path.unlink(missing_ok=True)
            return
        for below in path.rglob("*"):
            # git's objects are read-only, which Windows does not delete
            if not os.access(below, os.W_OK) and not below.is_symlink():
                below.chmod(0o700)
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def replaced_file(path: Path, *, is_private: bool = False) -> Iterator[Path]:
    """A temporary path to write to, which replaces a file when the block ends without an error.

    A kill leaves the old file or the new one, never half of one. The folder is made if it is
    missing, a symbolic link is followed, and the old file's mode is kept.

    Args:
        path: the file.
        is_private: whether its owner alone may read it, whatever the old file's mode; there is an
            empty temporary file then.

    Raises:
        OSError: it cannot be written; the file is what it was.
    """
    real = path.resolve()
    real.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(real)
    try:
        if is_private:
            temporary.touch(0o600)
        yield temporary
        if real.exists() and not is_private:
            temporary.chmod(stat.S_IMODE(real.stat().st_mode))
        replace(temporary, real)
    finally:
        temporary.unlink(missing_ok=True)


def add_name(path: Path, name: Path) -> None:
    """Give a file a second name, which costs nothing; a copy where there are no hard links.

    Raises:
        OSError: neither can be made.
    """
    try:
        name.hardlink_to(path)
    except OSError:
        with replaced_file(name) as temporary:
            copy_file(path, temporary)


def write_file(path: Path, content: bytes | str, *, is_private: bool = False) -> None:
    """Write a file as ``replaced_file`` does; a text as UTF-8, its line ends as they are.

    Raises:
        OSError: it cannot be written; the file is what it was.
    """
    with replaced_file(path, is_private=is_private) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def make_durable(path: Path) -> None:
    """See that a file's content outlives a power cut.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def make_names_durable(directory: Path) -> None:
    """See that a rename outlives a power cut; Windows does so by itself.

    Raises:
        OSError: the directory cannot be read.
    """
    flag: int | None = getattr(os, "O_DIRECTORY", None)
    if flag is None:
        return
    opened = os.open(directory, os.O_RDONLY | flag)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def copy_file(source: Path, destination: Path) -> None:
    """Copy a file; file systems that share blocks (btrfs, XFS) only note that it was copied.

    Raises:
        OSError: it cannot be read or written.
    """
    copy_range: Callable[..., int] | None = getattr(os, "copy_file_range", None)
    if copy_range is None:
        shutil.copyfile(source, destination)
        return
    with source.open("rb") as reader, destination.open("wb") as writer:
        left = os.fstat(reader.fileno()).st_size
        try:
            while left > 0:
                copied = copy_range(reader.fileno(), writer.fileno(), left)
                if copied == 0:
                    break
                left -= copied
        except OSError as error:
            if error.errno not in {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}:
                raise
            left = -1
    if left:
        shutil.copyfile(source, destination)


def is_reserved(name: str) -> bool:
    """Whether Windows takes a file of that name for a device, whatever its ending."""
    return name.partition(".")[0].strip().lower() in _RESERVED


def is_too_deep(data_dir: Path) -> bool:
    """Whether paths below the data directory may become too long for this system."""
    if not WINDOWS or has_long_paths():
        return False
    return len(str(data_dir)) + 1 + LONGEST_BELOW_DATA > _LONGEST_PATH


def has_long_paths() -> bool:
    """Whether somebody has switched long paths on (Windows 10 and later)."""
    with suppress(ImportError, OSError):
        import winreg

        registry: Any = winreg  # its names are known on Windows alone
        place = r"SYSTEM\CurrentControlSet\Control\FileSystem"
        with registry.OpenKey(registry.HKEY_LOCAL_MACHINE, place) as key:
            return bool(registry.QueryValueEx(key, "LongPathsEnabled")[0])
    return False


# ── processes and signals ───────────────────────────────────────────────────


def cores() -> int:
    """How many cores this process may use."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def is_running(process: int) -> bool:
    """Whether there is a process of that id on this machine, be it another's or a new one."""
    if WINDOWS:
        import ctypes

        kernel: Any = vars(ctypes)["windll"].kernel32
        handle = kernel.OpenProcess(0x1000, False, process)  # PROCESS_QUERY_LIMITED_INFORMATION
        if not handle:
            return bool(kernel.GetLastError() == 5)  # access is denied: it is somebody else's
        kernel.CloseHandle(handle)
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def can_fork() -> bool:
    """Whether a copy of this process can work beside it.

    macOS has forks, which its own libraries do not bear; Windows has none.
    """
    return sys.platform == "linux" and cores() > 1


def fork(work: Callable[[], None]) -> int:
    """Have a copy of this process do some work, and end; it ends at once when this process does.

    Returns:
        Its process id; ``exit_code`` has to be asked until it has ended.
    """
    sys.stdout.flush()  # or the copy would write it, too
    sys.stderr.flush()
    parent = os.getpid()
    child = os.fork()
    if child != 0:
        return child
    code = 1
    try:
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG of prctl(2)
        if os.getppid() == parent:
            work()
            code = 0
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # nothing that this process has open is closed by its copy


def end_child(child: int, *, at_once: bool) -> None:
    """End a child process: as Ctrl-C does, or at once."""
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL if at_once else signal.SIGINT)


def exit_code(child: int) -> int | None:
    """How a child process ended, negative for a signal; None while it works. Asked once."""
    found, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def stop_signals() -> tuple[int, ...]:
    """What asks a process to end: Ctrl-C, `kill`, and on Windows Ctrl-Break."""
    more = getattr(signal, "SIGBREAK", None)
    return (signal.SIGINT, signal.SIGTERM, *([more] if more is not None else []))


@contextmanager
def handled(numbers: Iterable[int], handler: Handler) -> Iterator[None]:
    """Have signals go to a handler, and afterwards to those of before; for the main thread."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, kept in before.items():
            signal.signal(number, kept)


def stopping_like_ctrl_c() -> AbstractContextManager[None]:
    """Have `kill` end this process as Ctrl-C does, so that what is half done is taken back."""
    others = [number for number in stop_signals() if number != signal.SIGINT]
    return handled(others, signal.default_int_handler)


def stop_command(process: int) -> str:
    """What a person types to end a process."""
    return f"taskkill /PID {process}" if WINDOWS else f"kill {process}"


def interrupt_main() -> None:
    """Ctrl-C for the main thread, from another one."""
    kill: Callable[[int, int], None] | None = getattr(signal, "pthread_kill", None)
    if kill is None:
        import _thread

        _thread.interrupt_main()
    else:  # a real signal, which also ends a wait
        kill(threading.main_thread().ident or 0, signal.SIGINT)


def reuse_address(listening: socket.socket) -> None:
    """Let a server take a port again whose server ended less than a minute ago.

    On Windows the same option would let two servers share a port.
    """
    if not WINDOWS:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def process_age() -> float:
    """Seconds since this process began; elsewhere than on Linux, since this module was imported.

    The difference is the start of the interpreter: some hundredths of a second.
    """
    known = time.monotonic() - _IMPORTED_AT
    clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    with suppress(OSError, ValueError, IndexError, AttributeError):
        if clock is not None:
            # fields of proc(5), from the third on: the second may hold blanks
            fields = Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()
            began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
            age = time.clock_gettime(clock) - began
            if known <= age < known + _LONGEST_START:
                return age
    return known


_IMPORTED_AT: Final = time.monotonic()
_LONGEST_START: Final = 60.0  # seconds; beyond it, the clock of a container is another one


def address_space_limit() -> int | None:
    """How many bytes of address space this process may reserve; None where there is no limit."""
    if WINDOWS:
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


# ── output ──────────────────────────────────────────────────────────────────


class Keys:
    """The keys that are pressed, one by one, without Enter; none where stdin is no terminal."""

    def __init__(self) -> None:
        self._kept: list[Any] | None = None
        self.is_open = False

    def __enter__(self) -> Self:
        self.is_open = sys.stdin is not None and sys.stdin.isatty()
        if self.is_open and not WINDOWS:
            import termios
            import tty

            self._kept = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)  # Ctrl-C stays what it is
        return self

    def __exit__(self, *_: object) -> None:
        if self._kept is not None:
            import termios

            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._kept)

    def next(self) -> str | None:
        """The next key that was pressed; None if none was."""
        if not self.is_open:
            return None
        if WINDOWS:
            import msvcrt

            console: Any = msvcrt  # of which another system's type checker knows nothing
            return console.getwch() if console.kbhit() else None
        import select

        pressed, _, _ = select.select([sys.stdin], [], [], 0)
        return os.read(sys.stdin.fileno(), 1).decode(errors="replace") if pressed else None


def is_closed_pipe(error: BaseException) -> bool:
    """Whether whoever read our output has gone."""
    if isinstance(error, BrokenPipeError):
        return True
    return WINDOWS and isinstance(error, OSError) and error.errno == errno.EINVAL


def print_anything(*streams: TextIO, is_json: bool = False) -> None:
    """Let streams take every character, whatever their encoding.

    Redirected output is in the code page of the machine on Windows, which has no ✓. Marks become
    plain ones, all else is written as ``\\uXXXX``, which JSON reads as the same character.

    Args:
        streams: standard output and error.
        is_json: what is printed is JSON: nothing may become another character.
    """
    name = "headrace.json" if is_json else "headrace.plain"
    codecs.register_error(name, _escape if is_json else _simplify)
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=name)


def _simplify(error: UnicodeError) -> tuple[str, int]:
    return _instead(error, lambda one: _PLAIN.get(one) or _escaped(one))


def _escape(error: UnicodeError) -> tuple[str, int]:
    return _instead(error, _escaped)


def _instead(error: UnicodeError, of: Callable[[str], str]) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(of, error.object[error.start : error.end])), error.end


def _escaped(character: str) -> str:
    """As JSON writes it: UTF-16, so that one beyond 16 bits is two."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def duckdb_path(path: Path) -> str | None:
    """A file's path as DuckDB's readers take it: as a pattern that nothing else matches.

    DuckDB has no way to say that a path is no pattern: ``orders[1].csv`` would read
    ``orders1.csv``. A bracket expression of one character stands for that character.

    Returns:
        None where there is no such pattern: a path with a bracket expression is split at
        backslashes, on every system.
    """
    text = path.as_posix()
    if not re.search(r"[*?[]", text):
        return text
    return None if "\\" in text else re.sub(r"[*?[]", r"[\g<0>]", text)
