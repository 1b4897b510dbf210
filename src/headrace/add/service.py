"""``headrace add source``: write what a new source needs, load it once, scaffold its models.

request ─► plan of its kind ─► folder, settings, test ─► first load ─► scaffold ─► report
"""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from headrace import file_changes, yaml_editor
from headrace.add import files, kinds
from headrace.add.request import AddRequest, check_is_new, check_source_name
from headrace.errors import SettingsError, UserError
from headrace.pipeline.reports import Listener, LoadReport, ignore
from headrace.pipeline.run import run
from headrace.scaffold import ScaffoldReport, scaffold
from headrace.secrets import learn
from headrace.settings import Resolved, SourceSettings

_SETTINGS = "config/default.yml"

_CI_SETTINGS = "config/ci.yml"

_EXAMPLE = ".env.example"


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True)


class AddedFile(_Report):
    """One file that was written, or would be."""

    path: str = Field(description="below the project, with forward slashes")
    status: Literal["added", "changed"]
    diff: str = Field(description="unified diff")


class AddReport(_Report):
    """A source that was added."""

    source: str
    kind: str
    dry_run: bool
    is_declined: bool = Field(False, description="whether a person said no to it")
    files: tuple[AddedFile, ...]
    choices: tuple[str, ...] = Field((), description="what was decided, one sentence each")
    load: LoadReport | None = Field(None, description="its first load; none when there was none")
    scaffold: ScaffoldReport | None = Field(None, description="its staging models")
    not_loaded: str | None = Field(None, description="why it was not loaded, and what to set")
    commands: tuple[str, ...] = Field((), description="what to run next")


def add_source(
    resolved: Resolved,
    request: AddRequest,
    *,
    dry_run: bool = False,
    load: bool = True,
    listen: Listener = ignore,
    confirm: Callable[[AddReport], bool] = lambda _: True,
) -> AddReport:
    """Add a source: its folder, its settings, its test; and, when it can be reached, its models.

    All files are written or none. What cannot be loaded yet stays as it was written, and the
    report says what to set and run. The same request a second time continues where one that was
    killed had stopped: what is written is left, the rest is written, loaded and scaffolded.

    Args:
        resolved: the settings.
        request: what is asked for.
        dry_run: write nothing, and report what would be written.
        load: load it once, and scaffold its models.
        listen: is called with the events of the load.
        confirm: is asked before anything is written, if tables were found by looking at a folder;
            a no ends it.

    Raises:
        AddError: a name or an option is wrong; nothing was written.
        ProjectFileError: a file cannot be read or written; nothing was written.
    """
    check_source_name(resolved, request.name)
    request.check()
    plan = kinds.plan(resolved, request)
    plan.variables |= {"name": request.name, "enabled": not plan.missing}
    changes, originals, entry = _texts(resolved, request, plan)
    file_changes.check(resolved.root, changes)
    report = AddReport(
        source=request.name,
        kind=request.kind,
        dry_run=dry_run,
        files=tuple(
            _file(resolved.root, path, originals.get(path), text) for path, text in changes.items()
        ),
        choices=tuple(plan.choices),
        not_loaded=plan.missing or None,
        commands=_commands(request.name),
    )
    if dry_run:
        return report
    if request.kind == "files" and not request.pattern and report.files and not confirm(report):
        return report.model_copy(update={"is_declined": True})
    file_changes.write(changes, originals)
    if plan.missing or not load:
        return report
    resolved = _with(resolved, request.name, entry, plan.secrets)
    report = _with_empty_tables(_loaded(resolved, report, listen), plan)
    return _with_notes(report) if request.kind == "rest_api" else report


