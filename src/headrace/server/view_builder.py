"""Builds views from the catalog and the run store."""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice

from headrace.artifacts.dbt_results import FAILED
from headrace.catalog import RUNNING, CatalogChange, NodeRun, StepRun, StoredRun, TableRun
from headrace.catalog.evidence import QuarantinedTable, RowCount
from headrace.catalog.model import Asset, TestInfo
from headrace.formatting import shortened
from headrace.pipeline.progress import Now
from headrace.pipeline.verdict import made_it_skip, raw_table_id
from headrace.server import models
from headrace.server.search import matched_columns
from headrace.server.snapshot import ProjectSnapshot

_SUMMARY = 200
_CUT = 500
_DIFF_LINES = 400
_ORIGINS = 5
_OWN_CHANGES = 20
_Histories = Mapping[str, Sequence[NodeRun]]
_UNTESTED = TestInfo(name="", attached_to=None, column=None, severity="error")


def run_line(now: ProjectSnapshot, run: StoredRun) -> models.RunLine:
    """A run."""
    return models.RunLine(
        run_id=run.run_id,
        command=run.command,
        status=run.status,
        target=run.target,
        started_at=run.started_at,
        seconds=run.seconds,
        rows_loaded=run.rows_loaded,
        failures=len(run.failures),
        error=now.relative(run.error),
        detail=run.detail,
        code_version=run.code_version,
    )


def ref(asset: Asset) -> models.AssetRef:
    """An asset as others name it."""
    return models.AssetRef(id=asset.id, kind=asset.kind, name=asset.name, relation=asset.relation)


def refs(now: ProjectSnapshot, ids: Iterable[str]) -> tuple[models.AssetRef, ...]:
    """The assets of those ids, tests left out, sorted by name."""
    assets = now.index.catalog.assets
    found = [assets[key] for key in ids if key in assets and not assets[key].is_test]
    return tuple(ref(asset) for asset in sorted(found, key=lambda a: (a.name.casefold(), a.id)))


def summary(now: ProjectSnapshot, asset: Asset, words: Sequence[str] = ()) -> models.AssetSummary:
    """An asset in a list; ``words`` of a search say which columns it was found by."""
    node, table = now.newest(asset), now.table_of(asset.id)
    failing, warning = now.test_counts.get(asset.id, (0, 0))
    return models.AssetSummary(
        id=asset.id,
        kind=asset.kind,
        name=asset.name,
        relation=asset.relation,
        schema_name=asset.schema,
        summary=shortened(asset.description, _SUMMARY),
        materialized=asset.materialized,
        owners=asset.owners,
        tags=asset.tags,
        columns=len(asset.columns),
        tests=len(now.index.catalog.tests_of.get(asset.id, ())),
        failing=failing,
        warning=warning,
        passing=now.passing.get(asset.id, 0),
        verdict=now.verdicts.of(asset.id),
        status=node.status if node else None,
        ran_at=node.started_at if node else None,
        seconds=node.seconds if node else None,
        has_pii=any(column.pii for column in asset.columns),
        published=table is not None,
        published_rows=table.rows if table else None,
        matched=matched_columns(asset, words),
    )


def data_test(
    now: ProjectSnapshot, asset: Asset, history: Sequence[NodeRun] = ()
) -> models.TestView:
    """A test with its newest result, and those before."""
    info = asset.test or _UNTESTED
    attached = now.index.catalog.assets.get(info.attached_to) if info.attached_to else None
    node = now.latest.get(asset.id)
    return models.TestView(
        id=asset.id,
        name=asset.name,
        test=info.name,
        column=info.column,
        severity=info.severity,
        description=asset.description,
        arguments=dict(info.arguments),
        asset=ref(attached) if attached else None,
        status=node.status if node else None,
        failures=node.failures if node else None,
        message=now.relative(node.message) if node else None,
        detail=node.detail if node else None,
        ran_at=node.started_at if node else None,
        run_id=node.run_id if node else None,
        history=tuple(
            models.TestResult(
                run_id=one.run_id,
                status=one.status,
                at=one.started_at,
                seconds=one.seconds,
                failures=one.failures,
                message=now.relative(one.message),
            )
            for one in history
        ),
    )


