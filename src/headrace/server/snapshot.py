"""All that responses are made from as of one time: the catalog, indexed, and the newest results.

A snapshot is never changed, only replaced.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, get_args

from headrace.artifacts.dbt_results import FAILED
from headrace.catalog import CatalogChange, CatalogVersion, NodeRun, StoredRun, pii
from headrace.catalog.evidence import NewestBuild
from headrace.catalog.model import Asset, AssetKind, Catalog
from headrace.pipeline.verdict import Verdicts
from headrace.server.models import Facet, SourceFreshness
from headrace.server.published import PublishedFileInfo, TableInFile
from headrace.server.search import SearchIndex, tier
from headrace.server.store import SourceLoad, relative_paths

_WORST = ("error", "fail", "warn", "pass")


KINDS: tuple[str, ...] = get_args(AssetKind)  # in the order in which lists show them; tests last
_FACETS = 100

EMPTY = Catalog(assets={}, parents={})


@dataclass(frozen=True)
class CatalogIndex:
    """A catalog and what is looked up in it; never changed once it is made.

    Attributes:
        catalog: the graph.
        order: all assets: marts first and tests last, of each tier what is read most first.
        groups: ``kind``, ``tag``, ``owner`` or ``schema``, and a value, to positions in ``order``.
        search: finds positions in ``order``.
        personal: columns that are made from personal data, see ``pii.inherited``.
        problems: asset id to why its column lineage is not all known.
    """

    catalog: Catalog
    order: tuple[Asset, ...]
    groups: Mapping[tuple[str, str], tuple[int, ...]]
    search: SearchIndex
    personal: Mapping[tuple[str, str], str]
    problems: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, catalog: Catalog) -> "CatalogIndex":
        """Index a catalog; a fraction of a second for 5,000 assets."""
        readers = {
            key: tuple(child for child in children if not catalog.assets[child].is_test)
            for key, children in catalog.children.items()
        }
        order = sorted(
            catalog.assets.values(),
            key=lambda asset: (
                tier(asset), -len(readers.get(asset.id, ())),
                asset.name.casefold(), asset.id,
            ),
        )  # fmt: skip
        groups: dict[tuple[str, str], list[int]] = {}
        for position, asset in enumerate(order):
            for key in _keys(asset):
                groups.setdefault(key, []).append(position)
        problems: dict[str, list[str]] = {}
        for problem in catalog.problems:
            problems.setdefault(problem.asset, []).append(problem.message)
        # made now, so that the first request does not wait for them
        _ = catalog.children, catalog.tests_of, catalog.by_dbt_id
        _ = catalog.edges_by_child, catalog.edges_by_parent
        return cls(
            catalog=catalog,
            order=tuple(order),
            groups={key: tuple(positions) for key, positions in groups.items()},
            search=SearchIndex(order, readers),
            personal=pii.inherited(catalog),
            problems={key: tuple(messages) for key, messages in problems.items()},
        )

    def members(self, wanted: Mapping[str, str]) -> Sequence[int]:
        """Positions, in order, that are in the group of every value that is wanted.

        Args:
            wanted: ``kind``, ``tag``, ``owner`` or ``schema`` to a value.
        """
        groups = [self.groups.get(key, ()) for key in wanted.items()]
        if not groups:
            return range(len(self.order))
        smallest = min(groups, key=len)
        others = [frozenset(group) for group in groups if group is not smallest]
        return [p for p in smallest if all(p in other for other in others)]

    @cached_property
    def personal_sources(self) -> frozenset[tuple[str, str]]:
        """Columns that personal data is made from, see ``pii.sources_of``."""
        return pii.sources_of(self.catalog)

    @cached_property
    def tests_from(self) -> int:
        """The position of the first test."""
        return sum(1 for asset in self.order if not asset.is_test)

    @cached_property
    def facets(self) -> Mapping[str, tuple[Facet, ...]]:
        """What lists can be filtered by: the most frequent values, by value."""
        found: dict[str, list[Facet]] = {"kind": [], "tag": [], "owner": [], "schema": []}
        for (what, value), positions in self.groups.items():
            found[what].append(Facet(value=value, count=len(positions)))
        return {what: _frequent(what, facets) for what, facets in found.items()}

    @cached_property
    def counts(self) -> dict[str, int]:
        """Assets by kind, and all columns."""
        kinds = {kind: len(self.groups.get(("kind", kind), ())) for kind in KINDS}
        columns = sum(len(asset.columns) for asset in self.order)
        return {**{kind: count for kind, count in kinds.items() if count}, "column": columns}


@dataclass(frozen=True)
class ProjectSnapshot:
    """The catalog and the run store as of one time.

    Attributes:
        token: changes when any response may.
        index: the catalog.
        has_catalog: whether there is one in the run store.
        latest: each node's newest result, by dbt's ``unique_id``.
        runs: the newest ones, newest first.
        loads: each source's newest load, by name.
        versions: the newest versions of the catalog, newest first.
        changes: what they changed, newest first.
        publication: what the published file says of itself.
        verdicts: one on each table.
        root: the project's directory, which no response names.
    """

    token: str
    index: CatalogIndex
    has_catalog: bool
    latest: Mapping[str, NodeRun]
    runs: tuple[StoredRun, ...]
    loads: Mapping[str, SourceLoad]
    versions: tuple[CatalogVersion, ...]
    changes: tuple[CatalogChange, ...]
    publication: PublishedFileInfo
    verdicts: Verdicts
    root: str = ""

    @property
    def build(self) -> NewestBuild | None:
        """The newest build; None before the first one."""
        return self.verdicts.evidence.build

    def relative(self, message: str | None) -> str | None:
        """A message with paths relative to the project."""
        return message and relative_paths(message, self.root)

    def newest(self, asset: Asset) -> NodeRun | None:
        """An asset's newest result; of a dbt source its freshness."""
        return self.latest.get(asset.dbt_id or asset.id)

    def table_of(self, asset_id: str) -> TableInFile | None:
        """The published table of an asset."""
        return self.publication.tables.get(asset_id)

    @cached_property
    def test_counts(self) -> Mapping[str, tuple[int, int]]:
        """Asset id to how many of its tests fail or error, and how many warn."""
        found: dict[str, tuple[int, int]] = {}
        for test in self.bad_tests:
            attached = test.test.attached_to if test.test else None
            if attached is not None:
                failing, warning = found.get(attached, (0, 0))
                is_failing = self.latest[test.id].status in FAILED
                found[attached] = (failing + is_failing, warning + (not is_failing))
        return found

    @cached_property
    def passing(self) -> Mapping[str, int]:
        """Asset id to how many of its tests pass."""
        assets = self.index.catalog.assets
        return Counter(
            asset.test.attached_to
            for key, node in self.latest.items()
            if node.status == "pass"
            and (asset := assets.get(key)) is not None
            and asset.test is not None
            and asset.test.attached_to is not None
        )

    @cached_property
    def bad_tests(self) -> tuple[Asset, ...]:
        """The tests whose newest result is not a pass: those that fail, then those that warn."""
        found = [
            asset
            for key, node in self.latest.items()
            if (node.status in FAILED or node.status == "warn")
            and (asset := self.index.catalog.assets.get(key)) is not None
            and asset.is_test
        ]
        return tuple(
            sorted(found, key=lambda test: (self.latest[test.id].status == "warn", test.name))
        )

    @cached_property
    def failing(self) -> int:
        """How many tests fail or error."""
        return sum(1 for test in self.bad_tests if self.latest[test.id].status in FAILED)

    @cached_property
    def changes_of(self) -> Mapping[str, tuple[CatalogChange, ...]]:
        """Asset id to its changes, newest first."""
        found: dict[str, list[CatalogChange]] = {}
        for change in self.changes:
            found.setdefault(change.asset, []).append(change)
        return {key: tuple(changes) for key, changes in found.items()}

    @cached_property
    def freshness(self) -> Mapping[str, SourceFreshness]:
        """How fresh each source is, by name; of several tables, dbt's worst result counts."""
        checked: dict[str, NodeRun] = {}
        for key, node in self.latest.items():
            if node.resource_type == "source":
                asset_id = self.index.catalog.by_dbt_id.get(key)
                asset = self.index.catalog.assets.get(asset_id) if asset_id else None
                source = self.index.catalog.source_of(asset) if asset else None
                if source is not None and (
                    source not in checked or _rank(node) < _rank(checked[source])
                ):
                    checked[source] = node
        names = {
            source
            for asset in self.index.order
            if asset.kind == "resource" and (source := self.index.catalog.source_of(asset))
        }
        quarantined: Counter[str] = Counter()
        for one in self.verdicts.evidence.quarantine:
            quarantined[one.source] += one.rows
        return {
            name: _freshness(
                name, self.loads.get(name), checked.get(name), quarantined.get(name, 0)
            )
            for name in sorted(names | set(self.loads) | set(checked))
        }

    def warm(self) -> "ProjectSnapshot":
        """Compute now what the first request would have to wait for."""
        _ = self.test_counts, self.passing, self.failing, self.changes_of, self.freshness
        _ = self.verdicts.inherited
        _ = self.index.facets, self.index.counts, self.index.tests_from
        return self


