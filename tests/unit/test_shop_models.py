"""The dbt models of the shop say of personal data what the shop's schema file says."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from headrace.synth.schema.schema_file import read

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "dbt_project" / "models"


def load(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def pii_of(columns: list[dict[str, Any]]) -> dict[str, Any]:
    found = {}
    for column in columns:
        kind = column.get("config", {}).get("meta", {}).get("pii")
        if kind is not None:
            found[column["name"]] = kind
    return found


def schema_pii() -> dict[str, dict[str, Any]]:
    tables = read(ROOT / "data" / "schemas" / "shop.yml").schema.tables
    return {
        name: {
            column: field.pii
            for column, field in table.fields.items()
            if field.pii and not field.hidden
        }
        for name, table in tables.items()
        if table.group == "relational"
    }


def test_the_source_is_tagged_as_the_schema_file_is() -> None:
    (source,) = load(MODELS / "staging" / "shop" / "_shop__sources.yml")["sources"]
    tagged = {
        table["name"]: pii_of(table["columns"])
        for table in source["tables"]
        if table["name"] != "_dlt_loads"
    }
    assert tagged == schema_pii()


def test_tags_go_along_into_every_model() -> None:
    by_model = {
        model["name"]: model
        for folder in ("staging", "intermediate", "marts")
        for path in (MODELS / folder / "shop").glob("*.yml")
        for model in load(path).get("models", [])
    }
    assert pii_of(by_model["stg_shop__orders"]["columns"]) == schema_pii()["order"]
    assert pii_of(by_model["stg_shop__customers"]["columns"]) == schema_pii()["customer"]
    kinds = {column: kind for columns in schema_pii().values() for column, kind in columns.items()}
    for name, model in by_model.items():
        for column in model["columns"]:
            tag = column.get("config", {}).get("meta", {}).get("pii")
            assert tag == kinds.get(column["name"]), f"{name}.{column['name']}"