def columns(now: ProjectSnapshot, asset: Asset) -> tuple[models.ColumnView, ...]:
    """An asset's columns, in its order."""
    catalog = now.index.catalog
    tested: dict[str, list[str]] = {}
    for key in catalog.tests_of.get(asset.id, ()):
        info = catalog.assets[key].test
        if info is not None and info.column is not None:
            tested.setdefault(info.column.casefold(), []).append(key)
    above: dict[str, dict[tuple[str, str], str]] = {}
    for edge in catalog.edges_by_child.get(asset.id, ()):
        if edge.is_direct and edge.parent_column:
            found = above.setdefault(edge.child_column, {})
            found.setdefault((edge.parent, edge.parent_column), edge.kind)
    below: dict[str, set[tuple[str, str]]] = {}
    for edge in catalog.edges_by_parent.get(asset.id, ()):
        if edge.is_direct and edge.child_column:
            below.setdefault(edge.parent_column, set()).add((edge.child, edge.child_column))
    keys = {name.casefold() for name in asset.primary_key}
    return tuple(
        models.ColumnView(
            name=column.name,
            data_type=column.data_type,
            description=column.description,
            tags=column.tags,
            pii=column.pii,
            pii_from=now.index.personal.get((asset.id, column.name)),
            nullable=column.nullable,
            is_key=column.name.casefold() in keys,
            tests=tuple(tested.get(column.name.casefold(), ())),
            upstream=len(above.get(column.name, ())),
            downstream=len(below.get(column.name, ())),
            origins=_origins(now, above.get(column.name, {})),
        )
        for column in asset.columns
    )


def _origins(
    now: ProjectSnapshot, above: Mapping[tuple[str, str], str]
) -> tuple[models.ColumnOrigin, ...]:
    assets = now.index.catalog.assets
    return tuple(
        models.ColumnOrigin(
            asset=key,
            asset_name=assets[key].name if key in assets else key,
            column=column,
            kind=above[key, column],
        )
        for key, column in sorted(above)[:_ORIGINS]
    )


def run_now(now: Now | None, run: StoredRun) -> models.RunNow | None:
    """What a run in progress does; None of one that has ended, or is not known to do anything."""
    if now is None or run.status != RUNNING or now.run_id != run.run_id:
        return None
    doing = [
        models.Activity(name=name, since=datetime.fromisoformat(at))
        for name, at in now.running.items()
    ]
    if not doing and now.phase:
        doing = [models.Activity(name=now.phase, since=datetime.fromisoformat(now.phase_since))]
    return models.RunNow(
        step=now.step,
        since=datetime.fromisoformat(now.step_since) if now.step_since else None,
        doing=tuple(sorted(doing, key=lambda one: one.since)),
        done=now.done,
        failed=now.failed,
    )


def step(now: ProjectSnapshot, one: StepRun) -> models.StepView:
    """A step of a run."""
    return models.StepView(
        step=one.step,
        status=one.status,
        started_at=one.started_at,
        seconds=one.seconds,
        message=now.relative(one.message),
    )


def load(now: ProjectSnapshot, one: TableRun) -> models.LoadView:
    """A raw table that a run loaded."""
    key = raw_table_id(now.index.catalog, one.source, one.table)
    return models.LoadView(
        source=one.source,
        table=one.table,
        rows_given=one.rows_given,
        rows_new=one.rows_new,
        rows_changed=one.rows_changed,
        rows_unchanged=one.rows_unchanged,
        rows_quarantined=one.rows_quarantined,
        rows_total=one.rows_total,
        new_columns=_names(one.new_columns),
        asset=key,
    )


def quarantine(
    now: ProjectSnapshot, one: QuarantinedTable, *, with_rows: bool = False
) -> models.QuarantineView:
    """What is in quarantine of a raw table for one reason."""
    return models.QuarantineView(
        source=one.source,
        table=one.table,
        asset=raw_table_id(now.index.catalog, one.source, one.table),
        reason=one.reason,
        rows=one.rows,
        sample=tuple(
            models.QuarantinedRowView(
                where=row.where, message=now.relative(row.message) or "", values=dict(row.values)
            )
            for row in (one.sample if with_rows else ())
        ),
    )


def rows_points(counts: Sequence[RowCount]) -> tuple[models.RowsPoint, ...]:
    """Rows over time, oldest first.

    Args:
        counts: newest first.
    """
    oldest_first = list(reversed(counts))
    versions = [None, *(one.code_version for one in oldest_first)]
    return tuple(
        models.RowsPoint(
            run_id=one.run_id,
            at=one.at,
            rows_total=one.rows_total,
            rows_new=one.rows_new,
            rows_changed=one.rows_changed,
            rows_quarantined=one.rows_quarantined,
            code_version=one.code_version,
            is_release=before is not None and before != one.code_version,
        )
        for one, before in zip(oldest_first, versions, strict=False)
    )


