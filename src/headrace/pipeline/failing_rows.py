"""The first rows that a failed test stored by dbt's ``store_failures``, personal data masked."""

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headrace.catalog import Catalog
from headrace.catalog.model import Asset
from headrace.error_detail import ErrorDetail, hidden
from headrace.errors import CatalogError, RunStoreError
from headrace.pipeline.catalog import current, known_columns
from headrace.pipeline.reports import NodeReport
from headrace.secrets import MASK
from headrace.settings import Resolved
from headrace.sql_text import identifier, qualified
from headrace.targets import Target

if TYPE_CHECKING:
    import duckdb

_LOG = logging.getLogger("headrace.pipeline")
_MOST = 5
_LONGEST = 60  # characters of a value
_OF_THE_COLUMN = frozenset({"unique_field", "value_field", "from_field"})
"""What dbt's own tests call the column that they test."""
_COUNTS = frozenset({"n_records"})


def with_failing_rows(
    resolved: Resolved, target: Target, graph: Any, nodes: Sequence[NodeReport]
) -> tuple[NodeReport, ...]:
    """The nodes, those of tests that stored their failures with the first of these rows.

    A column is shown where the last catalog knows that it holds no personal data; before the
    first catalog, all are masked.

    Args:
        resolved: the settings.
        target: released; it is opened to read.
        graph: dbt's own manifest.
        nodes: the results.
    """
    stored = {
        node.unique_id: graph.nodes[node.unique_id]
        for node in nodes
        if node.failures and getattr(graph.nodes.get(node.unique_id), "relation_name", None)
        and node.resource_type == "test"
    }  # fmt: skip
    attach = target.attach_sql(identifier(target.database)) if stored else None
    if attach is None:
        return tuple(nodes)
    import duckdb

    catalog = None
    with suppress(CatalogError, RunStoreError):
        catalog = current(resolved)
    found = {}
    try:
        with duckdb.connect() as connection:
            connection.execute(attach)
            for id_, test in stored.items():
                found[id_] = _detail(connection, test, catalog)
    except duckdb.Error as error:  # the result of the test stands without them
        _LOG.warning("the rows that a test stored cannot be read: %s", error)
    return tuple(
        node.model_copy(update={"detail": hidden(found[node.unique_id])})
        if node.unique_id in found
        else node
        for node in nodes
    )


def _detail(
    connection: "duckdb.DuckDBPyConnection", test: Any, catalog: Catalog | None
) -> ErrorDetail:
    relation = qualified(test.database, test.schema, test.alias)
    names = [str(row[0]) for row in connection.execute(f"describe {relation}").fetchall()]
    values = ", ".join(f"left({identifier(name)}::varchar, {_LONGEST})" for name in names)
    rows = connection.execute(f"select {values} from {relation} limit {_MOST}").fetchall()
    shown = [_is_shown(name, test, catalog) for name in names]
    told = tuple(
        {
            name: value if is_shown or value is None else MASK
            for name, value, is_shown in zip(names, row, shown, strict=True)
        }
        for row in rows
    )
    detail = ErrorDetail(excerpt=f"the rows are in {test.schema}.{test.alias} of the warehouse")
    return replace(detail, rows=told)


def _is_shown(name: str, test: Any, catalog: Catalog | None) -> bool:
    """Whether a column of a test's result holds no personal data, as far as is known."""
    if name in _COUNTS:
        return True
    if catalog is None:
        return False
    column = test.column_name if name in _OF_THE_COLUMN else name
    read = list(_assets(catalog, test.depends_on.nodes))
    having = [asset for asset in read if column and asset.column(column) is not None]
    harmless = known_columns(catalog).harmless
    return bool(having) and all(
        column in harmless.get(f"{asset.schema or 'main'}.{asset.identifier or asset.name}", ())
        for asset in having
    )


def _assets(catalog: Catalog, ids: Iterable[str]) -> Iterable[Asset]:
    for id_ in ids:
        key = id_ if id_ in catalog.assets else catalog.by_dbt_id.get(id_, "")
        if key in catalog.assets:
            yield catalog.assets[key]
