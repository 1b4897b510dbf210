"""Generated files: rows of ten columns, by DuckDB; ``python -m benchmarks.data`` writes them.

The same arguments give the same rows with the same version of DuckDB.
"""

import argparse
import shutil
from pathlib import Path
from typing import Literal

from benchmarks.measure import BenchmarkError, duckdb_alone, python, run_process

Format = Literal["parquet", "csv"]
ROWS_PER_FILE = 10_000_000


def rows_sql(first: int, last: int, *, salt: int = 0) -> str:
    """A ``SELECT`` of the orders ``first`` to ``last`` (exclusive).

    Args:
        first: the first id.
        last: the id after the last.
        salt: another salt gives other values for the same ids.
    """

    def number(column: int, limit: int) -> str:
        return f"(hash(i, {column}, {salt}) % {limit})::bigint"

    return f"""
        select
            i::bigint as id,
            {number(1, 1_000_000)} as customer_id,
            'Customer ' || {number(2, 1_000_000)} as name,
            'user' || {number(3, 1_000_000)} || '@example.com' as email,
            ({number(4, 1_000_000)} / 100.0)::decimal(12, 2) as amount,
            1 + {number(5, 20)} as quantity,
            {number(6, 10)} < 7 as is_paid,
            date '2020-01-01' + {number(7, 2000)}::int as order_date,
            timestamp '2020-01-01' + to_seconds({number(8, 150_000_000)}) as created_at,
            ['placed', 'shipped', 'completed', 'returned', 'cancelled'][1 + {number(9, 5)}]
                as status
        from range({first}, {last}) as ids (i)
    """


def folder_of(work: Path, *, rows: int, form: Format) -> Path:
    """The folder of ``rows`` rows, written if it is not there yet; one file for each 10 M rows."""
    folder = work / "data" / f"{rows}_{form}"
    if folder.is_dir():
        return folder
    temporary = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    # in a process of its own: the one that measures stays small
    run_process(python("-m", "benchmarks.data", temporary, str(rows), form))
    temporary.rename(folder)
    return folder


def write_changes(path: Path, *, of_rows: int, changes: int, salt: int) -> None:
    """Write a Parquet file of ``changes`` rows, spread evenly over ids below ``of_rows``."""
    step = of_rows // changes
    if step < 1:
        raise BenchmarkError(f"{changes} changes do not fit {of_rows} rows")
    sql = rows_sql(0, of_rows, salt=salt).replace(
        f"from range(0, {of_rows})", f"from range({salt % step}, {of_rows}, {step})"
    )
    _copy(f"select * from ({sql}) limit {changes}", path)


def write_added(path: Path, *, of_rows: int, added: int, number: int) -> None:
    """Write a Parquet file of ``added`` rows, the ``number``-th after ids below ``of_rows``."""
    first = of_rows + number * added
    _copy(rows_sql(first, first + added), path)


def write_again(path: Path, *, of_rows: int, changes: int, salt: int) -> None:
    """Write a file of all rows, of which ``changes``, spread evenly, have other values."""
    step = of_rows // changes
    changed = f"id % {step} = {salt % step} and id < {step * changes}"
    rows, others = rows_sql(0, of_rows), rows_sql(0, of_rows, salt=salt)
    _copy(
        f"select * from ({rows}) where not ({changed}) "
        f"union all select * from ({others}) where {changed}",
        path,
    )


def _copy(sql: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    copy = f"copy ({sql}) to '{path}' (format {path.suffix[1:]})"
    duckdb_alone(":memory:", copy)


def _write(folder: Path, rows: int, form: Format) -> None:
    import duckdb

    folder.mkdir(parents=True)
    options = "format parquet" if form == "parquet" else "format csv, header"
    with duckdb.connect(config={"memory_limit": "2GB"}) as connection:
        connection.execute("set preserve_insertion_order = true")
        for number, first in enumerate(range(0, rows, ROWS_PER_FILE)):
            sql = rows_sql(first, min(rows, first + ROWS_PER_FILE))
            connection.execute(f"copy ({sql}) to '{folder}/part_{number:03}.{form}' ({options})")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("rows", type=int)
    options.add_argument("form", choices=("parquet", "csv"))
    chosen = options.parse_args()
    _write(chosen.folder, chosen.rows, chosen.form)
