"""What a build left out is compiled once, and again only when its SQL may be another."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from step_lab import NumbersTarget, project

from headrace.pipeline.building import unbuilt
from headrace.pipeline.dbt.dbt_runner import ParsedProject
from headrace.targets import Target

MODELS = {"orders": (), "customers": (), "stg_later": (), "fct_later": ("stg_later", "orders")}
LATER = ("stg_later", "fct_later")


class Quiet(NumbersTarget):
    """A target that is told what dbt did, and does nothing."""

    def note_written(self, _: object) -> None:
        return

    def release(self) -> None:
        return


class Build:
    """Two models wait for a source, and one of them also reads a model that is built."""

    def __init__(self, root: Path) -> None:
        self.resolved = project(root)
        self.folder = self.resolved.dbt_project / "models"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.macros: dict[str, str] = {}
        self.code = dict.fromkeys(MODELS, "select 1")
        for name in MODELS:
            self.write(name, "select 1")

    def write(self, name: str, sql: str) -> None:
        self.code[name] = sql
        (self.folder / f"{name}.sql").write_text(sql, "utf-8")

    def compiled_again(self) -> list[str]:
        """Build all but what waits; the models that were then compiled."""
        nodes = {
            f"model.p.{name}": SimpleNamespace(
                name=name,
                resource_type="model",
                package_name="p",
                original_file_path=f"models/{name}.sql",
                raw_code=self.code[name],
                depends_on=SimpleNamespace(
                    nodes=[f"model.p.{one}" for one in reads], macros=list(self.macros)
                ),
                compiled=name not in LATER,
                compiled_code="built" if name not in LATER else None,
            )
            for name, reads in MODELS.items()
        }
        macros = {
            key: SimpleNamespace(macro_sql=text, depends_on=SimpleNamespace(macros=[]))
            for key, text in self.macros.items()
        }
        found: list[str] = []

        def invoke(words: list[str]) -> Any:
            assert words[0] == "compile"
            for node in nodes.values():
                if not node.compiled:
                    node.compiled, node.compiled_code = True, "compiled"
                    found.append(node.name)
            return SimpleNamespace(result=SimpleNamespace(results=[]), exception=None)

        graph = SimpleNamespace(
            nodes=nodes, macros=macros, metadata=SimpleNamespace(project_name="p")
        )
        parsed = SimpleNamespace(graph=graph, runner=SimpleNamespace(invoke=invoke))
        unbuilt.compile_left_out(
            self.resolved,
            cast("Target", Quiet({})),
            cast("ParsedProject", parsed),
            missing=["later"],
            nodes=(),
        )
        assert {nodes[f"model.p.{name}"].compiled_code for name in LATER} == {"compiled"}
        return found


@pytest.fixture
def build(tmp_path: Path) -> Build:
    made = Build(tmp_path)
    assert made.compiled_again() == list(LATER)
    assert made.compiled_again() == []
    return made


def test_a_model_that_nothing_left_out_reads_compiles_nothing_again(build: Build) -> None:
    build.write("customers", "select 2")
    assert build.compiled_again() == []


@pytest.mark.parametrize("name", ["stg_later", "orders"])
def test_what_is_left_out_and_what_it_reads_is_compiled_again(build: Build, name: str) -> None:
    build.write(name, "select 2")
    assert build.compiled_again() == list(LATER)
    assert build.compiled_again() == []


def test_other_files_of_the_project_count(build: Build) -> None:
    (build.folder / "models.yml").write_text("version: 2\n", "utf-8")
    assert build.compiled_again() == list(LATER)


@pytest.mark.parametrize("where", ["its SQL", "a macro that it calls"])
def test_what_looks_through_the_graph_follows_from_every_model(build: Build, where: str) -> None:
    text = "{% for one in graph.nodes %}{% endfor %}"
    if where == "its SQL":
        build.write("fct_later", text)
    else:
        build.macros["macro.p.all"] = text
    build.compiled_again()
    build.write("customers", "select 2")
    assert build.compiled_again() == list(LATER)
