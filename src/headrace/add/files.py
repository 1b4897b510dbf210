"""The files of a new source: rendered from Jinja templates, and its entry in the settings."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace import yaml_editor
from headrace.add.request import SourceKind
from headrace.errors import AddError

if TYPE_CHECKING:
    from jinja2 import Environment


_FILES = {
    "dlt_pipelines/{name}/__init__.py": "{kind}/init.py.j2",
    "dlt_pipelines/{name}/__main__.py": "main.py.j2",
    "dlt_pipelines/{name}/README.md": "{kind}/README.md.j2",
    "tests/project/test_{name}.py": "{kind}/test.py.j2",
}


def new_files(kind: SourceKind, variables: dict[str, Any]) -> dict[str, str]:
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
    """A rendered template."""
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


def missing_files(root: Path, name: str, texts: Mapping[Path, str]) -> dict[Path, str]:
    """The files that are missing: the same command may have been killed before it wrote them.

    Args:
        root: of the project.
        name: of the source.
        texts: what its files are to hold; none of them is there in a project that is new to it.

    Raises:
        AddError: there is another file in its folder, or one with another content.
    """
    folder = root / "dlt_pipelines" / name
    for path in (*folder.rglob("*"), *texts):
        is_ours = path in texts and path.is_file() and path.read_bytes() == texts[path].encode()
        is_rest = path.name.endswith(".tmp") or "__pycache__" in path.parts
        if path.is_file() and not is_ours and not is_rest:
            where = folder if path.is_relative_to(folder) else path
            raise AddError(
                f"there is a {where.relative_to(root).as_posix()}: take another name, or remove it"
            )
    return {path: text for path, text in texts.items() if not path.exists()}


def with_source(text: str, name: str, entry: str, file: str) -> str:
    """A settings file with an entry as the last one of ``sources``; all else stays as it is.

    Args:
        text: of the settings file; empty where there is none.
        name: of the source.
        entry: YAML of its key and value, comments in front, without indentation.
        file: what the file is called, for messages.

    Raises:
        AddError: the file cannot be edited safely.
        ProjectFileError: the file is not valid YAML.
    """
    new = yaml_editor.append_entry(yaml_editor.parse(text, file), "sources", entry)
    if new is None or list(new.data["sources"])[-1] != name:
        lines = " / ".join(line for line in entry.splitlines() if not line.startswith("#"))
        raise AddError(
            f"{file}: its `sources` cannot be edited safely, since they are not written as "
            f"indented lines; add by hand: {lines}; nothing was written"
        )
    return new.text


def sources_of(text: str, file: str) -> dict[str, object]:
    """The entries of ``sources`` by name.

    Raises:
        ProjectFileError: the file is not valid YAML.
    """
    data = yaml_editor.parse(text, file).data
    found = data.get("sources") if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}
