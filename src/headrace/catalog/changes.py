"""What changed between two versions of the catalog: assets (renamed, too), columns and tests."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from headrace.catalog.model import CONSUMERS, Asset

_SAME = {
    "varchar": ("string", "text", "character varying", "char", "bpchar", "character", "nvarchar"),
    "tinyint": ("int1",),
    "smallint": ("int2", "short", "int16"),
    "integer": ("int", "int4", "signed", "int32"),
    "bigint": ("int8", "long", "int64"),
    "boolean": ("bool", "logical"),
    "real": ("float4", "float"),
    "double": ("float8", "double precision", "float64"),
    "decimal": ("numeric", "number"),
    "timestamp": ("datetime", "timestamp without time zone", "timestamp_ntz"),
    "timestamp with time zone": ("timestamptz", "timestamp_tz"),
    "time": ("time without time zone",),
    "blob": ("bytea", "binary", "varbinary", "bytes"),
}
_KNOWN = {other: name for name, others in _SAME.items() for other in others}
_WORDS = re.compile(r"[a-z_][a-z0-9_]*(?: [a-z_][a-z0-9_]*)*")
_TEXT_SIZE = re.compile(r"\bvarchar\s*\(\s*\d+\s*\)")


@lru_cache(maxsize=4096)
def same_spelling(data_type: str) -> str:
    """A type's name as one engine would write it: ``string`` and ``VARCHAR`` are ``varchar``.

    The size of a text does not count: DuckDB takes it and drops it.
    """
    folded = " ".join(data_type.lower().split())
    named = _WORDS.sub(lambda found: _renamed(found[0]), folded)
    return _TEXT_SIZE.sub("varchar", named).replace(" ", "")


def _renamed(words: str) -> str:
    """A type's name, or a field's name and its type."""
    parts = words.split(" ")
    for start in range(len(parts)):
        name = " ".join(parts[start:])
        if name in _KNOWN or name in _SAME:
            return " ".join([*parts[:start], _KNOWN.get(name, name)])
    return words


_FEW = 3
"""Columns; two tables with fewer may be alike by chance."""


@dataclass
class RowChange:
    """A row's values before and after; None where there was, or is, no row."""

    before: tuple[Any, ...] | None = None
    after: tuple[Any, ...] | None = None


RowChanges = Mapping[tuple[int, tuple[str, ...]], RowChange]
"""Rows by the version at which they changed, and their key."""


@dataclass(frozen=True)
class AssetPair:
    """An asset before and after a version; None where there was, or is, none."""

    before: Asset | None
    after: Asset | None

    @classmethod
    def of(cls, move: RowChange) -> "AssetPair":
        """From rows of (kind, payload)."""
        return cls(_payload(move.before), _payload(move.after))


def _payload(values: tuple[Any, ...] | None) -> Asset | None:
    return None if values is None else asset_of(values[1])


def asset_of(payload: str) -> Asset:
    """An asset as the run store has it, without its columns."""
    import msgspec

    return msgspec.json.decode(payload, type=Asset)


AssetPairs = Mapping[tuple[int, tuple[str, ...]], AssetPair]
"""Assets by the version at which they changed, and their key."""


class _Fingerprint(NamedTuple):
    """What a removed and an added asset of a version share if they are one asset, renamed."""

    version: int
    of: str
    same: object


def renamed(pairs: AssetPairs, columns: RowChanges) -> dict[tuple[int, str], str]:
    """Version and old id to the new id of renamed assets.

    A removed and an added asset of a version are one, renamed, where they alone have the same code
    or, if they are tables, the same columns.
    """
    names: dict[tuple[int, str], list[str]] = {}
    for version, (asset_id, name) in columns:
        names.setdefault((version, asset_id), []).append(name)
    removed: dict[_Fingerprint, list[str]] = {}
    added: dict[_Fingerprint, list[str]] = {}
    for (version, (asset_id,)), pair in pairs.items():
        asset = pair.before or pair.after
        if asset is None or asset.is_test or (pair.before and pair.after):
            continue
        same: object = asset.raw_code
        if asset.kind == "table":
            found = tuple(sorted(names.get((version, asset_id), ())))
            same = found if len(found) >= _FEW else None
        if same:
            side = removed if pair.after is None else added
            side.setdefault(_Fingerprint(version, asset.kind, same), []).append(asset_id)
    return {
        (key.version, old[0]): added[key][0]
        for key, old in removed.items()
        if len(old) == 1 and len(added.get(key, ())) == 1
    }


def same_tests(
    removed: Iterable[Asset], added: Iterable[Asset], new_names: Mapping[str, str]
) -> dict[str, str]:
    """Old id to new id of the tests that are about the same: their asset, column and kind.

    dbt's id of a test changes with its values. Of several that are about the same, those whose
    arguments are most alike are one.

    Args:
        removed: tests that are gone.
        added: tests that are new.
        new_names: old id to new id of assets that were renamed.
    """
    olds: dict[tuple[str, ...], list[Asset]] = {}
    news: dict[tuple[str, ...], list[Asset]] = {}
    for test in removed:
        olds.setdefault(subject_of(test, new_names), []).append(test)
    for test in added:
        news.setdefault(subject_of(test), []).append(test)
    found: dict[str, str] = {}
    for key in olds.keys() & news.keys() - {()}:
        pairs = sorted(
            (_unlike(old, new), old.id, new.id) for old in olds[key] for new in news[key]
        )
        for _, old_id, new_id in pairs:
            if old_id not in found and new_id not in found.values():
                found[old_id] = new_id
    return found


def subject_of(test: Asset, new_names: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What a test is about; empty of one that only its name tells from others."""
    info = test.test
    if info is None or info.attached_to is None or info.name == "singular":
        return ()
    about = (new_names or {}).get(info.attached_to, info.attached_to)
    own = test.id.rpartition(".")[2] if test.kind == "unit_test" else ""
    return (info.name, about, (info.column or "").casefold(), own)


def _unlike(one: Asset, other: Asset) -> float:
    """From 0, the same arguments, to 1."""
    here, there = (repr(asset.test.arguments) if asset.test else "" for asset in (one, other))
    return 1 - difflib.SequenceMatcher(None, here, there).ratio()


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
class CatalogChange:
    """A difference between a version and the one before it.

    Attributes:
        version: the first version that has it.
        created_at: when, UTC.
        asset: the asset's id; for a test, the id of what it tests, where that is known.
        column: the column's name, or None where the asset itself changed.
        what: what kind of change.
        before: the old type, name, relation, owners, description, code, or what a test checks;
            None where there was none.
        after: the new one.
    """

    version: int
    created_at: datetime
    asset: str
    column: str | None
    what: What
    before: str | None = None
    after: str | None = None


def changes(
    assets: RowChanges, columns: RowChanges, created_at: Mapping[int, datetime]
) -> Iterator[CatalogChange]:
    """The differences between consecutive versions.

    Args:
        assets: rows of ``catalog_assets`` (kind, payload) by version and (asset id,).
        columns: rows of ``catalog_columns`` (type, description, personal data) by version and
            (asset id, name).
        created_at: when each version was made, UTC.
    """
    pairs = {key: AssetPair.of(move) for key, move in assets.items()}
    new_names = renamed(pairs, columns)
    old_names = {(version, new): old for (version, old), new in new_names.items()}
    for (version, gone), new in _moved_tests(pairs, new_names).items():
        new_names[version, gone] = new
        old_names[version, new] = gone
    for (version, (asset_id,)), pair in pairs.items():
        at = created_at[version]
        if (version, asset_id) in new_names:
            continue  # reported under the new name
        before, after = pair.before, pair.after
        old = old_names.get((version, asset_id))
        if old is not None:
            before = pairs[version, (old,)].before
        yield from _asset_changes(version, at, asset_id, before, after)
    yield from _column_changes(columns, pairs, created_at)


def _moved_tests(
    pairs: AssetPairs, new_names: Mapping[tuple[int, str], str]
) -> dict[tuple[int, str], str]:
    """Version and old id to the new id of tests that are about the same."""
    removed: dict[int, list[Asset]] = {}
    added: dict[int, list[Asset]] = {}
    for (version, _), pair in pairs.items():
        if pair.before is not None and pair.after is None and pair.before.is_test:
            removed.setdefault(version, []).append(pair.before)
        elif pair.after is not None and pair.before is None and pair.after.is_test:
            added.setdefault(version, []).append(pair.after)
    return {
        (version, old): new
        for version in removed.keys() & added.keys()
        for old, new in same_tests(
            removed[version],
            added[version],
            {old: new for (at, old), new in new_names.items() if at == version},
        ).items()
    }


def _asset_changes(
    version: int, at: datetime, asset_id: str, before: Asset | None, after: Asset | None
) -> Iterator[CatalogChange]:
    """The differences of one asset or test."""
    asset = after or before
    if asset is None:
        return
    if before is None or after is None:
        verb = "added" if before is None else "removed"
        if not asset.is_test:
            yield CatalogChange(version, at, asset_id, None, f"asset {verb}")  # type: ignore[arg-type]
            return
        subject, column = _tested(asset_id, asset)
        yield CatalogChange(
            version, at, subject, column, f"test {verb}",  # type: ignore[arg-type]
            before.name if before else None, after.name if after else None,
        )  # fmt: skip
        return
    if asset.is_test:
        checked = _checks(before, after, after.name)
        checks = _checks(after, before, after.name)
        is_written = after.test is not None and after.test.name == "singular"
        if is_written and before.raw_code != after.raw_code:
            yield CatalogChange(
                version, at, asset_id, None, "code changed", before.raw_code, after.raw_code
            )
        if checked != checks:
            subject, column = _tested(asset_id, asset)
            yield CatalogChange(version, at, subject, column, "test changed", checked, checks)
        return
    found: list[tuple[What, str | None, str | None]] = []
    if before.id != after.id:
        found.append(("asset renamed", before.name, after.name))
    elif _location(before) != _location(after):
        found.append(("asset moved", _location(before), _location(after)))
    if before.description != after.description:
        found.append(("description changed", before.description, after.description))
    if before.owners != after.owners:
        found.append(("owners changed", ", ".join(before.owners), ", ".join(after.owners)))
    for what, was, now in found:
        yield CatalogChange(version, at, asset_id, None, what, was or None, now or None)
    if before.raw_code != after.raw_code:
        yield CatalogChange(
            version, at, asset_id, None, "code changed", before.raw_code, after.raw_code
        )


def _tested(asset_id: str, test: Asset) -> tuple[str, str | None]:
    """The asset and column of a test; the test itself, where they are not known."""
    if test.test is None:
        return asset_id, None
    return test.test.attached_to or asset_id, test.test.column


def _checks(test: Asset, other: Asset, name: str) -> str:
    """What a test checks, as far as another one checks something else."""
    there = _settings(other)
    here = [f"{key} {text}" for key, text in _settings(test).items() if there.get(key) != text]
    return ", ".join([name, *here])


def _settings(test: Asset) -> dict[str, str]:
    """The severity and the arguments of a test."""
    if test.test is None:
        return {}
    texts = {"severity": test.test.severity}
    for key, value in test.test.arguments.items():
        is_list = isinstance(value, list | tuple)
        texts[key] = ", ".join(map(str, value)) if is_list else str(value)
    return texts


def _location(asset: Asset) -> str:
    """Its relation in the warehouse, or else its name, and its path in the project."""
    if asset.kind == "resource" or asset.kind in CONSUMERS:
        return asset.name
    where = asset.relation or asset.name
    return f"{where} ({asset.path})" if asset.path else where


def _column_changes(
    columns: RowChanges,
    assets: AssetPairs,
    created_at: Mapping[int, datetime],
) -> Iterator[CatalogChange]:
    """Columns that were added, removed or changed, except those of an added or removed asset.

    A type that becomes known when the table is built, or is then spelled as the engine does, is
    not a change.
    """
    for (version, (asset_id, name)), move in columns.items():
        whole = assets.get((version, (asset_id,)))
        if whole is not None and (whole.before is None or whole.after is None):
            continue  # the whole asset was added or removed
        at = created_at[version]
        before, after = move.before, move.after
        if before is None or after is None:
            what: What = "column added" if before is None else "column removed"
            was, now = before[0] if before else None, after[0] if after else None
            yield CatalogChange(version, at, asset_id, name, what, was, now)
            continue
        found: list[tuple[What, str | None, str | None]] = []
        if before[0] and after[0] and same_spelling(before[0]) != same_spelling(after[0]):
            found.append(("column retyped", before[0], after[0]))
        if before[1] != after[1]:
            found.append(("description changed", before[1], after[1]))
        if before[2] != after[2]:
            found.append(("personal data changed", before[2], after[2]))
        for one, was, now in found:
            yield CatalogChange(version, at, asset_id, name, one, was, now)
