"""The versions of the catalog: the current one, earlier ones, and what changed between them.

    catalog ─► catalog_rows ─► rows that changed: the old ones end, new ones begin ─► a version

A row is valid from version ``since`` until before ``until``, so an unchanged asset costs nothing,
and "what changed since" is a query over two columns.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headrace.artifacts.reading import utc
from headrace.catalog.changes import (
    AssetPair,
    CatalogChange,
    RowChange,
    asset_of,
    changes,
    renamed,
    same_tests,
    subject_of,
)
from headrace.catalog.database import StoreDatabase
from headrace.catalog.model import TESTS, Catalog
from headrace.catalog.store_tables import COLUMN_FIELDS, CatalogRows, assemble, readings_of

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True)
class CatalogVersion:
    """A version of the catalog; ``created_at`` is UTC."""

    version: int
    run_id: str | None
    created_at: datetime


class CatalogVersions(StoreDatabase):
    """Writes and reads versions of the catalog."""

    _read_last: tuple[tuple[int, str], Catalog] | None = None
    """Number and digest of the version that was read last, which several steps of a run ask for."""

    def catalog_version(self) -> int | None:
        """The newest version's number; None where there is none."""
        from sqlalchemy import func, select

        versions = self._tables["catalog_versions"]
        with self.begin() as connection:
            found = connection.execute(select(func.max(versions.c.version))).scalar()
        return None if found is None else int(found)

    def catalog_versions(self, limit: int) -> list[CatalogVersion]:
        """The newest versions, newest first."""
        from sqlalchemy import select

        versions = self._tables["catalog_versions"]
        newest = select(versions).order_by(versions.c.version.desc()).limit(limit)
        with self.begin() as connection:
            return [
                CatalogVersion(row["version"], row["run_id"], utc(row["created_at"]))
                for row in connection.execute(newest).mappings()
            ]

    def save_catalog(self, catalog: Catalog, run_id: str | None) -> int | None:
        """Store a catalog as the newest version.

        Args:
            catalog: the current one.
            run_id: the run that built it.

        Returns:
            The version's number; None if nothing differs from the newest one.
        """
        from sqlalchemy import insert, select

        new = CatalogRows.of(catalog)
        versions = self._tables["catalog_versions"]
        with self.begin() as connection:
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
            self._keep_test_history(connection, version)
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

    def _keep_test_history(self, connection: "Connection", version: int) -> None:
        """Give the results of tests, whose id is another one now, to the new id.

        So a test that was repaired by other values keeps its past. One that was away for some
        versions gets it back, unless another one is about the same.
        """
        from sqlalchemy import bindparam, or_, select, update

        assets = self._tables["catalog_assets"]
        moves: dict[str, RowChange] = {}
        for edge, side in ((assets.c.until, "before"), (assets.c.since, "after")):
            query = select(assets.c.asset_id, assets.c.kind, assets.c.payload)
            for key, kind, payload in connection.execute(query.where(edge == version)):
                setattr(moves.setdefault(key, RowChange()), side, (kind, payload))
        if version == 1 or not any(
            move.before is None and move.after and move.after[0] in TESTS for move in moves.values()
        ):
            return
        pairs: dict[tuple[int, tuple[str, ...]], AssetPair] = {
            (version, (key,)): AssetPair.of(move) for key, move in moves.items()
        }
        names = {old: new for (_, old), new in renamed(pairs, {}).items()}
        gone = [one.before for one in pairs.values() if one.before and one.after is None]
        added = [one.after for one in pairs.values() if one.after and one.before is None]
        tests = [one for one in added if one.is_test]
        found = same_tests([one for one in gone if one.is_test], tests, names)
        unmatched = [one for one in tests if one.id not in found.values() and subject_of(one)]
        if unmatched:
            others = select(assets.c.payload, assets.c.until).where(assets.c.kind.in_(TESTS))
            earlier: dict[tuple[str, ...], str] = {}
            alive: dict[tuple[str, ...], set[str]] = {}
            before = or_(assets.c.until.is_(None), assets.c.until < version)
            ordered = others.where(before).order_by(assets.c.until)
            for payload, until in connection.execute(ordered):
                test = asset_of(payload)
                if until is None:
                    alive.setdefault(subject_of(test), set()).add(test.id)
                else:
                    earlier[subject_of(test)] = test.id
            for one in unmatched:
                old = earlier.get(subject_of(one))
                if old is not None and alive[subject_of(one)] == {one.id} and old != one.id:
                    found[old] = one.id
        if found:
            nodes = self._tables["nodes"]
            connection.execute(
                update(nodes)
                .where(nodes.c.unique_id == bindparam("old"))
                .values(unique_id=bindparam("new")),
                [{"old": old, "new": new} for old, new in found.items()],
            )

    def _replace(
        self,
        connection: "Connection",
        table_name: str,
        version: int,
        new: Mapping[tuple[str, ...], dict[str, Any]],
    ) -> None:
        """End the rows that changed or were removed, and add those that are new or changed."""
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
        with self.begin() as connection:
            head = connection.execute(chosen).mappings().first()
            if head is None:
                return None
            number = head["version"]
            same = (number, head["digest"])
            if self._read_last is not None and self._read_last[0] == same:
                return self._read_last[1]

            def rows(name: str, *columns: str) -> Iterable[Any]:
                table = self._tables[name]
                holds = (table.c.since <= number) & or_(
                    table.c.until.is_(None), table.c.until > number
                )
                return connection.execute(select(*(table.c[c] for c in columns)).where(holds))

            catalog = assemble(
                number,
                utc(head["created_at"]),
                readings_of(head["readings"]),
                rows("catalog_assets", "asset_id", "payload"),
                rows("catalog_columns", "asset_id", "position", *COLUMN_FIELDS),
                rows("catalog_lineage", "asset_id", "payload"),
            )
        self._read_last = same, catalog
        return catalog

    def catalog_changes(self, since: int, until: int) -> tuple[CatalogChange, ...]:
        """What changed after version ``since``, up to and including ``until``; newest first.

        The first version has no changes: there was nothing to compare it with.
        """
        from sqlalchemy import select

        since = max(since, 1)
        with self.begin() as connection:
            assets = self._row_changes(
                connection, "catalog_assets", ("asset_id",), ("kind", "payload"), since, until
            )
            columns = self._row_changes(
                connection,
                "catalog_columns",
                ("asset_id", "name"),
                ("data_type", "description", "pii"),
                since,
                until,
            )
            versions = self._tables["catalog_versions"]
            spanned = select(versions.c.version, versions.c.created_at).where(
                versions.c.version > since, versions.c.version <= until
            )
            created_at = {row.version: utc(row.created_at) for row in connection.execute(spanned)}
        found = changes(assets, columns, created_at)
        return tuple(sorted(found, key=lambda c: (-c.version, c.asset, c.column or "", c.what)))

    def _row_changes(
        self,
        connection: "Connection",
        table_name: str,
        keys: Sequence[str],
        values: Sequence[str],
        since: int,
        until: int,
    ) -> "dict[tuple[int, tuple[str, ...]], RowChange]":
        """The rows that ended or began at each version, by version and key."""
        from sqlalchemy import select

        table = self._tables[table_name]
        chosen = [table.c[name] for name in (*keys, *values)]
        found: dict[tuple[int, tuple[str, ...]], RowChange] = {}
        for edge, side in ((table.c.until, "before"), (table.c.since, "after")):
            query = select(edge, *chosen).where(edge > since, edge <= until)
            for row in connection.execute(query):
                key = tuple(row[1 : 1 + len(keys)])
                change = found.setdefault((row[0], key), RowChange())
                setattr(change, side, tuple(row[1 + len(keys) :]))
        return found
