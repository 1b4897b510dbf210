"""What the published file says of itself."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb

SCRIPT = """
import sys
from pathlib import Path
from headrace.pipeline.publish import published_at
from headrace.server.published import PublishedFile
path = Path(sys.argv[1])
print(published_at(path), PublishedFile(path).publication().published_at, sep="\\n")
"""


def test_when_it_was_published_is_told_in_utc_whatever_the_time_zone(tmp_path: Path) -> None:
    path = tmp_path / "published.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "create schema _headrace; create table _headrace.publication as select 'r' as run_id, "
            "timestamptz '2026-01-01 00:00:00+00' as published_at; create table _headrace.tables "
            "(name varchar, row_count bigint, unique_id varchar)"
        )
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)],
        env=os.environ | {"TZ": "America/St_Johns"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.splitlines() == ["2026-01-01 00:00:00+00:00"] * 2
