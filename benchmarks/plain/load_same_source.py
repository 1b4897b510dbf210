"""The jaffle shop by dlt and Headrace's own source, without the rest of Headrace.

``load_same_source.py CSV_DIR WAREHOUSE PIPELINES_DIR``: the source of ``dlt_pipelines``, which
skips files that did not change, in a plain ``pipeline.run``.
"""

import os
import sys
from pathlib import Path
from typing import Any

import dlt
from dlt_pipelines.jaffle_shop import build_source

from headrace.ingest import IngestContext, TableLoad
from headrace.ingest.model import SchemaContract

os.environ["NORMALIZE__MODEL_NORMALIZER__ADD_DLT_LOAD_ID"] = "true"
os.environ["NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID"] = "true"
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"


def main(directory: Path, warehouse: Path, pipelines_dir: Path) -> None:
    """Load what changed in the three files into ``jaffle_shop_raw``."""

    def attach(connection: Any, alias: str) -> bool:
        if warehouse.exists():
            connection.execute(f"attach '{warehouse}' as {alias} (read_only)")
        return warehouse.exists()

    def ignore(table: TableLoad) -> None:
        del table

    context = IngestContext(
        source="jaffle_shop",
        sample_dir=directory,
        scratch_dir=pipelines_dir / "scratch",
        cache_path=pipelines_dir / "file_hashes.json",
        dataset="jaffle_shop_raw",
        contract=SchemaContract(),
        attach_warehouse=attach,
        accepts_sql=True,
        full_refresh=False,
        thorough=False,
        memory_limit="512MB",
        report=ignore,
    )
    pipeline = dlt.pipeline(
        pipeline_name="jaffle_shop",
        destination=dlt.destinations.duckdb(str(warehouse)),
        dataset_name="jaffle_shop_raw",
        pipelines_dir=str(pipelines_dir),
    )
    pipeline.run(build_source(context, path=directory))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
