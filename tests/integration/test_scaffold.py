"""Real loads, scaffolded and built: the first time, after edits and changes, with odd names."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from lab import ROOT, Lab, copy_project

from headrace.pipeline.reports import BuildReport
from headrace.scaffold import ScaffoldReport, scaffold

SOURCE = '''
"""Rows of a JSON file, table by table."""

import json
from pathlib import Path

import dlt
from dlt.extract import DltSource


def build_source(*, path: Path, naming: str = "snake_case") -> DltSource:
    """Resources for the tables of the file; each has its key and its rows."""
    resources = [
        dlt.resource(
            table["rows"],
            name=name,
            primary_key=table.get("key"),
            write_disposition="merge" if "key" in table else "append",
        )
        for name, table in json.loads(path.read_text("utf-8")).items()
    ]
    relational = {"module": "dlt.common.normalizers.json.relational"}
    schema = dlt.Schema("store", normalizers={"names": naming, "json": relational})
    return dlt.source(lambda: resources, schema=schema)()
'''

EMPTY = 'description: ""  # to be described'
Tables = dict[str, dict[str, Any]]
FIRST: Tables = {
    "orders": {
        "key": ["id"],
        "rows": [
            {
                "id": 1, "group": "a", "active": True, "created": "2024-01-01T00:00:00Z",
                "buyer": {"name": "Ada"}, "fax": "1",
                "lines": [
                    {"sku": "x", "discounts": [{"code": "A"}, {"code": "B"}]}, {"sku": "y"},
                ],
            },
            {
                "id": 2, "group": "b", "active": False, "created": "2024-01-02T00:00:00Z",
                "buyer": {"name": "Bo"}, "fax": "2", "lines": [{"sku": "z"}],
            },
        ],
    },
    "visits": {"key": ["day", "city"], "rows": [
        {"day": "2024-01-01", "city": "Bern", "count": 1},
        {"day": "2024-01-01", "city": "Oslo", "count": 1},
        {"day": "2024-01-02", "city": "Bern", "count": 2},
    ]},
    "clicks": {"rows": [{"url": "a"}, {"url": "a"}]},
}  # fmt: skip


class Store:
    """The source ``store`` in a project of its own."""

    def __init__(self, lab: Lab, rows: Path) -> None:
        self.lab = lab
        self.rows = rows
        self.folder = lab.root / "dbt_project" / "models" / "staging" / "store"

    def load(self, tables: Tables, *, full_refresh: bool = False) -> None:
        self.rows.write_text(json.dumps(tables), encoding="utf-8")
        self.lab.load("store", full_refresh=full_refresh)

    def scaffold(self, *, dry_run: bool = False) -> ScaffoldReport:
        return scaffold(self.lab.resolved, "store", dry_run=dry_run)

    def build(self) -> BuildReport:
        """Build all; every model and every test has to be good."""
        report = self.lab.run("build").build
        assert report is not None
        bad = [n for n in report.nodes if n.status not in {"success", "pass"}]
        assert [(node.label, node.status, node.message) for node in bad] == []
        return report

    def path(self, name: str) -> Path:
        return self.folder / f"stg_store__{name}"

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.path(name)
        assert path.read_text("utf-8").count(old) == 1
        path.write_text(path.read_text("utf-8").replace(old, new), encoding="utf-8")

    def texts(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.folder.iterdir())}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    root = copy_project(tmp_path / "project")
    folder = root / "dlt_pipelines" / "store"
    folder.mkdir()
    (folder / "__init__.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(ROOT))
    import dlt_pipelines

    monkeypatch.setattr(dlt_pipelines, "__path__", [str(root / "dlt_pipelines")])
    monkeypatch.delitem(sys.modules, "dlt_pipelines.store", raising=False)
    rows = tmp_path / "rows.json"
    lab = Lab(tmp_path / "data", root=root).set(
        f"sources.store.path={rows}", "sources.jaffle_shop.enabled=false"
    )
    return Store(lab, rows)


def labels(report: BuildReport) -> set[str]:
    return {node.label for node in report.nodes}


def parses_without_a_warning(lab: Lab) -> bool:
    from dbt.cli.main import dbtRunner

    words = ["--warn-error", "parse", "--no-partial-parse", "--log-level", "none", "--no-print"]
    folders = {
        "--project-dir": lab.resolved.dbt_project,
        "--profiles-dir": lab.data_dir / "dbt",
        "--target-path": lab.data_dir / "parsed",
        "--log-path": lab.data_dir / "logs",
    }
    for option, folder in folders.items():
        words += [option, str(folder)]
    result = dbtRunner().invoke(words)
    assert result.exception is None, result.exception
    return result.success


def lint(folder: Path, names: str = "*.sql") -> list[str]:
    """What the project's linter says of a folder's models, by its settings."""
    import sqlfluff

    return [
        f"{path.name}:{mark['start_line_no']} {mark['code']} {mark['description']}"
        for path in sorted(folder.glob(names))
        for mark in sqlfluff.lint(path.read_text("utf-8"), config_path=str(ROOT / ".sqlfluff"))
    ]


def stopped_load(lab: Lab) -> None:
    """What a killed load leaves: rows of an order with its lines, and no completed load."""
    with duckdb.connect(str(lab.warehouse)) as connection:
        for table, values in {
            "orders": "{'id': 3, '_dlt_id': 'o3', '_dlt_load_id': '999.9'}",
            "orders__lines": "{'sku': 'w', '_dlt_id': 'l3', '_dlt_parent_id': 'o3',"
            " '_dlt_root_id': 'o3', '_dlt_list_idx': 0}",
            "orders__lines__discounts": "{'code': 'C', '_dlt_id': 'd3', '_dlt_parent_id': 'l3',"
            " '_dlt_root_id': 'o3', '_dlt_list_idx': 0}",
        }.items():
            connection.execute(f"insert into store_raw.{table} by name select unnest({values})")


def test_from_a_load_to_a_green_build_and_again_after_edits_and_changes(
    store: Store,
) -> None:
    store.load(FIRST)
    assert store.scaffold().by_hand == ()
    first = store.build()
    assert {
        "stg_store__orders__lines__discounts",
        "unique(order_id) on stg_store__orders",
        "unique_combination_of_columns on stg_store__visits",
        "relationships(_dlt_parent_id) on stg_store__orders__lines__discounts",
    } <= labels(first)
    assert parses_without_a_warning(store.lab)
    assert lint(store.folder) == []
    stopped_load(store.lab)
    counts = {
        table: store.lab.query(f"select count(*) from staging.stg_store__{table}")[0][0]
        for table in ("orders", "orders__lines", "orders__lines__discounts", "clicks")
    }
    assert counts == {"orders": 2, "orders__lines": 3, "orders__lines__discounts": 2, "clicks": 2}

    edited = edit_by_hand(store)
    store.load(changed(FIRST), full_refresh=True)
    report = store.scaffold()

    vanished = {(item.table, item.column): item.places for item in report.vanished}
    assert set(vanished) == {("orders", "fax")}
    texts = store.texts()
    assert "stg_store__visits.sql" not in texts
    for name, text in edited.items():
        assert keeps(text, texts[name]), name
        if "sources" not in name and "lock" not in name and "__orders." not in name:
            assert texts[name] == text
    orders = store.path("orders.sql").read_text("utf-8")
    assert "        buyer__name as buyer, -- as the shop calls it\n        coupon,\n" in orders
    assert store.scaffold().changes == ()

    # what vanished is for the user to remove, where the report says
    place = next(place for place in vanished["orders", "fax"] if ".sql" in place)
    line = orders.splitlines(keepends=True)[int(place.rpartition(":")[2]) - 1]
    assert line == "        fax,\n"
    store.edit("orders.sql", line, "")
    store.edit("orders.yml", f"      - name: fax\n        {EMPTY}\n", "")
    second = store.build()
    assert {
        "stg_store__orders__notes",
        "relationships(_dlt_parent_id) on stg_store__orders__notes",
        "accepted_values(order_group) on stg_store__orders",
    } <= labels(second)
    assert "stg_store__visits" not in labels(second)
    assert lint(store.folder, "*__orders.sql") == []
    query = "select buyer, coupon from staging.stg_store__orders where coupon is not null"
    (row,) = store.lab.query(query)
    assert row == ("Ada", "SALE")


def edit_by_hand(store: Store) -> dict[str, bytes]:
    """What a user does between two scaffolds; returns the files as they are then."""
    store.edit("orders.sql", "buyer__name,", "buyer__name as buyer, -- as the shop calls it")
    store.edit(
        "orders.yml",
        '      - name: buyer__name\n        description: ""  # to be described\n',
        "      # who pays\n      - name:   'buyer'\n        description: |\n"
        "          # Who pays,\n          in full.\n\n",
    )
    store.edit(
        "orders.yml",
        '      - name: order_group\n        description: ""  # to be described\n',
        '      - description: "The order\'s group."\n        name: order_group\n'
        "        data_tests:\n"
        "          - accepted_values: {arguments: {values: [a,   b]}}\n",
    )
    store.edit("orders__lines.yml", "One row per item", "One row per LINE, an item")
    store.edit("clicks.sql", "    from source\n", "    from source  -- every click\n")
    store.path("visits.sql").unlink()
    store.path("visits.yml").unlink()
    return store.texts()


def changed(tables: Tables) -> Tables:
    """The source later: a column more, a list more, a column less."""
    tables = json.loads(json.dumps(tables))
    for row in tables["orders"]["rows"]:
        del row["fax"]
    tables["orders"]["rows"][0] |= {"coupon": "SALE", "notes": ["call", "ring twice"]}
    return tables


def keeps(old: bytes, new: bytes) -> bool:
    """Whether every line of the old file is in the new one, in its order."""
    rest = iter(new.splitlines())
    return all(any(other in {line, line + b","} for other in rest) for line in old.splitlines())


ODD: Tables = {
    "Größe": {
        "key": ["Id"],
        "rows": [
            {
                "Id": 1, "größe": 1.5, "Ship To": "x", "select": 1, "Order": 2, "a.b": 3,
                'say "hi"': "y", "it's": 4, "x" * 90: 5, "on": True, "1st": "z", "日本": 1,
                "Lines": [{"End": 1}],
            }
        ],
    },
    "select": {"key": ["from", "to be"], "rows": [{"from": 1, "to be": 2}]},
    "O'Neil": {"key": ["id"], "rows": [{"id": 1}]},
}  # fmt: skip


def test_names_that_need_quotes(store: Store) -> None:
    store.lab = store.lab.set("sources.store.naming=direct")
    store.load(ODD)
    report = store.scaffold()
    assert report.by_hand == ()
    build = store.build()
    assert sum(node.resource_type == "model" for node in build.nodes) == len(ODD) + 1
    assert lint(store.folder) == []
    assert store.scaffold().changes == ()


def test_the_projects_own_sources_are_left_as_they_are(tmp_path: Path) -> None:
    names = ("jaffle_shop", "shop", "web_analytics")
    root = copy_project(tmp_path / "project", whole=True)
    shutil.copytree(ROOT / "data" / "schemas", root / "data" / "schemas")
    lab = replace(Lab(tmp_path / "data"), root=root).set(
        *(f"sources.{name}.as_of=2024-01-20" for name in names[1:]),
        *(f"sources.{name}.scale=0.005" for name in names[1:]),
    )
    lab.load(*names)
    project = root / "dbt_project"
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    for name in names:
        report = scaffold(lab.resolved, name)
        assert {file.path: file.status for file in report.changes} == {
            f"models/staging/{name}/_{name}__scaffold.lock": "added"
        }
        assert report.by_hand == ()
        # at this scale some tables have no row, and so dlt has not made them
        assert not any(item.was_loaded or item.column for item in report.vanished)
        assert scaffold(lab.resolved, name).changes == ()
    assert {path: path.read_bytes() for path in before} == before