def node(now: ProjectSnapshot, run: NodeRun, failed: Collection[str] = ()) -> models.NodeView:
    """A node of a run.

    Args:
        now: the catalog.
        run: the node.
        failed: dbt's ids of the nodes that failed in its run; one of them made it skip.
    """
    catalog = now.index.catalog
    asset = run.unique_id if run.unique_id in catalog.assets else None
    asset = asset or catalog.by_dbt_id.get(run.unique_id)
    cause = None
    if run.status == "skipped" and asset is not None:

        def status_of(key: str) -> str | None:
            found = catalog.assets[key]
            return "error" if (found.dbt_id or key) in failed else None

        cause = made_it_skip(catalog, status_of, asset)
    return models.NodeView(
        unique_id=run.unique_id,
        asset=asset,
        name=run.name,
        label=run.label,
        resource_type=run.resource_type,
        status=run.status,
        started_at=run.started_at,
        seconds=run.seconds,
        thread=run.thread,
        failures=run.failures,
        message=now.relative(run.message),
        detail=run.detail,
        skipped_by=ref(catalog.assets[cause]) if cause else None,
    )


def change(
    now: ProjectSnapshot, one: CatalogChange, *, with_diff: bool = True
) -> models.ChangeView:
    """A change; long texts are cut."""
    is_code = one.what == "code changed"
    asset = now.index.catalog.assets.get(one.asset)
    return models.ChangeView(
        version=one.version,
        at=one.created_at,
        asset=one.asset,
        asset_name=asset.name if asset else one.asset.rpartition(".")[2],
        exists=asset is not None,
        column=one.column,
        what=one.what,
        before=None if is_code or one.before is None else shortened(one.before, _CUT),
        after=None if is_code or one.after is None else shortened(one.after, _CUT),
        diff=_diff(one.before or "", one.after or "") if is_code and with_diff else None,
    )


@lru_cache(maxsize=1024)
def _diff(before: str, after: str) -> str:
    """The lines that changed, with three around them; the first of many."""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), "before", "after", lineterm=""
    )
    shown = list(islice(lines, _DIFF_LINES + 1))
    if len(shown) > _DIFF_LINES:
        shown[-1] = "…"
    return "\n".join(shown[2:])  # without the names of the two


def detail(
    now: ProjectSnapshot,
    asset: Asset,
    histories: _Histories,
    rows: Sequence[RowCount] = (),
) -> models.AssetDetail:
    """All that is known of an asset.

    Args:
        now: the catalog and the newest results.
        asset: one of the catalog's.
        histories: the newest results, newest first, of the asset and its tests.
        rows: its rows after its newest loads or publications, newest first.
    """
    catalog = now.index.catalog
    own = histories.get(asset.dbt_id or asset.id, ())
    node = now.newest(asset)
    table = now.table_of(asset.id)
    parent = catalog.assets.get(asset.parent_table) if asset.parent_table else None
    source = now.index.catalog.source_of(asset)
    own_changes = now.changes_of.get(asset.id, ())[:_OWN_CHANGES]
    return models.AssetDetail(
        **_facts(asset),
        parent_table=ref(parent) if parent else None,
        columns=columns(now, asset),
        tests=_tests(now, asset, histories),
        test=data_test(now, asset, own) if asset.is_test else None,
        upstream=refs(now, catalog.parents.get(asset.id, ())),
        downstream=refs(now, catalog.children.get(asset.id, ())),
        verdict=now.verdicts.of(asset.id),
        status=node.status if node else None,
        ran_at=node.started_at if node else None,
        run_times=tuple(
            models.RunTime(
                run_id=one.run_id, at=one.started_at, seconds=one.seconds, status=one.status
            )
            for one in reversed(own)
        ),
        freshness=now.freshness.get(source) if source else None,
        published_rows=table.rows if table else None,
        rows=rows_points(rows),
        quarantine=tuple(
            quarantine(now, one, with_rows=True)
            for one in now.verdicts.quarantine.get(asset.id, ())
        ),
        has_sample=table is not None,
        problems=now.index.problems.get(asset.id, ()),
        changes=tuple(change(now, one) for one in own_changes),
    )


def _facts(asset: Asset) -> dict[str, object]:
    """What the catalog says of it, by the names of the view."""
    same = (
        "id", "kind", "name", "relation", "database", "description", "owners", "group", "tags",
        "materialized", "path", "package", "access", "contract", "primary_key", "url",
        "raw_code", "compiled_code",
    )  # fmt: skip
    facts = {name: getattr(asset, name) for name in same}
    return {**facts, "schema_name": asset.schema, "meta": dict(asset.meta)}


def _tests(
    now: ProjectSnapshot, asset: Asset, histories: _Histories
) -> tuple[models.TestView, ...]:
    catalog = now.index.catalog
    tests = [catalog.assets[key] for key in catalog.tests_of.get(asset.id, ())]
    return tuple(
        data_test(now, test, histories.get(test.id, ()))
        for test in sorted(tests, key=lambda test: _worst_first(now, test))
    )


def _worst_first(now: ProjectSnapshot, test: Asset) -> tuple[int, str]:
    node = now.latest.get(test.id)
    status = node.status if node else ""
    return (0 if status in FAILED else 1 if status == "warn" else 2, test.name)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text else ()
