"""Rows that changed with a version of the catalog, and which assets only changed their name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from headrace.catalog.model import Asset

_FEW = 3
"""Columns; two tables with fewer may be alike by chance."""


@dataclass
class Move:
    """A row's values before and after; None where there was, or is, no row."""

    before: tuple[Any, ...] | None = None
    after: tuple[Any, ...] | None = None


Moves = Mapping[tuple[int, tuple[str, ...]], Move]
"""Rows by the version at which they changed, and their key."""


@dataclass(frozen=True)
class Pair:
    """An asset before and after a version; None where there was, or is, none."""

    before: Asset | None
    after: Asset | None

    @classmethod
    def of(cls, move: Move) -> "Pair":
        """From rows of (kind, payload)."""
        return cls(_payload(move.before), _payload(move.after))


def _payload(values: tuple[Any, ...] | None) -> Asset | None:
    import msgspec

    return None if values is None else msgspec.json.decode(values[1], type=Asset)


Pairs = Mapping[tuple[int, tuple[str, ...]], Pair]
"""Assets by the version at which they changed, and their key."""


class _Look(NamedTuple):
    """What tells two assets of one version apart from all others."""

    version: int
    of: str
    same: object


def renamed(pairs: Pairs, columns: Moves) -> dict[tuple[int, str], str]:
    """Version and old id to the new id, of assets that came under another name.

    An asset that went, and one that came in the same version, are one where they have the same
    code, or, of tables, the same columns, and no others have.
    """
    names: dict[tuple[int, str], list[str]] = {}
    for version, (asset_id, name) in columns:
        names.setdefault((version, asset_id), []).append(name)
    gone: dict[_Look, list[str]] = {}
    came: dict[_Look, list[str]] = {}
    for (version, (asset_id,)), pair in pairs.items():
        asset = pair.before or pair.after
        if asset is None or asset.is_test or (pair.before and pair.after):
            continue
        same: object = asset.raw_code
        if asset.kind == "table":
            found = tuple(sorted(names.get((version, asset_id), ())))
            same = found if len(found) >= _FEW else None
        if same:
            side = gone if pair.after is None else came
            side.setdefault(_Look(version, asset.kind, same), []).append(asset_id)
    return {
        (key.version, old[0]): came[key][0]
        for key, old in gone.items()
        if len(old) == 1 and len(came.get(key, ())) == 1
    }


def tests_of_renamed(
    pairs: Pairs, new_names: Mapping[tuple[int, str], str]
) -> set[tuple[int, str]]:
    """The tests, by version and id, that only went or came because what they test is renamed."""
    gone: dict[_Look, str] = {}
    came: dict[_Look, str] = {}
    for (version, (asset_id,)), pair in pairs.items():
        asset = pair.before or pair.after
        test = asset.test if asset is not None else None
        if test is None or test.attached_to is None or (pair.before and pair.after):
            continue
        subject = test.attached_to
        if pair.after is None:
            subject = new_names.get((version, subject), "")
        side = gone if pair.after is None else came
        checks = (test.name, test.column, repr(test.arguments))
        side[_Look(version, subject, checks)] = asset_id
    found: set[tuple[int, str]] = set()
    for key in gone.keys() & came.keys():
        found |= {(key.version, gone[key]), (key.version, came[key])}
    return found
