"""The commands that how-to pages show, typed in one project: their outputs are what is printed.

A block that opens with ```` ```console ```` is held to what its commands print, as in the tutorial
(see ``tutorial.py``); a block with a ``title`` is an edit. Each page begins with the same project:
the jaffle shop, run once. Commands run in this process, which costs a tenth of a new one.
"""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from api_lab import use_pipelines
from lab import ROOT, Lab
from tutorial import Command, Edit, difference, steps
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.errors import UserError

HOW_TO = ROOT / "docs" / "how-to"
ELSEWHERE = {
    "simulate-a-cloud-stack.md": "test_simulate.py, with its extra",
    "add-a-rest-api.md": "test_rest_api_source.py, against a server",
    "add-a-sql-database.md": "test_sql_database_source.py, against PostgreSQL",
}
PAGES = sorted(path for path in HOW_TO.glob("*.md") if "```console" in path.read_text("utf-8"))
HERE = [path for path in PAGES if path.name not in ELSEWHERE]


@pytest.fixture
def desk(ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A project of one's own in which the sample was run once; it is the working directory."""
    root = tmp_path / "shop"
    shutil.copytree(ran, root)
    lab = Lab(root / "data", root, observes=True)
    monkeypatch.chdir(root)
    use_pipelines(monkeypatch, lab)
    lab.say_it_was_built_here()
    return lab


def typed(command: Command, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a ``headrace`` command of a page prints; it must end as the page says."""
    words = shlex.split(command.line, comments=True)
    with monkeypatch.context() as patch:
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            patch.setenv(name, value)
        if words[:2] == ["uv", "run"]:
            words = words[2:]
        assert words[0] == "headrace", f"only headrace is typed here: {command.line}"
        result = CliRunner().invoke(app, words[1:])
    output, code = result.output, result.exit_code
    if isinstance(result.exception, UserError):  # as cli.main ends
        detail = result.exception.detail
        output = f"{output}{detail.text}\n" if detail and detail.text else output
        output += "".join(f"! {note}\n" for note in getattr(result.exception, "__notes__", ()))
        output, code = f"{output}error: {result.exception}\n", 2
    assert code == command.code, f"$ {command.line}\n{output}"
    return output


@pytest.mark.parametrize("page", HERE, ids=lambda page: str(page.stem))
def test_outputs_are_as_the_page_shows_them(
    page: Path, desk: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in steps(page.read_text(encoding="utf-8")):
        if isinstance(step, Edit):
            step.apply(desk.root)
            continue
        printed = typed(step, monkeypatch)
        wrong = difference(step.output, printed)
        assert not wrong, f"{page.name}: $ {step.line}\n{wrong}\n\nall of it:\n{printed}"


def test_pages_that_are_held_to_their_outputs() -> None:
    """Three of them at least, besides those with tests of their own, which are still there."""
    assert len(HERE) >= 3
    assert {page.name for page in PAGES} >= set(ELSEWHERE)
    for why in ELSEWHERE.values():
        assert (Path(__file__).parent / re.split(",", why)[0]).is_file()
