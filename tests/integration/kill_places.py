"""What is run, where, and how it looks: the input, data directories, pictures of them."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kill_forks import Tell

if TYPE_CHECKING:
    import duckdb

ROOT = Path(__file__).parents[2]
STEPS = ("load", "build", "publish")
_METHODS = ("credit_card", "coupon", "bank_transfer", "gift_card")
_STATUSES = ("placed", "shipped", "completed", "return_pending", "returned")
_PERIOD = 7  # every row changes once in so many versions

Picture = dict[str, Any]


def write_input(directory: Path, version: int, orders: int) -> None:
    """Write the three files of one version of the input.

    Versions grow: each one changes some rows of the one before and adds others, and two of them
    add a column. So the raw tables after any history are those of a clean load of the last one.

    Args:
        directory: where to write; what stands there is replaced, a file at a time.
        version: counts from 0.
        orders: how many orders version 0 has.
    """
    directory.mkdir(parents=True, exist_ok=True)
    many = orders + version * (orders // 50)
    people = many // 5
    with_email, with_channel, swapped = version >= 1, version >= 3, version % 2 == 1
    customers = ["id,first_name,last_name" + (",email" if with_email else "")]
    for i in range(1, people + 1):
        email = f",c{i}@example.org" if with_email else ""
        customers.append(f"{i},Name{i % 997},{_changed_at(i, version)}.{email}")
    sold = ["id,user_id,order_date,status" + (",channel" if with_channel else "")]
    paid = ["amount,id,order_id,payment_method" if swapped else "id,amount,order_id,payment_method"]
    for i in range(1, many + 1):
        changed = _changed_at(i + 3, version)
        channel = f",channel {i % 3}" if with_channel else ""
        day = f"2024-{i % 12 + 1:02}-{i % 28 + 1:02}"
        sold.append(f"{i},{i % people + 1},{day},{_STATUSES[(i + changed) % 5]}{channel}")
        amount = i % 2900 + 100 + _changed_at(i + 5, version)
        paid.append(f"{amount},{i}" if swapped else f"{i},{amount}")
        paid[-1] += f",{i},{_METHODS[i % 4]}"
    for name, lines in (("customers", customers), ("orders", sold), ("payments", paid)):
        path = directory / f"raw_{name}.csv"
        fresh = path.with_suffix(".new")
        fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
        fresh.replace(path)


def _changed_at(row: int, version: int) -> int:
    """The last version, up to this one, that changed a row."""
    return version - (version + row * 5) % _PERIOD if version >= (row * 5) % _PERIOD else 0


@dataclass(frozen=True)
class Place:
    """A data directory and the input that is loaded into it."""

    root: Path
    dbt_project: Path

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.root / "data"

    @property
    def published(self) -> Path:
        """The file that readers open."""
        return self.data / "published.duckdb"

    @property
    def flags(self) -> list[str]:
        """The settings."""
        return [
            f"data_dir={self.data}",
            f"sources.jaffle_shop.path={self.root / 'input'}",
            f"dbt.project_dir={self.dbt_project}",
        ]

    def put(self, version: Path) -> None:
        """Make a version of the input the current one, a file at a time."""
        directory = self.root / "input"
        directory.mkdir(parents=True, exist_ok=True)
        for path in version.iterdir():
            fresh = directory / f"{path.name}.new"
            shutil.copyfile(path, fresh)
            fresh.replace(directory / path.name)

    def become(self, other: "Place | None") -> None:
        """Hold what another place holds, and nothing else; empty for None.

        But what dbt has parsed is that of the last run here, as if the others had been made here.
        """
        parsed = self.data / "dbt" / "target" / "partial_parse.msgpack"
        aside = self.root.with_suffix(".parsed")
        if parsed.exists():
            parsed.replace(aside)
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        if other is not None:
            shutil.copytree(other.data, self.data)
            if aside.exists():
                shutil.copyfile(aside, parsed)


@dataclass(frozen=True)
class Moment:
    """When a child is to be killed.

    Attributes:
        after_s: so long after the step began, or after the operation.
        operation: the number of a file operation within the step; None to go by time alone.
        itself: whether the child kills itself right before that operation, so that the next
            thing on disk is missing for sure.
    """

    after_s: float
    operation: int | None = None
    itself: bool = False


class _Operations:
    """An audit hook that counts the operations which change files below a directory."""

    _OTHERS = frozenset(
        {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}
    )

    def __init__(self, root: Path, tell: Tell, moment: Moment | None) -> None:
        self.active = False
        self.seen = 0
        self._root = str(root)
        self._tell = tell
        self._moment = moment

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active or not self._counts(event, arguments):
            return
        self.seen += 1
        if self._moment is not None and self.seen == self._moment.operation:
            if self._moment.itself:
                os.kill(os.getpid(), signal.SIGKILL)
            self._tell("now")

    def _counts(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            return bool(writes) and isinstance(path, str) and path.startswith(self._root)
        if event not in self._OTHERS:
            return False
        # `rmtree` names things relative to a directory that it has open
        return str(arguments[0]).startswith(self._root) or event in {"os.remove", "os.rmdir"}


def run_in(
    place: Place,
    *,
    steps: tuple[str, ...] = STEPS,
    watched: str = "load",
    moment: Moment | None = None,
    bulk: bool = False,
    full_refresh: bool = False,
) -> Callable[[Tell], Any]:
    """The work of a child that runs the pipeline; it tells when a step begins and ends.

    Args:
        place: where.
        steps: which.
        watched: the step whose file operations are counted.
        moment: when it is to be killed, if by an operation.
        bulk: whether files are handed to the warehouse as they are, whatever their size.
        full_refresh: whether to start over.
    """

    def work(tell: Tell) -> Any:
        from headrace.ingest import stage
        from headrace.pipeline.reports import Event
        from headrace.pipeline.run import run
        from headrace.settings import resolve

        if bulk:
            stage.BULK_BYTES = 0
        operations = _Operations(place.root, tell, moment)
        sys.addaudithook(operations)

        def listen(event: Event) -> None:
            if event.name != event.step:
                return
            if event.step == watched:
                operations.active = event.state == "started"
            tell(f"{event.state} {event.step}")

        report = run(
            resolve(ROOT, flags=place.flags, environ={}),
            steps=cast("Any", steps),
            full_refresh=full_refresh,
            listen=listen,
        )
        return {**report.model_dump(mode="json"), "operations": operations.seen}

    return work


def look(place: Place) -> Picture:
    """Everything that must not depend on history: tables, marts, what is published, leftovers.

    Opens DuckDB, so it is for children only.
    """
    import sqlite3

    import duckdb

    picture: Picture = {"leftovers": _leftovers(place.data), "published": look_at_published(place)}
    with duckdb.connect(str(place.data / "warehouse.duckdb"), read_only=True) as connection:
        picture["tables"] = _tables(
            connection, ("jaffle_shop_raw", "staging", "intermediate", "marts")
        )
        raw = "jaffle_shop_raw"
        for table in ("raw_customers", "raw_orders", "raw_payments"):
            extra, unfinished = cast(
                "tuple[int, int]",
                connection.execute(
                    f"select count(*) - count(distinct id), count_if(_dlt_load_id not in "
                    f"(select load_id from {raw}._dlt_loads where status = 0)) from {raw}.{table}"
                ).fetchone(),
            )
            if extra or unfinished:
                picture["leftovers"].append(f"{table}: {extra} duplicates, {unfinished} unfinished")
    with closing(sqlite3.connect(place.data / "headrace.sqlite")) as store:
        running = store.execute("select count(*) from runs where status = 'running'").fetchone()[0]
        if running:
            picture["leftovers"].append(f"{running} runs still count as running")
    return picture


def look_at_published(place: Place) -> Picture | None:
    """The published file, whole; None where there is none. For children only."""
    import duckdb

    if not place.published.exists():
        return None
    with duckdb.connect(str(place.published), read_only=True) as connection:
        tables = _tables(connection, None)
        noted = connection.execute(
            "select name, row_count, fingerprint from _headrace.tables order by name"
        ).fetchall()
        runs = connection.execute("select count(*) from _headrace.publication").fetchall()
    return {"tables": tables, "noted": [list(row) for row in noted], "runs": runs[0][0]}


def _tables(
    connection: "duckdb.DuckDBPyConnection", schemas: tuple[str, ...] | None
) -> dict[str, list[Any]]:
    """Columns, rows and a digest of the content of every table and view, order aside."""
    found = connection.execute(
        "select table_schema, table_name, list(column_name || ' ' || data_type order by "
        "column_name), list(column_name order by column_name) from information_schema.columns "
        "where not starts_with(table_name, '_dlt') and not starts_with(column_name, '_dlt') "
        "and table_schema <> '_headrace' group by all order by all"
    ).fetchall()
    tables = {}
    for schema, table, shape, names in found:
        if schemas is not None and schema not in schemas:
            continue
        columns = ", ".join(f'"{name}"' for name in names)
        rows, xor, total = cast(
            "tuple[int, int, int]",
            connection.execute(
                f"select count(*), bit_xor(hash({columns})), sum(hash({columns})::hugeint) "
                f'from "{schema}"."{table}"'
            ).fetchone(),
        )
        tables[f"{schema}.{table}"] = [shape, rows, str(xor), str(total)]
    return tables


def _leftovers(data: Path) -> list[str]:
    """What a run that ended well must not leave lying about."""
    pending = [
        *data.glob("dlt/*/normalize/[!.e]*"),
        *data.glob("dlt/*/normalize/extracted/*"),
        *data.glob("dlt/*/load/new/*"),
        *data.glob("dlt/*/load/normalized/*"),
    ]
    temporary = [path for path in data.rglob("*") if ".tmp" in path.name]
    scratch = [path for path in data.glob("scratch/*/*") if path.is_file()]
    return [str(path.relative_to(data)) for path in (*pending, *temporary, *scratch)]
