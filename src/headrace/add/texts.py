"""The files of a new source, from the Jinja texts beside this module."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.add.model import Kind

if TYPE_CHECKING:
    from jinja2 import Environment

_FILES = {
    "dlt_pipelines/{name}/__init__.py": "{kind}/init.py.j2",
    "dlt_pipelines/{name}/__main__.py": "main.py.j2",
    "dlt_pipelines/{name}/README.md": "{kind}/README.md.j2",
    "tests/project/test_{name}.py": "{kind}/test.py.j2",
}


def new_files(kind: Kind, variables: dict[str, Any]) -> dict[str, str]:
    """Path below the project to text: the pipeline's folder and its test.

    ``files`` needs no folder: the one of that name is the pipeline of all sources of files.
    """
    name = variables["name"]
    wanted = _FILES
    if kind == "files":
        wanted = {path: text for path, text in _FILES.items() if path.startswith("tests/")}
        if not variables["samples"]:
            return {}
    return {
        path.format(name=name): render(template.format(kind=kind), variables)
        for path, template in wanted.items()
    }


def render(template: str, variables: dict[str, Any]) -> str:
    """One text."""
    return _environment().get_template(template).render(**variables)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Python and YAML, no HTML
    )
