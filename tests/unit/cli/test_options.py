"""The options that commands share."""

from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.cli.options import Call, shared_options
from headrace.errors import ProjectError

CALLS: list[tuple[Call, str, int]] = []


@shared_options("project_dir", "json")
def command(
    call: Call,
    name: Annotated[str, typer.Argument()],
    number: Annotated[int, typer.Option("--number")] = 1,
) -> None:
    """Do something."""
    CALLS.append((call, name, number))


def invoke(*words: str) -> str:
    own = typer.Typer()
    own.command()(command)
    result = CliRunner().invoke(own, list(words))
    assert result.exit_code == 0, result.output
    return result.output


def test_a_command_gets_its_own_options_and_the_shared_ones_in_a_call() -> None:
    CALLS.clear()
    invoke("a", "--number", "2", "--json", "--project-dir", "here")
    invoke("b")
    assert [
        (Call(project_dir=Path("here"), json=True), "a", 2),
        (Call(), "b", 1),
    ] == CALLS


def test_shared_options_come_last_and_only_those_that_are_named() -> None:
    text = invoke("--help")
    places = [text.index(f"--{name}") for name in ("number", "project-dir", "json", "debug")]
    assert places == sorted(places)
    assert "--set" not in text
    assert "Do something." in text


def options_of_commands() -> dict[str, set[str]]:
    """The options of each command, by its words."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    found = {}
    for name, one in group.commands.items():
        leaves = one.commands.items() if isinstance(one, TyperGroup) else [("", one)]
        for word, leaf in leaves:
            found[f"{name} {word}".strip()] = {o for each in leaf.params for o in each.opts}
    return found


def test_every_command_has_debug_and_all_but_serve_have_json() -> None:
    found = options_of_commands()
    assert [name for name, options in found.items() if "--debug" not in options] == []
    assert [name for name, options in found.items() if "--json" not in options] == ["serve"]


def test_every_command_that_has_settings_has_a_target() -> None:
    with_settings = {name: one for name, one in options_of_commands().items() if "--set" in one}
    without = [name for name, options in with_settings.items() if "--target" not in options]
    assert without == ["parity"]  # its arguments are targets
    assert {"profile", "quality status", "contract test", "query", "diff"} < with_settings.keys()


def test_settings_are_of_the_named_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("config", "dlt_pipelines"):
        (tmp_path / "one" / folder).mkdir(parents=True)
    (tmp_path / "one" / "config" / "default.yml").write_text("log_level: info\n", encoding="utf-8")
    call = Call(project_dir=tmp_path / "one", sets=["log_level=error"])
    assert call.settings().settings.log_level == "error"
    assert call.settings(flags=["log_level=debug"]).settings.log_level == "debug"
    named = Call(project_dir=tmp_path / "one", sets=["target=duckdb"], target="ducklake")
    assert named.settings().settings.target == "ducklake"
    monkeypatch.chdir(tmp_path)
    assert Call().settings_or_none() is None
    with pytest.raises(ProjectError):
        Call(project_dir=tmp_path / "two").settings_or_none()
    with pytest.raises(ProjectError):
        Call(target="duckdb").settings_or_none()
