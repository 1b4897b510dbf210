"""How long it takes to write a table that is there already: what no generator can save.

The same blocks, files and options, by as many threads, from memory. Prints the seconds.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.synth.files import parquet_options
from headrace.synth.view import View
from headrace.synth.world import World
from headrace.synth.writer import FILE_ROWS, GROUP_ROWS, Writer


def main() -> None:
    """Make one file's blocks, and write them as often as the whole table would need."""
    schema, table, scale, out = sys.argv[1:]
    world = World.from_file(Path(schema), scale=float(scale))
    view = View.of(world)
    plan = world.plans[table]
    total = view.root_total(plan)
    types = Writer(view, Path(out)).file_schema(plan)
    blocks = [batch.cast(types) for batch in view.batches(plan, (0, min(total, FILE_ROWS)))]
    groups = []
    waiting: list[pa.RecordBatch] = []
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= GROUP_ROWS:
            groups.append(pa.Table.from_batches(waiting, types))
            waiting = []
    if waiting:
        groups.append(pa.Table.from_batches(waiting, types))
    files = -(-total // FILE_ROWS)
    Path(out).mkdir(parents=True, exist_ok=True)

    def write(number: int) -> None:
        path = Path(out) / f"{number}.parquet"
        with pq.ParquetWriter(path, types, **parquet_options(plan, types)) as writer:
            rows = min(FILE_ROWS, total - number * FILE_ROWS)
            for group in groups:
                if rows > 0:
                    writer.write_table(group.slice(0, rows), row_group_size=len(group))
                    rows -= len(group)

    started = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(write, range(files)))
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
