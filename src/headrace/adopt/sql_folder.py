"""Folders of SQL files: which of them can be models of dbt as they are, and what they read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.sql_text import identifier

PROJECT = "dbt_project"


@dataclass(frozen=True)
class SqlFolder:
    """The SQL of a repository without a dbt project.

    Attributes:
        folders: the topmost ones with SQL, below the repository.
        reads: of each model, by name: the models that it reads.
        left_out: files that are no model, and why.
        paths: of each model, its file below the repository.
    """

    folders: tuple[Path, ...]
    reads: dict[str, tuple[str, ...]]
    left_out: dict[Path, str]
    paths: dict[str, Path]

    @property
    def final(self) -> tuple[str, ...]:
        """The models that no other one reads."""
        read = {name for names in self.reads.values() for name in names}
        return tuple(name for name in self.reads if name not in read) or tuple(self.reads)


def read(root: Path, files: Iterable[Path]) -> SqlFolder | None:
    """Read the SQL files of a repository; None if none of them can be a model.

    Args:
        root: the repository.
        files: its SQL files.
    """
    reads: dict[str, tuple[tuple[str, ...], ...]] = {}
    paths: dict[str, Path] = {}
    left_out: dict[Path, str] = {}
    for path in sorted(files):
        below = path.relative_to(root)
        tables, why = _read(root, path)
        if why is None and path.stem in paths:
            why = f"{paths[path.stem]} has the same name"
        if why is None:
            reads[path.stem], paths[path.stem] = tables, below
        else:
            left_out[below] = why
    if not reads:
        return None
    by_name = {name.casefold(): name for name in reads}
    found = {
        name: tuple(
            sorted(
                {
                    by_name[parts[-1]]
                    for parts in tables
                    if len(parts) == 1 and parts[-1] in by_name and by_name[parts[-1]] != name
                }
            )
        )
        for name, tables in reads.items()
    }
    folders = tuple(sorted({Path(path.parts[0]) for path in paths.values()}))
    return SqlFolder(folders, found, left_out, paths)


_IN_ROOT = "it is not in a folder: dbt would read every file of the repository as a model"


def why_left_out(root: Path, path: Path) -> str | None:
    """Why a SQL file can be no model; None if it can."""
    return _read(root, path)[1]


def _read(root: Path, path: Path) -> tuple[tuple[tuple[str, ...], ...], str | None]:
    """The tables that a query reads; or why it is none."""
    from headrace.lineage.sql.parse import summarize

    if path.parent == root:
        return (), _IN_ROOT
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return (), "it is not UTF-8, or cannot be read"
    if "{{" in text or "{%" in text:
        return (), "it has Jinja, but there is no dbt_project.yml that it belongs to"
    summary = summarize(text, "duckdb")
    if summary.query is None:
        return (), summary.problems[0] if summary.problems else "it is no query"
    return summary.tables, None


def dbt_files(found: SqlFolder, name: str) -> dict[str, str]:
    """The files of a dbt project around the SQL, by path below the repository."""
    texts = {
        f"{PROJECT}/dbt_project.yml": project_yml(name, [path.as_posix() for path in found.folders])
    }
    ordered = {model: reads for model, reads in sorted(found.reads.items()) if reads}
    lines = [
        "# The order of the models. The SQL names other files as tables, which dbt cannot see: a",
        "# hook that refers to them can be seen. A model that says {{ ref('…') }} needs no entry.",
        "models:",
    ]
    for model, reads in ordered.items():
        refs = " ".join(f"{{{{ ref('{one}') }}}}" for one in reads)
        lines += [
            f"  - name: {_yaml_text(model)}",
            "    config:",
            f'      pre_hook: "select 1 /* {refs} */"',
        ]
    if ordered:
        texts[f"{PROJECT}/models/order.yml"] = "\n".join(lines) + "\n"
    ignored = [f"../{path.as_posix()}" for path in sorted(found.left_out) if len(path.parts) > 1]
    for folder in found.folders:
        ignored += [f"../{folder.as_posix()}/**/*.{kind}" for kind in ("py", "yml", "yaml", "md")]
    texts[f"{PROJECT}/.dbtignore"] = "\n".join(ignored) + "\n"
    texts[f"{PROJECT}/macros/without_semicolon.sql"] = _MACROS
    return texts


def project_yml(name: str, folders: Sequence[str] = ()) -> str:
    """A ``dbt_project.yml``; models are in ``models`` and in folders of the repository."""
    paths = ", ".join(["models", *(f'"../{folder}"' for folder in folders)])
    return f"""\
name: {name}
version: 0.1.0
config-version: 2
profile: headrace

model-paths: [{paths}]
macro-paths: [macros]
test-paths: [tests]

flags:
  send_anonymous_usage_stats: false

models:
  {name}:
    +materialized: view
"""


def _yaml_text(name: str) -> str:
    return name if identifier(name) == f'"{name}"' and name.isidentifier() else f'"{name}"'


_MACROS = """\
{# SQL that is run by hand ends with a semicolon, which dbt's `create view as (…)` cannot have. #}

{% macro duckdb__create_view_as(relation, sql) -%}
    {{ return(dbt.duckdb__create_view_as(relation, without_semicolon(sql))) }}
{%- endmacro %}

{% macro duckdb__create_table_as(temporary, relation, compiled_code, language='sql') -%}
    {{ return(dbt.duckdb__create_table_as(
        temporary, relation, without_semicolon(compiled_code), language
    )) }}
{%- endmacro %}

{% macro without_semicolon(sql) -%}
    {{ return(sql.rstrip().rstrip(';')) }}
{%- endmacro %}
"""
