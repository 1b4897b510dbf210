"""What differs between two versions of the catalog."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from headrace.catalog.model import Asset

What = Literal[
    "asset added",
    "asset removed",
    "column added",
    "column removed",
    "column retyped",
    "test added",
    "test removed",
    "description changed",
    "code changed",
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
        before: the old type, description or test; None where there was none.
        after: the new one.
    """

    version: int
    created_at: datetime
    asset: str
    column: str | None
    what: What
    before: str | None = None
    after: str | None = None


@dataclass
class Move:
    """A row's values before and after; None where there was, or is, no row."""

    before: tuple[Any, ...] | None = None
    after: tuple[Any, ...] | None = None


def asset_changes(
    moves: "Mapping[tuple[int, tuple[str, ...]], Move]", moments: Mapping[int, datetime]
) -> Iterable[Change]:
    """Assets and tests that came, went or changed.

    Args:
        moves: rows of ``catalog_assets`` (kind, payload) by version and (asset id,).
        moments: when each version was made, UTC.
    """
    for (version, (asset_id,)), move in moves.items():
        before, after = _payload(move.before), _payload(move.after)
        asset = after or before
        if asset is None:
            continue
        at = moments[version]
        if asset.is_test and (before is None or after is None):
            tested = asset.test.attached_to if asset.test else None
            yield Change(
                version, at, tested or asset_id, asset.test.column if asset.test else None,
                "test added" if before is None else "test removed",
                before.name if before else None, after.name if after else None,
            )  # fmt: skip
        elif before is None or after is None:
            yield Change(
                version, at, asset_id, None, "asset added" if before is None else "asset removed"
            )
        else:
            if before.description != after.description:
                yield Change(
                    version, at, asset_id, None, "description changed",
                    before.description, after.description,
                )  # fmt: skip
            if before.raw_code != after.raw_code:
                yield Change(version, at, asset_id, None, "code changed")


def _payload(values: tuple[Any, ...] | None) -> Asset | None:
    import msgspec

    return None if values is None else msgspec.json.decode(values[1], type=Asset)


def column_changes(
    moves: "Mapping[tuple[int, tuple[str, ...]], Move]",
    assets: "Mapping[tuple[int, tuple[str, ...]], Move]",
    moments: Mapping[int, datetime],
) -> Iterable[Change]:
    """Columns that came, went, or have another type or description.

    Args:
        moves: rows of ``catalog_columns`` (type, description) by version and (asset id, name).
        assets: those of ``catalog_assets``: columns of an asset that is new are not listed.
        moments: when each version was made, UTC.
    """
    for (version, (asset_id, name)), move in moves.items():
        whole = assets.get((version, (asset_id,)))
        if whole is not None and (whole.before is None or whole.after is None):
            continue  # the asset came or went with all its columns
        at = moments[version]
        if move.before is None or move.after is None:
            what: What = "column added" if move.before is None else "column removed"
            before = move.before[0] if move.before else None
            after = move.after[0] if move.after else None
            yield Change(version, at, asset_id, name, what, before, after)
            continue
        if move.before[0] != move.after[0]:
            yield Change(
                version, at, asset_id, name, "column retyped", move.before[0], move.after[0]
            )
        if move.before[1] != move.after[1]:
            yield Change(
                version, at, asset_id, name, "description changed", move.before[1], move.after[1]
            )
