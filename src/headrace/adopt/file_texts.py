"""The texts of the files that ``headrace adopt`` adds."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from headrace.adopt.dbt_side import DbtSide
from headrace.adopt.dlt_scripts import Pipeline
from headrace.adopt.sql_folder import PROJECT, SqlFolder, project_yml
from headrace.errors import TemplateError

DATA = ".headrace"
"""The folder of the warehouse, the published file and all else that Headrace writes."""

FIRST_LINE = "# Added by `headrace adopt`."
WRAPPED = "which stays as it is."
PIPELINES = '"""The sources that Headrace loads: one folder each."""\n'
IGNORED = "# what Headrace writes is not committed\n*\n!.gitignore\n"


def settings(
    sources: Mapping[str, Sequence[str]],
    *,
    root: Path,
    dbt: DbtSide | None,
    queries: SqlFolder | None,
) -> str:
    """``config/default.yml``."""
    lines = [
        FIRST_LINE,
        "# `headrace where` prints each setting and where it comes from.",
        f"data_dir: {DATA}",
        "",
    ]
    if dbt is not None and dbt.database is not None:
        lines += ["targets:", "  duckdb:", f"    path: {_path(root, dbt.database)}", ""]
    if sources:
        lines.append("sources:")
        for name, entry in sources.items():
            lines.append(f"  {name}:" if entry else f"  {name}: {{}}")
            lines += [f"    {line}" for line in entry]
        lines.append("")
    lines += _dbt(root, dbt, queries)
    if dbt is not None and dbt.schemas:
        lines += _publish(dbt.schemas, dbt.published)
    elif queries is not None:
        is_all = len(queries.final) == len(queries.reads)
        lines += _publish(("main",), () if is_all else queries.final)
    return "\n".join(lines).rstrip("\n") + "\n"


def _dbt(root: Path, dbt: DbtSide | None, queries: SqlFolder | None) -> list[str]:
    if dbt is None:
        return ["dbt:", "  working_dir: .", ""] if queries is not None else []
    folder = _path(root, dbt.folder)
    lines = ["dbt:", f"  project_dir: {folder}", f"  working_dir: {folder}"]
    if dbt.profiles is not None:
        lines += [
            "  profile:",
            f"    path: {_path(root, dbt.profiles)}",
            f"    name: {dbt.profile}",
            f"    output: {dbt.output}",
        ]
    return [*lines, ""]


def _publish(schemas: Sequence[str], models: Sequence[str]) -> list[str]:
    lines = ["publish:", f"  schemas: [{', '.join(schemas)}]"]
    if models:
        lines += ["  models:", *(f'    - "{one}"' for one in models)]
    return lines


def _path(root: Path, path: Path) -> str:
    """As it is written in the settings: from the root, or from the home folder."""
    home = Path.home()
    if path == root:
        return "."
    if path.is_relative_to(root):
        return _quoted(path.relative_to(root).as_posix())
    if path.is_relative_to(root.parent) and not path.is_relative_to(home / ".dbt"):
        return _quoted(f"../{path.relative_to(root.parent).as_posix()}")
    if path.is_relative_to(home):
        return _quoted(f"~/{path.relative_to(home).as_posix()}")
    return _quoted(path.as_posix())


def _quoted(text: str) -> str:
    is_plain = all(sign.isalnum() or sign in "/._-" for sign in text)
    return text if is_plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def wrapper(
    script: Path,
    pipeline: Pipeline,
    name: str,
    *,
    function: str | None,
    parameters: Sequence[tuple[str, str | None]] = (),
) -> str:
    """``dlt_pipelines/<name>/__init__.py``: what the script loads, as a source.

    Args:
        script: its path below the repository.
        pipeline: what it runs.
        name: of the source.
        function: the source function, where no pipeline of it is run.
        parameters: what that function must be given.
    """
    what = f"The dlt {'source' if function else 'pipeline'} `{pipeline.name or name}`"
    parts = ", ".join(f'"{part}"' for part in script.parts)
    arguments = ", ".join(f"{one}: {kind if kind in _PLAIN else 'str'}" for one, kind in parameters)
    signature = f"*, {arguments}" if arguments else ""
    is_expression = pipeline.expression is not None and pipeline.runs_at != "import"
    body = _call(pipeline, name, function, [one for one, _ in parameters], is_expression)
    return f'''"""{what} of {script.as_posix()}, {WRAPPED}"""

from pathlib import Path

from dlt.extract import DltSource

from headrace.ingest.scripts import {"load_script, source_of" if is_expression else "recorded"}

SCRIPT = Path(__file__).parents[2].joinpath({parts})


def build_source({signature}) -> DltSource:
    """What the script hands to `pipeline.run`; nothing is loaded by the script itself."""
{body}
'''


_PLAIN = frozenset({"str", "int", "float", "bool", "list[str]", "dict[str, str]"})


def _call(
    pipeline: Pipeline,
    name: str,
    function: str | None,
    parameters: Sequence[str],
    is_expression: bool,
) -> str:
    if not is_expression:
        at = f', function="{pipeline.function}"' if pipeline.function else ""
        named = f'"{pipeline.name}"' if pipeline.name else "None"
        return f"    return recorded(SCRIPT, {named}{at})"
    expression = pipeline.expression
    if function is not None and parameters:
        expression = f"script.{function}({', '.join(f'{one}={one}' for one in parameters)})"
    options = ", ".join(f'"{key}": {value}' for key, value in pipeline.options)
    more = f", {{{options}}}" if options else ""
    return (
        "    script = load_script(SCRIPT)\n"
        f'    return source_of("{pipeline.name or name}", {expression}{more})'
    )


def empty_dbt_project(name: str) -> dict[str, str]:
    """A dbt project without models, in which ``headrace scaffold`` can write some."""
    return {
        f"{PROJECT}/dbt_project.yml": f"{FIRST_LINE}\n{project_yml(name)}    staging:\n"
        "      +schema: staging\n    marts:\n      +schema: marts\n      +materialized: table\n",
        f"{PROJECT}/macros/generate_schema_name.sql": _SCHEMA_NAME,
        f"{PROJECT}/macros/completed_loads.sql": _COMPLETED_LOADS,
    }


_SCHEMA_NAME = """\
{# `+schema: marts` is the schema `marts`, and not `main_marts`. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ target.schema if custom_schema_name is none else custom_schema_name | trim }}
{%- endmacro %}
"""

_COMPLETED_LOADS = """\
{# The ids of dlt's completed loads; rows of a load that was stopped are not among them. #}
{% macro completed_loads(source_name) -%}
    select load_id
    from {{ source(source_name, '_dlt_loads') }}
    where status = 0
{%- endmacro %}
"""


def on_request(kind: str, *, needs: str | None) -> dict[str, str]:
    """The tests, or the workflow, that are added on request."""
    if kind == "tests":
        return {"tests/test_headrace.py": _TESTS}
    install = f'uv pip install --system "{needs}"' if needs else "uv pip install --system headrace"
    return {".github/workflows/headrace.yml": _WORKFLOW.replace("INSTALL", install)}


_TESTS = '''"""What Headrace needs here: settings that hold, and sources that can be found."""

import importlib
import sys
from pathlib import Path

import pytest

from headrace.settings import resolve

ROOT = next(each for each in Path(__file__).parents if (each / "config" / "default.yml").is_file())
SETTINGS = resolve(ROOT, environ={}).settings


def test_the_dbt_project_is_there() -> None:
    assert (ROOT / SETTINGS.dbt.project_dir / "dbt_project.yml").is_file()


@pytest.mark.parametrize("name", SETTINGS.sources)
def test_each_source_leads_to_a_script(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    module = importlib.import_module(f"dlt_pipelines.{SETTINGS.sources[name].kind or name}")
    assert callable(module.build_source)
    assert getattr(module, "SCRIPT", Path(__file__)).is_file()
'''

_WORKFLOW = """\
# Added by `headrace adopt`: loads, builds, checks and publishes on request.
name: headrace
on:
  workflow_dispatch:
permissions:
  contents: read
concurrency: headrace
jobs:
  run:
    runs-on: ubuntu-latest
    timeout-minutes: 60
    steps:
      - uses: actions/checkout@v5
        with:
          persist-credentials: false
      - uses: actions/setup-python@v6
        with:
          python-version: "3.12"
      - run: pip install uv
      # dlt reads secrets from variables such as SOURCES__GITHUB__TOKEN
      - run: INSTALL
      - run: headrace run
      - uses: actions/upload-artifact@v5
        if: success()
        with:
          name: published
          path: .headrace/published.duckdb
          include-hidden-files: true
"""


def requirement() -> str | None:
    """This Headrace as a requirement of another project; None if its origin is not known."""
    from headrace.project import template

    try:
        address = template.locate(None)
    except TemplateError:
        return None
    if address.folder is not None:
        return f"headrace @ {address.folder.as_uri()}"
    url = address.shown if address.shown.startswith("git+") else f"git+{address.shown}"
    return f"headrace @ {url}{f'@{address.ref}' if address.ref else ''}"


def next_steps(root: Path) -> Iterator[str]:
    """What to type next: how Headrace gets into the project's environment, and the first run."""
    here = Path.cwd().resolve()
    if here != root:
        yield f"cd {root.relative_to(here) if root.is_relative_to(here) else root}"
    uses_uv = (root / "uv.lock").is_file() or not (
        (root / "poetry.lock").is_file() or (root / "requirements.txt").is_file()
    )
    is_project = (root / "pyproject.toml").is_file()
    needs = requirement()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if needs is None:
        yield "headrace run"
    elif uses_uv and is_project:
        yield f'uv add "{needs}"'
        yield "uv run headrace run"
    elif (root / "poetry.lock").is_file():
        yield f'poetry add "{needs}"'
        yield "poetry run headrace run"
    elif (root / "requirements.txt").is_file():
        yield f'pip install "{needs}"     # and this line to requirements.txt'
        yield "headrace run"
    else:
        yield f'uv run --python {version} --with "{needs}" headrace run'
