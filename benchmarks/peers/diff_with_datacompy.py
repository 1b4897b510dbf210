"""Rows that differ between two tables, by datacompy on pandas: `diff_with_datacompy.py A B`."""

import json
import sys

import datacompy
import duckdb

frames = []
for path in sys.argv[1:3]:
    with duckdb.connect(path, read_only=True) as connection:
        frames.append(connection.execute("from marts.t").df())
Compare = getattr(datacompy, "PandasCompare", None) or datacompy.Compare
compared = Compare(frames[0], frames[1], join_columns="id")
found = {
    "added": len(compared.df2_unq_rows),
    "removed": len(compared.df1_unq_rows),
    "changed": len(compared.intersect_rows) - compared.count_matching_rows(),
}
print(json.dumps({kind: int(count) for kind, count in found.items()}))
