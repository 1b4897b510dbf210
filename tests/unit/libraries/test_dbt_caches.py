"""What dbt works out anew in each process: with the caches it is the same."""

import dataclasses
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from headrace.libraries import dbt_caches, mashumaro


@pytest.fixture(autouse=True)
def _nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbt_caches, "caches", {})
    monkeypatch.setattr(dbt_caches, "_macros", {})
    monkeypatch.setattr(dbt_caches, "of_environment", lambda: tmp_path / "environment.cache")


def render(text: str, **context: object) -> str:
    from dbt_common.clients.jinja import get_environment

    return str(get_environment(None).from_string(text).render(context))


def test_a_template_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dbt_common.clients.jinja import MacroFuzzEnvironment

    text = "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}{{ 'a' if y else 'b' }}"
    path = tmp_path / "compiled.cache"
    with dbt_caches.kept(path):
        assert render(text, y=1) == "a"
    dbt_caches.caches.clear()

    def generate(*_: object, **__: object) -> Any:
        raise AssertionError("compiled again")

    monkeypatch.setattr(MacroFuzzEnvironment, "_generate", generate)
    with dbt_caches.kept(path):
        assert render(text, y=0) == "b"
    with pytest.raises(AssertionError, match="compiled again"):
        render(text)  # outside of it dbt is as it was


def test_another_project_of_the_environment_compiles_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbt_common.clients.jinja import MacroFuzzEnvironment

    with dbt_caches.kept(tmp_path / "first.cache"):
        assert render("{{ 5 + 5 }}") == "10"
    dbt_caches.caches.clear()
    monkeypatch.delattr(MacroFuzzEnvironment, "_parse")
    with dbt_caches.kept(tmp_path / "second.cache"):
        assert render("{{ 5 + 5 }}") == "10"
    assert not (tmp_path / "second.cache").exists(), "it has nothing of its own"
    dbt_caches.caches.clear()
    first = dbt_caches._Cache(tmp_path / "first.cache")
    first.read()
    assert first.code == {}, "what all projects have, none has again"


def test_what_is_shared_is_not_written_for_a_little_more(tmp_path: Path) -> None:
    shared = tmp_path / "environment.cache"
    with dbt_caches.kept(tmp_path / "first.cache"):
        for number in range(10):
            render(f"{{{{ {number} }}}}")
    before = shared.read_bytes()
    with dbt_caches.kept(tmp_path / "second.cache"):
        render("{{ 10 }}")
    assert shared.read_bytes() == before
    with dbt_caches.kept(tmp_path / "third.cache"):
        for number in range(11, 15):
            render(f"{{{{ {number} }}}}")
    assert shared.read_bytes() != before


