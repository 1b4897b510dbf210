"""All that is known of an asset, as one view."""

from collections.abc import Mapping, Sequence

from headrace.catalog import NodeRun
from headrace.catalog.model import Asset
from headrace.server import describe, views
from headrace.server.snapshot import FAILED, Snapshot

_OWN_CHANGES = 20

_Histories = Mapping[str, Sequence[NodeRun]]


def detail_of(now: Snapshot, asset: Asset, histories: _Histories) -> views.AssetDetail:
    """The asset's view.

    Args:
        now: the catalog and the newest results.
        asset: one of the catalog's.
        histories: the newest results, newest first, of the asset and its tests.
    """
    catalog = now.index.catalog
    own = histories.get(asset.dbt_id or asset.id, ())
    node = now.newest(asset)
    table = now.table_of(asset.id)
    parent = catalog.assets.get(asset.parent_table) if asset.parent_table else None
    source = now.index.source_of(asset)
    own_changes = now.changes_of.get(asset.id, ())[:_OWN_CHANGES]
    return views.AssetDetail(
        **_facts(asset),
        parent_table=describe.ref(parent) if parent else None,
        columns=describe.columns(now, asset),
        tests=_tests(now, asset, histories),
        test=describe.verdict(now, asset, own) if asset.is_test else None,
        upstream=describe.refs(now, catalog.parents.get(asset.id, ())),
        downstream=describe.refs(now, catalog.children.get(asset.id, ())),
        status=node.status if node else None,
        ran_at=node.started_at if node else None,
        run_times=tuple(
            views.RunTime(
                run_id=one.run_id, at=one.started_at, seconds=one.seconds, status=one.status
            )
            for one in reversed(own)
        ),
        freshness=now.freshness.get(source) if source else None,
        published_rows=table.rows if table else None,
        has_sample=table is not None,
        problems=now.index.problems.get(asset.id, ()),
        changes=tuple(describe.change(now, one) for one in own_changes),
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


def _tests(now: Snapshot, asset: Asset, histories: _Histories) -> tuple[views.TestView, ...]:
    catalog = now.index.catalog
    tests = [catalog.assets[key] for key in catalog.tests_of.get(asset.id, ())]
    return tuple(
        describe.verdict(now, test, histories.get(test.id, ()))
        for test in sorted(tests, key=lambda test: _by_trouble(now, test))
    )


def _by_trouble(now: Snapshot, test: Asset) -> tuple[int, str]:
    node = now.latest.get(test.id)
    status = node.status if node else ""
    return (0 if status in FAILED else 1 if status == "warn" else 2, test.name)
