"""What the machine lacks is told in one line, whoever noticed it, and is not read out of data."""

import errno
import os
import sqlite3
from pathlib import Path

import duckdb
import pytest

from headrace import portable
from headrace.system_errors import LEAST_ADDRESS_SPACE, address_space_fault, system_fault


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/d/x"), "disk full", "free some space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk quota", "raise the quota"),
        (OSError(errno.EFBIG, "File too large"), "file size", "ulimit -f"),
        (OSError(errno.EROFS, "Read-only file system"), "read-only disk", "HEADRACE_DATA_DIR"),
        (PermissionError(errno.EACCES, "Permission denied", "/d"), "permission", "owner"),
        (OSError(errno.EMFILE, "Too many open files"), "file handles", "ulimit -n"),
        (OSError(errno.ENFILE, "Too many open files in system"), "file handles", "ulimit -n"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory", "memory_limit"),
        (OSError(errno.EIO, "Input/output error"), "disk failure", "check the disk"),
        (OSError(errno.ELOOP, "Too many levels of symbolic links"), "links", "correct the link"),
        (OSError(errno.ENAMETOOLONG, "File name too long"), "long name", "shorter"),
        (MemoryError(), "memory", "memory_limit"),
        (RuntimeError("can't start new thread"), "threads", "ulimit -u"),
        (sqlite3.OperationalError("database or disk is full"), "disk full", "free some space"),
        (sqlite3.OperationalError("disk I/O error"), "disk failure", "check the disk"),
        (
            sqlite3.OperationalError("attempt to write a readonly database"),
            "read-only disk",
            "for writing",
        ),
        (sqlite3.OperationalError("unable to open database file"), "database file", "ulimit -n"),
        (
            duckdb.IOException('IO Error: Could not write file "x": No space left on device'),
            "disk full",
            "free some space",
        ),
        (
            duckdb.OutOfMemoryException(
                "Out of Memory Error: failed to allocate data of size 1.0 KiB (9 MiB/9 MiB used)"
            ),
            "memory limit",
            "raise targets.duckdb.memory_limit",
        ),
        (
            RuntimeError("Runtime Error in model x\n  IO Error: …: Too many open files"),
            "file handles",
            "ulimit -n",
        ),
    ],
)  # fmt: skip
def test_a_fault_of_the_machine_is_told_in_one_line(
    error: Exception, kind: str, advice: str
) -> None:
    fault = system_fault(error)
    assert fault is not None
    assert fault.kind == kind
    assert advice in fault.message
    assert "\n" not in fault.message


def test_the_fault_is_found_behind_a_librarys_exception() -> None:
    outer = ValueError("a step failed")
    outer.__cause__ = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/x")
    fault = system_fault(outer, place=Path("/data"))
    assert fault is not None
    assert "/data/x: No space left on device" in fault.message
    assert "free some space at /data and run" in fault.message


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no such key"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "x"),
        duckdb.ConversionException(
            "Conversion Error: Could not convert string 'No space left on device' to INT32"
        ),
        RuntimeError("permission denied for table orders"),
        duckdb.IOException('IO Error: Could not set lock on file "x": Conflicting lock is held'),
    ],
)
def test_what_is_no_fault_of_the_machine_is_none(error: Exception) -> None:
    assert system_fault(error) is None


def test_too_little_address_space_is_told_before_a_library_aborts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert address_space_fault() is None
    monkeypatch.setattr(portable, "address_space_limit", lambda: 600_000 * 1024)
    fault = address_space_fault()
    assert fault is not None
    assert "0.6 GB of address space (`ulimit -v`)" in fault.message
    assert f"`ulimit -v {LEAST_ADDRESS_SPACE // 1024}`" in fault.message
    monkeypatch.setattr(portable, "address_space_limit", lambda: LEAST_ADDRESS_SPACE)
    assert address_space_fault() is None


def test_an_exit_of_dbt_that_has_no_message_hides_no_fault() -> None:
    from dbt.cli.exceptions import ExceptionExit

    error = ValueError("x")
    error.__cause__ = ExceptionExit(ValueError("y"))
    error.__cause__.__cause__ = MemoryError()
    fault = system_fault(error)
    assert fault is not None
    assert fault.kind == "memory"
