"""The jaffle shop by dlt, the plain way: ``load.py CSV_DIR WAREHOUSE PIPELINES_DIR``.

Three CSV files through pyarrow into one dlt pipeline, merged on ``id``; every run reads all of
them. The raw tables have the shape that the dbt project reads.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import dlt
import pyarrow as pa
from pyarrow import csv

TABLES = ("raw_customers", "raw_orders", "raw_payments")


def read(path: Path) -> Iterator[pa.Table]:
    """A file as one Arrow table."""
    yield csv.read_csv(path)


def main(directory: Path, warehouse: Path, pipelines_dir: Path) -> None:
    """Load the three files into ``jaffle_shop_raw``."""
    dlt.config["normalize.parquet_normalizer.add_dlt_load_id"] = True
    dlt.config["runtime.dlthub_telemetry"] = False
    pipeline = dlt.pipeline(
        pipeline_name="jaffle_shop",
        destination=dlt.destinations.duckdb(str(warehouse)),
        dataset_name="jaffle_shop_raw",
        pipelines_dir=str(pipelines_dir),
    )
    pipeline.run(
        [
            dlt.resource(
                read(directory / f"{name}.csv"),
                name=name,
                primary_key="id",
                write_disposition="merge",
            )
            for name in TABLES
        ]
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
