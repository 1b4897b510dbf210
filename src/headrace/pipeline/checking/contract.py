"""``headrace contract``: which table a file is about, for whom it is, and what holds of it."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from headrace.artifacts import Manifest, read_manifest
from headrace.artifacts.dbt_manifest import SourceNode
from headrace.artifacts.dbt_nodes import Node
from headrace.errors import ContractError, UserError
from headrace.formatting import did_you_mean, first_few
from headrace.libraries.duckdb import connect
from headrace.pipeline.publishing import published_tables
from headrace.pipeline.query import database
from headrace.pipeline.reports import Report
from headrace.quality.contract import ContractCheck, check_contract, read_contract
from headrace.quality.contract.checks import ContractTable, Part
from headrace.quality.contract.document import Contract, write, written
from headrace.quality.contract.export import contract_of
from headrace.scaffold.add_contract import ImportReport, import_contract
from headrace.sql_text import literal, qualified
from headrace.system_errors import error_line
from headrace.targets.duckdb import explain_duckdb_error

if TYPE_CHECKING:
    import duckdb
    from open_data_contract_standard.model import SchemaObject

    from headrace.settings import Resolved

_BROKEN = {"fail", "error"}
Relation = Node | SourceNode


class ContractExport(Report):
    """A contract that was made of a table."""

    table: str
    text: str = Field(description="the contract as YAML")
    path: str | None = Field(None, description="the file that it was written to")
    changed: bool = Field(True, description="false if the file said so already")


class ContractTest(Report):
    """Whether the promises of a contract are kept."""

    contract: str
    path: str
    on: str = Field(description="the database that was looked at")
    passed: bool
    promised_to: str = Field("", description="who relies on it")
    checks: tuple[ContractCheck, ...]
    notes: tuple[str, ...] = ()


def export_contract(resolved: "Resolved", name: str, *, out: Path | None = None) -> ContractExport:
    """A model or a source's table as a contract.

    Args:
        resolved: the settings.
        name: ``orders``, ``marts.orders`` or ``shop.orders`` of a source.
        out: the file to write; what it has beyond the project's knowledge, and its comments, stay.

    Raises:
        ContractError: there is no such table, or the file cannot be read or written.
        TransformError: there is no build yet.
    """
    manifest = read_manifest(resolved.artifacts)
    node = _relation(manifest, name)
    columns: dict[str, str] = {}
    with reader(resolved, "warehouse") as (connection, alias, _):
        table = _table(connection, alias, node.schema_name or "", node.relation_name)
        columns = dict(table.columns) if table else {}
    own = {key: kind for key, kind in columns.items() if not key.startswith("_dlt")}
    data = contract_of(manifest, node, own, project=resolved.root.resolve().name)
    text = written(data, out)
    if out is None:
        return ContractExport(table=f"{node.schema_name}.{node.relation_name}", text=text)
    is_changed = not out.exists() or out.read_text(encoding="utf-8") != text
    if is_changed:
        write(out, text)
    table_name = f"{node.schema_name}.{node.relation_name}"
    return ContractExport(table=table_name, text=text, path=str(out), changed=is_changed)


def bring_in(resolved: "Resolved", path: Path, *, dry_run: bool = False) -> ImportReport:
    """Add what a contract promises to the yml of the dbt project, which keeps what it says.

    Raises:
        ContractError: the file is no contract.
        ProjectFileError: a yml cannot be read or written; nothing was written.
        TransformError: there is no build yet.
    """
    contract = read_contract(path)
    manifest = read_manifest(resolved.artifacts)
    tables = [(each, node_of(manifest, contract, each)) for each in contract.objects]
    known = {}
    with reader(resolved, "warehouse") as (connection, alias, _):
        for _, node in tables:
            if node is not None:
                table = _table(connection, alias, node.schema_name or "", node.relation_name)
                known[node.unique_id] = tuple(table.columns) if table else ()
    return import_contract(resolved, contract, tables, known, dry_run=dry_run)


def check_file(resolved: "Resolved", path: Path, *, on: str | None = None) -> ContractTest:
    """Check the promises of a contract against the published data, else the warehouse.

    Args:
        resolved: the settings.
        path: the contract.
        on: ``published``, ``warehouse`` or a DuckDB file; by default each table where it is.

    Raises:
        ContractError: the file is no contract, or the database cannot be read.
    """
    contract = read_contract(path)
    manifest = _manifest(resolved)
    place = on or ("published" if _is_published(resolved, manifest, contract) else "warehouse")
    with reader(resolved, place) as (connection, alias, shown):
        checks = checked(resolved, contract, manifest, connection, alias, contract.objects)
    return ContractTest(
        contract=contract.label,
        path=str(path),
        on=shown,
        passed=not any(one.status in _BROKEN for one in checks),
        promised_to=promised_to(contract, manifest),
        checks=checks,
        notes=contract.notes,
    )


def checked(
    resolved: "Resolved",
    contract: Contract,
    manifest: Any,
    connection: "duckdb.DuckDBPyConnection",
    alias: str,
    objects: "Sequence[SchemaObject]",
    parts: Collection[Part] = ("data", "service levels"),
) -> tuple[ContractCheck, ...]:
    """The promises on some tables of a contract, in a database that is attached."""

    def find(each: "SchemaObject") -> ContractTable | None:
        node = node_of(manifest, contract, each)
        names = _names(contract, each)
        if node is not None:
            names = [(schema_of(node), identifier_of(node)), *names]
        for schema, name in names:
            table = _table(connection, alias, schema, name)
            if table is not None:
                return table
        return None

    def resolve(to: str) -> tuple[str, str] | None:
        table, _, column = to.rpartition(".")
        named = next((one for one in contract.objects if table in {one.name, one.id}), None)
        found = find(named) if named is not None else None
        if found is None and manifest is not None:
            try:
                node = _relation(manifest, table)
            except ContractError:
                return None
            found = _table(connection, alias, schema_of(node), identifier_of(node))
        return (found.quoted, f'"{column}"') if found and column in found.columns else None

    seconds = resolved.settings.contracts.timeout
    return check_contract(
        contract,
        connection,
        find,
        objects=objects,
        parts=parts,
        seconds=seconds,
        resolve=resolve,
    )


def _manifest(resolved: "Resolved") -> Manifest | None:
    """dbt's; None where nothing was built yet, and a file may still be checked."""
    try:
        return read_manifest(resolved.artifacts)
    except UserError:
        return None


