"""Private and unstable interfaces of other libraries are used in ``headrace.libraries`` alone."""

import re
from pathlib import Path

import headrace

_PRIVATE = re.compile(
    r"uvicorn\.protocols|capture_signals|dbt\.task|DuckDBConnectionManager|SqlModel\b"
    r"|\._pipe\b|\._has_next_page|\._next_reference|single_table import base|_numpy_seed"
    r"|load/normalized|normalize/extracted|Could not set lock|No files found"
)
# reads the same folders as files of dlt, and has its own tests of their layout
_ARTIFACTS = {"artifacts/dlt_load.py"}


def test_private_interfaces_are_used_in_one_package() -> None:
    package = Path(headrace.__file__).parent
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if _PRIVATE.search(path.read_text("utf-8"))
    }
    assert {name for name in found if not name.startswith("libraries/")} == _ARTIFACTS
    assert {f"libraries/{name}.py" for name in ("dlt", "dbt", "duckdb", "sdv", "uvicorn")} <= found


def test_nothing_uses_the_connection_that_duckdb_keeps_for_a_process() -> None:
    """What one caller leaves there, such as an aborted transaction, is another one's failure."""
    shared = re.compile(r"\bduckdb\.(sql|execute|query|begin|table|from_\w+|read_\w+)\(")
    folders = (Path(headrace.__file__).parent, Path(__file__).parents[2])
    files = [path for folder in folders for path in folder.rglob("*.py")]
    assert len(files) > 500
    assert [path for path in files if shared.search(path.read_text("utf-8"))] == []
