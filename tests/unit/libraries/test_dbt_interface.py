"""What Headrace relies on inside dbt and dbt-duckdb; fails when a new version moves it."""

import dataclasses
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.libraries import dbt as libraries_dbt


def test_compile_goes_past_a_failure_and_only_then() -> None:
    from dbt.task.compile import CompileTask

    task = cast("Any", object.__new__(CompileTask))
    assert task.raise_on_first_error() is True
    with libraries_dbt.compile_all():
        assert task.raise_on_first_error() is False
    assert task.raise_on_first_error() is True


def test_nodes_hold_their_compiled_sql() -> None:
    from dbt.artifacts.resources.v1.components import CompiledResource
    from dbt.contracts.graph.manifest import Manifest

    names = {field.name for field in dataclasses.fields(CompiledResource)}
    assert {"compiled", "compiled_code"} <= names
    node = SimpleNamespace(compiled=False, compiled_code=None)
    manifest = SimpleNamespace(nodes={"model.shop.orders": node, "model.shop.done": node})
    libraries_dbt.set_compiled_sql(manifest, {"model.shop.orders": "select 1", "gone": "select 2"})
    assert libraries_dbt.compiled_sql(manifest)["model.shop.orders"] == "select 1"
    assert {"nodes", "sources"} <= {field.name for field in dataclasses.fields(Manifest)}


def test_sources_say_where_they_are_read() -> None:
    from dbt.contracts.graph.nodes import SourceDefinition

    names = {field.name for field in dataclasses.fields(SourceDefinition)}
    assert {"source_name", "database", "schema", "identifier", "relation_name"} <= names
    source = SimpleNamespace(
        source_name="shop", database="here", schema="shop_raw", identifier="orders"
    )
    manifest = SimpleNamespace(sources={"source.shop.orders": source})
    libraries_dbt.read_sources_from(manifest, {"other"}, "state")
    assert source.database == "here"
    libraries_dbt.read_sources_from(manifest, {"shop"}, "state")
    assert (source.database, source.relation_name) == ("state", '"state"."shop_raw"."orders"')


def test_event_names_the_selector_that_matches_nothing() -> None:
    from dbt.events.types import NoNodesForSelectionCriteria

    event = NoNodesForSelectionCriteria(spec_raw="ordres+")
    message = SimpleNamespace(info=SimpleNamespace(name=type(event).__name__), data=event)
    assert libraries_dbt.unmatched_selector(message) == "ordres+"
    other = SimpleNamespace(info=SimpleNamespace(name="NodeStart"), data=None)
    assert libraries_dbt.unmatched_selector(other) is None


def test_connection_that_dbt_duckdb_keeps_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    assert hasattr(DuckDBConnectionManager, "_ENV")
    closed: list[str] = []
    kept = SimpleNamespace(close=lambda: closed.append("closed"))
    monkeypatch.setattr(DuckDBConnectionManager, "_ENV", kept)
    libraries_dbt.close_duckdb()
    assert closed
    assert DuckDBConnectionManager._ENV is None