def schema_of(node: Any) -> str:
    return str(getattr(node, "schema_name", None) or node.schema)


def identifier_of(node: Any) -> str:
    """A table's name; of our manifest or dbt's own."""
    return str(getattr(node, "alias", None) or getattr(node, "identifier", None) or node.name)


def relations(manifest: Any) -> Iterator[Any]:
    for node in manifest.nodes.values():
        if str(node.resource_type) in {"model", "seed", "snapshot"}:
            yield node
    yield from manifest.sources.values()


def _relation(manifest: Any, name: str) -> Any:
    """The table that a name means.

    Raises:
        ContractError: none, or several.
    """
    *rest, table = name.split(".")
    schema = rest[-1] if rest else None
    found = [
        one
        for one in relations(manifest)
        if table in {one.name, identifier_of(one)}
        and (schema is None or schema in {schema_of(one), getattr(one, "source_name", None)})
    ]
    models = [one for one in found if not one.unique_id.startswith("source.")]
    found = models or found
    if len(found) == 1:
        return found[0]
    if not found:
        known = [
            f"{schema_of(one)}.{identifier_of(one)}" if schema else identifier_of(one)
            for one in relations(manifest)
        ]
        meant = did_you_mean(name, known)
        raise ContractError(f"there is no table {name}{f'; {meant}' if meant else ''}")
    choices = first_few([f"{schema_of(one)}.{identifier_of(one)}" for one in found])
    raise ContractError(f"{name} is several tables ({choices}): name one with its schema")


def _names(contract: Contract, each: "SchemaObject") -> list[tuple[str, str]]:
    """Schema and table that an object may be, the surest first."""
    servers = [one.schema_ for one in contract.model.servers or () if one.schema_]
    names = []
    for name in (each.physicalName, each.name):
        *rest, table = str(name or "").split(".")
        if table:
            names += [(rest[-1], table)] if rest else [(one, table) for one in (*servers, "")]
    return names


def node_of(manifest: Any, contract: Contract, each: "SchemaObject") -> Any:
    """The node of dbt's graph that an object of a contract is about; None if there is none."""
    if manifest is None:
        return None
    for schema, table in _names(contract, each):
        try:
            return _relation(manifest, f"{schema}.{table}" if schema else table)
        except ContractError:
            continue
    return None


