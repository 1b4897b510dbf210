"""The run store, as the server reads it, and the lines of the log file that belong to a run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.artifacts.dbt_results import FAILED
from headrace.artifacts.reading import utc
from headrace.catalog import NodeFailure, NodeRun, RunStore, StepRun, StoredRun, TableRun
from headrace.catalog.store import detail_of, newest_first

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row, Select, Table
import json
from collections import Counter, deque
from functools import lru_cache

from headrace.server.models import LogLine

_NODE = tuple(field.name for field in fields(NodeRun))
_STARTED = _NODE.index("started_at")
_DETAIL = _NODE.index("detail")
_RUN = tuple(field.name for field in fields(StoredRun))
_STEP = tuple(field.name for field in fields(StepRun))
_LOAD = tuple(field.name for field in fields(TableRun))


@dataclass(frozen=True)
class SourceLoad:
    """The newest load of a source: its run, when that began (UTC), and its rows."""

    source: str
    run_id: str
    started_at: datetime
    rows_new: int
    rows_changed: int


@dataclass(frozen=True)
class RunSummary:
    """A run without its nodes.

    Attributes:
        run: the run.
        steps: in order.
        loads: in order.
        failed: the nodes that failed, by label.
        nodes: how many there are.
    """

    run: StoredRun
    steps: tuple[StepRun, ...]
    loads: tuple[TableRun, ...]
    failed: tuple[NodeRun, ...]
    nodes: int


class ServerStore(RunStore):
    """The run store, with the queries that only the server needs."""

    @contextmanager
    def reading(self) -> "Iterator[tuple[Connection, Mapping[str, Table]]]":
        """A connection, and the tables, for a query of another module."""
        with self.begin() as connection:
            yield connection, self._tables

    def asset_count(self) -> int:
        """How many assets the newest catalog has, tests among them."""
        from sqlalchemy import func, select

        assets = self._tables["catalog_assets"]
        query = select(func.count()).select_from(assets).where(assets.c.until.is_(None))
        with self.begin() as connection:
            return int(connection.execute(query).scalar_one())

    def newest_loads(self) -> list[SourceLoad]:
        """The newest load of each source, by name."""
        from sqlalchemy import func, select

        loads, runs = self._tables["loads"], self._tables["runs"]
        newest = select(func.max(loads.c.id)).group_by(loads.c.source)
        last = select(loads.c.source, loads.c.run_id).where(loads.c.id.in_(newest)).subquery()
        query = (
            select(
                last.c.source,
                last.c.run_id,
                runs.c.started_at,
                func.sum(loads.c.rows_new),
                func.sum(loads.c.rows_changed),
            )
            .join(runs, runs.c.run_id == last.c.run_id)
            .join(loads, (loads.c.run_id == last.c.run_id) & (loads.c.source == last.c.source))
            .group_by(last.c.source, last.c.run_id, runs.c.started_at)
            .order_by(last.c.source)
        )
        with self.begin() as connection:
            return [
                SourceLoad(source, run_id, utc(started), int(new), int(changed))
                for source, run_id, started, new, changed in connection.execute(query)
            ]

    def newest_run(self) -> tuple[str, str] | None:
        """Id and status of the newest run."""
        from sqlalchemy import select

        runs = self._tables["runs"]
        query = select(runs.c.run_id, runs.c.status).order_by(*newest_first(runs))
        with self.begin() as connection:
            found = connection.execute(query.limit(1)).first()
        return None if found is None else (found.run_id, found.status)

    def histories(
        self, own: str, others: Sequence[str], *, most: int, of_others: int
    ) -> Mapping[str, list[NodeRun]]:
        """The newest results of nodes that really ran, newest first, in one query.

        Args:
            own: a node's ``unique_id``.
            others: those of others.
            most: results of the one.
            of_others: results of each other.
        """
        found: dict[str, list[NodeRun]] = {}
        values = {
            "unique_ids": [own, *others], "own": own, "most": most, "of_others": of_others,
        }  # fmt: skip
        with self.begin() as connection:
            for row in connection.execute(self._history_query, values).all():
                found.setdefault(row.unique_id, []).append(_node(row))
        return found

    @cached_property
    def _history_query(self) -> "Select[Any]":
        """Built once: building it takes longer than running it."""
        from sqlalchemy import bindparam, case, func, select

        nodes = self._tables["nodes"]
        most = case(
            (nodes.c.unique_id == bindparam("own"), bindparam("most")), else_=bindparam("of_others")
        )
        place = func.row_number().over(partition_by=nodes.c.unique_id, order_by=nodes.c.id.desc())
        wanted = nodes.c.unique_id.in_(bindparam("unique_ids", expanding=True))
        numbered = (
            select(*(nodes.c[name] for name in _NODE), place.label("place"), most.label("most"))
            .where(wanted, nodes.c.status != "reused")
            .subquery()
        )
        return (
            select(*(numbered.c[name] for name in _NODE))
            .where(numbered.c.place <= numbered.c.most)
            .order_by(numbered.c.unique_id, numbered.c.place)
        )

    def test_results(
        self, tests: Sequence[str] | None, *, most: int
    ) -> tuple[list[str], dict[str, dict[str, str]]]:
        """The results of tests in the newest runs that ran any.

        Args:
            tests: their ids; None for those that were bad in one of these runs.
            most: runs.

        Returns:
            The runs' ids, newest first, and the status by run by test.
        """
        from sqlalchemy import func, select

        nodes = self._tables["nodes"]
        mine = [nodes.c.resource_type.in_(["test", "unit_test"])]
        if tests is not None:
            mine.append(nodes.c.unique_id.in_(tests))
        with self.begin() as connection:
            newest = func.max(nodes.c.id)
            runs = [
                str(run_id)
                for run_id, _ in connection.execute(
                    select(nodes.c.run_id, newest)
                    .where(*mine)
                    .group_by(nodes.c.run_id)
                    .order_by(newest.desc())
                    .limit(most)
                )
            ]
            mine.append(nodes.c.run_id.in_(runs))
            if tests is None:
                bad = select(nodes.c.unique_id).where(*mine, nodes.c.status.in_([*FAILED, "warn"]))
                mine.append(nodes.c.unique_id.in_(bad))
            query = select(nodes.c.unique_id, nodes.c.run_id, nodes.c.status).where(*mine)
            found: dict[str, dict[str, str]] = {}
            for key, run_id, status in connection.execute(query.order_by(nodes.c.id)):
                found.setdefault(key, {})[run_id] = status
        return runs, found

    def test_counts(self, most: int) -> dict[str, Counter[str]]:
        """How many tests had each status in the newest runs that ran any, by run."""
        from sqlalchemy import func, select

        nodes = self._tables["nodes"]
        is_test = nodes.c.resource_type.in_(["test", "unit_test"])
        newest = func.max(nodes.c.id)
        runs = select(nodes.c.run_id).where(is_test).group_by(nodes.c.run_id)
        query = select(nodes.c.run_id, nodes.c.status, func.count()).where(
            is_test, nodes.c.run_id.in_(runs.order_by(newest.desc()).limit(most))
        )
        found: dict[str, Counter[str]] = {}
        with self.begin() as connection:
            for run_id, status, number in connection.execute(
                query.group_by(nodes.c.run_id, nodes.c.status)
            ):
                found.setdefault(run_id, Counter())[status] = number
        return found

    def run_without_nodes(self, run_id: str) -> RunSummary | None:
        """A run without its nodes, but for those that failed; None where there is none."""
        from sqlalchemy import func, select

        runs, steps, loads, nodes = (
            self._tables[name] for name in ("runs", "steps", "loads", "nodes")
        )
        mine = nodes.c.run_id == run_id
        with self.begin() as connection:
            found = connection.execute(select(runs).where(runs.c.run_id == run_id)).mappings()
            row = found.first()
            if row is None:
                return None
            failed = connection.execute(
                select(*(nodes.c[name] for name in _NODE))
                .where(mine, nodes.c.status.in_(FAILED))
                .order_by(nodes.c.label, nodes.c.id)
            )
            step_rows = connection.execute(
                select(*(steps.c[name] for name in _STEP))
                .where(steps.c.run_id == run_id)
                .order_by(steps.c.id)
            )
            load_rows = connection.execute(
                select(*(loads.c[name] for name in _LOAD))
                .where(loads.c.run_id == run_id)
                .order_by(loads.c.id)
            )
            nodes_failed = tuple(_node(one) for one in failed)
            return RunSummary(
                run=_run(row, nodes_failed),
                steps=tuple(StepRun(**_in_utc(one)) for one in step_rows),
                loads=tuple(TableRun(**one._asdict()) for one in load_rows),
                failed=nodes_failed,
                nodes=connection.execute(
                    select(func.count()).select_from(nodes).where(mine)
                ).scalar_one(),
            )

    def nodes_of(self, run_id: str, *, offset: int, limit: int) -> list[NodeRun]:
        """Some nodes of a run, in the order in which they ended."""
        values = {"run": run_id, "from": offset, "most": limit}
        with self.begin() as connection:
            return [_node(row) for row in connection.execute(self._nodes_query, values).all()]

    @cached_property
    def _nodes_query(self) -> "Select[Any]":
        """Built once, like the one above."""
        from sqlalchemy import bindparam, select

        nodes = self._tables["nodes"]
        return (
            select(*(nodes.c[name] for name in _NODE))
            .where(nodes.c.run_id == bindparam("run"))
            .order_by(nodes.c.id)
            .offset(bindparam("from"))
            .limit(bindparam("most"))
        )


def _run(row: Mapping[Any, Any], failed: Sequence[NodeRun]) -> StoredRun:
    kept = {name: row[name] for name in _RUN if name not in {"started_at", "failures", "detail"}}
    failures = tuple(NodeFailure(node.label, node.message or "", node.detail) for node in failed)
    started, detail = utc(row["started_at"]), detail_of(row["detail"])
    return StoredRun(**kept, started_at=started, failures=failures, detail=detail)


def _node(row: Iterable[Any]) -> NodeRun:
    """A node of a row's values, in the order of its fields."""
    values = list(row)
    started = values[_STARTED]
    values[_STARTED] = started and utc(started)
    values[_DETAIL] = detail_of(values[_DETAIL])
    return NodeRun(*values)


