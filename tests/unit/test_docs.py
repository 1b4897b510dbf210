"""The docs are held to the code."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from headrace.settings import Settings

ROOT = Path(__file__).parents[2]
SCHEMAS = sorted((ROOT / "data" / "schemas").glob("*.yml"))
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("dlt_pipelines/*/README.md")),
    ROOT / "dbt_project" / "README.md",
    ROOT / "benchmarks" / "README.md",
]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "generate", ROOT / "docs" / "reference" / "generate.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def help_texts(generator: ModuleType) -> str:
    return str(generator.commands())


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("commands.md", "commands"),
        ("settings.md", "settings"),
        ("schema-file.md", "schema_file"),
        ("schema-file.schema.json", "schema_json"),
    ],
)
def test_the_reference_is_up_to_date(generator: ModuleType, file: str, name: str) -> None:
    page = (ROOT / "docs" / "reference" / file).read_text(encoding="utf-8")
    assert page == getattr(generator, name)(), "run: uv run python docs/reference/generate.py"


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: str(path.name))
def test_the_json_schema_takes_the_schema_files(path: Path) -> None:
    """What an editor checks by, checked by a validator that is not ours."""
    schema = ROOT / "docs" / "reference" / "schema-file.schema.json"
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(schema), str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_every_command_and_setting_is_documented(generator: ModuleType) -> None:
    from headrace.cli.main import app

    names = [command.callback.__name__ for command in app.registered_commands if command.callback]
    assert tuple(names) == generator.COMMANDS
    page = generator.settings()
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert re.search(rf"`{name}[.`]|## {name}", page), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if not link.startswith(("http:", "https:")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_docs_exist(generator: ModuleType, help_texts: str, page: Path) -> None:
    """Every ``headrace X`` that a page shows in code is a command, with options that it has."""
    text = page.read_text(encoding="utf-8")
    for code in re.findall(r"```\w*\n(.*?)```|`([^`\n]+)`", text, flags=re.DOTALL):
        for command, rest in re.findall(
            r"(?:^|uv run |`)headrace (\w+)((?: --?[\w-]+)*)", "\n".join(code), flags=re.MULTILINE
        ):
            assert command in generator.COMMANDS, f"{page.name}: headrace {command}"
            section = help_texts.split(f"## headrace {command}\n")[1].split("\n## ", maxsplit=1)[0]
            for option in rest.split():
                assert option in section, f"{page.name}: headrace {command} {option}"


def test_every_decision_is_in_the_list() -> None:
    folder = ROOT / "docs" / "explanation" / "decisions"
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text("utf-8"))
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))