def test_each_environment_has_its_own_methods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several may use one folder of source code; the rest is the same for all."""
    shared = tmp_path / "environment.cache"

    def methods_of(prefix: str, *made: mashumaro.Method) -> list[mashumaro.Method]:
        """What a process of an environment finds, and adds to."""
        monkeypatch.setattr(sys, "prefix", prefix)
        monkeypatch.setattr(mashumaro, "methods", mashumaro._Methods(list(made), has_begun=True))
        dbt_caches.caches.clear()
        with dbt_caches.methods_kept(tmp_path / "project.cache"):
            found = dbt_caches.caches[shared].methods
            with dbt_caches.kept(tmp_path / "project.cache"):
                render("{{ 1 }}")
        return list(found)

    made = {name: mashumaro.Method(name.encode(), {}, {name: ("", 0, 0)}) for name in "abcd"}
    for name, method in made.items():
        assert methods_of(name, method) == []
    assert methods_of("d") == [made["d"]]
    assert methods_of("b") == [made["b"]]
    assert methods_of("a") == [], "the oldest went, as there are three"
    gone = mashumaro.Method(b"e", {}, {"e": (str(tmp_path / "gone.py"), 1, 1)})
    assert methods_of("e", gone) == []
    assert methods_of("e", made["a"]) == [], "made of a file that is gone"
    assert methods_of("e") == [made["a"]]


def test_where_bytecode_is_not_written_nothing_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    with dbt_caches.kept(tmp_path / "compiled.cache"):
        render("{{ 6 }}")
    assert (tmp_path / "compiled.cache").is_file()
    assert not (tmp_path / "environment.cache").exists()


def test_one_use_within_another_leaves_dbt_as_it_was(tmp_path: Path) -> None:
    """A caller that has dbt may call another that asks for it."""
    from dbt.adapters.events.types import SQLQueryStatus
    from dbt.clients.jinja import get_rendered
    from dbt_common.clients.jinja import NativeSandboxTemplate
    from dbt_common.events.base_types import BaseEvent
    from dbt_common.events.event_manager import EventManager

    def insides() -> list[Any]:
        native: Any = NativeSandboxTemplate
        event: Any = BaseEvent
        return [native.new_context, event.__init__, event.__getattr__, EventManager.fire_event]

    def works() -> bool:
        return bool(SQLQueryStatus(status="ok", elapsed=1.0).status == "ok") and (
            get_rendered("{{ 1 + x }}", {"x": 1}, native=True) == 2
        )

    before = insides()
    path = tmp_path / "compiled.cache"
    with dbt_caches.kept(path, hears_all=False):
        with dbt_caches.kept(path, hears_all=False):
            assert works()
        assert works()
    assert works()
    assert insides() == before


def test_text_and_native_templates_are_told_apart(tmp_path: Path) -> None:
    from dbt.clients.jinja import get_rendered

    with dbt_caches.kept(tmp_path / "compiled.cache"):
        text = "{{ '1' | as_number }}"
        found = [get_rendered(text, {}, native=native) for native in (False, True)]
    assert found == ["1", 1]


def test_a_schema_is_that_of_dbt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dbt.contracts.project import Project
    from dbt_common import dataclass_schema

    expected = Project.json_schema()
    path = tmp_path / "compiled.cache"
    with dbt_caches.kept(path):
        assert Project.json_schema() == expected
    dbt_caches.caches.clear()

    def build(*_: object, **__: object) -> Any:
        raise AssertionError("made again")

    monkeypatch.setattr(dataclass_schema, "build_json_schema", build)
    with dbt_caches.kept(path):
        assert Project.json_schema() == expected


@pytest.mark.parametrize("content", [b"", b"\x80\x04nonsense", b"{}"])
def test_a_damaged_file_counts_as_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "compiled.cache"
    path.write_bytes(content)
    with dbt_caches.kept(path):
        assert render("{{ 1 + 1 }}") == "2"
    assert path.read_bytes() != content


def test_a_file_of_which_one_bit_is_wrong_counts_as_none(tmp_path: Path) -> None:
    """Python itself may end when it reads damaged code."""
    path = tmp_path / "compiled.cache"
    with dbt_caches.kept(path):
        render("{{ 3 + 3 }}")
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    dbt_caches.caches.clear()
    with dbt_caches.kept(path):
        assert not dbt_caches.caches[path].code
        assert render("{{ 3 + 3 }}") == "6"


def test_a_file_of_other_versions_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "compiled.cache"
    with dbt_caches.kept(path):
        render("{{ 2 + 2 }}")
    dbt_caches.caches.clear()
    monkeypatch.setattr(dbt_caches, "versions", lambda: "others")
    with dbt_caches.kept(path):
        assert not dbt_caches.caches[path].code


def test_templates_that_are_not_used_go_when_there_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "compiled.cache"
    with dbt_caches.kept(path):
        render("{{ 3 }}")
    dbt_caches.caches.clear()
    monkeypatch.setattr(dbt_caches, "MOST_TEMPLATES", 1)
    with dbt_caches.kept(path):
        render("{{ 4 }}")
    dbt_caches.caches.clear()
    with dbt_caches.kept(path):
        assert len(dbt_caches.caches[path].code) == 1


def test_methods_of_a_dataclass_are_compiled_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made() -> type:
        with dbt_caches.methods_kept(tmp_path / "compiled.cache"):
            fields: list[Any] = [("a", int), ("b", list, dataclasses.field(default_factory=list))]
            made = dataclasses.make_dataclass("Made", fields, frozen=True, order=True)
        assert "exec" not in vars(dataclasses)
        return made

    def compile_(*_: object, **__: object) -> Any:
        raise AssertionError("compiled again")

    first = made()
    monkeypatch.setattr(dbt_caches, "compile", compile_, raising=False)
    second = made()
    for each in (first, second):
        one: Any = each
        assert repr(one(1)) == "Made(a=1, b=[])"
        assert (one(1) == one(1, []), one(1) < one(2)) == (True, True)
        with pytest.raises(dataclasses.FrozenInstanceError):
            one(1).a = 2


def test_a_macro_is_parsed_once_for_its_arguments_and_its_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that come with dbt; also when the calls are asked for twice, or first."""
    import dbt.include.global_project
    from dbt.clients import jinja_static
    from dbt_common.clients import jinja
    from jinja2.nodes import Macro

    first, second = cast("Any", jinja), cast("Any", jinja_static)
    for module in (first, second):
        monkeypatch.setattr(module, "test_caching_enabled", lambda: False)
    folder = Path(next(iter(dbt.include.global_project.__path__)))
    texts = [path.read_text("utf-8") for path in folder.rglob("*.sql")]
    assert len(texts) > 100

    def arguments(text: str) -> list[list[str]]:
        return [[one.name for one in macro.args] for macro in first.parse(text).find_all(Macro)]

    def calls(text: str) -> list[str]:
        found: list[str] = second.statically_extract_macro_calls(text, {})
        return found

    expected = [(arguments(text), calls(text)) for text in texts]
    parsed: list[str] = []
    original = first.MacroFuzzEnvironment._parse

    def parse(self: Any, source: str, *rest: Any) -> Any:
        parsed.append(source)
        return original(self, source, *rest)

    monkeypatch.setattr(first.MacroFuzzEnvironment, "_parse", parse)
    with dbt_caches.kept(tmp_path / "compiled.cache"):
        assert [(arguments(text), calls(text)) for text in texts] == expected
        assert len(parsed) == len(texts)
        assert [calls(text) for text in texts] == [asked for _, asked in expected]
        assert len(parsed) == 2 * len(texts)
        assert second.statically_extract_has_name_this("{{ this }}")
    assert first.parse.__module__ == first.__name__

    kinds = {"macro", "materialization", "test"}
    macros = [
        block.full_block
        for text in texts
        for block in first.extract_toplevel_blocks(text, kinds, collect_raw_data=False)
    ]
    assert len(macros) > 300
    languages = [_languages(first.parse(text)) for text in macros]
    expected = [(arguments(text), calls(text)) for text in macros]
    for path in ("compiled.cache", "another.cache"):
        parsed.clear()
        dbt_caches.caches.clear()
        dbt_caches._macros.clear()
        with dbt_caches.kept(tmp_path / path):
            assert [(arguments(text), calls(text)) for text in macros] == expected
            assert [_languages(first.parse(text)) for text in macros] == languages
    assert parsed == [], "another process, and another project, find what is kept of a macro"


