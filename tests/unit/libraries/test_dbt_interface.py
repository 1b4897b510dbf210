"""What Headrace relies on inside dbt and dbt-duckdb; fails when a new version moves it."""

import dataclasses
import sys
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.artifacts.resources.v1.components import CompiledResource
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.graph.nodes import SourceDefinition
from dbt.events.types import NoNodesForSelectionCriteria
from dbt.task.compile import CompileTask
from mashumaro.exceptions import MissingField

from headrace.libraries import dbt as libraries_dbt


def test_compile_goes_past_a_failure_and_only_then() -> None:
    task = cast("Any", object.__new__(CompileTask))
    assert task.raise_on_first_error() is True
    with libraries_dbt.compile_all():
        assert task.raise_on_first_error() is False
    assert task.raise_on_first_error() is True


def test_nodes_hold_their_compiled_sql() -> None:
    names = {field.name for field in dataclasses.fields(CompiledResource)}
    assert {"compiled", "compiled_code"} <= names
    node = SimpleNamespace(compiled=False, compiled_code=None)
    manifest = SimpleNamespace(nodes={"model.shop.orders": node, "model.shop.done": node})
    libraries_dbt.set_compiled_sql(manifest, {"model.shop.orders": "select 1", "gone": "select 2"})
    assert libraries_dbt.compiled_sql(manifest)["model.shop.orders"] == "select 1"
    assert {"nodes", "sources"} <= {field.name for field in dataclasses.fields(Manifest)}


def test_sources_say_where_they_are_read() -> None:
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
    event = NoNodesForSelectionCriteria(spec_raw="ordres+")
    message = SimpleNamespace(info=SimpleNamespace(name=type(event).__name__), data=event)
    assert libraries_dbt.unmatched_selector(message) == "ordres+"
    other = SimpleNamespace(info=SimpleNamespace(name="NodeStart"), data=None)
    assert libraries_dbt.unmatched_selector(other) is None


def test_connection_that_dbt_duckdb_keeps_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hasattr(DuckDBConnectionManager, "_ENV")
    closed: list[str] = []
    kept = SimpleNamespace(close=lambda: closed.append("closed"))
    monkeypatch.setattr(DuckDBConnectionManager, "_ENV", kept)
    libraries_dbt.close_duckdb()
    assert closed
    assert DuckDBConnectionManager._ENV is None


_CLASSES = """
from dataclasses import dataclass, field
from mashumaro import DataClassDictMixin
from mashumaro.config import ADD_DIALECT_SUPPORT, TO_DICT_ADD_OMIT_NONE_FLAG, BaseConfig
from mashumaro.mixins.msgpack import DataClassMessagePackMixin

@dataclass
class Part(DataClassMessagePackMixin):
    name: str
    note: str | None = None

    class Config(BaseConfig):
        code_generation_options = [TO_DICT_ADD_OMIT_NONE_FLAG]

@dataclass
class Wheel(Part):
    size: int = 0

@dataclass
class Order(DataClassMessagePackMixin):
    id: int
    parts: list[Part]
    wheels: dict[str, Wheel] = field(default_factory=dict)

    class Config:
        pass

@dataclass
class Spoken(DataClassDictMixin):
    words: tuple[str, ...]

    class Config(BaseConfig):
        code_generation_options = [ADD_DIALECT_SUPPORT]
"""


@pytest.mark.parametrize("when_called", [False, True])
def test_methods_of_mashumaro_do_the_same_when_they_are_made_late(
    monkeypatch: pytest.MonkeyPatch, *, when_called: bool
) -> None:
    from mashumaro.config import BaseConfig

    module = ModuleType("classes_of_a_test")  # mashumaro looks for the names in it
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = module.__dict__
    with libraries_dbt.methods_when_called() if when_called else nullcontext():
        exec(_CLASSES, names)  # noqa: S102 - classes that are made anew
    assert BaseConfig.lazy_compilation is False
    order_class, wheel, spoken = names["Order"], names["Wheel"], names["Spoken"]
    given = {
        "id": 1,
        "parts": [{"name": "a", "note": None}],
        "wheels": {"front": {"name": "b", "note": None, "size": 2}},
    }
    for _ in range(2):  # the first call makes the method
        order = order_class.from_dict(given)
        assert type(order.wheels["front"]) is wheel
        assert order.to_dict() == given
        assert order.parts[0].to_dict(omit_none=True) == {"name": "a"}
        assert wheel("c", size=3).to_dict(omit_none=True) == {"name": "c", "size": 3}
        assert order_class.from_msgpack(order.to_msgpack()) == order
        assert spoken.from_dict({"words": ["a"]}, dialect=None).to_dict() == {"words": ["a"]}
        with pytest.raises(MissingField, match="parts"):
            order_class.from_dict({"id": 1})
    is_ours = spoken.__dict__["from_dict"].__func__.__module__ == libraries_dbt.__name__
    assert not is_ours, "what is more than known here is left to mashumaro"
