"""What dbt does not do again: with the shortcuts it is the same."""

import io
import json
import signal
from collections import ChainMap
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from datetime import date
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.libraries import dbt_shortcuts


class Names(dict[str, Any]):
    """A context that may be asked for its names one by one alone, like dbt's of a test."""

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("all names were asked for")

    keys = items = values = __iter__  # type: ignore[assignment]


def test_an_argument_of_a_test_asks_for_the_names_that_it_has() -> None:
    from dbt.clients.jinja import get_rendered

    text, context = "{{ [twice(2), other is defined] }}", {"twice": lambda x: x * 2}
    expected = get_rendered(text, context, native=True)
    with dbt_shortcuts.taken(hears_all=True):
        found = get_rendered(text, ChainMap(Names(context)), native=True)  # type: ignore[arg-type]
    assert found == expected == [4, False]


@pytest.mark.parametrize("reads_ahead", [True, False])
def test_a_ctrl_c_while_a_project_is_read_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, reads_ahead: bool
) -> None:
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser import manifest as parser

    path = tmp_path / "partial_parse.msgpack"
    path.write_bytes(b"a project")

    def from_msgpack(content: bytes, decoder: Any) -> None:
        assert content == b"a project"
        assert decoder is not None
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise ValueError("what mashumaro makes of it") from error

    def dbt_reads(_: Any) -> None:
        with suppress(Exception):  # dbt parses all files then
            cast("Any", parser).Manifest.from_msgpack(path.read_bytes(), decoder=len)

    monkeypatch.setattr(Manifest, "from_msgpack", from_msgpack)
    loader: Any = parser.ManifestLoader
    monkeypatch.setattr(loader, "read_manifest_for_partial_parse", dbt_reads)
    with dbt_shortcuts.taken(hears_all=True):
        read = partial(loader.read_manifest_for_partial_parse, None)
        with pytest.raises(KeyboardInterrupt):
            (partial(dbt_shortcuts.read_ahead, path) if reads_ahead else read)()


