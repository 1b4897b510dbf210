"""The promises of a run: what contracts say of its tables, whether it holds, and who relies on it.

contracts/*.yaml ─► raw tables before the build ─► what depends on a broken one is not built
                 └► marts, service levels in the audit ─► an error blocks the publish, warn is said
meta.sla of dbt's yml ─► service levels likewise
                 results ─► run store ─► `headrace quality status`, the page, the verdict on a table

Service levels change while the data do not, so that each audit looks at them again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field

from headrace.catalog.evidence import EvidenceStore, KeptPromise
from headrace.catalog.model import Catalog
from headrace.error_detail import ErrorDetail, relative
from headrace.errors import ContractError
from headrace.formatting import one_line
from headrace.pipeline.checking.contract import (
    checked,
    identifier_of,
    node_of,
    promised_to,
    reader,
    relations,
    schema_of,
)
from headrace.pipeline.reports import NodeReport, NodeStatus, Report
from headrace.quality.contract import Contract, ContractCheck, contract_of_levels, read_contract
from headrace.quality.contract.checks import Part
from headrace.quality.contract.service_levels import ServiceLevel, service_levels
from headrace.settings import Resolved


class PromiseReport(Report):
    """A promise of a contract, or a check in Python, when the newest audit looked at it."""

    name: str = Field(description="`orders: marts.orders.amount: required`, or of a check its name")
    kind: str = Field(description="`contract` or `check`")
    part: str | None = Field(
        None, description="of a contract: `schema`, `quality`, `freshness`, `retention`, ..."
    )
    asset: str | None = Field(None, description="id of the table")
    table: str | None = Field(None, description="`schema.table`")
    status: str = Field(description="`pass`, `warn`, `fail` or `error`")
    message: str | None = Field(None, description="what is wrong, and to whom it was promised")
    promised_to: str = Field("", description="who relies on it")
    run_id: str = Field(description="of the run that looked")
    at: datetime | None = Field(None, description="when that began; UTC")


TYPES = frozenset({"contract", "check"})
"""Resource types of the results that are promises: of contracts, and checks in Python."""
OF_FRESHNESS = frozenset({"freshness", "frequency"})
"""Parts that are told by the forecast of freshness, too."""
_BROKEN = frozenset({"fail", "error"})
_ORDER = {"error": 0, "fail": 1, "warn": 2}


@dataclass(frozen=True)
class TableLevel:
    """A service level of a table, and to whom it was promised."""

    level: ServiceLevel
    to: str


class Promises:
    """The contracts of a project.

    Attributes:
        contracts: those whose files could be read.
        broken_files: of the others, by their path, what is wrong.
    """

    def __init__(self, resolved: Resolved) -> None:
        """Read the files of the contracts.

        Args:
            resolved: the settings.
        """
        self.resolved = resolved
        self.contracts: list[Contract] = []
        self.broken_files: dict[str, str] = {}
        for path in resolved.contract_files:
            try:
                self.contracts.append(read_contract(path))
            except ContractError as error:
                self.broken_files[relative(path, resolved.root)] = str(error)

    @property
    def notes(self) -> list[str]:
        """What a reader should know of the files."""
        return [note for one in self.contracts for note in one.notes]

    def check(
        self, manifest: Any, *, of: Literal["sources", "models"], part: Part
    ) -> list[NodeReport]:
        """The promises on raw tables or on what was built, each as a result.

        Args:
            manifest: dbt's: as read from its file, or its own object.
            of: which tables.
            part: of the contracts; service levels are those of dbt's meta, too.
        """
        found: list[NodeReport] = []
        contracts = [*self.contracts]
        if part == "service levels":
            contracts += self._of_meta(manifest)
        if not contracts:
            return found
        with reader(self.resolved, "warehouse") as (connection, alias, _):
            for contract in contracts:
                for each in contract.objects:
                    node = node_of(manifest, contract, each)
                    is_source = node is not None and node.unique_id.startswith("source.")
                    if is_source != (of == "sources"):
                        continue
                    checks = checked(
                        self.resolved, contract, manifest, connection, alias, (each,), (part,)
                    )
                    to = promised_to(contract, manifest, node.unique_id if node else None)
                    found += [as_node(one, node and node.unique_id, to) for one in checks]
        return found

    def levels(self, manifest: Any) -> Mapping[str, Sequence[TableLevel]]:
        """The service levels of each table that can be measured, by dbt's id."""
        found: dict[str, list[TableLevel]] = {}
        for contract in (*self.contracts, *self._of_meta(manifest)):
            for each in contract.objects:
                node = node_of(manifest, contract, each)
                if node is None:
                    continue
                names = (identifier_of(node), f"{schema_of(node)}.{identifier_of(node)}")
                columns = node.columns.keys() or [str(one.name) for one in each.properties or ()]
                to = promised_to(contract, manifest, node.unique_id)
                found.setdefault(node.unique_id, []).extend(
                    TableLevel(level, to)
                    for level in service_levels(contract, each, names, columns)
                    if not level.problem
                )
        return found

    def _of_meta(self, manifest: Any) -> Iterator[Contract]:
        """What ``meta.sla`` of a table says, as ``headrace contract import`` wrote it.

        What a file in the folder says of it, too, is left out.
        """
        told: dict[str, list[tuple[Any, ...]]] = {}
        for contract in self.contracts:
            for each in contract.objects:
                node = node_of(manifest, contract, each)
                if node is not None:
                    told.setdefault(node.unique_id, []).extend(
                        (one.property, str(one.value)) for one in contract.model.slaProperties or ()
                    )
        for node in relations(manifest):
            given = {**node.meta, **(node.config.meta or {})}.get("sla")
            if not given:
                continue
            name = f"{schema_of(node)}.{identifier_of(node)}"
            path = Path(str(getattr(node, "patch_path", None) or node.original_file_path))
            try:
                contract = contract_of_levels(path, node.name, name, given)
            except ContractError as error:
                self.broken_files[f"meta.sla of {name}"] = str(error)
                continue
            contract.model.slaProperties = [
                one
                for one in contract.model.slaProperties or ()
                if (one.property, str(one.value)) not in told.get(node.unique_id, ())
            ]
            yield contract


