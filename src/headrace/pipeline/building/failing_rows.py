"""The rows that make a test fail, personal data masked: the first ones, and how many there are."""

import logging
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.catalog import Catalog
from headrace.catalog.model import Asset
from headrace.error_detail import ErrorDetail, hidden
from headrace.errors import CatalogError, RunStoreError
from headrace.formatting import count, one_line
from headrace.libraries.duckdb import connect
from headrace.pipeline.building import failure_words
from headrace.pipeline.catalog import current, known_columns
from headrace.pipeline.dbt import dbt_runner
from headrace.pipeline.reports import NodeReport
from headrace.secrets import MASK
from headrace.settings import Resolved
from headrace.sql_text import identifier, qualified, scalar
from headrace.system_errors import error_line
from headrace.targets import Target

if TYPE_CHECKING:
    import duckdb

_LOG = logging.getLogger("headrace.pipeline")
_MOST = 20  # rows of a test
_COLUMNS = 12  # of a row
_MOST_KEPT = 1_000_000  # rows of a test, in a table of their own
_WORD = re.compile(r"\w+")
_LONGEST = 60  # characters of a value
_TESTS = 50  # of a build; the rows of the others are found by their queries
_SECONDS = 20.0  # for all of them
_VALUES = {
    "unique": "unique_field",
    "accepted_values": "value_field",
    "relationships": "from_field",
}
"""What dbt's own tests call the column that they test, by the test's name."""
_OF_ITS_COLUMNS = frozenset(
    {
        *_VALUES.values(), "value", "expected_value", "value_before", "next_lower_bound",
        "first_quartile", "third_quartile", "period", "period_before", "next_period",
    }
)  # fmt: skip
"""What generic tests call values of the columns that they are about."""
_COUNTS = frozenset({"n_records"})
_COMPUTED = _COUNTS | {
    "number_of_rows", "expected_rows", "number_of_columns", "distinct_values", "filled_values",
    "proportion", "divergence", "cramers_phi", "deviations", "quantile", "place", "at_least",
    "at_most", "column_name", "problem", "found_in",
}  # fmt: skip
"""Columns that generic tests compute, and that hold no value of a row."""


@dataclass(frozen=True)
class _Query:
    """What selects the rows that a test is about.

    Attributes:
        sql: the query.
        per_value: whether the test finds values, each of which may be in several rows.
    """

    sql: str
    per_value: bool = False


def store_failures(
    resolved: Resolved, target: Target, parsed: dbt_runner.ParsedProject, results: Sequence[Any]
) -> dict[str, str]:
    """Have dbt keep the rows that tests found in tables, and empty the tables of those that pass.

    dbt would make a table for each test that passes, too, so these are run a second time. A test
    of more rows than are worth a copy keeps none; nor does one whose config says so.

    Returns:
        ``schema.table`` by the id of the test.
    """
    tests = [item.node for item in results if str(item.node.resource_type) == "test"]
    found = {item.node.unique_id: item.failures or 0 for item in results}
    there = target.table_names({node.schema for node in tests})
    kept = {schema: target.row_counts(schema) for schema in there}
    names = [
        node.name
        for node in tests
        if 0 < found[node.unique_id] <= _MOST_KEPT
        or (not found[node.unique_id] and kept.get(node.schema, {}).get(node.alias))
    ]
    if not names:
        return {}
    words = ["test", *dbt_runner.arguments(resolved), "--store-failures", "--no-write-json"]
    try:
        result = parsed.runner.invoke(
            [*words, "--indirect-selection", "empty", "--select", *dict.fromkeys(names)]
        )
        target.note_written({(node.schema, node.alias) for node in tests})
    finally:
        target.release()
    if result.exception is not None or result.result is None:
        _LOG.warning("the rows that tests found are not kept: %s", result.exception)
        return {}
    again: Any = result.result
    return {
        item.node.unique_id: f"{item.node.schema}.{item.node.alias}"
        for item in again.results
        if item.node.relation_name and str(item.status) in {"fail", "warn"}
    }


