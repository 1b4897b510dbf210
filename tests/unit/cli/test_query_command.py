"""``headrace query``: where its SQL comes from, and how rows are printed."""

import json
from pathlib import Path

import duckdb
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.cli.query import prompt
from headrace.errors import QueryError
from headrace.pipeline.query import Database


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("query") / "shop.duckdb"
    with duckdb.connect(str(found)) as connection:
        connection.execute(
            "create table items as select i as item_id, case when i > 1 then 'a|' || chr(27) || i "
            "end as label from range(150) as rows(i)"
        )
    return found


def _query(path: Path, *arguments: str, text: str = "") -> tuple[str, str]:
    result = CliRunner().invoke(app, ["query", *arguments, "--on", str(path)], input=text)
    if result.exception is not None:
        raise result.exception
    return result.stdout, result.stderr


SQL = "from items order by 1 limit 3"


def test_sql_from_each_place(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "items.sql"
    file.write_text(SQL)
    direct = _query(path, SQL)

    assert direct == _query(path, str(file)) == _query(path, "-", text=SQL)
    assert direct == (
        "item_id  label\n      0  null \n      1  null \n      2  a|�2 \n3 rows\n",
        "",
    )
    with pytest.raises(QueryError, match="cannot be read"):
        _query(path, str(tmp_path / "none.sql"))
    with pytest.raises(QueryError, match="there is no SQL"):
        _query(path)


def test_rows_in_a_file_are_told_in_json_as_well(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "é.csv"
    assert _query(path, SQL, "--out", str(out)) == ("", f"3 rows written to {out}\n")
    said, _ = _query(path, SQL, "--out", str(out), "--json")
    assert json.loads(said) == {"path": str(out), "rows": 3}


def test_other_forms(path: Path) -> None:
    assert _query(path, SQL, "--format", "csv")[0] == "item_id,label\n0,\n1,\n2,a|\x1b2\n"
    assert _query(path, SQL, "--format", "markdown")[0].splitlines() == [
        "| item_id | label |", "| --- | --- |", "| 0 |  |", "| 1 |  |", "| 2 | a\\|�2 |",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("limit", "rows", "said"),
    [
        ((), 100, "the first 100 rows"),
        (("--limit", "0"), 150, ""),
        (("--limit", "7"), 7, "the first 7 rows"),
    ],
)
def test_a_limit_is_said(path: Path, limit: tuple[str, ...], rows: int, said: str) -> None:
    out, err = _query(path, "from items", "--format", "csv", *limit)

    assert len(out.splitlines()) == rows + 1
    assert err.startswith(said) if said else not err


def test_a_wide_row_is_one_line_per_value(path: Path) -> None:
    columns = ", ".join(f"{number} as a_rather_long_name_{number}" for number in range(9))
    out, _ = _query(path, f"select {columns}")

    assert out.splitlines()[:2] == ["-- row 1", "a_rather_long_name_0  0"]


def test_the_prompt(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = tmp_path / "history"
    with create_pipe_input() as typed, create_app_session(input=typed, output=DummyOutput()):
        typed.send_text("select count(*) as n\rfrom items;\rselct 1;\r;\rexit;\r")
        prompt(Database(path, "file"), "table", 100, history)
    shown = capsys.readouterr()

    assert shown.out.splitlines()[1:] == ["  n", "150", "1 row"]
    assert "syntax error" in shown.err
    assert "+from items;" in history.read_text()