def _rank(node: NodeRun) -> int:
    return _WORST.index(node.status) if node.status in _WORST else len(_WORST)


def _freshness(
    name: str, load: SourceLoad | None, checked: NodeRun | None, quarantined: int
) -> SourceFreshness:
    return SourceFreshness(
        source=name,
        loaded_at=load.started_at if load else None,
        run_id=load.run_id if load else None,
        rows_new=load.rows_new if load else 0,
        rows_changed=load.rows_changed if load else 0,
        rows_in_quarantine=quarantined,
        status=checked.status if checked else None,
        message=checked.message if checked else None,
        checked_at=checked.started_at if checked else None,
    )


def _keys(asset: Asset) -> Iterable[tuple[str, str]]:
    yield "kind", asset.kind
    for tag in dict.fromkeys(asset.tags):
        yield "tag", tag
    for owner in dict.fromkeys(asset.owners):
        yield "owner", owner
    if asset.schema and asset.is_relation:
        yield "schema", asset.schema


def _frequent(what: str, facets: list[Facet]) -> tuple[Facet, ...]:
    if what == "kind":
        return tuple(sorted(facets, key=lambda facet: KINDS.index(facet.value)))
    most = sorted(facets, key=lambda facet: (-facet.count, facet.value))[:_FACETS]
    return tuple(sorted(most, key=lambda facet: (facet.value.casefold(), facet.value)))