def with_failing_rows(
    resolved: Resolved,
    target: Target,
    graph: Any,
    nodes: Sequence[NodeReport],
    tests: Mapping[str, Any] | None = None,
    stored: Mapping[str, str] | None = None,
) -> tuple[NodeReport, ...]:
    """The nodes, those of tests that found something with the first rows that they found.

    Of dbt's own tests these are the rows of the table that is tested, with its key and the column
    that the test is about, and ``failures`` counts them: dbt counts values. A column is shown where
    the last catalog knows that it holds no personal data; before the first catalog, all are masked.

    Args:
        resolved: the settings.
        target: released; it is opened to read.
        graph: dbt's own manifest.
        nodes: the results.
        tests: dbt's nodes with their compiled SQL, by id; by default those of the graph.
        stored: ``schema.table`` where the rows of a test are kept, by its id.
    """
    found = graph.nodes if tests is None else tests
    failed = {
        node.unique_id: found[node.unique_id]
        for node in nodes
        if node.failures and node.resource_type == "test" and node.unique_id in found
    }
    if not failed:
        return tuple(nodes)
    import duckdb

    catalog = None
    with suppress(CatalogError, RunStoreError):
        catalog = current(resolved)
    harmless = known_columns(catalog).harmless if catalog else {}
    details = {}
    ends = time.monotonic() + _SECONDS
    try:
        with connect() as connection:
            if not target.attach(connection, target.database):
                return tuple(nodes)
            for id_, test in list(failed.items())[:_TESTS]:
                place = (stored or {}).get(id_)
                rows = _Rows(connection, graph, test, catalog, harmless, place)
                details[id_] = rows.detail(ends - time.monotonic())
    except duckdb.Error as error:  # the result of the test stands without them
        _LOG.warning("the rows that tests found cannot be read: %s", one_line(str(error)))
    return tuple(
        _told(node, details.get(node.unique_id), failed.get(node.unique_id)) for node in nodes
    )


def _told(node: NodeReport, detail: ErrorDetail | None, test: Any) -> NodeReport:
    if detail is None:
        return node
    rows, values, message = detail.rows_total, node.failures, node.message
    words = failure_words.of(_metadata(test), getattr(test, "column_name", None), detail.rows)
    if words and message is not None:
        more = max(rows or 0, len(detail.rows)) - 1
        words += f" ({more} more)" if more > 0 else ""
        message = message.replace(f"broken by {count(values or 0, 'row')}", words)
    elif rows is not None and values is not None and rows != values and message is not None:
        said = f"{count(rows, 'row')} with {count(values, 'value')}"
        message = message.replace(f"broken by {count(values, 'row')}", f"broken by {said}")
    return node.model_copy(
        update={"detail": hidden(detail), "failures": rows or values, "message": message}
    )


