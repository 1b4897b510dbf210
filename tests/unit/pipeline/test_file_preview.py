"""How files would be loaded, before they are."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from headrace.errors import SettingsError, SourceError
from headrace.pipeline.file_preview import FilePreview, preview, with_doubts

pytestmark = pytest.mark.slow

MESSY = "id;price;day;stock;open\n1;1.234,50;31/12/2024;3;yes\n2;99,00;01/02/2025;N/A;no\n"


def of(folder: Path, content: str, name: str = "a.csv", **options: Any) -> FilePreview:
    (folder / name).write_text(content)
    return preview(str(folder / name), options)


def test_columns_keys_rows_and_notes(tmp_path: Path) -> None:
    report = of(tmp_path, "id,city,at\n1,Oslo,2024-01-01\n2,,2024-01-01\n3,Rome,2024-01-02\n")
    assert [(each.name, each.data_type, each.nulls) for each in report.columns] == [
        ("id", "BIGINT", 0), ("city", "VARCHAR", 1), ("at", "DATE", 0),
    ]  # fmt: skip
    assert report.keys == ("id",)
    assert report.rows[1] == ("2", None, "2024-01-01")
    assert (report.rows_given, report.rows_quarantined, report.doubts) == (3, 0, ())
    assert with_doubts(report) == {"pattern": "a.csv", "primary_key": ["id"]}
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_settings_that_it_proposes_load_the_values_as_they_are_meant(tmp_path: Path) -> None:
    report = of(tmp_path, MESSY)
    assert {column.data_type for column in report.columns[1:]} == {"VARCHAR"}
    options = with_doubts(report)
    assert options.pop("pattern") == "a.csv"
    again = preview(str(tmp_path / "a.csv"), options)
    assert [column.data_type for column in again.columns] == [
        "BIGINT", "DECIMAL(18,2)", "DATE", "BIGINT", "BOOLEAN",
    ]  # fmt: skip
    assert again.rows[0] == ("1", "1234.50", "2024-12-31", "3", "true")
    assert again.doubts == ()


def test_days_that_may_be_months_are_said(tmp_path: Path) -> None:
    (doubt,) = of(tmp_path, "at,n\n01/02/2024,x\n03/04/2024,x\n").doubts
    assert "the month may come first" in doubt.reason
    (doubt,) = of(tmp_path, "at,n\n01/13/2024,x\n03/04/2024,x\n").doubts
    assert doubt.settings == {"columns": {"at": "date %m/%d/%Y"}}


@pytest.mark.parametrize(
    ("content", "settings", "names"),
    [
        ("10,Oslo\n11,Rome\n", {"header": False}, ["column_1", "column_2"]),
        ("List\nsku,stock\nA,1\nB,2\n", {"skip": 1}, ["sku", "stock"]),
        ("10;Oslo\nTotal;1\n11;Rome\n", {}, ["_10", "oslo"]),
    ],
)
def test_what_has_to_be_said_is_taken_as_it_looks(
    tmp_path: Path, content: str, settings: dict[str, Any], names: list[str]
) -> None:
    report = of(tmp_path, content)
    assert report.settings == {"pattern": "a.csv", **settings}
    assert [doubt.settings for doubt in report.doubts] == ([settings] if settings else [])
    assert [column.name for column in report.columns] == names


def test_quarantined_rows_are_shown(tmp_path: Path) -> None:
    report = of(tmp_path, "id,n\n1,2\n3\n4,5\n")
    assert report.rows_quarantined == 1
    assert report.quarantined == ("a.csv row 2: line 3: 1 value, but the header has 2",)


def test_a_glob_a_folder_and_hostile_names(tmp_path: Path) -> None:
    folder = tmp_path / "in [1]"
    folder.mkdir()
    for name in ("a.csv", "b.csv", "b[1].csv"):
        (folder / name).write_text(f"id\n{len(name)}\n")
    (folder / "notes.md").write_text("x")
    assert preview(str(folder), {}).files == ("a.csv", "b.csv", "b[1].csv")
    assert preview(str(folder), {}).not_read == ("notes.md",)
    assert preview(str(folder / "b[1].csv"), {}).files == ("b[1].csv",)


def test_a_glob(tmp_path: Path) -> None:
    for name in ("x/a.csv", "x/b.csv", "y/a.csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("id\n1\n")
    assert preview(str(tmp_path / "*" / "a.csv"), {}).files == ("x/a.csv", "y/a.csv")


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    for path, told in (
        (tmp_path / "no.csv", "no such file"),
        (tmp_path / "none" / "*.csv", "is not a directory"),
        (tmp_path, "no such file"),
    ):
        with pytest.raises(SourceError, match=told):
            preview(str(path), {})
    (tmp_path / "a.doc").write_text("x")
    with pytest.raises(SourceError, match=r"the format of a\.doc is not one that is read"):
        preview(str(tmp_path / "a.doc"), {})
    for options in ({"skp": 1}, {"skip": -1}, {"encoding": "x"}):
        with pytest.raises(SettingsError, match=f"option {next(iter(options))}"):
            of(tmp_path, "id\n1\n", **options)


def inspect(*words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "headrace", "inspect", *words],
        capture_output=True, text=True, cwd=cwd, check=False,
    )  # fmt: skip


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(MESSY)
    shown = inspect("a.csv", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "! open is yes or no" in shown.stdout
    settings = YAML(typ="safe").load(shown.stdout.partition("to be checked:\n")[2])
    (table,) = settings["sources"]["my_files"]["tables"].values()
    assert table["columns"] == {
        "price": "decimal(18,2)", "day": "date %d/%m/%Y", "open": "boolean",
    }  # fmt: skip
    report = json.loads(inspect("a.csv", "--json", "--option", "skip=1", cwd=tmp_path).stdout)
    assert report["settings"] == {"pattern": "a.csv", "skip": 1, "header": False}
    wrong = inspect("a.csv", "--option", "skip", cwd=tmp_path)
    assert (wrong.returncode, "NAME=VALUE" in wrong.stderr) == (2, True)


def of_days(folder: Path, *contents: str) -> dict[str, Any]:
    """The settings that files of so many days get."""
    for number, content in enumerate(contents, start=1):
        (folder / f"a_2024-01-{number:02}.csv").write_text(content)
    return with_doubts(preview(str(folder / "a*.csv"), {}))


def test_full_exports_are_known_by_their_keys_and_values(tmp_path: Path) -> None:
    days = (
        "id,city,n\n1,Oslo,1\n2,Rome,2\n3,Bern,3\n",
        "id,city,n\n1,Oslo,1\n3,Bern,4\n5,Riga,5\n",
    )
    assert of_days(tmp_path, *days) == {
        "pattern": "a*.csv", "write": "snapshot", "primary_key": ["id"],
    }  # fmt: skip


@pytest.mark.parametrize(
    "days",
    [
        pytest.param(["id,n\n1,1\n2,2\n"], id="one file"),
        pytest.param(["id,n\n1,1\n2,2\n", "id,n\n3,3\n4,4\n"], id="new rows"),
        pytest.param(["id,n\n1,1\n2,2\n3,3\n", "id,n\n3,3\n4,4\n"], id="few rows again"),
        pytest.param(["line,v\n1,5\n2,6\n", "line,v\n1,7\n2,8\n"], id="numbers of lines"),
        pytest.param(["id\n1\n2\n", "id\n1\n2\n"], id="nothing beside the key"),
        pytest.param(["a,b\n1,x\n1,x\n", "a,b\n1,x\n1,x\n"], id="no key"),
    ],
)
def test_other_files_are_not_taken_for_full_exports(tmp_path: Path, days: list[str]) -> None:
    assert "write" not in of_days(tmp_path, *days)


@pytest.mark.parametrize(
    ("values", "settings", "kind", "first"),
    [
        (["$1,234.50", "-$3.00"], {"currency": ["$"], "thousands": ","},
         "DECIMAL(18,2)", "1234.50"),
        (["1.234,50 €", "2,00 €"], {"currency": ["€"], "decimal": ","}, "DECIMAL(18,2)", "1234.50"),
        (["EUR 1'234.5", "7 CHF"], {"currency": ["EUR", "CHF"], "thousands": "'"},
         "DECIMAL(18,1)", "1234.5"),
        (["(12.50)", "3.00"], {"accounting": True}, "DECIMAL(18,2)", "-12.50"),
        (["($1,250.00)", "$3.00"], {"currency": ["$"], "accounting": True, "thousands": ","},
         "DECIMAL(18,2)", "-1250.00"),
        (["1\u00a0234,5", "2,0"], {"decimal": ",", "thousands": " "}, "DECIMAL(18,1)", "1234.5"),
        (["1,234,567", "5"], {"thousands": ","}, "DECIMAL(18,0)", "1234567"),
        (["12.5%", "7 %"], {"columns": {"v": "decimal(18,3) percent"}}, "DECIMAL(18,3)", "0.125"),
        (["12,5%", "7%"], {"decimal": ","}, "DECIMAL(18,3)", "0.125"),
        (["31/12/2024", "1/2/2025"], {}, "DATE", "2024-12-31"),
        (["31.12.2024 10:30", "01.02.2025 00:00"], {}, "TIMESTAMP", "2024-12-31 10:30:00"),
        (["2024/12/31", "2025/02/01"], {}, "DATE", "2024-12-31"),
        (["31-12-24", "01-02-25"], {}, "DATE", "2024-12-31"),
        (["31 Dec 2024", "01 Feb 2025"], {}, "DATE", "2024-12-31"),
        (["yes", "no"], {"columns": {"v": "boolean"}}, "BOOLEAN", "true"),
        (["3", "N/A"], {"null_values": ["N/A"]}, "BIGINT", "3"),
        (["2024-12-31", "-"], {"null_values": ["-"]}, "DATE", "2024-12-31"),
        (["$3.10", "N/A"], {"currency": ["$"], "null_values": ["N/A"]}, "DECIMAL(18,2)", "3.10"),
        (["yes", "NULL"], {"null_values": ["NULL"]}, "BOOLEAN", "true"),
    ],
)  # fmt: skip
def test_each_way_to_write_a_value_is_proposed_and_loads(
    tmp_path: Path, values: list[str], settings: dict[str, Any], kind: str, first: str
) -> None:
    content = "".join(f'{n};"{value}"\n' for n, value in enumerate(values))
    report = of(tmp_path, f"id;v\n{content}")
    assert report.columns[1].data_type == "VARCHAR"
    (doubt,) = report.doubts
    assert settings.items() <= doubt.settings.items()
    again = preview(str(tmp_path / "a.csv"), with_doubts(report) | {"pattern": "a.csv"})
    assert (again.columns[1].data_type, min(again.rows)[1]) == (kind, first)
    assert again.doubts == ()


@pytest.mark.parametrize("values", [["$5", "x"], ["1.5", "1,5"], ["12%", "0.5"], ["A-1", "A-2"]])
def test_what_is_written_in_no_one_way_stays_text_without_a_proposal(
    tmp_path: Path, values: list[str]
) -> None:
    report = of(tmp_path, "id;v\n" + "".join(f"{n};{value}\n" for n, value in enumerate(values)))
    assert report.doubts == ()


def test_columns_with_numbers_of_two_forms_get_the_settings_of_the_first(tmp_path: Path) -> None:
    report = of(tmp_path, "id;a;b\n1;1.234,50;1,234.50\n2;2,00;2.00\n")
    assert with_doubts(report)["columns"] == {"a": "decimal(18,2)"}
    again = preview(str(tmp_path / "a.csv"), with_doubts(report))
    assert [column.data_type for column in again.columns] == ["BIGINT", "DECIMAL(18,2)", "VARCHAR"]


def test_two_columns_that_are_a_key_together(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = [f"{number // 3},{number % 3},{number % 5},x" for number in range(30)]
    path.write_text("\n".join(["order_id,line,amount,note", *lines]) + "\n")
    report = preview(str(path), {})
    assert report.keys == ()
    assert (report.key_pairs[0], report.key_rows) == (("order_id", "line"), 30)
    assert all("note" not in pair for pair in report.key_pairs)

    path.write_text("a,b\n1,1\n1,1\n2,2\n")
    assert preview(str(path), {}).key_pairs == ()