def sorted_assets(now: ProjectSnapshot, found: Sequence[int], sort: str) -> list[int]:
    """Positions sorted by a column of the list; what has no value comes last both ways."""
    name, order = sort.removeprefix("-"), now.index.order
    valued = [(SORTS[name](now, order[position]), position) for position in found]
    known = [pair for pair in valued if pair[0] is not None]
    known.sort(key=lambda pair: pair[0], reverse=sort.startswith("-"))
    return [position for _, position in (*known, *(p for p in valued if p[0] is None))]


def _tests(now: ProjectSnapshot, asset: Asset) -> tuple[int, int, int] | None:
    tests = now.index.catalog.tests_of.get(asset.id)
    return (*now.test_counts.get(asset.id, (0, 0)), len(tests)) if tests else None


def _ran_at(now: ProjectSnapshot, asset: Asset) -> datetime | None:
    node = now.newest(asset)
    return node.started_at if node else None


def _verdict(now: ProjectSnapshot, asset: Asset) -> int | None:
    verdict = now.verdicts.of(asset.id)
    return verdict.rank if verdict else None


SORTS: Mapping[str, Callable[[ProjectSnapshot, Asset], Any]] = {
    "name": lambda _, asset: asset.name.casefold(),
    "verdict": _verdict,
    "kind": lambda _, asset: asset.kind,
    "schema": lambda _, asset: asset.schema,
    "columns": lambda _, asset: len(asset.columns),
    "tests": _tests,
    "last-run": _ran_at,
    "owners": lambda _, asset: ", ".join(asset.owners) or None,
}
