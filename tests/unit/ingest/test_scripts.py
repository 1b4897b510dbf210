"""dlt scripts of others: what they hand to dlt is taken, and nothing is loaded by them."""

import sys
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.extract import DltSource

from headrace.errors import SourceError
from headrace.ingest.scripts import load_script, recorded, source_of

RUNS = """
import dlt
pipeline = dlt.pipeline(pipeline_name="script_runs", destination="duckdb", dataset_name="x")
info = pipeline.run([{"id": 1}], table_name="items", primary_key="id", write_disposition="merge")
info.raise_on_failed_jobs()
print(info, [package for package in info.load_packages])
other = dlt.pipeline(pipeline_name="script_other", destination="duckdb")
other.run([{"id": 2}], table_name="others")
"""


@pytest.fixture(autouse=True)
def _own_dlt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipelines of a script have their folders in the home folder."""
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    monkeypatch.setattr(sys, "path", list(sys.path))


def rows(source: DltSource) -> dict[str, list[Any]]:
    return {name: list(resource) for name, resource in source.resources.items()}


def script(tmp_path: Path, text: str, name: str = "load.py") -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def test_what_a_script_runs_is_recorded_by_pipeline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = script(tmp_path, RUNS)
    source = recorded(path, "script_runs")
    assert rows(source) == {"items": [{"id": 1}]}
    schema = source.items.compute_table_schema()
    assert schema["write_disposition"] == "merge"
    assert schema["columns"]["id"]["primary_key"]
    assert rows(recorded(path, "script_other")) == {"others": [{"id": 2}]}
    assert set(recorded(path).resources) == {"items", "others"}
    said = capsys.readouterr()
    assert not said.out
    assert "not loaded here" in said.err
    assert not list(tmp_path.glob("*.duckdb"))
    with pytest.raises(SourceError, match=r"'gone'; it ran: script_other, script_runs"):
        recorded(path, "gone")


def test_a_function_of_a_script_is_recorded(tmp_path: Path) -> None:
    text = "def main():" + RUNS.replace("\n", "\n    ")
    assert rows(recorded(script(tmp_path, text), "script_runs", function="main")) == {
        "items": [{"id": 1}]
    }


def test_a_script_may_import_what_lies_beside_it_or_in_its_package(tmp_path: Path) -> None:
    script(tmp_path, "VALUE = 'beside'\n", "one/values_beside.py")
    beside = script(tmp_path, "from values_beside import VALUE\n", "one/load.py")
    script(tmp_path, "", "two/pack_of_two/__init__.py")
    script(tmp_path, "VALUE = 'inside'\n", "two/pack_of_two/values.py")
    inside = script(tmp_path, "from .values import VALUE\n", "two/pack_of_two/load.py")
    assert load_script(beside).VALUE == "beside"
    assert load_script(inside).VALUE == "inside"
    assert load_script(beside) is load_script(beside)
    with pytest.raises(SourceError, match="is not there"):
        load_script(tmp_path / "gone.py")


def test_a_script_that_ends_the_process_is_an_error_unless_all_went_well(tmp_path: Path) -> None:
    good = script(tmp_path, f"{RUNS}\nimport sys\nassert sys.argv[1:] == []\nsys.exit(0)\n", "a.py")
    with pytest.raises(SourceError, match="ended with exit code 3"):
        recorded(script(tmp_path, "raise SystemExit(3)\n", "b.py"))
    with pytest.raises(SourceError):  # its runs were recorded, but it was left before the end
        recorded(good, "gone")
    with pytest.raises(ZeroDivisionError):
        recorded(script(tmp_path, "1 / 0\n", "c.py"))


def test_all_that_run_takes_becomes_a_source() -> None:
    @dlt.resource
    def one() -> Any:
        yield {"a": 1}

    @dlt.source
    def whole() -> Any:
        return one

    source = whole()
    assert source_of("x", source) is source
    assert rows(source_of("x", one())) == {"one": [{"a": 1}]}
    assert rows(source_of("x", [one().with_name("b"), source])) == {
        "b": [{"a": 1}],
        "one": [{"a": 1}],
    }
    named = source_of("x", one(), {"table_name": "t", "write_disposition": "replace"})
    assert named.one.compute_table_schema()["name"] == "t"
    with pytest.raises(SourceError, match="without a table_name"):
        source_of("x", [{"a": 1}])