def test_a_macro_of_another_project_is_kept_there_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dbt puts one and the same node into the tree of each materialization."""
    from dbt_common.clients import jinja

    text = "{% materialization one, default %}{{ run() }}{% endmaterialization %}"

    def parse() -> Any:
        return cast("Any", jinja).parse(text)

    for folder in ("first", "second"):
        environment = tmp_path / folder / "environment.cache"
        monkeypatch.setattr(dbt_caches, "of_environment", lambda path=environment: path)
        dbt_caches.caches.clear()
        with dbt_caches.kept(tmp_path / folder / "compiled.cache"):
            assert _languages(parse()) == ["sql"]
            render(text)  # which gives that node an environment, that cannot be pickled
    dbt_caches.caches.clear()
    dbt_caches._macros.clear()
    monkeypatch.delattr(cast("Any", jinja).MacroFuzzEnvironment, "_parse")
    with dbt_caches.kept(tmp_path / "second" / "compiled.cache"):
        assert _languages(parse()) == ["sql"]


def _languages(template: Any) -> list[Any] | None:
    """What dbt reads of a materialization's defaults."""
    from dbt.clients.jinja import get_supported_languages

    (macro,) = template.body
    return get_supported_languages(macro) if "supported_languages" in str(macro.args) else None


@pytest.mark.parametrize(
    "text",
    [
        "{% macro a() %}{% macro b() %}{% endmacro %}{% endmacro %}",
        "{% macro a() %}{% endmacro %} and more",
        "{% if x %}{% endif %}",
        "",
    ],
)
def test_what_is_not_one_macro_alone_is_parsed_by_dbt(tmp_path: Path, text: str) -> None:
    from dbt_common.clients import jinja

    parse: Any = cast("Any", jinja).parse
    with dbt_caches.kept(tmp_path / "compiled.cache"):
        for _ in range(2):
            assert repr(cast("Any", jinja).parse(text)) == repr(parse(text))
