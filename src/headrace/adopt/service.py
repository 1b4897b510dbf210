"""Look at a repository, and add Headrace around what is there: files are added, none is changed."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from headrace import file_changes
from headrace.adopt import dbt_side, file_texts, sql_folder
from headrace.adopt.dbt_side import DbtSide
from headrace.adopt.dlt_scripts import Pipeline, Script, read_script, source_name
from headrace.adopt.sql_folder import SqlFolder
from headrace.errors import AdoptError
from headrace.formatting import count, first_few, slug
from headrace.project import git

Extra = Literal["tests", "workflows"]
_SKIPPED = frozenset(
    {
        *("node_modules", "venv", "env", "site-packages", "__pycache__", "build", "dist"),
        *("dbt_packages", "dbt_modules", "target", "logs"),
    }
)
_TOO_MANY = 20_000  # files; whoever adopts a home folder by mistake is told so


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True)


class AdoptedFile(_Report):
    """A file that is added."""

    path: str = Field(description="below the repository, with forward slashes")
    status: Literal["added", "there"] = Field(description="`there`: it was there, as it is to be")
    diff: str = Field(description="unified diff")


class AdoptReport(_Report):
    """What was found in a repository, and what was added."""

    project: str
    dry_run: bool
    found: tuple[str, ...] = Field(description="one sentence each")
    files: tuple[AdoptedFile, ...]
    notes: tuple[str, ...] = Field((), description="what to know of how it is handled")
    next_steps: tuple[str, ...] = ()


@dataclass
class _Plan:
    """What is going to be added.

    Attributes:
        texts: by path below the repository.
        sources: entries of the settings, by name.
        found: sentences.
        notes: sentences.
    """

    texts: dict[str, str] = field(default_factory=dict)
    sources: dict[str, list[str]] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def adopt(
    folder: Path,
    *,
    dbt_project: Path | None = None,
    extras: tuple[Extra, ...] = (),
    dry_run: bool = False,
) -> AdoptReport:
    """Add Headrace to a repository.

    Args:
        folder: the repository.
        dbt_project: its dbt project, where there are several.
        extras: what to add besides settings and wrappers.
        dry_run: write nothing, and report what would be written.

    Raises:
        AdoptError: there is nothing to add it to, or a file is in the way; nothing was written.
        ProjectFileError: a file cannot be written; nothing was written.
    """
    root = _root(folder)
    python, sql, projects = _listed(root)
    plan = _Plan()
    dbt = _dbt_side(root, projects, dbt_project)
    scripts = [script for path in python if (script := read_script(root, path)) is not None]
    queries = None if dbt else sql_folder.read(root, sql)
    if dbt is None and not scripts and queries is None:
        why = first_few([f"{path}: {text}" for path, text in _left_out(root, sql).items()], 3)
        raise AdoptError(
            f"{root} holds no dbt project, no dlt script and no folder of SQL"
            + (f" ({why})" if why else "")
            + ": `headrace new` makes a new project"
        )
    _plan_dbt(plan, root, dbt)
    _plan_sql(plan, root, queries)
    _plan_scripts(plan, root, scripts)
    if dbt is None and queries is None:
        plan.texts |= file_texts.empty_dbt_project(_name(root))
        plan.notes.append(
            "there is no dbt project: an empty one is added; after the first run, `headrace "
            "scaffold NAME` writes models of a source"
        )
    _plan_dlt(plan, dbt, queries)
    plan.texts["dlt_pipelines/__init__.py"] = file_texts.PIPELINES
    plan.texts["config/default.yml"] = file_texts.settings(
        plan.sources, root=root, dbt=dbt, queries=queries
    )
    plan.texts[f"{file_texts.DATA}/.gitignore"] = file_texts.IGNORED
    for extra in extras:
        plan.texts |= file_texts.on_request(extra, needs=file_texts.requirement())
    return _written(root, plan, dry_run=dry_run)


def _root(folder: Path) -> Path:
    root = folder.expanduser().resolve()
    if not root.is_dir():
        raise AdoptError(f"{root} is not a folder: name the repository that Headrace is added to")
    is_project = (root / "dlt_pipelines").is_dir() and (root / "config" / "default.yml").is_file()
    if is_project:
        raise AdoptError(
            f"{root} is a Headrace project already: `headrace add source` adds a source to it, "
            "`headrace where` shows its settings"
        )
    return root


def _listed(root: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """The Python files, the SQL files, and the folders of dbt projects."""
    python: list[Path] = []
    sql: list[Path] = []
    projects: list[Path] = []
    seen = 0
    for directory, folders, names in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _SKIPPED
            and not name.startswith(".")
            and not (Path(directory, name) / "pyvenv.cfg").is_file()
        )
        seen += len(names)
        if seen > _TOO_MANY:
            raise AdoptError(
                f"{root} holds more than {_TOO_MANY:,} files: name the folder of one repository"
            )
        if "dbt_project.yml" in names:
            projects.append(Path(directory))
        for name in sorted(names):
            if name.endswith(".py"):
                python.append(Path(directory, name))
            elif name.endswith(".sql"):
                sql.append(Path(directory, name))
    ours = root / "dlt_pipelines"
    python = [path for path in python if not _is_wrapper(path, ours)]
    projects = [path for path in projects if not _is_ours(path)]
    return python, sql, projects


def _is_wrapper(path: Path, pipelines: Path) -> bool:
    """Whether an earlier, unfinished adopt wrote it."""
    return path.parent.parent == pipelines and file_texts.WRAPPED in path.read_text(
        "utf-8", "replace"
    )


def _is_ours(project: Path) -> bool:
    text = (project / "dbt_project.yml").read_text("utf-8", "replace")
    return text.startswith(file_texts.FIRST_LINE)


def _left_out(root: Path, sql: list[Path]) -> dict[Path, str]:
    from headrace.adopt.sql_folder import why_left_out

    return {path.relative_to(root): why for path in sql if (why := why_left_out(root, path))}


def _dbt_side(root: Path, projects: list[Path], named: Path | None) -> DbtSide | None:
    if named is not None:
        folder = (root / named).resolve()
        if not (folder / "dbt_project.yml").is_file():
            raise AdoptError(f"--dbt-project {named}: there is no {folder / 'dbt_project.yml'}")
        return dbt_side.read(root, folder)
    # a package below another project belongs to it
    outer = [path for path in projects if not any(one in path.parents for one in projects)]
    if len(outer) > 1:
        shown = first_few([_below(root, path) for path in outer])
        raise AdoptError(f"there are several dbt projects, {shown}: name one with --dbt-project")
    return dbt_side.read(root, outer[0]) if outer else None


def _plan_dbt(plan: _Plan, root: Path, dbt: DbtSide | None) -> None:
    if dbt is None:
        return
    where = _below(root, dbt.folder)
    plan.found.append(
        f"dbt project {dbt.name} in {where}: {count(dbt.models, 'model')}, "
        f"{count(dbt.tests, 'test')}"
    )
    if dbt.profiles is None:
        plan.notes.append(
            f"no profiles.yml with the profile {dbt.profile!r} was found: dbt gets one of Headrace "
            f"with the warehouse {file_texts.DATA}/warehouse.duckdb and the schema main"
        )
    else:
        place = f"its file is {_below(root, dbt.database)}" if dbt.database else (
            f"it is in memory, so the warehouse is {file_texts.DATA}/warehouse.duckdb"
        )  # fmt: skip
        plan.found.append(
            f"profile {dbt.profile} ({dbt.output}) in {_below(root, dbt.profiles)}: {place}"
        )
        if dbt.other_target is not None:
            plan.notes.append(
                f"the profile's target is {dbt.other_target}; its output {dbt.output} is used, "
                "which is of DuckDB"
            )
        if not dbt.profiles.is_relative_to(root):
            plan.notes.append(
                f"the profile is outside of the repository, in {dbt.profiles}: elsewhere (in CI, "
                "for others) dbt.profile in config/default.yml has to be changed"
            )
    if dbt.published_count:
        names = f": {first_few(list(dbt.published), 5)}" if dbt.published else ", all of them"
        plan.notes.append(
            f"{count(dbt.published_count, 'model')} of {first_few(list(dbt.schemas))} "
            f"{'is' if dbt.published_count == 1 else 'are'} published{names} "
            "(publish in config/default.yml)"
        )


def _plan_sql(plan: _Plan, root: Path, queries: SqlFolder | None) -> None:
    if queries is None:
        return
    plan.found.append(
        f"{count(len(queries.reads), 'query', 'queries')} in "
        f"{first_few([path.as_posix() for path in queries.folders])}"
    )
    plan.texts |= {
        path: text if not path.endswith("dbt_project.yml") else file_texts.FIRST_LINE + "\n" + text
        for path, text in sql_folder.dbt_files(queries, _name(root)).items()
    }
    for path, why in sorted(queries.left_out.items()):
        plan.notes.append(f"{path.as_posix()} is left out: {why}")
    plan.notes.append(
        f"views are built from the SQL as it is; {first_few(list(queries.final), 5)} "
        f"{'is' if len(queries.final) == 1 else 'are'} published (publish in config/default.yml)"
    )


def _plan_scripts(plan: _Plan, root: Path, scripts: list[Script]) -> None:
    """A wrapper for each pipeline, and for each source that no pipeline of another file loads."""
    run = [script for script in scripts if script.pipelines]
    used = {name for script in run for name in script.imports}
    for script in run:
        for pipeline in script.pipelines:
            _add_wrapper(plan, script, pipeline, source_name(pipeline, script.path))
    for script in scripts:
        if script.pipelines or script.path.stem in used or script.path.parent.name in used:
            continue
        for function in script.sources:
            pipeline = Pipeline(function, None, None, "never", expression=f"script.{function}()")
            _add_wrapper(plan, script, pipeline, slug(function), function=function)
        if not script.sources and script.resources:
            calls = ", ".join(f"script.{one}()" for one in script.resources)
            pipeline = Pipeline(script.path.stem, None, None, "never", expression=f"[{calls}]")
            _add_wrapper(plan, script, pipeline, source_name(pipeline, script.path))


def _add_wrapper(
    plan: _Plan, script: Script, pipeline: Pipeline, name: str, *, function: str | None = None
) -> None:
    path = script.path.as_posix()
    if name in plan.sources:
        plan.notes.append(
            f"{path}: a second call of the pipeline {name} is left out; what it loads can be added "
            f"to dlt_pipelines/{name}/__init__.py"
        )
        return
    shown = pipeline.name or script.path.stem
    dataset = None if function else pipeline.dataset_name
    ends = f", into {dataset}" if dataset else ""
    plan.found.append(f"dlt {'source' if function else 'pipeline'} {shown} in {path}{ends}")
    needed = script.parameters.get(function, ()) if function else ()
    plan.texts[f"dlt_pipelines/{name}/__init__.py"] = file_texts.wrapper(
        script.path, pipeline, name, function=function, parameters=needed
    )
    entry = []
    if needed:
        entry.append("enabled: false")
        plan.notes.append(
            f"{path}: {function}() needs {first_few([one for one, _ in needed])}: set "
            f"sources.{name}.{needed[0][0]} and so on, and `enabled: true`, in config/default.yml"
        )
    if dataset:
        entry.append(f"dataset_name: {_dataset(dataset)}")
    plan.sources[name] = entry
    if pipeline.runs_at == "import":
        plan.notes.append(
            f"{path} calls pipeline.run when it is imported: Headrace imports it with run() "
            "switched off, and loads what was handed to it; put the call below "
            '`if __name__ == "__main__":` to be rid of this'
        )
    elif pipeline.expression is None:
        at = f"{pipeline.function}()" if pipeline.function else "the script"
        plan.notes.append(
            f"{path}: what {shown} loads is made where it is run, so Headrace runs {at} with "
            "pipeline.run switched off, and loads what was handed to it"
        )
    if pipeline.destination not in {None, "duckdb"}:
        plan.notes.append(
            f"{path} loads into {pipeline.destination}; Headrace loads the same into the warehouse"
        )


def _plan_dlt(plan: _Plan, dbt: DbtSide | None, queries: SqlFolder | None) -> None:
    if dbt is not None:
        loaded = {line.partition(": ")[2] for entry in plan.sources.values() for line in entry}
        others = [schema for schema in dbt.source_schemas if schema not in loaded]
        if plan.sources and others:
            plan.notes.append(
                f"dbt's sources also read {first_few(others)}, which no pipeline here loads"
            )
    if plan.sources and (dbt is None or dbt.database is None) and queries is None:
        plan.notes.append(
            f"the pipelines load into {file_texts.DATA}/warehouse.duckdb from now on; what they "
            "loaded elsewhere stays there, and is loaded again"
        )


def _dataset(name: str) -> str:
    """The schema as dlt spells it."""
    from dlt.common.normalizers.naming.snake_case import NamingConvention

    return str(NamingConvention().normalize_identifier(name))


def _written(root: Path, plan: _Plan, *, dry_run: bool) -> AdoptReport:
    texts, there = {}, []
    in_the_way = []
    for name, text in sorted(plan.texts.items()):
        path = root / name
        if not path.exists():
            texts[path] = text
        elif path.is_file() and (
            file_changes.read_text(path) == text or name == "dlt_pipelines/__init__.py"
        ):
            there.append(name)
        else:
            in_the_way.append(name)
    if in_the_way:
        raise AdoptError(
            f"{first_few(in_the_way)} {'is' if len(in_the_way) == 1 else 'are'} there already, and "
            "Headrace needs files of that name: rename yours (nothing is overwritten); nothing "
            "was written"
        )
    file_changes.check(root, texts)
    changed = git.status(root) if git.is_there() and git.top(root) is not None else {}
    if changed:
        plan.notes.append(
            f"{count(len(changed), 'file')} of the repository "
            f"{'is' if len(changed) == 1 else 'are'} not committed; what is added does not touch "
            "them"
        )
    if not dry_run:
        file_changes.write(texts, {})
    return AdoptReport(
        project=str(root),
        dry_run=dry_run,
        found=tuple(plan.found),
        files=(
            *_added(root, texts),
            *(AdoptedFile(path=name, status="there", diff="") for name in there),
        ),
        notes=tuple(plan.notes),
        next_steps=tuple(file_texts.next_steps(root)),
    )


def _added(root: Path, texts: dict[Path, str]) -> Iterator[AdoptedFile]:
    for path, text in texts.items():
        name = path.relative_to(root).as_posix()
        yield AdoptedFile(path=name, status="added", diff=file_changes.diff(name, None, text))


def _below(root: Path, path: Path) -> str:
    if path == root:
        return "the root"
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _name(root: Path) -> str:
    found = slug(root.name)
    return found if found[:1].isalpha() else f"project_{found}".rstrip("_")