def _texts(
    resolved: Resolved, request: AddRequest, plan: kinds.SourcePlan
) -> tuple[dict[Path, str], dict[Path, str], str]:
    """The files to write, the old content of those that exist, and the entry of the settings."""
    root = resolved.root
    new = files.new_files(request.kind, plan.variables) | plan.extra_files
    changes = files.missing_files(root, request.name, {root / path: new[path] for path in new})
    if count := len(new) - len(changes):
        plan.choices.append(f"{count} of its files are there already, as they are to be")
    originals: dict[Path, str] = {}
    for name in (_SETTINGS, _CI_SETTINGS, _EXAMPLE):
        if (root / name).is_file():
            originals[root / name] = file_changes.read_text(root / name)
    entry = files.render(f"{request.kind}/settings.yml.j2", plan.variables)
    before = originals.get(root / _SETTINGS, "")
    # what points to the source comes last: until then it is not there
    if root / _EXAMPLE in originals and kinds.secret_of(request.kind):
        example = originals[root / _EXAMPLE]
        newline = "\r\n" if "\r\n" in example else "\n"
        lines = files.render(f"{request.kind}/env.j2", plan.variables).replace("\n", newline)
        head = example if not example or example.endswith("\n") else example + newline
        if lines not in example:
            changes[root / _EXAMPLE] = head + (newline if head else "") + lines
    if root / _CI_SETTINGS in originals and request.kind != "synth":
        # what is outside is not asked for there: pull requests of forks have no secrets
        checks, off = originals[root / _CI_SETTINGS], f"{request.name}:\n  enabled: false\n"
        if request.name not in files.sources_of(checks, _CI_SETTINGS):
            changes[root / _CI_SETTINGS] = files.with_source(
                checks, request.name, off, _CI_SETTINGS
            )
    there = files.sources_of(before, _SETTINGS)
    if there.get(request.name) != _options(entry, request.name):
        check_is_new(resolved, request.name)
        changes[root / _SETTINGS] = files.with_source(before, request.name, entry, _SETTINGS)
    return changes, originals, entry


def _file(root: Path, path: Path, old: str | None, new: str) -> AddedFile:
    name = path.relative_to(root).as_posix()
    return AddedFile(
        path=name,
        status="added" if old is None else "changed",
        diff=file_changes.diff(name, old, new),
    )


def _commands(name: str) -> tuple[str, ...]:
    return (f"headrace load --source {name}", f"headrace scaffold {name}")


def _with(resolved: Resolved, name: str, entry: str, secrets: dict[str, str]) -> Resolved:
    """The settings with the new source; what the environment says of it overrules the file."""
    known = resolved.settings.sources.get(name)
    given = {**_options(entry, name), **(known.options if known else {}), **secrets}
    learn({name: given})
    sources = {**resolved.settings.sources, name: SourceSettings.model_validate(given)}
    return replace(resolved, settings=resolved.settings.model_copy(update={"sources": sources}))


def _options(entry: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml_editor.parse(entry, "the entry").data[name]
    return found


def _loaded(resolved: Resolved, report: AddReport, listen: Listener) -> AddReport:
    loaded: LoadReport | None = None
    models: ScaffoldReport | None = None
    reason: str | None = None
    commands: tuple[str, ...] = ()
    importlib.invalidate_caches()  # its folder is younger than what Python knows of
    try:
        loaded = run(resolved, steps=("load",), source_names=(report.source,), listen=listen).load
        models = scaffold(resolved, report.source)
    except SettingsError as error:
        reason, commands = f"{error}", report.commands
    except UserError as error:
        reason, commands = f"{error}", report.commands if loaded is None else report.commands[1:]
    return report.model_copy(
        update={"load": loaded, "scaffold": models, "not_loaded": reason, "commands": commands}
    )


def _with_empty_tables(report: AddReport, plan: kinds.SourcePlan) -> AddReport:
    """Add a word on tables that had no row: nothing says which columns they have."""
    if report.load is None:
        return report
    there = {table.table for table in report.load.tables}
    asked = [resource["name"] for resource in plan.variables.get("resources", ())]
    empty = tuple(
        f"{name}: there is no row yet, and so no table; once there are some, "
        f"`headrace scaffold {report.source}` writes its model"
        for name in asked
        if name not in there
    )
    return report.model_copy(update={"choices": (*report.choices, *empty)})


def _with_notes(report: AddReport) -> AddReport:
    """Add what the load of an API found out: how its pages are found, what its cursor is."""
    tables = report.load.tables if report.load else ()
    found = tuple(f"{table.table}: {note}" for table in tables for note in table.notes)
    return report.model_copy(update={"choices": (*report.choices, *found)})
