"""What was read is kept, by content; and several processes read the same as one."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from headrace.catalog import Asset, Catalog, Column
from headrace.lineage.columns import column_lineage
from headrace.lineage.sql import parse as parse_module
from headrace.lineage.sql.parse import FILE_NAME, SummaryCache, keys, summarize, summarize_all

COUNT = 40


def _catalog(changed: int | None = None) -> Catalog:
    raw = Asset("table.raw", "table", "raw", "db", "s", "raw", columns=(Column("a"), Column("b")))
    assets = {raw.id: raw}
    for number in range(COUNT):
        parent = f"m{number - 1}" if number else "raw"
        what = "b + 1 as a" if number == changed else "a"
        sql = f"with x as (select * from db.s.{parent}) select {what}, b from x where a > {number}"
        key = f"model.m{number}"
        assets[key] = Asset(key, "model", f"m{number}", "db", "s", f"m{number}", compiled_code=sql)
    return Catalog(assets, dict.fromkeys(assets, ()))


def test_a_second_run_reads_only_what_changed(tmp_path: Path) -> None:
    first = column_lineage(_catalog(), dialect="duckdb", cache=tmp_path)
    assert (first.read, first.reused) == (COUNT, 0)
    again = column_lineage(_catalog(), dialect="duckdb", cache=tmp_path)
    assert (again.read, again.reused) == (0, COUNT)
    assert again.edges == first.edges
    edited = column_lineage(_catalog(changed=7), dialect="duckdb", cache=tmp_path)
    assert (edited.read, edited.reused) == (1, COUNT - 1)
    assert edited.edges == column_lineage(_catalog(changed=7), dialect="duckdb").edges
    assert edited.edges != first.edges


def test_another_dialect_is_another_statement(tmp_path: Path) -> None:
    column_lineage(_catalog(), dialect="duckdb", cache=tmp_path)
    other = column_lineage(_catalog(), dialect="postgres", cache=tmp_path)
    assert (other.read, other.reused) == (COUNT, 0)


def test_another_version_reads_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    column_lineage(_catalog(), dialect="duckdb", cache=tmp_path)
    monkeypatch.setattr(parse_module, "sqlglot_version", lambda: "0.0.0")
    assert column_lineage(_catalog(), dialect="duckdb", cache=tmp_path).read == COUNT


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text", "folder"])
def test_a_damaged_file_is_ignored_and_rewritten(tmp_path: Path, damage: str) -> None:
    first = column_lineage(_catalog(), dialect="duckdb", cache=tmp_path)
    path = tmp_path / FILE_NAME
    content = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        middle = len(content) // 2
        path.write_bytes(
            {
                "cut": content[:middle],
                "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
                "empty": b"",
                "text": b"no cache at all",
            }[damage]
        )
    again = column_lineage(_catalog(), dialect="duckdb", cache=tmp_path)
    assert again.edges == first.edges
    assert again.read == COUNT
    if damage != "folder":
        assert column_lineage(_catalog(), dialect="duckdb", cache=tmp_path).read == 0
    assert not list(tmp_path.glob("*.tmp"))


def test_what_the_newest_run_did_not_use_goes_when_the_file_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(texts: list[str]) -> None:
        found = SummaryCache(tmp_path)
        statements = [(text, "duckdb") for text in texts]
        new = {}
        for key, (sql, dialect) in zip(keys(statements), statements, strict=True):
            if found.get(key) is None:
                new[key] = summarize(sql, dialect)
        found.add(new)
        found.save()

    fill([f"select a{number} from t" for number in range(50)])
    fill(["select a1 from t", "select new from t"])
    small = (tmp_path / FILE_NAME).stat().st_size
    assert SummaryCache(tmp_path).get(keys([("select a9 from t", "duckdb")])[0]) is not None
    monkeypatch.setattr(parse_module, "LARGE", 100)
    fill(["select a1 from t", "select newer from t"])
    assert (tmp_path / FILE_NAME).stat().st_size < small / 5
    kept = SummaryCache(tmp_path)
    assert kept.get(keys([("select a1 from t", "duckdb")])[0]) is not None
    assert kept.get(keys([("select a9 from t", "duckdb")])[0]) is None


_WRITER = """
import sys
from pathlib import Path
from headrace.lineage.sql.parse import SummaryCache, keys
from headrace.lineage.sql.parse import summarize
for number in range(30):
    sql = f"select a{number} from {sys.argv[2]}"
    cache = SummaryCache(Path(sys.argv[1]))
    key = keys([(sql, "duckdb")])[0]
    cache.add({key: summarize(sql, "duckdb")})
    cache.save()
"""


def test_two_processes_at_once_leave_a_whole_file(tmp_path: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path), name])
        for name in ("one", "two")
    ]
    assert [process.wait(300) for process in running] == [0, 0]
    last = [keys([(f"select a29 from {name}", "duckdb")])[0] for name in ("one", "two")]
    found = SummaryCache(tmp_path)
    assert any(found.get(key) is not None for key in last)
    assert not list(tmp_path.glob("*.tmp"))


def test_processes_read_the_same_as_one_does() -> None:
    statements = [
        (f"select a + {number} as z from t{number} where b > 1", "duckdb") for number in range(150)
    ]
    statements.append(("select (", "duckdb"))
    assert summarize_all(statements, workers=2) == summarize_all(statements, workers=1)


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", "utf-8")
    found = column_lineage(_catalog(), dialect="duckdb", cache=blocked / "under")
    assert found.read == COUNT


def test_the_version_in_the_key_is_that_of_the_installed_sqlglot() -> None:
    assert parse_module.sqlglot_version() == version("sqlglot")
