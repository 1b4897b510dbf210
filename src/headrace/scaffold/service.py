"""``headrace scaffold``: from dlt's schema of a source to its sources yml and staging models.

dlt's schema ─► raw_schema ─► plan ─┐
dbt project, record of offers ──────┴─► draft: sources yml, SQL, yml ─► checked, written, reported
"""

from collections import Counter
from pathlib import Path

from headrace import file_changes
from headrace.errors import ScaffoldError
from headrace.scaffold import sources_yml
from headrace.scaffold.dbt_project import (
    DbtProject,
    declared_tables,
    models_of,
    open_project,
    parse_record,
    record_name,
    record_path,
    render_record,
)
from headrace.scaffold.draft import ByHand, Draft, FileReport, ScaffoldReport, Vanished
from headrace.scaffold.plan import COMBINATION
from headrace.scaffold.raw_schema import RawSchema, read_schema
from headrace.scaffold.staging_models import merge_models
from headrace.settings import Resolved


def scaffold(resolved: Resolved, source: str, *, dry_run: bool = False) -> ScaffoldReport:
    """Write what is missing of a source's sources yml, staging models, tests and descriptions.

    What is there is never changed or removed: lines are added, and what dlt's schema no longer
    has is pointed at.

    Args:
        resolved: the settings.
        source: its name in them.
        dry_run: write nothing, and report what would be written.

    Raises:
        ScaffoldError: the source is unknown or not loaded; nothing was written.
        ProjectFileError: a file cannot be read or written; nothing was written.
        ProjectError: there is no dbt project.
    """
    schema = read_schema(resolved, source)
    project = open_project(resolved.dbt_project)
    if not project.has_macro("completed_loads"):
        raise ScaffoldError(
            f"{project.root} has no macro completed_loads, which keeps rows of stopped loads out: "
            "copy macros/completed_loads.sql from a new Headrace project; nothing was written"
        )
    draft = _draft(project, source, schema, resolved.raw_schema(source))
    tables = sources_yml.merge_sources(draft)
    has_combination = project.has_macro(COMBINATION)
    merge_models(draft, tables, has_combination=has_combination)
    sources_yml.unwritable(draft)
    if not has_combination:
        _note_missing_test(draft)
    gone = sources_yml.find_vanished(draft)
    sources_yml.forget(draft, gone)
    _keep_record(draft)
    file_changes.check(project.root, draft.texts)
    report = _report(draft, gone, dry_run=dry_run)
    if not dry_run:
        file_changes.write(draft.texts, project.texts)
    return report


def _draft(project: DbtProject, source: str, schema: RawSchema, dataset: str) -> Draft:
    path = record_path(project, source)
    text = project.texts[path] if path else None
    name = project.name(path) if path else record_name(source)
    known = parse_record(text, name)
    folder = _folder(project, source, schema)
    return Draft(project, source, schema, known, folder, dataset, offers=set(known.offers))


def _folder(project: DbtProject, source: str, schema: RawSchema) -> Path:
    """Where the source's models are: where most of them are, else ``staging/<source>``."""
    tables = {raw: entry.name for raw, entry in declared_tables(project, source).items()}
    parents = {table.name: table.parent for table in schema.tables}
    paths = [p for paths in models_of(project, source, tables, parents).values() for p in paths]
    places = Counter(path.parent for path in paths).most_common()
    if places:
        most = places[0][1]
        return min(folder for folder, count in places if count == most)
    return project.model_paths[0] / "staging" / source


def _note_missing_test(draft: Draft) -> None:
    keys = [
        table.name
        for table in draft.schema.tables
        if table.parent is None and table.keeps_key_unique and len(table.primary_key) > 1
    ]
    if keys:
        draft.by_hand.append(
            ByHand(
                what=f"test the key of {', '.join(keys)}: the dbt project has no generic test "
                f"{COMBINATION}; copy tests/generic/{COMBINATION}.sql from a new Headrace project"
            )
        )


def _keep_record(draft: Draft) -> None:
    if draft.offers == draft.record.offers and draft.record.exists:
        return
    path = record_path(draft.project, draft.source) or draft.folder / record_name(draft.source)
    text = render_record(draft.source, draft.offers)
    label = "what was offered so far" if draft.record.exists else "record of what was offered"
    draft.add_file(path, text, label)


def _report(draft: Draft, gone: tuple[Vanished, ...], *, dry_run: bool) -> ScaffoldReport:
    project = draft.project
    tables = {raw: entry.name for raw, entry in declared_tables(project, draft.source).items()}
    parents = {table.name: table.parent for table in draft.schema.tables}
    looked = {path for path, _ in project.entries("sources", draft.source)}
    looked |= {
        path
        for found in models_of(project, draft.source, tables, parents).values()
        for path in found
    }
    files = []
    for path in sorted({*looked, *draft.texts}):
        old, new = project.texts.get(path), draft.texts.get(path)
        is_new = new is not None and new != old
        files.append(
            FileReport(
                path=project.name(path),
                status="unchanged" if not is_new else "added" if old is None else "changed",
                additions=tuple(draft.labels.get(path, ())) if is_new else (),
                diff=file_changes.diff(project.name(path), old, new)
                if is_new and new is not None
                else "",
            )
        )
    return ScaffoldReport(
        source=draft.source,
        dry_run=dry_run,
        tables=len(draft.schema.tables),
        files=tuple(files),
        vanished=gone,
        by_hand=tuple(draft.by_hand),
        left_out=tuple(draft.left_out),
        without_description=tuple(draft.without_description),
    )