def test_types_of_results_are_guessed_as_dbt_does_with_one_calendar(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agate_helper = _module("dbt_common.clients.agate_helper")

    rows = [
        {"a": 1, "b": "null", "c": None, "d": date(2024, 1, 31), "e": [1], "f": "2024-01-31"},
        {"a": 2.5, "b": "", "c": True, "d": None, "e": {}, "f": "007"},
    ]
    tables = [(rows, list("abcdef")), (rows[:1], list("abc")), ([], ["a"]), (rows, list("abcdef"))]

    def made() -> list[Any]:
        found = [agate_helper.table_from_data_flat(*one) for one in tables]
        types = [[type(kind).__name__ for kind in table.column_types] for table in found]
        return [types, [[tuple(row) for row in table.rows] for table in found]]

    calendar: Any = import_module("parsedatetime").Constants
    known, calendars = calendar.__init__, []

    def counted(*given: Any, **options: Any) -> None:
        calendars.append(given)
        known(*given, **options)

    expected = made()
    monkeypatch.setattr(calendar, "__init__", counted)
    with dbt_shortcuts.taken(hears_all=True):
        assert made() == expected
        assert not list(agate_helper.empty_table().rows)
        first = len(calendars)
        assert made() == expected
        assert not list(agate_helper.empty_table().columns)
    assert first == len(calendars) > 0


@pytest.mark.parametrize("hears_all", [False, True])
def test_events_that_nobody_hears_are_not_made(*, hears_all: bool) -> None:
    from dbt.adapters.events.types import SQLQueryStatus
    from dbt.events.types import MainReportVersion, NodeStart
    from dbt_common.events import base_types
    from dbt_common.events.event_manager import EventManager

    made: list[str] = []
    heard: list[str] = []
    manager = EventManager()
    manager.callbacks.append(lambda message: heard.append(message.info.name))
    with pytest.MonkeyPatch.context() as patch:
        parse: Any = vars(base_types)["ParseDict"]

        def noted(content: Any, message: Any) -> Any:
            made.append(type(message).__name__)
            return parse(content, message)

        patch.setattr(base_types, "ParseDict", noted)
        patch.setattr(dbt_shortcuts, "_messages_by_c", nullcontext)
        with dbt_shortcuts.taken(hears_all=hears_all):
            asked = SQLQueryStatus(status="ok", elapsed=1.0)
            for event in (
                SQLQueryStatus(status="ok", elapsed=1.0),
                NodeStart(node_info={"unique_id": "model.a.b"}),
                MainReportVersion(version="=1", log_version=3),
            ):
                manager.fire_event(event)
            unheard = made.count("SQLQueryStatus")
            assert asked.status == "ok", "it is made when somebody asks"
    assert heard == [*(["SQLQueryStatus"] if hears_all else []), "NodeStart", "MainReportVersion"]
    assert unheard == (2 if hears_all else 0)


def test_the_module_of_a_flag_is_that_of_dbt() -> None:
    from dbt_common.behavior_flags import BehaviorFlagRendered

    expected = BehaviorFlagRendered._default_source()
    with dbt_shortcuts.taken(hears_all=True):
        assert BehaviorFlagRendered._default_source() == expected == __name__


def test_json_is_written_as_dbt_writes_it(tmp_path: Path) -> None:
    from dbt_common.clients import system as dbt_system
    from dbt_common.utils.encoding import JSONEncoder

    content = {"é": [1, 2.5, None, {"a": True}], "when": Path("x").name, "empty": {}}
    expected = io.StringIO()
    json.dump(content, expected, cls=JSONEncoder)
    path, system = tmp_path / "artifact.json", cast("Any", dbt_system)
    with dbt_shortcuts.taken(hears_all=True):
        assert system.json is not json
        system.write_json(str(path), content)
    assert path.read_text("utf-8") == expected.getvalue()
    assert system.json is json


def test_the_manifest_can_be_left_to_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbt.contracts.graph.manifest import Manifest

    # it asks for the flags of an invocation
    monkeypatch.setattr(Manifest, "fill_tracking_metadata", lambda self: None)
    path = tmp_path / "manifest.json"
    with dbt_shortcuts.manifest_left_to_caller():
        Manifest().write(str(path))
        assert not path.exists()
    Manifest().write(str(path))
    assert path.exists()


def test_plugins_are_looked_for_once_on_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbt.plugins.manager import PluginManager

    manager = cast("Any", PluginManager)
    monkeypatch.setattr(dbt_shortcuts, "_plugins", {})
    (tmp_path / "dbt_of_a_test.py").touch()
    with dbt_shortcuts.taken(hears_all=True):
        first = manager.get_prefixed_modules()
        assert "dbt_of_a_test" not in first
        assert manager.get_prefixed_modules() is first
        monkeypatch.syspath_prepend(tmp_path)
        assert manager.get_prefixed_modules().keys() - first == {"dbt_of_a_test"}
    assert manager.get_prefixed_modules() is not manager.get_prefixed_modules()


def test_the_summary_of_a_graph_is_that_of_dbt() -> None:
    from dbt.artifacts.resources.types import NodeType
    from dbt.compilation import Linker

    class Node:
        """As much of a node as dbt asks for."""

        def __init__(self, kind: NodeType) -> None:
            self.resource_type = kind

        def to_dict(self, **_: object) -> dict[str, str]:
            return {"resource_type": str(self.resource_type.value), "name": "a"}

    class Manifest:
        """Of two nodes."""

        def expect(self, key: str) -> Node:
            return Node(NodeType.Model if key == "model.p.a" else NodeType.Exposure)

    linker, manifest = cast("Any", Linker()), Manifest()
    linker.add_node("model.p.a")
    linker.dependency("exposure.p.b", "model.p.a")
    expected = linker.get_graph_summary(manifest)
    with dbt_shortcuts.taken(hears_all=True):
        found = linker.get_graph_summary(manifest)
    assert json.dumps(found) == json.dumps(expected)
    assert [one["type"] for one in found.values()] == ["model", "exposure"]


def test_the_same_settings_are_validated_once_and_others_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dbt.artifacts.resources.v1.config import NodeConfig, TestConfig
    from dbt_common import dataclass_schema
    from dbt_common.dataclass_schema import ValidationError

    validator: Any = cast("Any", dataclass_schema).jsonschema.Draft7Validator
    tests, nodes = cast("Any", TestConfig), cast("Any", NodeConfig)
    asked: list[object] = []

    original = validator.iter_errors

    def iter_errors(self: Any, data: object) -> Any:
        asked.append(data)
        return original(self, data)

    monkeypatch.setattr(validator, "iter_errors", iter_errors)
    good: dict[str, Any] = {"severity": "ERROR", "tags": ["a"]}
    with dbt_shortcuts.taken(hears_all=True):
        for _ in range(3):
            tests.validate(good)
            nodes.validate(good)
        assert [one for one in asked if one is good] == [good, good], "once for each class"
        wrongs: list[dict[str, Any]] = [{"enabled": []}, {**good, "tags": ("a",)}, {"limit": "b"}]
        for wrong in wrongs:
            for _ in range(2):
                with pytest.raises(ValidationError):
                    tests.validate(wrong)
    asked.clear()
    tests.validate(good)
    assert good in asked, "dbt is as it was"


def _module(name: str) -> Any:
    return import_module(name)


def test_what_all_contexts_have_is_made_once_for_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from argparse import Namespace

    flags, base, providers = map(
        _module, ("dbt.flags", "dbt.context.base", "dbt.context.providers")
    )
    args = Namespace(which="build", vars={"a": 1}, profiles_dir=Path("profiles"))
    monkeypatch.setattr(flags, "GLOBAL_FLAGS", Namespace(PRINTER_WIDTH=80, WHICH="build"))
    expected = vars(flags.get_flag_obj()), providers.args_to_dict(args)
    modules = base.get_context_modules()
    with dbt_shortcuts.taken(hears_all=True):
        for _ in range(2):
            assert vars(flags.get_flag_obj()) == expected[0]
            found = providers.args_to_dict(args)
            assert found == expected[1]
            found["mine"] = True  # is nobody else's
            assert base.get_context_modules().keys() == modules.keys()
        flag_obj = flags.get_flag_obj()
        assert flags.get_flag_obj() is flag_obj
        assert providers.args_to_dict(Namespace(which="test"))["which"] == "test"
        monkeypatch.setattr(flags, "GLOBAL_FLAGS", Namespace(PRINTER_WIDTH=120, WHICH="test"))
        assert flags.get_flag_obj().PRINTER_WIDTH == 120
        assert providers.args_to_dict(args)["printer_width"] == 120


def test_vars_and_contexts_of_descriptions_are_made_for_who_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dbt.clients.jinja import get_rendered

    providers, parser = map(_module, ("dbt.context.providers", "dbt.parser.manifest"))
    made: list[str] = []

    def docs_context(*given: Any) -> dict[str, Any]:
        made.append(str(given))
        return {"doc": lambda name: f"what {name} is"}

    def merged(self: Any) -> dict[str, Any]:
        made.append("vars")
        return {"from": 2020}

    monkeypatch.setattr(parser, "generate_runtime_docs_context", docs_context)
    monkeypatch.setattr(providers.ModelConfiguredVar, "_generate_merged", merged)
    loaded: list[bool] = []
    config = SimpleNamespace(cli_vars={}, load_dependencies=lambda: loaded.append(True))
    with dbt_shortcuts.taken(hears_all=True):
        context = parser.generate_runtime_docs_context(config, 1, 2, "project")
        assert get_rendered("One row per order.", context) == "One row per order."
        assert made == []
        assert get_rendered("{{ doc('orders') }}", context) == "what orders is"
        assert made == [str((config, 1, 2, "project"))]
        var = providers.RuntimeVar(None, config, None)
        assert (loaded, made[1:]) == ([True], [])
        assert var("from") == 2020
        assert var("to", 2021) == 2021
        names = {"exceptions": providers.wrapped_exports(None)}
        with pytest.raises(Exception, match="too few"):
            get_rendered("{{ exceptions.raise_compiler_error('too few') }}", names)
        assert made[1:] == ["vars"]


@pytest.mark.parametrize(
    "sql",
    [
        "with a as (select 1) select * from a",
        "\n  -- what\n/* why */ With\n  a as (\n  select 'with' as x -- y\n)\nselect * from a",
        "with /* one */ a as (select 1) select * from a -- two ;",
        "with -- recursive\n recursive as (select 1) select * from recursive",
        "WITH RECURSIVE a as (select 1) select * from a",
        "with\n\trecursive a as (select 1) select * from a",
        "select * from a where b in (with c as (select 1) select * from c)",
        "select cast(x as timestamp with time zone) as y, z::timestamp with time zone from a",
        "(with a as (select 1) select * from a) union all select 2",
        "with a as (select ';' as x) select * from a; select 2",
        "with a as (select 1)\r\nselect * from a\r\n",
        'with a as (select $$ é $$ as "with") select * from a',
        "{{ not_sql }} with a as (select 1) select 1",
        "with",
        "",
    ],
)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_ctes_are_put_where_dbt_puts_them(sql: str, number: int) -> None:
    compilation = _module("dbt.compilation")
    ctes = [SimpleNamespace(sql=f" __dbt__cte__{one} as (\nselect {one})") for one in range(number)]
    said = []
    for stack in (nullcontext(), dbt_shortcuts.taken(hears_all=True)):
        with stack:
            try:
                said.append(compilation.inject_ctes_into_sql(sql, ctes))
            except Exception as error:
                said.append(repr(error))
    assert said[0] == said[1]


@pytest.mark.parametrize(
    "given",
    [
        {"node_info": {"unique_id": "a", "meta": {"n": 3, "of": [None, {"x": "é"}]}}, "index": 1},
        {"node_info": {"node_relation": None, "node_checksum": "abc"}, "total": 2.0},
        {"description": None},
        {"nodeInfo": {"unique_id": "a"}},  # as JSON has it
        {},
    ],
)
def test_messages_are_those_of_dbt(given: dict[str, Any]) -> None:
    from dbt.events.types import LogStartLine
    from dbt_common.events.base_types import msg_from_base_event

    expected = LogStartLine(**given)
    with dbt_shortcuts.taken(hears_all=True):
        found = LogStartLine(**given)
        message: Any = msg_from_base_event(found)
    assert found.pb_msg == expected.pb_msg
    again: Any = msg_from_base_event(expected)
    assert message.info.ts.ToDatetime() <= again.info.ts.ToDatetime()
    again.info.ts.CopyFrom(message.info.ts)
    assert message == again


@pytest.mark.parametrize("at", ["2026-11-30T08:40:00.123456Z", "2026-11-30T08:40:00+02:00", "then"])
def test_times_in_messages_are_those_of_dbt(at: str) -> None:
    from dbt.events.types import NodeFinished

    timing = [{"name": "compile", "started_at": at, "completed_at": at}]
    said = []
    for stack in (nullcontext(), dbt_shortcuts.taken(hears_all=True)):
        with stack:
            try:
                said.append(
                    str(NodeFinished(run_result={"status": "ok", "timing_info": timing}).pb_msg)
                )
            except Exception as error:
                said.append(str(error))
    assert said[0] == said[1]
    assert ("Unable" in said[0]) == (at == "then")


def test_a_message_that_dbt_cannot_make_is_refused_as_it_refuses_it() -> None:
    from dbt.events.types import LogStartLine

    said = []
    for stack in (nullcontext(), dbt_shortcuts.taken(hears_all=True)):
        with stack, pytest.raises(Exception, match="Unable to parse logging event") as caught:
            LogStartLine(index="many")
        said.append(str(caught.value))
    assert said[0] == said[1]
