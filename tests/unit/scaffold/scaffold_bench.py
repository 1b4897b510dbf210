"""A dbt project of one's own and dlt's schema of a source, as a real load left it, to change."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.scaffold import ScaffoldReport, scaffold
from headrace.settings import Resolved, resolve

ROOT = Path(__file__).parents[3]
STORE = Path(__file__).with_name("store.schema.json")


@dataclass(frozen=True)
class Bench:
    """A project with the source ``store``: orders with lines and discounts, visits, clicks."""

    root: Path

    @property
    def resolved(self) -> Resolved:
        return resolve(self.root, environ={})

    @property
    def dbt(self) -> Path:
        return self.root / "dbt_project"

    @property
    def folder(self) -> Path:
        """Where the models go."""
        return self.dbt / "models" / "staging" / "store"

    @property
    def schema_path(self) -> Path:
        return self.root / "data" / "dlt" / "store" / "schemas" / "store.schema.json"

    @property
    def schema(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.schema_path.read_text("utf-8"))
        return content

    def scaffold(self, *, dry_run: bool = False) -> ScaffoldReport:
        return scaffold(self.resolved, "store", dry_run=dry_run)

    def path(self, name: str) -> Path:
        """A file of the source: ``sources`` for its yml, ``lock``, or ``orders.sql``."""
        known = {"sources": "_store__sources.yml", "lock": "_store__scaffold.lock"}
        return self.folder / known.get(name, f"stg_store__{name}")

    def text(self, name: str) -> str:
        return self.path(name).read_bytes().decode()

    def edit(self, name: str, old: str, new: str) -> None:
        """What a user does to a file."""
        text = self.text(name)
        assert text.count(old) == 1, (old, text)
        self.path(name).write_bytes(text.replace(old, new).encode())

    def add_column(self, table: str, column: str, data_type: str = "text", **hints: object) -> None:
        """The source has a column more, as dlt would write it."""
        schema = self.schema
        columns = schema["tables"][table]["columns"]
        new = {"name": column, "data_type": data_type, "nullable": True} | hints
        late = {key: columns.pop(key) for key in list(columns) if key.startswith("_dlt")}
        columns.update({column: new} | late)
        self.keep(schema)

    def hint(self, table: str, column: str, **hints: object) -> None:
        schema = self.schema
        schema["tables"][table]["columns"][column].update(hints)
        self.keep(schema)

    def drop_column(self, table: str, column: str) -> None:
        schema = self.schema
        del schema["tables"][table]["columns"][column]
        self.keep(schema)

    def add_child(self, parent: str, field: str) -> None:
        """The source has a list more, of texts."""
        schema = self.schema
        table = dict(schema["tables"]["orders__tags"])
        table |= {"name": f"{parent}__{field}", "parent": parent}
        schema["tables"][f"{parent}__{field}"] = table
        self.keep(schema)

    def keep(self, schema: Mapping[str, Any]) -> None:
        self.schema_path.write_text(json.dumps(schema, ensure_ascii=False), encoding="utf-8")

    def tree(self) -> dict[str, tuple[bytes, int]]:
        """Every file of the dbt project: its bytes, and when it was written."""
        return {
            path.relative_to(self.dbt).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in sorted(self.dbt.rglob("*"))
            if path.is_file()
        }


def make_bench(root: Path) -> Bench:
    """A project in which nothing was scaffolded yet."""
    bench = Bench(root)
    (root / "config").mkdir(parents=True)
    (root / "config" / "default.yml").write_text("sources:\n  store: {}\n  storage: {}\n")
    (root / "dlt_pipelines").mkdir()
    bench.schema_path.parent.mkdir(parents=True)
    shutil.copy(STORE, bench.schema_path)
    project = ROOT / "dbt_project"
    for part in ("macros", "tests/generic"):
        shutil.copytree(project / part, bench.dbt / part)
    shutil.copy(project / "dbt_project.yml", bench.dbt)
    (bench.dbt / "models").mkdir()
    return bench
