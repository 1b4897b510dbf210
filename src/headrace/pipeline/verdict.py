"""One verdict on each table: whether it can be trusted, the reasons in words, and since when.

    build, tests, freshness, quarantine, published or behind ─► reasons, the worst first ─► verdict

A raw table whose load failed, that is not fresh or that has rows in quarantine makes every table
downstream of it no better than that.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal, cast

from pydantic import Field

from headrace.artifacts.dbt_results import FAILED
from headrace.catalog import NodeRun
from headrace.catalog.evidence import (
    EvidenceStore,
    FailedLoad,
    KeptPromise,
    LoadedTable,
    NewestBuild,
    QuarantinedTable,
)
from headrace.catalog.model import Asset, Catalog, resource_id, table_id
from headrace.formatting import count, first_few, shortened
from headrace.pipeline.reports import Report

VerdictStatus = Literal[
    "failing", "skipped", "stale", "quarantined", "behind", "warning", "healthy", "unknown"
]
Mood = Literal["good", "bad", "unsure", "none"]
Aspect = Literal["load", "build", "tests", "contract", "freshness", "quarantine", "published"]

_WORST_FIRST: tuple[VerdictStatus, ...] = (
    "failing", "skipped", "stale", "quarantined", "behind", "warning", "healthy", "unknown",
)  # fmt: skip
MOODS: Mapping[VerdictStatus, Mood] = {
    "failing": "bad",
    "skipped": "bad",
    "stale": "unsure",
    "quarantined": "unsure",
    "behind": "unsure",
    "warning": "unsure",
    "healthy": "good",
    "unknown": "none",
}
_NAMED = 2
_CUT = 200


class VerdictReason(Report):
    """One reason of a verdict."""

    aspect: Aspect = Field(
        description="`load`, `build`, `tests`, `contract`, `freshness`, `quarantine`, `published`"
    )
    status: VerdictStatus
    text: str = Field(description="in words: `1 test`, `2 rows of shop.customers`")
    since: datetime | None = Field(None, description="UTC")
    asset: str | None = Field(None, description="id of the asset that it comes from, if another")


class Verdict(Report):
    """Whether a table can be trusted: the worst that is true of it, and all reasons."""

    status: VerdictStatus = Field(
        description="the worst of its reasons: `failing`, `skipped`, `stale`, `quarantined`, "
        "`behind`, `warning`, `healthy`, `unknown`"
    )
    mood: Mood = Field(description="`bad`, `unsure`, `good` or `none`")
    text: str = Field(
        description="in words: `failing: 1 test since 2026-11-28 14:02 UTC; readers have the "
        "data of 2026-11-27 06:00 UTC`"
    )
    since: datetime | None = Field(None, description="of the worst reason; UTC")
    readers_have: datetime | None = Field(
        None, description="when the data that readers have was published, if newer is not; UTC"
    )
    reasons: tuple[VerdictReason, ...] = Field(description="the worst first")

    @property
    def rank(self) -> int:
        """0 of the worst."""
        return _WORST_FIRST.index(self.status)


@dataclass(frozen=True)
class Evidence:
    """What verdicts are made from.

    Attributes:
        catalog: the newest.
        latest: each node's newest result, by dbt's ``unique_id``.
        since: when the failures of those that fail began, by ``unique_id``; UTC.
        loaded: the newest load of each raw table.
        failed_loads: sources and tables that could not be loaded.
        quarantine: what is in quarantine.
        promises: of contracts, as the newest audit found them.
        build: the newest build.
        published: ids of the published assets.
        published_at: UTC.
    """

    catalog: Catalog
    latest: Mapping[str, NodeRun]
    since: Mapping[str, datetime] = field(default_factory=dict)
    loaded: tuple[LoadedTable, ...] = ()
    failed_loads: tuple[FailedLoad, ...] = ()
    quarantine: tuple[QuarantinedTable, ...] = ()
    promises: tuple[KeptPromise, ...] = ()
    build: NewestBuild | None = None
    published: frozenset[str] = frozenset()
    published_at: datetime | None = None


def evidence_of(
    store: EvidenceStore,
    catalog: Catalog,
    latest: Mapping[str, NodeRun],
    *,
    published: Iterable[str],
    published_at: datetime | None,
) -> Evidence:
    """Read what the run store knows.

    Raises:
        RunStoreError: it cannot be read.
    """
    failing = [key for key, node in latest.items() if node.status in FAILED]
    return Evidence(
        catalog=catalog,
        latest=latest,
        since=store.failing_since(failing) if failing else {},
        loaded=tuple(store.loaded_tables()),
        failed_loads=tuple(store.failed_loads()),
        quarantine=tuple(store.quarantine()),
        promises=tuple(store.promises()),
        build=store.newest_build(),
        published=frozenset(published),
        published_at=published_at,
    )


def raw_table_id(catalog: Catalog, source: str, table: str) -> str | None:
    """The asset of a raw table; its schema is ``<source>_raw`` unless the settings say another."""
    usual = table_id(f"{source}_raw", table)
    if usual in catalog.assets:
        return usual
    made = catalog.children.get(resource_id(source, table), ())
    return next((key for key in made if catalog.assets[key].kind == "table"), None)


def made_it_skip(
    catalog: Catalog, status_of: Callable[[str], str | None], asset_id: str
) -> str | None:
    """The id of the nearest failure upstream of a node that was skipped: a model or a test.

    Args:
        catalog: the graph.
        status_of: the status of an asset's node, by the asset's id.
        asset_id: of the skipped node.
    """
    waiting, seen = [asset_id], {asset_id}
    while waiting:
        nearest = [
            parent
            for key in waiting
            for parent in catalog.parents.get(key, ())
            if parent not in seen
        ]
        seen.update(nearest)
        for parent in nearest:
            if status_of(parent) in FAILED:
                return parent
        for parent in nearest:
            for test in catalog.tests_of.get(parent, ()):
                if test != asset_id and status_of(test) in FAILED:
                    return test
        waiting = list(dict.fromkeys(nearest))
    return None


class Verdicts:
    """The verdicts on the tables of a project; each is made when it is asked for."""

    def __init__(self, evidence: Evidence) -> None:
        """Note the evidence.

        Args:
            evidence: as of one time.
        """
        self.evidence = evidence
        self._known: dict[str, Verdict] = {}

    def of(self, asset_id: str) -> Verdict | None:
        """The verdict on a table; None of what has no rows of its own, such as a test."""
        asset = self.evidence.catalog.assets.get(asset_id)
        if asset is None or not asset.is_relation or _is_internal(asset):
            return None
        if asset_id not in self._known:
            self._known[asset_id] = self._made(asset)
        return self._known[asset_id]

    def _made(self, asset: Asset) -> Verdict:
        reasons = [
            *self._loading(asset),
            *self._building(asset),
            *self._testing(asset),
            *self._promising(asset),
            *self._freshness(asset),
            *self.inherited.get(asset.id, ()),
            *self._publishing(asset),
        ]
        reasons.sort(key=lambda one: _WORST_FIRST.index(one.status))
        if not reasons:
            reasons = [VerdictReason(aspect="build", status="unknown", text="it has not run yet")]
        return self._verdict(asset, tuple(reasons))

    def _verdict(self, asset: Asset, reasons: tuple[VerdictReason, ...]) -> Verdict:
        worst = reasons[0]
        same = [one for one in reasons if one.status == worst.status]
        told = [f"{one.text}{_since(one.since)}" for one in same[:_NAMED]]
        if len(same) > _NAMED:
            told[-1] += f" and {len(same) - _NAMED} more"
        build = self.evidence.build
        is_behind = build is not None and not build.is_published
        kept = self.evidence.published_at if asset.id in self.evidence.published else None
        readers_have = kept if is_behind else None
        text = f"{worst.status}: {', '.join(told)}"
        if readers_have is not None and worst.status != "behind":
            text += f"; readers have the data of {_utc(readers_have)}"
        elif worst.status == "behind":
            text = f"behind: {told[0]}"
        return Verdict(
            status=worst.status,
            mood=MOODS[worst.status],
            text=text,
            since=worst.since,
            readers_have=readers_have,
            reasons=reasons,
        )

    def _node(self, asset_id: str) -> NodeRun | None:
        asset = self.evidence.catalog.assets.get(asset_id)
        return self.evidence.latest.get((asset and asset.dbt_id) or asset_id)

    def _status_of(self, asset_id: str) -> str | None:
        node = self._node(asset_id)
        return node.status if node else None

    def _loading(self, asset: Asset) -> Iterable[VerdictReason]:
        """Of a raw table: whether it could be loaded."""
        failed = self._failed_tables.get(asset.id)
        if failed is not None:
            text = f"the load failed, {shortened(failed.message, _CUT)}"
            yield VerdictReason(aspect="load", status="failing", text=text, since=failed.since)
        elif (loaded := self.loads.get(asset.id)) is not None:
            text = f"loaded {_utc(loaded.started_at)}, {count(loaded.rows_total, 'row')}"
            yield VerdictReason(aspect="load", status="healthy", text=text)

    def _building(self, asset: Asset) -> Iterable[VerdictReason]:
        node = self._node(asset.id)
        if node is None or asset.kind == "table":
            return
        if node.status in FAILED:
            since = self.evidence.since.get(node.unique_id)
            yield VerdictReason(
                aspect="build", status="failing", text="it could not be built", since=since
            )
        elif node.status == "skipped":
            yield self._skipped(asset)
        elif node.started_at is not None:
            yield VerdictReason(
                aspect="build", status="healthy", text=f"built {_utc(node.started_at)}"
            )

    def _skipped(self, asset: Asset) -> VerdictReason:
        assets = self.evidence.catalog.assets
        cause = made_it_skip(self.evidence.catalog, self._status_of, asset.id)
        if cause is None:
            return VerdictReason(aspect="build", status="skipped", text="it was not built")
        found = assets[cause]
        since = self.evidence.since.get(found.dbt_id or cause)
        return VerdictReason(
            aspect="build",
            status="skipped",
            text=f"not built, as {found.name} fails",
            since=since,
            asset=cause,
        )

    def _testing(self, asset: Asset) -> Iterable[VerdictReason]:
        latest = self.evidence.latest
        results = [
            latest[key] for key in self.evidence.catalog.tests_of.get(asset.id, ()) if key in latest
        ]
        failing = [one.unique_id for one in results if one.status in FAILED]
        warning = [one for one in results if one.status == "warn"]
        passing = sum(one.status == "pass" for one in results)
        if failing:
            began = [at for key in failing if (at := self.evidence.since.get(key))]
            yield VerdictReason(
                aspect="tests",
                status="failing",
                text=count(len(failing), "test"),
                since=min(began, default=None),
            )
        if warning:
            yield VerdictReason(aspect="tests", status="warning", text=count(len(warning), "test"))
        if passing:
            text = f"{count(passing, 'test passes', 'tests pass')}"
            yield VerdictReason(aspect="tests", status="healthy", text=text)

    def _promising(self, asset: Asset) -> Iterable[VerdictReason]:
        """Of contracts: what they promise and what does not hold."""
        promises = self._promises.get(asset.id, ())
        for statuses, status in ((FAILED, "failing"), (("warn",), "warning")):
            broken = [one for one in promises if one.status in statuses]
            if broken:
                began = [at for one in broken if (at := self.evidence.since.get(one.unique_id))]
                names = list(dict.fromkeys(one.label.partition(": ")[0] for one in broken))
                text = f"{count(len(broken), 'broken promise')} of contract {first_few(names, 2)}"
                yield VerdictReason(
                    aspect="contract",
                    status=cast("VerdictStatus", status),
                    text=text,
                    since=min(began, default=None),
                )
        kept = sum(one.status == "pass" for one in promises)
        if kept:
            text = f"{count(kept, 'promise')} of contracts kept"
            yield VerdictReason(aspect="contract", status="healthy", text=text)

    @cached_property
    def _promises(self) -> Mapping[str, list[KeptPromise]]:
        """Those of contracts, by asset id."""
        found: dict[str, list[KeptPromise]] = {}
        for one in self.evidence.promises:
            if one.attached_to is not None:
                key = self.evidence.catalog.by_dbt_id.get(one.attached_to, one.attached_to)
                found.setdefault(key, []).append(one)
        return found

    def _freshness(self, asset: Asset) -> Iterable[VerdictReason]:
        node = self._node(asset.id) if asset.kind == "table" else None
        if node is None or node.resource_type != "source":
            return
        if node.status in FAILED or node.status == "warn":
            since = self.evidence.since.get(node.unique_id) or node.started_at
            yield VerdictReason(
                aspect="freshness", status="stale", text="its newest rows are too old", since=since
            )
        elif node.status == "pass":
            yield VerdictReason(aspect="freshness", status="healthy", text="its rows are fresh")

    def _publishing(self, asset: Asset) -> Iterable[VerdictReason]:
        if asset.id not in self.evidence.published or self.evidence.published_at is None:
            return
        at = _utc(self.evidence.published_at)
        build = self.evidence.build
        if build is None or build.is_published:
            yield VerdictReason(aspect="published", status="healthy", text=f"published {at}")
            return
        why = "is not published" if build.passed else "was not published, as it did not pass"
        yield VerdictReason(
            aspect="published",
            status="behind",
            text=f"the build of {_utc(build.at)} {why}; readers have the data of {at}",
        )

    @cached_property
    def loads(self) -> Mapping[str, LoadedTable]:
        """The newest load of raw tables, by asset id."""
        found = {
            raw_table_id(self.evidence.catalog, one.source, one.table): one
            for one in self.evidence.loaded
        }
        return {key: one for key, one in found.items() if key is not None}

    @cached_property
    def quarantine(self) -> Mapping[str, tuple[QuarantinedTable, ...]]:
        """What is in quarantine, by the raw table's asset id."""
        found: dict[str, tuple[QuarantinedTable, ...]] = {}
        for one in self.evidence.quarantine:
            key = raw_table_id(self.evidence.catalog, one.source, one.table)
            if key is not None:
                found[key] = (*found.get(key, ()), one)
        return found

    @cached_property
    def _failed_tables(self) -> Mapping[str, FailedLoad]:
        catalog = self.evidence.catalog
        found: dict[str, FailedLoad] = {}
        for one in self.evidence.failed_loads:
            if one.table is not None:
                keys = [raw_table_id(catalog, one.source, one.table)]
            else:
                keys = [
                    key
                    for key, asset in catalog.assets.items()
                    if asset.kind == "table" and catalog.source_of(asset) == one.source
                ]
            found |= {key: one for key in keys if key is not None}
        return found

    @cached_property
    def inherited(self) -> Mapping[str, tuple[VerdictReason, ...]]:
        """Asset id to what is wrong with raw tables: of the table itself, and of all below it."""
        assets = self.evidence.catalog.assets
        found: dict[str, list[VerdictReason]] = {}
        for key, tables in self.quarantine.items():
            rows = count(sum(one.rows for one in tables), "row")
            why = first_few([one.reason.replace("_", " ") for one in tables], _NAMED)
            here = VerdictReason(aspect="quarantine", status="quarantined", text=f"{rows} ({why})")
            below = here.model_copy(
                update={"text": f"{rows} of {assets[key].relation or assets[key].name}",
                        "asset": key}
            )  # fmt: skip
            found.setdefault(key, []).append(here)
            self._pass_on(key, below, found)
        for key, failed in self._failed_tables.items():
            below = VerdictReason(
                aspect="load",
                status="stale",
                text=f"{assets[key].relation or assets[key].name} could not be loaded",
                since=failed.since,
                asset=key,
            )
            self._pass_on(key, below, found)
        for key, asset in assets.items():
            for reason in self._freshness(asset) if asset.kind == "table" else ():
                if reason.status == "stale":
                    text = f"rows of {asset.relation or asset.name} are too old"
                    self._pass_on(
                        key, reason.model_copy(update={"text": text, "asset": key}), found
                    )
        return {key: tuple(reasons) for key, reasons in found.items()}

    def _pass_on(
        self, start: str, reason: VerdictReason, found: dict[str, list[VerdictReason]]
    ) -> None:
        """Add a reason to all relations downstream."""
        catalog = self.evidence.catalog
        waiting, seen = [start], {start}
        while waiting:
            for child in catalog.children.get(waiting.pop(), ()):
                if child not in seen and catalog.assets[child].is_relation:
                    seen.add(child)
                    found.setdefault(child, []).append(reason)
                    waiting.append(child)


def _is_internal(asset: Asset) -> bool:
    """Whether it is a table of dlt or of the quarantine, and not of a source."""
    return asset.kind == "table" and asset.name.startswith(("_dlt_", "_quarantine"))


def _since(at: datetime | None) -> str:
    return f" since {_utc(at)}" if at else ""


def _utc(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
