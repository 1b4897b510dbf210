"""The catalog of a dbt project that is no project of Headrace, from its target folder alone."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.catalog import Catalog, RunStore
from headrace.errors import ArtifactError, HeadraceError, SettingsError, TransformError
from headrace.lineage.sql.parse import dialect_of_adapter, summarize
from headrace.pipeline.artifacts_folder import ArtifactsFolder, find_target, opened
from headrace.pipeline.catalog import current

FIXTURES = Path(__file__).parents[2] / "fixtures" / "artifacts"
ADAPTERS = FIXTURES / "adapters"
DAILY = "model.shop.daily"
STAGED = "model.shop.stg_orders"
Document = dict[str, Any]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


def edited(tmp_path: Path, change: Callable[[Document], None], adapter: str = "postgres") -> Path:
    """A target folder with the manifest of an adapter, changed."""
    document = json.loads((ADAPTERS / adapter / "manifest.json").read_text("utf-8"))
    change(document)
    target = tmp_path / "shop" / "target"
    target.mkdir(parents=True)
    (target / "manifest.json").write_text(json.dumps(document), "utf-8")
    return target


def flows(catalog: Catalog, child: str = DAILY) -> set[tuple[str, str, str]]:
    """Parent, its column, and the child's column, of what flows."""
    return {
        (edge.parent, edge.parent_column, edge.child_column)
        for edge in catalog.column_edges
        if edge.child == child and edge.is_direct
    }


def catalog_of(folder: Path) -> Catalog:
    with opened(folder) as found:
        return current(found.resolved)


EXPECTED = {(STAGED, "order_id", "order_id"), (STAGED, "lines", "sku"), (STAGED, "amount", "paid")}


@pytest.mark.parametrize(
    "adapter", ["snowflake", "bigquery", "postgres", "redshift", "spark", "trino"]
)
def test_columns_are_traced_in_the_sql_of_the_adapter(adapter: str) -> None:
    catalog = catalog_of(ADAPTERS / adapter)
    assert flows(catalog) == EXPECTED
    assert not [one for one in catalog.problems if one.asset == DAILY]
    assert (STAGED, "amount") in {
        (edge.child, edge.child_column)
        for edge in catalog.column_edges
        if edge.parent == "table.raw.orders" and edge.parent_column == "amount"
    }


@pytest.mark.parametrize(
    ("adapter", "sql"),
    [
        (
            "sqlserver",
            ("select top 5 [order_id], json_value([lines], '$.sku') as [sku], "
            "isnull(amount, 0) as paid from [analytics].[shop].[stg_orders]"),
        ),
        (
            "databricks",
            ("select order_id, line:sku::string as sku, amount * 1 as paid from "
            "`analytics`.`shop`.`stg_orders` lateral view explode(lines) t as line"),
        ),
        (
            "duckdb",
            ("from analytics.shop.stg_orders select order_id, lines[1].sku as sku, "
            "amount::decimal(12, 2) as paid"),
        ),
        (
            "clickhouse",
            ("select order_id, arrayJoin(lines) as sku, toDecimal64(amount, 2) as paid "
            "from `shop`.`stg_orders` final"),
        ),
        (
            "athena",
            ('select order_id, json_extract_scalar(t.line, \'$.sku\') as sku, amount + 0 as paid '
            'from "analytics"."shop"."stg_orders" cross join unnest(lines) as t (line)'),
        ),
    ],
)  # fmt: skip
def test_the_dialect_is_that_of_the_manifest(adapter: str, sql: str, tmp_path: Path) -> None:
    def change(document: Document) -> None:
        document["metadata"]["adapter_type"] = adapter
        document["nodes"][DAILY]["compiled_code"] = sql

    catalog = catalog_of(edited(tmp_path, change))
    assert flows(catalog) == EXPECTED


def test_each_of_these_needs_its_dialect() -> None:
    """Read as DuckDB's, the SQL of two adapters has no query: the tests above can fail."""
    for adapter in ("spark", "snowflake"):
        document = json.loads((ADAPTERS / adapter / "manifest.json").read_text("utf-8"))
        sql = document["nodes"][DAILY]["compiled_code"]
        assert summarize(sql, adapter).query is not None
        read = summarize(sql, "duckdb")
        assert read.query is None or read.problems


def test_an_unknown_adapter_is_read_as_generic_sql_and_said(tmp_path: Path) -> None:
    def change(document: Document) -> None:
        document["metadata"]["adapter_type"] = "lakebase"
        document["nodes"][DAILY]["compiled_code"] = (
            "select order_id, lines as sku, amount as paid from analytics.shop.stg_orders"
        )

    with opened(edited(tmp_path, change)) as found:
        assert any("(lakebase) is not a known dialect" in note for note in found.notes)
        assert flows(current(found.resolved)) == EXPECTED
    assert dialect_of_adapter(None) is None


@pytest.mark.parametrize("version", ["1_7", "1_8", "1_12"])
def test_results_of_dbt_are_a_run(version: str) -> None:
    with opened(FIXTURES / f"dbt_{version}") as found:
        store = RunStore(found.resolved.run_store_url)
        runs = store.last_runs(5)
        nodes = store.latest_nodes()
        store.close()
        assert not found.no_results
    assert [(run.command, run.status) for run in runs] == [("dbt build", "failed")]
    assert runs[0].started_at.year >= 2024
    assert nodes["model.shop.fct_orders"].status == "success"
    assert nodes["test.shop.no_order_was_returned"].status == "fail"
    assert nodes["source.shop.pay.payments"].resource_type == "source"


