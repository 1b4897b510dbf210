"""Rows that are in one of two tables only, by DuckDB's EXCEPT: `diff_with_except.py A B`."""

import json
import sys

import duckdb

with duckdb.connect(config={"memory_limit": "2GB"}) as connection:
    connection.execute(f"attach '{sys.argv[1]}' as a (read_only)")
    connection.execute(f"attach '{sys.argv[2]}' as b (read_only)")
    counts = {}
    for name, one, other in (("only_before", "a", "b"), ("only_after", "b", "a")):
        sql = f"select count(*) from (from {one}.marts.t except from {other}.marts.t)"
        (counts[name],) = connection.execute(sql).fetchone() or (None,)
print(json.dumps(counts))
