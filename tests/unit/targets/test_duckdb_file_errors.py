"""What DuckDB says of a file that it cannot open, in words that say what to do."""

from pathlib import Path

import pytest

from headrace.targets.duckdb_file import explain_duckdb_error

PATH = Path("x.duckdb")


@pytest.mark.parametrize(
    ("message", "warehouse", "any_file"),
    [
        (
            (
                'IO Error: Could not set lock on file "x.duckdb": Conflicting lock is held in '
                "/usr/bin/python3 (PID 12). See also …"
            ),
            "x.duckdb is open in process 12 (/usr/bin/python3): close it there",
            "x.duckdb is open in process 12 (/usr/bin/python3): close it there",
        ),
        (
            "IO Error: … it is being used by another process",
            "x.duckdb is open in another program: close it there",
            "x.duckdb is open in another program: close it there",
        ),
        (
            "IO Error: Trying to read a database file with version number 99",
            "or move the file away and run `headrace run`",
            "or have the file written by this version",
        ),
        (
            "IO Error: The file exists, but it is not a valid DuckDB database file!",
            "run `headrace run` to load everything anew",
            "name another, or write it anew",
        ),
        (
            "IO Error: No space left on device",
            "x.duckdb cannot be opened: the disk is full",
            "free some space",
        ),
        ("", "could not be opened: unknown error", "could not be opened: unknown error"),
    ],
)
def test_each_message_says_what_to_do(message: str, warehouse: str, any_file: str) -> None:
    assert warehouse in explain_duckdb_error(PATH, message)
    found = explain_duckdb_error(PATH, message, rebuilt=False)
    assert any_file in found
    assert "headrace run" not in found
