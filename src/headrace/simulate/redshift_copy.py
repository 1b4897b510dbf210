"""COPY into Redshift, or its stand-in, from the bucket of the simulation.

Redshift does not remember which files it has loaded: their names go into a table of Headrace's own
in the transaction of the COPY. A manifest names the files, those with the same columns at once.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from headrace.errors import SettingsError, WarehouseError
from headrace.process import environment
from headrace.simulate.places import CloudStack
from headrace.simulate.warehouse import OWN_SCHEMA, Copied, target_of
from headrace.sql_text import literal, qualified
from headrace.targets.object_store import Entry

if TYPE_CHECKING:
    from headrace.targets.redshift.target import RedshiftTarget

FILES = "simulated_files"
"""In Headrace's own schema: which files each landing table has."""

_MANIFESTS = "_manifests"
_TYPES = {
    "BOOLEAN": "boolean", "SMALLINT": "smallint", "INTEGER": "integer", "BIGINT": "bigint",
    "FLOAT": "real", "DOUBLE": "double precision", "VARCHAR": "varchar(max)", "DATE": "date",
    "TIMESTAMP": "timestamp", "TIMESTAMP WITH TIME ZONE": "timestamptz", "BLOB": "varbyte",
}  # fmt: skip


@dataclass(frozen=True)
class RedshiftCopy:
    """A warehouse of the simulation.

    Attributes:
        simulation: the places.
        target: Redshift.
        connection: once it is connected.
    """

    simulation: CloudStack
    target: "RedshiftTarget"
    connection: Any = None

    @classmethod
    def of(cls, simulation: CloudStack) -> "RedshiftCopy":
        """That of the settings.

        Raises:
            SettingsError: there is no such target, or it is of another type.
        """
        from headrace.targets.redshift.target import RedshiftTarget

        target = target_of(simulation, simulation.project.settings.simulate.redshift, "redshift")
        assert isinstance(target, RedshiftTarget)
        return cls(simulation, target)

    @contextmanager
    def connected(self) -> "Iterator[RedshiftCopy]":
        """See ``Warehouse``; the stand-in is told of the bucket, by AWS's variables."""
        self.target.check()
        self.target.prepare()
        with self._bucket(), self.target.server.connect() as connection:
            found = replace(self, connection=connection)
            found.ask(f"create schema if not exists {self.name(OWN_SCHEMA)}")
            found.ask(
                f"create table if not exists {self.name(OWN_SCHEMA, FILES)} (schema_name "
                "varchar(256), name varchar(256), file varchar(1024), tag varchar(256))"
            )
            yield found

    @contextmanager
    def _bucket(self) -> Iterator[None]:
        access = self.simulation.access
        if self.target.server.stand_in is None:
            yield
            return
        key_id, secret, token = access.credentials()
        told: Mapping[str, str | None] = {
            "AWS_ENDPOINT_URL": access.endpoint, "AWS_REGION": access.region,
            "AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_SESSION_TOKEN": token,
        }  # fmt: skip
        with environment({name: value for name, value in told.items() if value}):
            yield

    def lock(self) -> AbstractContextManager[None]:
        """See ``Warehouse``."""
        return self.target.lock("headrace simulate")

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """See ``Warehouse``."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def name(self, *parts: str) -> str:
        """See ``Warehouse``."""
        return qualified(*(part.lower() for part in parts))

    def type(self, kind: str) -> str:
        """See ``Warehouse``."""
        if re.fullmatch(r"DECIMAL\(\d+, ?\d+\)", kind):
            return kind.lower()
        if kind not in _TYPES:
            raise WarehouseError(f"no type of Redshift is known for {kind}: cast it in the source")
        return _TYPES[kind]

    @property
    def json_type(self) -> str:
        """See ``Warehouse``."""
        return "super"

    def parsed(self, column: str) -> str:
        """See ``Warehouse``."""
        return f"json_parse({column})"

    def columns(self, schema: str, table: str) -> list[str]:
        """See ``Warehouse``."""
        rows = self.ask(
            "select column_name from svv_columns where table_schema = "
            f"{literal(schema.lower())} and table_name = {literal(table.lower())} "
            "order by ordinal_position"
        )
        return [str(name).lower() for (name,) in rows]

    def replace_table(
        self, schema: str, table: str, columns: Mapping[str, str], query: str
    ) -> None:
        """See ``Warehouse``: its rows are replaced, as views of dbt hold on to the table."""
        relation = self.name(schema, table)
        there = self.columns(schema, table)
        if not there:
            self.ask(f"create table {relation} as {query}")
            return
        for one, kind in columns.items():
            if one.lower() not in there:
                self.ask(f"alter table {relation} add column {self.name(one)} {kind}")
        names = ", ".join(map(self.name, columns))
        with self._transaction():
            self.ask(f"delete from {relation}")
            self.ask(f"insert into {relation} ({names}) {query}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.ask("begin")
        try:
            yield
        except BaseException:
            if not self.connection.closed:
                self.ask("rollback")
            raise
        self.ask("commit")

    def copy(
        self, schema: str, table: str, columns: Sequence[str], source: str, files: Sequence[Entry]
    ) -> Copied:
        """See ``Warehouse``: rows and names of files in one transaction."""
        del columns  # each file says which it has
        history, where = self.name(OWN_SCHEMA, FILES), f"{literal(schema)}, {literal(table)}"
        rows = self.ask(
            f"select file, tag from {history} where schema_name = {literal(schema)} "
            f"and name = {literal(table)}"
        )
        loaded = {(str(file), str(tag)) for file, tag in rows}
        new = [one for one in files if (one.key, one.tag) not in loaded]
        if not new:
            return Copied()
        relation, total = self.name(schema, table), 0
        with self._transaction():
            for names, group in self._by_columns(new).items():
                manifest = self._manifest(source, group)
                listed = ", ".join(map(self.name, names))
                ((before,),) = self.ask(f"select count(*) from {relation}")
                self.ask(
                    f"copy {relation} ({listed}) from {literal(manifest)} {self._role()} manifest "
                    "format as parquet"
                )
                ((after,),) = self.ask(f"select count(*) from {relation}")
                total += int(str(after)) - int(str(before))
            values = ", ".join(f"({where}, {literal(e.key)}, {literal(e.tag)})" for e in new)
            self.ask(f"insert into {history} values {values}")
        return Copied(tuple(one.key for one in new), total)

    def _role(self) -> str:
        from headrace.targets.redshift_mock.commands import LOCAL_ROLE

        role = self.simulation.project.settings.simulate.iam_role
        if self.target.server.stand_in is not None:
            role = role or LOCAL_ROLE
        if role is None:
            raise SettingsError(
                "Redshift needs a role that may read the bucket: set simulate.iam_role, or "
                "`iam_role: default` for that of the cluster"
            )
        return "iam_role default" if role == "default" else f"iam_role {literal(role)}"

    def _by_columns(self, files: Sequence[Entry]) -> dict[tuple[str, ...], list[Entry]]:
        """The files by the columns that they have, in order."""
        import duckdb

        found: dict[tuple[str, ...], list[Entry]] = {}
        with duckdb.connect() as connection:
            try:
                self.simulation.open(connection)
                for one in files:
                    at = literal(f"{self.simulation.url}/{one.key}")
                    shape = connection.execute(f"describe select * from read_parquet({at}, "
                                               "hive_partitioning = false)").fetchall()  # fmt: skip
                    found.setdefault(tuple(str(row[0]) for row in shape), []).append(one)
            except duckdb.Error as error:
                raise self.simulation.store.explain(error) from error
        return found

    def _manifest(self, source: str, files: Sequence[Entry]) -> str:
        """Write which files a COPY loads; its URL."""
        entries = [
            {"url": f"{self.simulation.url}/{one.key}", "mandatory": True,
             "meta": {"content_length": one.size}}
            for one in files
        ]  # fmt: skip
        body = json.dumps({"entries": entries}).encode()
        key = f"{_MANIFESTS}/{source}/{hashlib.sha256(body).hexdigest()[:16]}.json"
        self.simulation.store.put(key, body)
        return f"{self.simulation.url}/{key}"