@dataclass(frozen=True)
class _Rows:
    """The rows of one test."""

    connection: "duckdb.DuckDBPyConnection"
    graph: Any
    test: Any
    catalog: Catalog | None
    harmless: Mapping[str, tuple[str, ...]]
    kept_in: str | None = None

    def detail(self, seconds: float) -> ErrorDetail | None:
        """The rows; None where they cannot be read, or not in time."""
        import duckdb

        query = self._query()
        if query is None or seconds <= 0:
            return None
        timer = threading.Timer(seconds, self.connection.interrupt)
        timer.start()
        try:
            return self._read(query)
        except duckdb.Error as error:
            why = error_line(error)
            _LOG.warning("the rows that %s found cannot be read: %s", self.test.name, why)
            return None
        finally:
            timer.cancel()

    def _read(self, query: _Query) -> ErrorDetail:
        described = self.connection.execute(f"describe {query.sql}").fetchall()
        names = self._first([str(row[0]) for row in described])
        values = ", ".join(f"left({identifier(name)}::varchar, {_LONGEST})" for name in names)
        found = self.connection.execute(
            f"select {values} from ({query.sql}) as found limit {_MOST}"
        ).fetchall()
        total = scalar(self.connection, f"select count(*) from ({query.sql}) as found")
        shown = [self._is_shown(name) for name in names]
        rows = tuple(
            {
                name: value if is_shown or value is None else MASK
                for name, value, is_shown in zip(names, row, shown, strict=True)
            }
            for row in found
        )
        place = self.kept_in
        if place is None and self._stored:
            place = f"{self.test.schema}.{self.test.alias}"
        where = f"the rows are in {place} of the warehouse" if place else ""
        # what a test of its own counts is its own affair
        counted = total if query.per_value or not _COUNTS.intersection(names) else None
        return ErrorDetail(excerpt=where, rows=rows, rows_total=counted, query=query.sql)

    @property
    def _stored(self) -> str | None:
        test = self.test
        if getattr(test, "relation_name", None):
            return f"select * from {qualified(test.database, test.schema, test.alias)}"
        return None

    def _query(self) -> _Query | None:
        compiled = str(getattr(self.test, "compiled_code", None) or "").strip().rstrip(";")
        base = self._stored or compiled
        if not base:
            return None
        tested, column = self._tested(), getattr(self.test, "column_name", None)
        metadata = _metadata(self.test)
        name = metadata.name if metadata is not None else None
        if tested is None or not column or name not in {*_VALUES, "not_null"}:
            return _Query(base)
        columns = self._columns(tested)
        known = next((one for one in columns if one.casefold() == column.casefold()), None)
        if known is None:  # an expression
            return _Query(base)
        keys = self._keys(tested, columns)
        wanted = list(dict.fromkeys([*keys, known])) if keys else [known, *columns]
        chosen = list(dict.fromkeys(wanted))[:_COLUMNS]
        condition = f"{identifier(known)} is null"
        if name in _VALUES:
            condition = (
                f"{identifier(known)} in (select {_VALUES[name]} from (\n{base}\n) as found)"
            )
        where = getattr(self.test.config, "where", None)
        source = qualified(tested.database, tested.schema, _table(tested))
        if where:
            source = f"(select * from {source} where {where}) as tested"
        listed = ", ".join(identifier(one) for one in chosen)
        order = ", ".join(identifier(one) for one in dict.fromkeys([known, *chosen]))
        sql = f"select {listed}\nfrom {source}\nwhere {condition}\norder by {order}"
        return _Query(sql, per_value=name != "not_null")

    def _tested(self) -> Any:
        """What a generic test is attached to: a node of dbt's graph, or a source."""
        id_ = getattr(self.test, "attached_node", None) or ""
        nodes = self.graph.nodes
        if not id_ and len(self.test.depends_on.nodes) == 1:
            id_ = self.test.depends_on.nodes[0]
        return nodes.get(id_) or getattr(self.graph, "sources", {}).get(id_)

    def _columns(self, tested: Any) -> list[str]:
        relation = qualified(tested.database, tested.schema, _table(tested))
        return [str(row[0]) for row in self.connection.execute(f"describe {relation}").fetchall()]

    def _keys(self, tested: Any, columns: Sequence[str]) -> list[str]:
        """The columns of its key, as far as it has them."""
        keys = tuple(getattr(tested, "primary_key", None) or ())
        if not keys:
            keys = next((one.primary_key for one in self._assets([tested.unique_id])), ())
        wanted = {key.casefold() for key in keys}
        return [one for one in columns if one.casefold() in wanted]

    def _first(self, names: Sequence[str]) -> list[str]:
        """The columns to show: the key, what the test is about, what it computed, the others."""
        tested = self._tested()
        keys = self._keys(tested, names) if tested is not None else []
        about = {one.casefold() for one in self._named}
        order = [
            *keys,
            *(name for name in names if name.casefold() in about),
            *(name for name in names if name in _COMPUTED | _OF_ITS_COLUMNS),
            *names,
        ]
        return list(dict.fromkeys(order))[:_COLUMNS]

    @property
    def _named(self) -> tuple[str, ...]:
        """The words that the test's column and its arguments consist of: columns are among them."""
        metadata = _metadata(self.test)
        given = metadata.kwargs if hasattr(metadata, "kwargs") else {}
        lists = [each if isinstance(each, list) else [each] for each in given.values()]
        texts = [getattr(self.test, "column_name", None), *(one for each in lists for one in each)]
        words = [word for text in texts if isinstance(text, str) for word in _WORD.findall(text)]
        return tuple(dict.fromkeys(words))

    def _is_shown(self, name: str) -> bool:
        """Whether a column of the rows holds no personal data, as far as is known."""
        if self._holds(name):
            return self._is_harmless(name)
        if name in _OF_ITS_COLUMNS:
            columns = [one for one in self._named if self._holds(one)]
            return bool(columns) and all(map(self._is_harmless, columns))
        return name in _COMPUTED

    def _holds(self, column: str) -> bool:
        return any(one.column(column) is not None for one in self._assets(self._read_by_it))

    def _is_harmless(self, column: str) -> bool:
        return all(
            column in self.harmless.get(f"{one.schema or 'main'}.{one.identifier or one.name}", ())
            for one in self._assets(self._read_by_it)
            if one.column(column) is not None
        )

    @property
    def _read_by_it(self) -> Sequence[str]:
        ids: Sequence[str] = self.test.depends_on.nodes
        return ids

    def _assets(self, ids: Iterable[str]) -> Iterable[Asset]:
        catalog = self.catalog
        if catalog is None:
            return
        for id_ in ids:
            key = id_ if id_ in catalog.assets else catalog.by_dbt_id.get(id_, "")
            if key in catalog.assets:
                yield catalog.assets[key]


def _metadata(test: Any) -> Any:
    """Of a generic test that is dbt's or the project's own; None of any other."""
    metadata = getattr(test, "test_metadata", None)
    return metadata if metadata is not None and not metadata.namespace else None


def _table(node: Any) -> str:
    """The name of a node's or a source's table."""
    return str(getattr(node, "alias", None) or node.identifier)
