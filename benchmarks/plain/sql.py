"""SQL by DuckDB alone: ``sql.py DATABASE SQL [SETTING=VALUE]…``.

Connects, executes and closes; prints the seconds that this took, without Python's own start.
"""

import sys
import time

import duckdb

if __name__ == "__main__":
    settings: dict[str, str] = {}
    for argument in sys.argv[3:]:
        key, _, value = argument.partition("=")
        settings[key] = value
    started = time.perf_counter()
    with duckdb.connect(sys.argv[1], config=dict(settings)) as connection:
        connection.execute(sys.argv[2])
    print(time.perf_counter() - started)
