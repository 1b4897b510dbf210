"""Headrace: artifacts to the catalog's graph, then column lineage with a cache on disk.

Arguments: dbt's target folder, the folder of the cache, the file for the direct edges.
"""

import importlib
import json
import sys
import time
from pathlib import Path

from headrace.artifacts import read_artifacts
from headrace.catalog.build import build_catalog
from headrace.lineage.columns import column_lineage


def main() -> None:
    """Read, build, trace."""
    target, cache, out = map(Path, sys.argv[1:4])
    if not cache.exists():
        importlib.import_module("sqlglot.dialects.duckdb")  # as the others, before the clock starts
    catalog = build_catalog(
        read_artifacts(target, target / "no_pipelines"), raw_schema=lambda source: source
    )
    started = time.perf_counter()
    found = column_lineage(catalog, dialect="duckdb", cache=cache)
    seconds = time.perf_counter() - started
    names = {key: asset.dbt_id or key for key, asset in catalog.assets.items()}
    edges = [
        (names[edge.parent], edge.parent_column, names[edge.child], edge.child_column)
        for edge in found.edges
        if edge.is_direct and edge.child_column
    ]
    out.write_text(json.dumps(edges), "utf-8")
    print(json.dumps({"seconds": seconds, "read": found.read, "reused": found.reused,
                      "problems": len(found.problems), "models": len(found.columns)}))  # fmt: skip


if __name__ == "__main__":
    main()
