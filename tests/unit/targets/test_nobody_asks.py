"""Nothing above ``targets/`` asks which target it is: a new one needs no change elsewhere."""

import re
from pathlib import Path

import headrace

PACKAGE = Path(headrace.__file__).parent
ASKS = re.compile(
    r"""isinstance\([^)]*(?:Target|Settings)\b.*Target
    |\btarget\.(?:type|dialect|adapter)\s*(?:[!=]=|in\b)
    |(?:resolved|self)\.target\.name\s*[!=]=
    |\boutput\[["']type["']\]\s*[!=]=
    |from\ headrace\.targets\.(?!base|publication|registry|duckdb\ import\ explain_duckdb_error)
    |\b(?:DuckDb|Postgres|DuckLake|Lake|Spark|Sail)Target\b
    """,
    re.VERBOSE,
)


def test_nobody_asks_which_target_it_is() -> None:
    found = [
        f"{path.relative_to(PACKAGE).as_posix()}:{number}: {line.strip()}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] != "targets"
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if ASKS.search(line)
    ]
    assert found == [], "declare a capability in headrace.targets.base instead"
