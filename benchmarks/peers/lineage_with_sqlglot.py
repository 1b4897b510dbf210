"""sqlglot alone: parse and qualify each model once, then its `lineage` of all columns in one call.

Arguments: dbt's target folder, the file for the edges, seconds after which it stops.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from sqlglot import exp, parse_one
from sqlglot.lineage import lineage
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import build_scope
from sqlglot.schema import MappingSchema


def main() -> None:
    """Read, qualify, trace."""
    target, out, limit = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    manifest = json.loads((target / "manifest.json").read_text("utf-8"))
    catalog = json.loads((target / "catalog.json").read_text("utf-8"))
    started = time.perf_counter()
    tables: dict[str, Any] = {}
    ids: dict[tuple[str, str], str] = {}
    for key, entry in {**catalog["nodes"], **catalog["sources"]}.items():
        at = entry["metadata"]
        columns = {name: column["type"] for name, column in entry["columns"].items()}
        tables.setdefault(at["database"], {}).setdefault(at["schema"], {})[at["name"]] = columns
        ids[at["schema"], at["name"]] = key
    schema = MappingSchema(tables, dialect="duckdb")
    edges: set[tuple[str, str, str, str]] = set()
    done = 0
    for key, node in manifest["nodes"].items():
        if time.perf_counter() - started > limit:
            break
        done += 1
        tree = qualify(
            parse_one(node["compiled_code"], dialect="duckdb"),
            schema=schema,
            dialect="duckdb",
            validate_qualify_columns=False,
        )
        scope = build_scope(tree)
        found = lineage(
            None, tree, schema=schema, scope=scope, trim_selects=False, copy=False, dialect="duckdb"
        )
        for column, root in found.items():
            for step in root.walk():
                if not step.downstream and isinstance(step.expression, exp.Table):
                    table = step.expression
                    parent = ids.get((table.db, table.name))
                    if parent:
                        edges.add((parent, step.name.rsplit(".", 1)[-1].strip('"'), key, column))
    seconds = time.perf_counter() - started
    out.write_text(json.dumps(sorted(edges)), "utf-8")
    print(json.dumps({"seconds": seconds, "models": done}))


if __name__ == "__main__":
    main()
