"""Headrace's load in a process that has done one before, as a scheduler's has.

``python -m benchmarks.warm_load SOURCE [KEY=VALUE]…`` loads a file of one row, so that all is
imported; then it loads SOURCE, and prints the seconds of that and its report as JSON.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import ROOT
from headrace.pipeline.run import run
from headrace.settings import resolve


def main() -> None:
    """Warm up, then run with the clock on."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "one.csv").write_text("id\n1\n", encoding="utf-8")
        tables = {"one": {"pattern": "one.csv", "primary_key": ["id"]}}
        source = json.dumps({"kind": "files", "path": folder, "tables": tables})
        flags = [f"data_dir={folder}/data", f"sources.warm_up={source}"]
        run(resolve(ROOT, flags=flags), steps=("load",), source_names=("warm_up",))
    started = time.perf_counter()
    report = run(resolve(ROOT, flags=sys.argv[2:]), steps=("load",), source_names=(sys.argv[1],))
    print(time.perf_counter() - started)
    print(report.model_dump_json())


if __name__ == "__main__":
    main()