def _table(
    connection: "duckdb.DuckDBPyConnection", alias: str, schema: str, name: str
) -> ContractTable | None:
    """A table or view with its types; without a schema the only one of that name."""
    rows = connection.execute(
        "select schema_name, table_name, column_name, data_type from duckdb_columns() "
        "where database_name = ? and lower(table_name) = lower(?) and (? = '' or "
        "lower(schema_name) = lower(?)) order by schema_name, column_index",
        [alias, name, schema, schema],
    ).fetchall()
    if len({row[0] for row in rows}) != 1:
        return None
    found_schema, found_name = str(rows[0][0]), str(rows[0][1])
    loads = connection.execute(
        "select count(*) from duckdb_columns() where database_name = ? and schema_name = ? and "
        "table_name = '_dlt_loads'",  # where the target is no DuckDB file, all are views
        [alias, found_schema],
    ).fetchone()
    loaded = qualified(alias, found_schema, "_dlt_loads")
    return ContractTable(
        f"{found_schema}.{found_name}",
        qualified(alias, found_schema, found_name),
        {str(row[2]): str(row[3]) for row in rows},
        f"select max(inserted_at) from {loaded} where status = 0" if loads and loads[0] else None,
    )


@contextmanager
def reader(resolved: "Resolved", on: str) -> "Iterator[tuple[duckdb.DuckDBPyConnection, str, str]]":
    """A connection that reads a database and nothing else, its alias, and what it is called."""
    import duckdb

    with connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        if on == "warehouse":
            target = resolved.target
            alias, shown = target.database, target.location
            if not target.attach(connection, alias):
                raise ContractError(f"{shown} does not exist yet: run `headrace run` first")
        elif on == "published":
            alias, shown = published_tables.ALIAS, published_tables.location(resolved)
            if not published_tables.attach(resolved, connection, alias):
                raise ContractError(f"nothing is published at {shown}: run `headrace run` first")
        else:
            path = database(resolved, on).path
            alias, shown = path.stem, str(path)
            try:
                connection.execute(f"attach {literal(shown)} as {qualified(alias)} (read_only)")
            except duckdb.Error as error:
                text = explain_duckdb_error(path, str(error), rebuilt=False)
                raise ContractError(text) from error
        connection.execute(f"use {qualified(alias)}")
        # a contract's SQL is another team's: it reads this database alone
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        try:
            yield connection, alias, shown
        except duckdb.Error as error:
            raise ContractError(f"{shown}: {error_line(error)}") from error


def _is_published(resolved: "Resolved", manifest: Manifest | None, contract: Contract) -> bool:
    """Whether all of its tables are marts, of which there is a published file."""
    if published_tables.current(resolved) is None:
        return False
    nodes = [node_of(manifest, contract, each) for each in contract.objects]
    schemas = set(resolved.settings.publish.schemas)
    return bool(nodes) and all(one is not None and schema_of(one) in schemas for one in nodes)


def promised_to(contract: Contract, manifest: Any, id_: str | None = None) -> str:
    """Who relies on a contract: exposures downstream of its tables, and whom its file names."""
    words = []
    if manifest is not None:
        ids = {id_} if id_ else {
            node.unique_id
            for each in contract.objects
            if (node := node_of(manifest, contract, each)) is not None
        }  # fmt: skip
        seen = downstream(manifest, ids)
        for exposure in (one for id_, one in manifest.exposures.items() if id_ in seen):
            owner = getattr(exposure.owner, "name", None) or ""
            words.append(f"{exposure.label or exposure.name}{f' ({owner})' if owner else ''}")
    consumers = [
        str(one.value)
        for one in contract.model.customProperties or ()
        if one.property in {"consumer", "consumers"}
    ]
    named = [*consumers, *words]
    if contract.promised_to:
        named.append(contract.promised_to)
    return first_few(named, 4)


def downstream(manifest: Any, ids: set[str]) -> set[str]:
    """The ids of what reads some tables, directly or through others, and their own."""
    readers: dict[str, list[str]] = {}
    for node in (*manifest.nodes.values(), *manifest.exposures.values()):
        for parent in node.depends_on.nodes:
            readers.setdefault(parent, []).append(node.unique_id)
    seen, left = set(ids), list(ids)
    while left:
        for one in readers.get(left.pop(), ()):
            if one not in seen:
                seen.add(one)
                left.append(one)
    return seen
