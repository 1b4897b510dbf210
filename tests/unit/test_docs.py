"""The docs agree with the code."""

import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from headrace.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("dlt_pipelines/*/README.md")),
    ROOT / "dbt_project" / "README.md",
    ROOT / "benchmarks" / "README.md",
]


REFERENCE = ROOT / "docs" / "reference"
GENERATED = (
    "commands.md", "settings.md", "schema-file.md", "schema-file.schema.json", "errors.md",
    "questions.md", "rest-api.md", "source-kinds.md", "telemetry.md", "checks.md",
    "generic-tests.md",
)  # fmt: skip


@pytest.fixture(scope="module")
def generator() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("generate", REFERENCE / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REFERENCE)
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="module")
def generated(generator: ModuleType) -> dict[str, str]:
    pytest.importorskip("fastapi", reason="the REST API page is generated from the server")
    pages: dict[str, str] = generator.pages()
    return pages


@pytest.fixture(scope="module")
def options(generator: ModuleType) -> dict[tuple[str, ...], set[str]]:
    """The words of every command, with the options that it takes."""
    found: dict[tuple[str, ...], set[str]] = {(): {"--help", "--version"}}
    for words in generator.command_names():
        found[words] = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", generator.help_text(words)))
    return found


@pytest.mark.parametrize("name", GENERATED)
def test_the_reference_is_up_to_date(generated: dict[str, str], name: str) -> None:
    page = (REFERENCE / name).read_text(encoding="utf-8")
    assert page == generated[name], "run: uv run python docs/reference/generate.py"


def test_every_generated_page_is_held_to_the_code(generated: dict[str, str]) -> None:
    assert set(generated) == set(GENERATED)
    noted = {
        path.name for path in REFERENCE.glob("*.md") if "generate.py" in path.read_text("utf-8")
    }
    assert noted <= {*GENERATED, "faults.md"}


def test_the_json_schema_is_the_one_that_takes_the_schema_files() -> None:
    """`test_containers.py` holds each schema file to that of the editor."""
    name = "schema-file.schema.json"
    ours, of_the_editor = (
        json.loads((folder / name).read_text("utf-8"))
        for folder in (REFERENCE, ROOT / ".vscode" / "schemas")
    )
    assert ours == of_the_editor


def test_every_command_and_setting_is_documented(
    generator: ModuleType, generated: dict[str, str]
) -> None:
    from headrace.cli.main import app

    titles = set(re.findall(r"^## headrace ?(.*)$", generated["commands.md"], flags=re.MULTILINE))
    names = {
        command.name or command.callback.__name__
        for command in app.registered_commands
        if command.callback
    }
    assert names <= titles
    assert {"", "add", "add source"} <= titles
    page = generated["settings.md"]
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert re.search(rf"`{name}[.`]|## {name}", page), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if not link.startswith(("http:", "https:")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def shown_commands(text: str) -> Iterator[list[str]]:
    """The words of each ``headrace …`` that a page shows in code, up to a comment or a pipe."""
    fences = r"^```.*?\n(.*?)^```|`([^`\n]+)`"
    for block, inline in re.findall(fences, text, flags=re.DOTALL | re.MULTILINE):
        lines = (re.sub(r"\\\n\s*", "", block) or inline).splitlines()
        typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        for line in typed or lines:
            match = re.search(r"(?:^|uv run |uv run --no-sync |&& )headrace (.*)", line)
            if match:
                words = re.split(r"\s(?:#|\|\|?|&&|>>?|2>|<)(?:\s|$)", f"{match[1]} ")[0].split()
                if words and re.fullmatch(r"[a-z]+|--[a-z-]+", words[0]):
                    yield words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_docs_exist(options: dict[tuple[str, ...], set[str]], page: Path) -> None:
    """Every ``headrace X`` that a page shows in code is a command, with options that it has."""
    groups = {words[:-1] for words in options if len(words) > 1}
    for words in shown_commands(page.read_text(encoding="utf-8")):
        wrong = f"{page.name}: headrace {' '.join(words)}"
        command: tuple[str, ...] = ()
        for word in words:
            if (*command, word) not in options:
                break
            command = (*command, word)
        named = command or words[0].startswith("--")
        assert named, wrong
        assert command not in groups or words[len(command) :] in ([], ["--help"]), wrong
        for word in words[len(command) :]:
            option = word.split("=")[0].strip("`,.;:)'\"")
            if re.match(r"--?[a-zA-Z]", option):
                assert option in options[command], f"{wrong}: {option}"


def test_shown_commands_are_found_as_they_are_written() -> None:
    page = """
`headrace run --source x`, or `uv run headrace add source x --kind files`.
```console
$ pip install uv && uv run headrace run   # all of it
$ uv run --no-sync headrace lineage a.b \\
    --impact | less
headrace is served at http://127.0.0.1:8585/
```
"""
    assert [" ".join(words) for words in shown_commands(page)] == [
        "run --source x",
        "add source x --kind files",
        "run",
        "lineage a.b --impact",
    ]


# ── what a newcomer reads first ─────────────────────────────────────────────


def test_the_readme_is_one_screen_with_both_commands_and_true_pictures() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for command in (
        "pip install uv && uv run headrace run",
        "uv run --all-groups pytest",
        "uv run headrace new ../my-project",
    ):
        assert command in text
    assert len(text.splitlines()) <= 70
    pictures = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", text)
    assert {path for _, path in pictures} == {
        "docs/images/run.svg",
        "docs/images/lineage-column.png",
    }
    assert all(len(label) > 20 for label, _ in pictures), "a picture says in words what it shows"


def test_the_picture_of_a_run_says_what_a_run_says() -> None:
    picture = (ROOT / "docs" / "images" / "run.svg").read_text("utf-8").replace("&#160;", " ")
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", picture.split("</defs>")[-1]))
    for said in ("uv run headrace run", "jaffle_shop.raw_orders", "Built and tested", "published"):
        assert said in words, said
    assert "@font-face" not in picture


def test_what_agents_are_told_is_true_here() -> None:
    text = (ROOT / "AGENTS.md").read_text("utf-8")
    assert len(text.splitlines()) <= 120
    for folder in re.findall(r"^\| `([\w/]+/)` \|", text, flags=re.MULTILINE):
        assert (ROOT / folder.replace("NAME/", "")).is_dir(), folder
    for tool in set(re.findall(r"`uv run ([\w-]+)", text)) - {"headrace"}:
        assert shutil.which(tool, path=str(Path(sys.executable).parent)), tool
    assert list(shown_commands(text)), "the commands are held to the command line above"


def test_every_decision_is_in_the_list() -> None:
    folder = ROOT / "docs" / "explanation" / "decisions"
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text("utf-8"))
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))


def test_the_architecture_names_every_package() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    table = text.split("| package of `src/headrace` |")[1].split("\n\n")[0]
    named = re.findall(r"^\| `(\w+)/` \|", table, flags=re.MULTILINE)
    there = (path.parent.name for path in (ROOT / "src" / "headrace").glob("*/__init__.py"))
    assert sorted(named) == sorted(there)
    for folder in re.findall(r"^\| `([\w/]+/)` \|", text.split("| folder |")[1], re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder
