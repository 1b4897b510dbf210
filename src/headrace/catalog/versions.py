"""The catalog by version: what it is now, what it was, and what changed between.

A row of the tables holds from version ``since`` until, not including, ``until``, so an unchanged
asset costs nothing, and "what changed since" is a query over two columns.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

import xxhash

from headrace.artifacts.reading import Reading
from headrace.catalog.database import Database, utc
from headrace.catalog.model import Asset, Catalog, Column, ColumnEdge, Problem

if TYPE_CHECKING:
    from sqlalchemy import Connection

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
WHATS: tuple[str, ...] = get_args(What)

_COLUMN_FIELDS = ("name", "data_type", "description", "tags", "pii", "nullable")


@dataclass(frozen=True)
class CatalogVersion:
    """A version of the catalog; ``created_at`` is UTC."""

    version: int
    run_id: str | None
    created_at: datetime


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


class CatalogVersions(Database):
    """Writes and reads versions of the catalog."""

    def catalog_version(self) -> int | None:
        """The newest version's number; None where there is none."""
        from sqlalchemy import func, select

        versions = self._tables["catalog_versions"]
        with self._begin() as connection:
            found = connection.execute(select(func.max(versions.c.version))).scalar()
        return None if found is None else int(found)

    def catalog_versions(self, limit: int) -> list[CatalogVersion]:
        """The newest versions, newest first."""
        from sqlalchemy import select

        versions = self._tables["catalog_versions"]
        newest = select(versions).order_by(versions.c.version.desc()).limit(limit)
        with self._begin() as connection:
            return [
                CatalogVersion(row["version"], row["run_id"], utc(row["created_at"]))
                for row in connection.execute(newest).mappings()
            ]

    def save_catalog(self, catalog: Catalog, run_id: str | None) -> int | None:
        """Keep a catalog as the newest version.

        Args:
            catalog: what is now.
            run_id: the run that made it.

        Returns:
            The version's number; None when nothing differs from the newest one.
        """
        from sqlalchemy import insert, select

        new = _Rows.of(catalog)
        versions = self._tables["catalog_versions"]
        with self._begin() as connection:
            last = connection.execute(
                select(versions.c.version, versions.c.digest)
                .order_by(versions.c.version.desc())
                .limit(1)
            ).first()
            if last is not None and last.digest == new.digest:
                return None
            version = 1 if last is None else int(last.version) + 1
            self._replace(connection, "catalog_assets", version, new.assets)
            self._replace(connection, "catalog_columns", version, new.columns)
            self._replace(connection, "catalog_lineage", version, new.lineage)
            connection.execute(
                insert(versions).values(
                    version=version,
                    run_id=run_id,
                    created_at=datetime.now(UTC),
                    digest=new.digest,
                    readings=new.readings,
                )
            )
        return version

    def _replace(
        self,
        connection: "Connection",
        table_name: str,
        version: int,
        new: Mapping[tuple[str, ...], dict[str, Any]],
    ) -> None:
        """End the rows that changed or went, and add those that are new or changed."""
        from sqlalchemy import bindparam, insert, select, update

        table = self._tables[table_name]
        keys = ("asset_id", "name") if table_name == "catalog_columns" else ("asset_id",)
        compared = (
            ("digest",)
            if "digest" in table.c
            else ("position", "data_type", "description", "tags", "pii", "nullable")
        )
        chosen = [table.c[name] for name in ("id", *keys, *compared)]
        ended: list[dict[str, Any]] = []
        same: set[tuple[str, ...]] = set()
        for row in connection.execute(select(*chosen).where(table.c.until.is_(None))):
            key = tuple(row[1 : 1 + len(keys)])
            found = new.get(key)
            if found is not None and tuple(row[1 + len(keys) :]) == tuple(
                found[name] for name in compared
            ):
                same.add(key)
            else:
                ended.append({"row_id": row[0], "ended": version})
        if ended:
            connection.execute(
                update(table)
                .where(table.c.id == bindparam("row_id"))
                .values(until=bindparam("ended")),
                ended,
            )
        added = [{**row, "since": version} for key, row in new.items() if key not in same]
        if added:
            connection.execute(insert(table), added)

    def load_catalog(self, version: int | None = None) -> Catalog | None:
        """A version of the catalog, by default the newest; None where there is none."""
        from sqlalchemy import or_, select

        versions = self._tables["catalog_versions"]
        chosen = (
            select(versions).order_by(versions.c.version.desc()).limit(1)
            if version is None
            else select(versions).where(versions.c.version == version)
        )
        with self._begin() as connection:
            head = connection.execute(chosen).mappings().first()
            if head is None:
                return None
            number = head["version"]

            def rows(name: str, *columns: str) -> Iterable[Any]:
                table = self._tables[name]
                holds = (table.c.since <= number) & or_(
                    table.c.until.is_(None), table.c.until > number
                )
                return connection.execute(select(*(table.c[c] for c in columns)).where(holds))

            return _assemble(
                number,
                utc(head["created_at"]),
                _readings(head["readings"]),
                rows("catalog_assets", "asset_id", "payload"),
                rows("catalog_columns", "asset_id", "position", *_COLUMN_FIELDS),
                rows("catalog_lineage", "asset_id", "payload"),
            )

    def catalog_changes(self, since: int, until: int) -> tuple[Change, ...]:
        """What the versions after ``since``, up to and with ``until``, changed; newest first.

        The first version of all changes nothing: there was nothing to compare it with.
        """
        from sqlalchemy import select

        since = max(since, 1)
        with self._begin() as connection:
            assets = self._moved(
                connection, "catalog_assets", ("asset_id",), ("kind", "payload"), since, until
            )
            columns = self._moved(
                connection,
                "catalog_columns",
                ("asset_id", "name"),
                ("data_type", "description"),
                since,
                until,
            )
            versions = self._tables["catalog_versions"]
            spanned = select(versions.c.version, versions.c.created_at).where(
                versions.c.version > since, versions.c.version <= until
            )
            moments = {row.version: utc(row.created_at) for row in connection.execute(spanned)}
        changes = [*_asset_changes(assets, moments), *_column_changes(columns, assets, moments)]
        return tuple(sorted(changes, key=lambda c: (-c.version, c.asset, c.column or "", c.what)))

    def _moved(
        self,
        connection: "Connection",
        table_name: str,
        keys: Sequence[str],
        values: Sequence[str],
        since: int,
        until: int,
    ) -> "dict[tuple[int, tuple[str, ...]], _Move]":
        """What ended and what began at each version, by version and key."""
        from sqlalchemy import select

        table = self._tables[table_name]
        chosen = [table.c[name] for name in (*keys, *values)]
        found: dict[tuple[int, tuple[str, ...]], _Move] = {}
        for edge, side in ((table.c.until, "before"), (table.c.since, "after")):
            query = select(edge, *chosen).where(edge > since, edge <= until)
            for row in connection.execute(query):
                key = tuple(row[1 : 1 + len(keys)])
                move = found.setdefault((row[0], key), _Move())
                setattr(move, side, tuple(row[1 + len(keys) :]))
        return found


@dataclass
class _Move:
    """A row's values before and after; None where there was, or is, no row."""

    before: tuple[Any, ...] | None = None
    after: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class _Rows:
    """A catalog as rows of the tables, by key."""

    assets: Mapping[tuple[str, ...], dict[str, Any]]
    columns: Mapping[tuple[str, ...], dict[str, Any]]
    lineage: Mapping[tuple[str, ...], dict[str, Any]]
    readings: str
    digest: str

    @classmethod
    def of(cls, catalog: Catalog) -> "_Rows":
        import msgspec

        encode = msgspec.json.Encoder(order="deterministic").encode
        problems: dict[str, list[str]] = {}
        for problem in catalog.problems:
            problems.setdefault(problem.asset, []).append(problem.message)
        assets: dict[tuple[str, ...], dict[str, Any]] = {}
        columns: dict[tuple[str, ...], dict[str, Any]] = {}
        lineage: dict[tuple[str, ...], dict[str, Any]] = {}
        whole = xxhash.xxh3_128()
        for key, asset in sorted(catalog.assets.items()):
            payload = encode(_compact(replace(asset, columns=()))).decode()
            assets[(key,)] = {
                "asset_id": key,
                "until": None,
                "kind": asset.kind,
                "name": asset.name,
                "description": asset.description,
                "digest": _digest(payload),
                "payload": payload,
            }
            for position, column in enumerate(asset.columns):
                row = {
                    "asset_id": key,
                    "until": None,
                    "name": column.name,
                    "position": position,
                    "data_type": column.data_type,
                    "description": column.description,
                    "tags": json.dumps(column.tags) if column.tags else "[]",
                    "pii": column.pii,
                    "nullable": column.nullable,
                }
                columns[key, column.name] = row
                whole.update(repr(tuple(row.values())).encode())
            edges = sorted(
                (edge.parent, edge.parent_column, edge.child_column, edge.kind)
                for edge in catalog.edges_by_child.get(key, ())
            )
            graph = encode(
                {
                    "parents": catalog.parents.get(key, ()),
                    "edges": edges,
                    "problems": sorted(problems.get(key, ())),
                }
            ).decode()
            lineage[key,] = {
                "asset_id": key,
                "until": None,
                "digest": _digest(graph),
                "payload": graph,
            }
            whole.update(payload.encode())
            whole.update(graph.encode())
        readings = encode(catalog.readings).decode()
        whole.update(readings.encode())
        return cls(assets, columns, lineage, readings, whole.hexdigest())


def _compact(asset: Asset) -> dict[str, Any]:
    """An asset's fields that do not have their default."""
    return {
        field.name: value
        for field in fields(Asset)
        if (value := getattr(asset, field.name)) not in (None, (), "", False, {})
    }


def _digest(text: str) -> str:
    return xxhash.xxh3_128_hexdigest(text.encode())


def _readings(text: str) -> tuple[Reading, ...]:
    import msgspec

    return msgspec.json.decode(text, type=tuple[Reading, ...])


def _assemble(
    version: int,
    created_at: datetime,
    readings: tuple[Reading, ...],
    asset_rows: Iterable[Any],
    column_rows: Iterable[Any],
    lineage_rows: Iterable[Any],
) -> Catalog:
    import msgspec

    columns: dict[str, list[tuple[int, Column]]] = {}
    for asset_id, position, name, data_type, description, tags, pii, nullable in column_rows:
        column = Column(
            name,
            data_type,
            description,
            tuple(json.loads(tags)) if tags != "[]" else (),
            pii,
            None if nullable is None else bool(nullable),
        )
        columns.setdefault(asset_id, []).append((position, column))
    decode_asset = msgspec.json.Decoder(Asset).decode
    assets: dict[str, Asset] = {}
    for key, payload in asset_rows:
        found = sorted(columns.get(key, ()), key=lambda item: item[0])
        asset = decode_asset(payload)
        assets[key] = replace(asset, columns=tuple(column for _, column in found))
    decode_graph = msgspec.json.Decoder(_Graph).decode
    parents: dict[str, tuple[str, ...]] = {}
    edges: list[ColumnEdge] = []
    problems: list[Problem] = []
    for key, payload in lineage_rows:
        graph = decode_graph(payload)
        parents[key] = graph.parents
        edges += [
            ColumnEdge(parent, parent_column, key, child_column, kind)  # type: ignore[arg-type]
            for parent, parent_column, child_column, kind in graph.edges
        ]
        problems += [Problem(key, message) for message in graph.problems]
    return Catalog(
        assets=assets,
        parents=parents,
        column_edges=tuple(edges),
        problems=tuple(problems),
        readings=readings,
        version=version,
        created_at=created_at,
    )


@dataclass(frozen=True)
class _Graph:
    """What ``catalog_lineage`` holds of an asset."""

    parents: tuple[str, ...]
    edges: list[tuple[str, str, str, str]]
    problems: tuple[str, ...]


def _asset_changes(
    moves: "Mapping[tuple[int, tuple[str, ...]], _Move]", moments: Mapping[int, datetime]
) -> Iterable[Change]:
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


def _column_changes(
    moves: "Mapping[tuple[int, tuple[str, ...]], _Move]",
    assets: "Mapping[tuple[int, tuple[str, ...]], _Move]",
    moments: Mapping[int, datetime],
) -> Iterable[Change]:
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
