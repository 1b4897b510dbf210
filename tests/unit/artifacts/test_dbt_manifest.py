"""The manifest reader: what it takes from dbt's file, and what it says of a bad one."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts import read_manifest
from headrace.errors import TransformError


def node(name: str, kind: str = "model", **more: Any) -> dict[str, Any]:
    unique_id = f"{kind}.shop.{name}"
    base = {"unique_id": unique_id, "name": name, "resource_type": kind, "schema": "marts"}
    return base | {"alias": name, "config": {"materialized": "table"}, "unknown": [1]} | more


def write(path: Path, *nodes: dict[str, Any], **more: Any) -> Path:
    document = {
        "metadata": {"dbt_schema_version": "v12"},
        "nodes": {item["unique_id"]: item for item in nodes},
        "sources": {},
    }
    (path / "manifest.json").write_text(json.dumps(document | more))
    return path


def test_relations_of_the_schemas(tmp_path: Path) -> None:
    manifest = read_manifest(
        write(
            tmp_path,
            node("orders"),
            node("customers", alias="clients"),
            node("staged", schema="staging"),
            node("inlined", config={"materialized": "ephemeral"}),
            node("off", config={"enabled": False}),
            node("codes", kind="seed"),
            node("unique_orders", kind="test"),
        )
    )
    names = [found.relation_name for found in manifest.relations(("marts",))]
    assert names == ["clients", "codes", "orders"]


def generic(name: str, *, of: str = "orders", where: str | None = None, **kwargs: Any) -> Any:
    return node(
        f"{name}_{of}_{len(str(kwargs))}",
        kind="test",
        test_metadata={"name": name, "kwargs": kwargs},
        attached_node=f"model.shop.{of}",
        config={"where": where},
    )


COMBINED = "unique_combination_of_columns"


@pytest.mark.parametrize(
    ("more", "tests", "key"),
    [
        ({}, [], ()),
        ({}, [generic(COMBINED, combination_of_columns=["day", "shop"])], ("day", "shop")),
        ({}, [generic(COMBINED, columns=["day", "shop"])], ("day", "shop")),
        # dbt would take the day alone
        (
            {"primary_key": ["day"]},
            [
                generic("not_null", column_name="day"),
                generic(COMBINED, combination_of_columns=["shop", "day"]),
            ],
            ("shop", "day"),
        ),
        (
            {},
            [
                generic(COMBINED, combination_of_columns=["shop", "day"]),
                generic("not_null", column_name="id"),
                generic("unique", column_name="id"),
            ],
            ("id",),
        ),
        ({}, [generic("unique", column_name="id")], ("id",)),
        ({"primary_key": ["old"]}, [generic("unique", column_name="id", where="x")], ("old",)),
        ({}, [generic(COMBINED, columns=["a"], of="others")], ()),
        ({"constraints": [{"type": "primary_key", "columns": ["a", "b"]}]}, [], ("a", "b")),
        (
            {"columns": {"a": {"name": "a", "constraints": [{"type": "primary_key"}]}}},
            [generic("unique", column_name="id")],
            ("a",),
        ),
        ({"config": {"unique_key": ["a", "b"]}}, [], ("a", "b")),
        ({"config": {"unique_key": "a"}}, [], ("a",)),
        ({"config": {"unique_key": "a"}, "resource_type": "snapshot"}, [], ()),
    ],
)  # fmt: skip
def test_the_key_of_a_relation(
    tmp_path: Path, more: dict[str, Any], tests: list[dict[str, Any]], key: tuple[str, ...]
) -> None:
    orders = node("orders", **{"config": {"materialized": "table"}, **more})
    manifest = read_manifest(write(tmp_path, orders, *tests))
    assert manifest.keys() == ({"model.shop.orders": key} if key else {})


def test_the_label_of_a_generic_test_unless_it_has_a_custom_name(tmp_path: Path) -> None:
    metadata = {"name": "unique", "kwargs": {"column_name": "order_id"}}
    more = {"test_metadata": metadata, "attached_node": "model.shop.orders"}
    manifest = read_manifest(
        write(
            tmp_path,
            node("unique_orders_order_id", kind="test", **more),
            node("every_order_comes_once", kind="test", **more),
        )
    )
    labels = [found.label for found in manifest.nodes.values()]
    assert labels == ["unique(order_id) on orders", "every_order_comes_once"]
    assert manifest.label("model.gone", "gone") == "gone"


def test_a_missing_or_broken_manifest_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(TransformError, match="run `headrace build` first"):
        read_manifest(tmp_path)
    write(tmp_path, node("orders"))
    text = (tmp_path / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(text[: len(text) // 2])
    with pytest.raises(TransformError, match="delete it and run") as caught:
        read_manifest(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_same_content_is_read_once_and_another_again(tmp_path: Path) -> None:
    path = write(tmp_path, node("orders"))
    first = read_manifest(path)
    assert read_manifest(path) is first
    before = (tmp_path / "manifest.json").stat()
    write(tmp_path, node("ordres"))  # of the same size
    os.utime(tmp_path / "manifest.json", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [found.name for found in read_manifest(path).nodes.values()] == ["ordres"]
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(TransformError, match="there is no"):
        read_manifest(path)
