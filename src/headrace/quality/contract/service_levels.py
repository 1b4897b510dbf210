"""The service levels of a contract on a table: how fresh it is, by when, how long it is kept.

    slaProperties ─► latency, frequency     ─► how old the newest row, or the newest update, may be
                     timeOfAvailability     ─► by when the data of a day are there
                     retention              ─► how old the oldest row may be
                     all others             ─► named as not measured

Source: Open Data Contract Standard 3.1, "Service-level agreement (SLA)".
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import time, timedelta
from typing import TYPE_CHECKING, Literal

from headrace.quality.contract.document import Contract
from headrace.quality.contract.keywords import UNITS, severity_of

if TYPE_CHECKING:
    from open_data_contract_standard.model import SchemaObject, ServiceLevelAgreementProperty

ServiceLevelKind = Literal["freshness", "frequency", "availability", "retention", "other"]
_KINDS: dict[str, ServiceLevelKind] = {
    "latency": "freshness", "ly": "freshness", "freshness": "freshness",
    "frequency": "frequency", "fy": "frequency",
    "timeofavailability": "availability",
    "retention": "retention", "re": "retention",
}  # fmt: skip
_SECONDS = {
    "second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800,
    "month": 30 * 86_400, "year": 365.25 * 86_400,
}  # fmt: skip
_LONGEST = timedelta(days=365_000)


@dataclass(frozen=True)
class ServiceLevel:
    """A service level on one table.

    Attributes:
        contract: the contract's label.
        kind: ``freshness``: the age of the newest row; ``frequency``: of the newest update;
            ``availability``: a time of day; ``retention``: the age of the oldest row; ``other``:
            what is not measured.
        name: as the contract has it: ``latency 2 d``.
        column: the column that has the time; None if it names none.
        within: how old; None of a time of day, and where it cannot be read.
        by: when each day, with its offset from UTC.
        warns: whether a broken one is only said.
        problem: why it is not measured; empty if it is.
    """

    contract: str
    kind: ServiceLevelKind
    name: str
    column: str | None = None
    within: timedelta | None = None
    by: time | None = None
    warns: bool = True
    problem: str = ""

    @property
    def words(self) -> str:
        """How long, in words: ``2 days``; of a time of day ``09:00-08:00``."""
        if self.by is not None:
            return self.name.partition(" ")[2]
        if self.within is None:
            return ""
        seconds = self.within.total_seconds()
        for unit in ("year", "day", "hour", "minute"):
            if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
                number = round(seconds / _SECONDS[unit])
                return f"{number:,} {unit}{'' if number == 1 else 's'}"
        return f"{seconds:,.10g} seconds"


def service_levels(
    contract: Contract, each: "SchemaObject", names: Collection[str], columns: Collection[str]
) -> Iterator[ServiceLevel]:
    """The service levels of a contract on one of its tables.

    Args:
        contract: it.
        each: the table, as the contract has it.
        names: what else the table is called: ``orders``, ``marts.orders``.
        columns: of the table; empty if they are not known.
    """
    called = {str(each.name), str(each.physicalName), *names}
    for promise in contract.model.slaProperties or ():
        element = promise.element or contract.model.slaDefaultElement
        column, is_mine = _element(element, called, columns)
        if is_mine:
            yield _made(contract, promise, column)


def _element(
    element: str | None, names: Collection[str], columns: Collection[str]
) -> tuple[str | None, bool]:
    """The column that a service level is about, and whether it is about this table."""
    if not element:
        return None, True
    first = element.split(",")[0].strip()
    table, _, column = first.rpartition(".")
    if first in names:
        return None, True
    if table and table not in names:
        return None, False
    known = {one.casefold(): one for one in columns}
    return known.get(column.casefold(), column), bool(table) or column.casefold() in known


def _made(
    contract: Contract, promise: "ServiceLevelAgreementProperty", column: str | None
) -> ServiceLevel:
    kind = _KINDS.get((promise.property or "").casefold(), "other")
    words = [str(one) for one in (promise.property, promise.value, promise.unit) if one is not None]
    name, within, by, problem = " ".join(words), None, None, ""
    if kind == "other":
        problem = "not measured here"
    elif kind == "availability":
        try:
            by = time.fromisoformat(str(promise.value))
        except ValueError:
            problem = "its value cannot be read: write value: 09:00 or 09:00+01:00"
    else:
        name = f"{promise.property} {promise.value} {promise.unit or 'd'}"
        within = _span(promise.value, promise.unit)
        if within is None:
            problem = "its value or unit cannot be read: write value: 4 and unit: h"
    warns = severity_of(promise) != "error"
    return ServiceLevel(contract.label, kind, name, column, within, by, warns, problem)


def _span(value: object, unit: str | None) -> timedelta | None:
    known = UNITS.get((unit or "d").casefold())
    try:
        found = timedelta(seconds=float(str(value)) * _SECONDS[known]) if known else None
    except (ValueError, OverflowError):
        return None
    return found if found is not None and timedelta(0) <= found <= _LONGEST else None
