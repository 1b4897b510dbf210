"""Detect how the CSV files of a folder are written; prints the seconds that it took."""

import sys
import time
from pathlib import Path

from headrace.ingest.csv_dialect import find_dialect
from headrace.ingest.discover import SourceFile
from headrace.ingest.model import FileTable


def main() -> None:
    """Detect once for each file, as a load does."""
    files = [
        SourceFile(path, path.name, path.stat().st_size, "")
        for path in sorted(Path(sys.argv[1]).glob("*.csv"))
    ]
    table = FileTable("*.csv")
    started = time.perf_counter()
    for file in files:
        find_dialect(file, table)
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