def test_what_is_missing_is_said_with_what_writes_it(tmp_path: Path) -> None:
    def change(document: Document) -> None:
        del document["nodes"][DAILY]["compiled_code"]

    with opened(edited(tmp_path, change)) as found:
        notes = "\n".join(found.notes)
        catalog = current(found.resolved)
    assert "there is no catalog.json" in notes
    assert "1 of 2 models have no compiled SQL, so their columns are not traced" in notes
    assert "`dbt build` writes them" in found.no_results
    assert [problem.asset for problem in catalog.problems] == [DAILY]
    assert catalog.parents[DAILY] == (STAGED,)


def test_sql_that_dbt_parse_drops_is_taken_from_the_compiled_files(tmp_path: Path) -> None:
    kept = {}

    def change(document: Document) -> None:
        kept["sql"] = document["nodes"][DAILY].pop("compiled_code")
        # a manifest that leads out of its folder reads nothing there
        document["nodes"][STAGED] |= {"original_file_path": "../../../x.sql", "compiled_code": None}

    target = edited(tmp_path, change)
    (tmp_path / "shop" / "x.sql").write_text("select 1 as secret")
    file = target / "compiled" / "shop" / "models" / "daily.sql"
    file.parent.mkdir(parents=True)
    file.write_text(kept["sql"])
    with opened(target) as found:
        catalog = current(found.resolved)
        assert any("1 model is that of an earlier command" in note for note in found.notes)
    assert flows(catalog) == EXPECTED
    assert catalog.assets[STAGED].compiled_code is None


def test_the_folder_may_be_the_project_or_the_manifest(tmp_path: Path) -> None:
    target = edited(tmp_path, lambda _: None)
    for place in (target, target.parent, target / "manifest.json"):
        assert find_target(place) == target
    target.rename(tmp_path / "shop" / "out")
    with pytest.raises(ArtifactError, match=r"no manifest\.json in .*shop or its `target`: run"):
        find_target(target.parent)
    (target.parent / "dbt_project.yml").write_text("name: shop\ntarget-path: out\n")
    assert find_target(target.parent) == tmp_path / "shop" / "out"
    (target.parent / "dbt_project.yml").write_text("name: [\n")
    with pytest.raises(ArtifactError):
        find_target(target.parent)
    with pytest.raises(ArtifactError, match="is not a folder: name dbt's target folder"):
        find_target(tmp_path / "gone")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty: delete it and run `dbt build`"),
        (b'{"metadata": {"dbt_schema', "does not end: delete it and run `dbt build`"),
        (b"<html>", "is not JSON"),
        (b'{"name": "x"}', "is not dbt's manifest"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_one_line(
    content: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(TransformError) as caught, opened(tmp_path):
        pass
    assert said in str(caught.value)
    assert "headrace" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "is_lenient"), [(7, False), (11, False), (12, False), (20, True)]
)
def test_formats_of_older_and_newer_dbt(number: int, is_lenient: bool, tmp_path: Path) -> None:
    def change(document: Document) -> None:
        url = f"https://schemas.getdbt.com/dbt/manifest/v{number}.json"
        document["metadata"]["dbt_schema_version"] = url
        if number < 12:
            document.pop("unit_tests", None)

    with opened(edited(tmp_path, change)) as found:
        assert flows(current(found.resolved)) == EXPECTED
        assert any("is newer than v12" in note for note in found.notes) == is_lenient


def test_other_files_that_cannot_be_read_are_left_out_and_said(tmp_path: Path) -> None:
    target = edited(tmp_path, lambda _: None)
    (target / "catalog.json").write_text("{")
    shutil.copy(FIXTURES / "dbt_1_12" / "manifest.json", target / "run_results.json")
    with opened(target) as found:
        notes = "\n".join(found.notes)
    assert "catalog.json is not read:" in notes
    assert "run_results.json is not read:" in notes
    assert "`dbt build` writes them" in found.no_results


def test_what_dbt_writes_meanwhile_is_read(tmp_path: Path) -> None:
    target = edited(tmp_path, lambda _: None)
    with opened(target) as found:
        text = (target / "manifest.json").read_text("utf-8")
        (target / "manifest.json").write_text(text[:100], "utf-8")
        with pytest.raises(HeadraceError):
            found.refresh()
        assert flows(current(found.resolved)) == EXPECTED
        (target / "manifest.json").write_text(text.replace("as paid", "as money"), "utf-8")
        _wait(found)
        assert (STAGED, "amount", "money") in flows(current(found.resolved))


def _wait(found: ArtifactsFolder) -> None:
    """Until the thread has read the newest manifest."""
    before = found._stamp
    with found.watched():
        for _ in range(100):
            if found._stamp != before:
                return
            found._closing.wait(0.1)
    raise AssertionError(found.problem)


def test_settings_of_another_project_do_not_reach_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_ENV", "production")
    monkeypatch.setenv("HEADRACE_RUN_STORE__URL", "postgresql://nowhere/x")
    monkeypatch.setenv("HEADRACE_SERVE__PORT", "8600")
    with opened(edited(tmp_path, lambda _: None)) as found:
        assert found.resolved.run_store_url.startswith("sqlite:///")
        assert found.resolved.settings.serve.port == 8600
        assert found.resolved.root.name == "shop"  # as the manifest says
        folder = found.resolved.root
    assert not folder.exists()
    with pytest.raises(SettingsError), opened(find_target(tmp_path / "shop"), flags=["nope=1"]):
        pass