def _in_utc(row: "Row[Any]") -> dict[str, Any]:
    values = row._asdict()
    started = values["started_at"]
    return {**values, "started_at": started and utc(started)}


def store_identity(url: str) -> object:
    """What identifies the file of a store, to notice its replacement; None if there is none.

    Reading must not create one.
    """
    prefix = "sqlite:///"
    if not url.startswith(prefix):
        return url
    try:
        found = Path(url.removeprefix(prefix).partition("?")[0]).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


_LAST = 200
_BACKUPS = 3
_KEPT = 32  # runs whose lines are remembered
# `exception` is a traceback, which holds paths of this machine
_NOT_SHOWN = frozenset({"time", "level", "logger", "message", "run_id", "exception"})


def relative_paths(message: str, root: str) -> str:
    """A message with paths relative to the project, so that it does not reveal where that is."""
    if root:
        for end in ("/", "\\"):
            message = message.replace(f"{root}{end}", "")
    return message


def lines_of(newest: Path, run_id: str, *, root: str = "") -> tuple[LogLine, ...]:
    """The last 200 lines of a run, in order; empty where there is no log.

    Args:
        newest: the log file; older ones are beside it as ``.1``, ``.2``, ``.3``.
        run_id: the run.
        root: the project's directory, which is cut from paths.
    """
    try:
        known = newest.stat()
        stamp = known.st_ino, known.st_size, known.st_mtime_ns
    except OSError:
        stamp = (0, 0, 0)
    return _read(newest, run_id, root, stamp)


@lru_cache(maxsize=_KEPT)
def _read(newest: Path, run_id: str, root: str, _: tuple[int, int, int]) -> tuple[LogLine, ...]:
    """As above; cached until something is written to the log."""
    found: deque[LogLine] = deque(maxlen=_LAST)
    mark = json.dumps(run_id).encode()
    older = [newest.with_name(f"{newest.name}.{n}") for n in range(_BACKUPS, 0, -1)]
    for path in (*older, newest):
        try:
            with path.open("rb") as stream:
                found += [_line(raw, root) for raw in stream if mark in raw]
        except OSError:
            continue
    return tuple(found)


def _line(raw: bytes, root: str) -> LogLine:
    try:
        fields = json.loads(raw)
        at = datetime.fromisoformat(fields["time"])
    except (ValueError, TypeError, KeyError):
        return LogLine(at=None, level="info", event="a line that cannot be read")
    return LogLine(
        at=at,
        level=str(fields.get("level", "info")),
        event=str(fields.get("message", "")),
        details=" ".join(
            f"{key}={relative_paths(str(value), root)}"
            for key, value in fields.items()
            if key not in _NOT_SHOWN
        ),
    )
