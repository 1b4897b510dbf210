"""What differs between two versions of the catalog."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from headrace.catalog.model import Asset
from headrace.catalog.renames import Moves, Pair, Pairs, renamed, tests_of_renamed
from headrace.catalog.type_names import same_spelling

What = Literal[
    "asset added",
    "asset removed",
    "asset renamed",
    "asset moved",
    "column added",
    "column removed",
    "column retyped",
    "test added",
    "test removed",
    "test changed",
    "description changed",
    "code changed",
    "owners changed",
    "personal data changed",
]


@dataclass(frozen=True)
class Change:
    """One thing that differs between a version and the one before it.

    Attributes:
        version: the version that brought it.
        created_at: when, UTC.
        asset: the asset's id; of a test the id of what it tests, where that is known.
        column: the column's name, or None where the asset itself changed.
        what: what kind of change.
        before: the old type, name, place, owners, description or test; None where there was none.
        after: the new one.
    """

    version: int
    created_at: datetime
    asset: str
    column: str | None
    what: What
    before: str | None = None
    after: str | None = None


def changes(assets: Moves, columns: Moves, moments: Mapping[int, datetime]) -> Iterator[Change]:
    """What differs from one version to the next.

    Args:
        assets: rows of ``catalog_assets`` (kind, payload) by version and (asset id,).
        columns: rows of ``catalog_columns`` (type, description, personal data) by version and
            (asset id, name).
        moments: when each version was made, UTC.
    """
    pairs = {key: Pair.of(move) for key, move in assets.items()}
    new_names = renamed(pairs, columns)
    old_names = {(version, new): old for (version, old), new in new_names.items()}
    tests = tests_of_renamed(pairs, new_names)
    for (version, (asset_id,)), pair in pairs.items():
        at = moments[version]
        if (version, asset_id) in new_names or (version, asset_id) in tests:
            continue  # told by the new name; its tests stay what they were
        before, after = pair.before, pair.after
        old = old_names.get((version, asset_id))
        if old is not None:
            before = pairs[version, (old,)].before
        yield from _asset_changes(version, at, asset_id, before, after)
    yield from _column_changes(columns, pairs, moments)


def _asset_changes(
    version: int, at: datetime, asset_id: str, before: Asset | None, after: Asset | None
) -> Iterator[Change]:
    """Of one asset, or test."""
    asset = after or before
    if asset is None:
        return
    if before is None or after is None:
        way = "added" if before is None else "removed"
        if not asset.is_test:
            yield Change(version, at, asset_id, None, f"asset {way}")  # type: ignore[arg-type]
            return
        subject, column = _tested(asset_id, asset)
        yield Change(
            version, at, subject, column, f"test {way}",  # type: ignore[arg-type]
            before.name if before else None, after.name if after else None,
        )  # fmt: skip
        return
    if asset.is_test:
        old, new = _checks(before), _checks(after)
        if old != new:
            subject, column = _tested(asset_id, asset)
            yield Change(version, at, subject, column, "test changed", old, new)
        return
    told: list[tuple[What, str | None, str | None]] = []
    if before.id != after.id:
        told.append(("asset renamed", before.name, after.name))
    elif _place(before) != _place(after):
        told.append(("asset moved", _place(before), _place(after)))
    if before.description != after.description:
        told.append(("description changed", before.description, after.description))
    if before.owners != after.owners:
        told.append(("owners changed", ", ".join(before.owners), ", ".join(after.owners)))
    for what, was, now in told:
        yield Change(version, at, asset_id, None, what, was or None, now or None)
    if before.raw_code != after.raw_code:
        yield Change(version, at, asset_id, None, "code changed")


def _tested(asset_id: str, test: Asset) -> tuple[str, str | None]:
    """What a test tests; itself, where that is not known."""
    if test.test is None:
        return asset_id, None
    return test.test.attached_to or asset_id, test.test.column


def _checks(test: Asset) -> str:
    """A test in words, as far as it can change under one id."""
    severity = test.test.severity if test.test else "error"
    return f"{test.name}, severity {severity}"


def _place(asset: Asset) -> str:
    """Where it stands: in the warehouse, or, if it stands in none, in the project."""
    if asset.kind in {"resource", "exposure"}:
        return asset.name
    where = asset.relation or asset.name
    return f"{where} ({asset.path})" if asset.path else where


def _column_changes(
    columns: Moves,
    assets: Pairs,
    moments: Mapping[int, datetime],
) -> Iterator[Change]:
    """Columns that came, went, or are not what they were; not those of an asset that is new.

    A type that becomes known, or is spelled as the engine does, as the table is made is no other
    type.
    """
    for (version, (asset_id, name)), move in columns.items():
        whole = assets.get((version, (asset_id,)))
        if whole is not None and (whole.before is None or whole.after is None):
            continue  # the asset came or went with all its columns
        at = moments[version]
        before, after = move.before, move.after
        if before is None or after is None:
            what: What = "column added" if before is None else "column removed"
            was, now = before[0] if before else None, after[0] if after else None
            yield Change(version, at, asset_id, name, what, was, now)
            continue
        told: list[tuple[What, str | None, str | None]] = []
        if before[0] and after[0] and same_spelling(before[0]) != same_spelling(after[0]):
            told.append(("column retyped", before[0], after[0]))
        if before[1] != after[1]:
            told.append(("description changed", before[1], after[1]))
        if before[2] != after[2]:
            told.append(("personal data changed", before[2], after[2]))
        for one, was, now in told:
            yield Change(version, at, asset_id, name, one, was, now)