def as_node(check: ContractCheck, of: str | None, to: str) -> NodeReport:
    """A promise that was looked at, as a result of the run.

    Args:
        check: it.
        of: dbt's id of the table; None if it has none.
        to: whom it was promised to.
    """
    is_kept = check.status in {"pass", "skipped"}
    said = check.said if is_kept or not to else f"{check.said}; promised to {to}"
    label = f"{check.contract}: {check.label}"
    return NodeReport(
        unique_id=f"contract.{check.contract}.{check.label}",
        name=label,
        label=label,
        resource_type="contract",
        status=cast("NodeStatus", check.status),
        severity="warn" if check.status == "warn" else "error",
        message=said or None,
        detail=ErrorDetail(query=check.query) if check.query and not is_kept else None,
        attached_to=of,
        promised_to=to,
        part=check.kind,
    )


def sentence(node: NodeReport) -> str:
    """A promise that is not kept, and to whom it was given."""
    return f"contract {node.label}: {node.message or node.status}"


def is_broken(node: NodeReport) -> bool:
    """Whether it is against what depends on it."""
    return node.status in _BROKEN


def reports(store: EvidenceStore, catalog: Catalog) -> list[PromiseReport]:
    """The promises that are known, the broken ones first, then those that only warn.

    Raises:
        RunStoreError: the store cannot be read.
    """
    found = []
    for one in store.promises():
        key = catalog.by_dbt_id.get(one.attached_to or "", one.attached_to or "")
        asset = catalog.assets.get(key)
        found.append(
            PromiseReport(
                name=one.label,
                kind=one.kind,
                part=one.part,
                asset=asset.id if asset else None,
                table=asset.relation if asset else None,
                status=one.status,
                message=one.message,
                promised_to=one.promised_to,
                run_id=one.run_id,
                at=one.at,
            )
        )
    return sorted(found, key=lambda one: (_ORDER.get(one.status, len(_ORDER)), one.name))


def kept(nodes: Iterable[NodeReport]) -> list[KeptPromise]:
    """What the run store keeps of promises that were looked at."""
    return [
        KeptPromise(
            unique_id=node.unique_id,
            attached_to=node.attached_to,
            kind=node.resource_type,
            part=node.part,
            label=node.label,
            status=node.status,
            message=one_line(node.message, 1000) if node.message else None,
            promised_to=node.promised_to,
        )
        for node in nodes
        if node.resource_type in TYPES and node.status != "skipped"
    ]
