"""The publisher of a lake: one manifest names the files of all published tables.

A build has written the versions of its tables already, so a publication is a small document that
takes the place of the last one in one conditional write. Readers that follow it see all tables of
one run; versions that it no longer names stay for a time, for queries that still read them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from headrace.errors import PublishError, WarehouseError
from headrace.sql_text import qualified
from headrace.targets.lake.files import (
    PUBLISHED,
    STATE,
    LakeColumn,
    LakeFiles,
    LakeManifest,
    LakeState,
    PublishedVersion,
    TableVersion,
    described,
)
from headrace.targets.object_store import ConflictError
from headrace.targets.publication import BuiltTable, Publication, attach_published

if TYPE_CHECKING:
    import duckdb

_ALIAS = "target"


@dataclass(frozen=True)
class LakePublisher:
    """Publishes in a lake; see ``headrace.targets.publication.Publisher``.

    Attributes:
        files: of the lake.
        reader: opens a DuckDB that reads it as ``target``.
        delta: how deltalake reaches it; None where marts are no Delta tables.
        open: gives a DuckDB what it takes to read the files.
    """

    files: LakeFiles
    reader: Callable[[], AbstractContextManager["duckdb.DuckDBPyConnection | None"]]
    delta: Mapping[str, str] | None
    open: Callable[["duckdb.DuckDBPyConnection"], None]

    @property
    def location(self) -> str:
        """The manifest that readers follow."""
        return self.files.address(PUBLISHED)

    def fingerprints(
        self, relations: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], tuple[int, str]]:
        """See ``Publisher``: of tables they are known since the build."""
        built = self._built()
        found = {key: (built[key].rows, built[key].content) for key in relations if key in built}
        views = [key for key in relations if key not in built]
        if views:
            with self.reader() as connection:
                for key in views if connection else ():
                    known = self._described(connection, key)
                    if known is not None:
                        found[key] = known[:2]
        return found

    def current(self) -> Publication | None:
        """See ``Publisher``."""
        manifest, _ = self.files.read(PUBLISHED, LakeManifest)
        return manifest.publication() if manifest else None

    def publish(
        self,
        publication: Publication,
        changed: Sequence[BuiltTable],
        *,
        keep: int,
        tell: Callable[[BuiltTable, float], None],
    ) -> None:
        """See ``Publisher``."""
        try:
            self._publish(publication, {one.full_name: one for one in changed}, keep, tell)
        except WarehouseError as error:
            raise PublishError(f"nothing was published: {error}") from error

    def _publish(
        self,
        publication: Publication,
        changed: Mapping[str, BuiltTable],
        keep: int,
        tell: Callable[[BuiltTable, float], None],
    ) -> None:
        now, tag = self.files.read(PUBLISHED, LakeManifest)
        before = {f"{one.schema_name}.{one.name}": one for one in now.tables} if now else {}
        tables = []
        for table in publication.tables:
            began = time.monotonic()
            built = changed.get(table.full_name)
            if built is None:
                if table.full_name not in before:
                    raise PublishError(f"{table.full_name} is not published yet: publish all again")
                tables.append(before[table.full_name])
                continue
            version = self._version(built)
            tables.append(version)
            self._commit(version)
            tell(built, time.monotonic() - began)
        manifest = LakeManifest(
            run_id=publication.run_id,
            published_at=publication.published_at,
            code_version=publication.code_version,
            tables=tuple(tables),
        )
        self._show(manifest, tag)
        self._prune(manifest, keep)

    def _show(self, manifest: LakeManifest, tag: str) -> None:
        body = manifest.model_dump_json(by_alias=True, indent=1).encode()
        self.files.store.put(manifest.key, body)
        try:
            self.files.store.put(PUBLISHED, body, tag=tag)
        except ConflictError as error:
            raise PublishError(
                f"another machine published in {self.files.store.url} meanwhile: nothing was "
                "published; run the same command again"
            ) from error

    def _built(self) -> dict[tuple[str, str], TableVersion]:
        state, _ = self.files.read(STATE, LakeState)
        return {one.key: one for one in state.tables} if state else {}

    def _version(self, table: BuiltTable) -> PublishedVersion:
        """The version that the build wrote; of a view, one that is written now."""
        key = (table.schema, table.name)
        version = self._built().get(key)
        if version is None:
            with self.reader() as connection:
                known = self._described(connection, key) if connection else None
                if connection is None or known is None:
                    raise PublishError(f"{table.full_name} is not built: run `headrace run`")
                relation = qualified(_ALIAS, *key)
                version = self.files.write(connection, relation, *key, known)
        if version.rows != table.rows:
            raise PublishError(
                f"{table.full_name} has {version.rows:,} rows in the lake, not {table.rows:,}: "
                "nothing was published; run again"
            )
        docs = {name.casefold(): text for name, text in table.columns.items()}
        columns = tuple(
            LakeColumn(name=one.name, type=one.type, description=docs.get(one.name.casefold(), ""))
            for one in version.columns
        )
        return PublishedVersion(
            **{**dict(version), "columns": columns},
            unique_id=table.unique_id,
            fingerprint=table.fingerprint,
            description=table.description,
        )

    @staticmethod
    def _described(
        connection: "duckdb.DuckDBPyConnection | None", key: tuple[str, str]
    ) -> tuple[int, str, tuple[LakeColumn, ...]] | None:
        import duckdb

        if connection is None:
            return None
        try:
            return described(connection, qualified(_ALIAS, *key))
        except duckdb.CatalogException:
            return None

    def _commit(self, version: PublishedVersion) -> None:
        """Make a version the newest one of the mart's Delta table; its files are not copied."""
        if self.delta is None:
            return
        import duckdb
        import pyarrow as pa
        from deltalake import DeltaTable, Schema
        from deltalake.exceptions import TableNotFoundError
        from deltalake.transaction import AddAction, create_table_with_add_actions

        folder = self.files.folder(*version.key)
        url = self.files.address(folder)
        with duckdb.connect() as connection:
            connection.execute("set TimeZone = 'UTC'")  # Delta takes no other name of it
            shape = connection.execute(
                "select "
                + ", ".join(
                    f"null::{self.files.stored_type(one.type)} as {qualified(one.name)}"
                    for one in version.columns
                )
                + " limit 0"
            ).to_arrow_table()
        schema = Schema.from_arrow(pa.schema([field.with_nullable(True) for field in shape.schema]))
        sizes = {entry.key: entry.size for entry in self.files.store.list(f"{folder}/")}
        actions: list[Any] = [
            AddAction(
                path=str(PurePosixPath(file).relative_to(folder)), size=sizes[file],
                partition_values={}, modification_time=int(time.time() * 1000),
                data_change=True, stats="{}",
            )
            for file in version.files
        ]  # fmt: skip
        storage = dict(self.delta) or None
        try:
            try:
                known = DeltaTable(url, storage_options=storage)
            except TableNotFoundError:
                create_table_with_add_actions(
                    url, schema, actions, name=version.name,
                    description=version.description or None, storage_options=storage,
                )  # fmt: skip
            else:
                known.create_write_transaction(actions, mode="overwrite", schema=schema)
        except Exception as error:  # some of its errors have no class of their own
            raise self.files.store.explain(error) from error

    def _prune(self, current: LakeManifest, keep: int) -> None:
        """Forget publications beyond those that are kept, and files that nothing names."""
        earlier = [one for one in self.files.manifests() if one.run_id != current.run_id]
        self.files.store.delete([one.key for one in earlier[keep:]])
        named: list[Any] = [*self._built().values(), *current.tables]
        named += [table for one in earlier[:keep] for table in one.tables]
        self.files.collect_garbage(named)

    def history(self) -> list[Publication]:
        """See ``Publisher``."""
        now, _ = self.files.read(PUBLISHED, LakeManifest)
        kept = [one for one in self.files.manifests() if now is None or one.run_id != now.run_id]
        return [one.publication() for one in ([now] if now else []) + kept]

    def restore(self, run_id: str) -> Publication:
        """See ``Publisher``."""
        now, tag = self.files.read(PUBLISHED, LakeManifest)
        found = next((one for one in self.files.manifests() if one.run_id == run_id), None)
        if found is None:
            raise PublishError(
                f"the publication of run {run_id} is not kept: `headrace published --history` "
                "lists those that are"
            )
        shown = {one.key: one.files for one in now.tables} if now else {}
        try:
            for table in found.tables:
                if shown.get(table.key) != table.files:
                    self._commit(table)
            self._show(found, tag)
        except WarehouseError as error:
            raise PublishError(f"nothing was changed: {error}") from error
        return found.publication()

    def attach(
        self, connection: "duckdb.DuckDBPyConnection", alias: str, run_id: str | None = None
    ) -> Publication | None:
        """See ``Publisher``: the files that a manifest names never change."""
        import duckdb

        manifest, _ = self.files.read(PUBLISHED, LakeManifest)
        if run_id is not None and (manifest is None or manifest.run_id != run_id):
            manifest = next((one for one in self.files.manifests() if one.run_id == run_id), None)
        if manifest is None:
            return None
        queries = {one.key: self.files.select(one) for one in manifest.tables}
        publication = manifest.publication()
        try:
            self.open(connection)
            self.files.stay_readable(connection)
            attach_published(
                connection, alias, publication, lambda table: queries[table.schema, table.name]
            )
        except duckdb.Error as error:
            raise self.files.store.explain(error) from error
        return publication
