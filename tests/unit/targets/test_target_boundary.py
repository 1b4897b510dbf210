"""What stands above the targets asks for no kind of target."""

import re
from pathlib import Path

from headrace.settings import resolve

ROOT = Path(__file__).parents[3]
# the stand-in for Redshift is a program of its own, which a command starts; the stages of
# `headrace simulate` are of Snowflake, of Redshift and of a lake: which one it is is what they show
ASKED = re.compile(
    r"""Path\((\w+\.)*target\.location|signature\(\)\ is\ (not\ )?None
    |isinstance\([^)]*(?:Target|Settings)\b.*Target
    |\btarget\.(?:type|dialect|adapter)\s*(?:[!=]=|in\b)
    |(?:resolved|self)\.target\.name\s*[!=]=
    |\boutput\[["']type["']\]\s*[!=]=
    |from\ headrace\.targets\.(?!base|publication|registry|redshift_mock)
        (?!duckdb\ import\ explain_duckdb_error)
    |\b(?:DuckDb|Postgres|DuckLake|Lake|Spark|Sail)Target\b
    """,
    re.VERBOSE,
)


def test_nothing_asks_which_target_it_is() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in (ROOT / "src" / "headrace").rglob("*.py")
        if not {"targets", "simulate"} & set(path.parts)
        for match in ASKED.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == [], "declare a capability in headrace.targets.base instead"


def test_a_duckdb_target_is_its_file(tmp_path: Path) -> None:
    target = resolve(ROOT, flags=[f"data_dir={tmp_path}"], environ={}).target
    assert target.database_file == tmp_path / "warehouse.duckdb"
    assert (target.database, target.reads_local_files, target.exists()) == (
        "warehouse",
        True,
        False,
    )
    target.prepare()
    assert target.exists()


def test_files_that_duckdb_holds_are_opened_by_no_other_sqlite() -> None:
    """A second SQLite that closes a file takes away the locks that this process holds on it."""
    targets = ROOT / "src" / "headrace" / "targets"
    found = [path for path in targets.rglob("*.py") if "import sqlite3" in path.read_text("utf-8")]
    assert found == []
