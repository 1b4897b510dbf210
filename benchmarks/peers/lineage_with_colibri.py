"""dbt-colibri, by its own extractor and without its page; run by the Python of its own environment.

Arguments: dbt's target folder, the file for the edges.
"""

import json
import sys
import time
from pathlib import Path

from dbt_colibri.lineage_extractor.extractor import (  # type: ignore[import-not-found]
    DbtColumnLineageExtractor,
)


def main() -> None:
    """Read, trace."""
    target, out = Path(sys.argv[1]), Path(sys.argv[2])
    started = time.perf_counter()
    extractor = DbtColumnLineageExtractor(
        str(target / "manifest.json"), str(target / "catalog.json")
    )
    found = extractor.extract_project_lineage()
    seconds = time.perf_counter() - started
    edges = [
        (parent["dbt_node"], parent["column"], child, column)
        for child, columns in found["lineage"]["parents"].items()
        for column, parents in columns.items()
        if not column.startswith("__colibri_")
        for parent in parents
    ]
    out.write_text(json.dumps(edges), "utf-8")
    print(json.dumps({"seconds": seconds, "models": len(found["lineage"]["parents"]),
                      "problems": len(found["errors"])}))  # fmt: skip


if __name__ == "__main__":
    main()
