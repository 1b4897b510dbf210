"""The project on every target that is installed: equal marts, and SQL that each dialect knows."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlfluff.core import FluffConfig, Linter

from headrace.pipeline.parity import ParityOptions, ParityReport, parity
from headrace.settings import resolve
from target_places import PLACES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FIRST = "duckdb"
# sqlfluff's names where they differ from sqlglot's
DIALECTS = {"spark": "sparksql"}


class Compared:
    """All targets, built once.

    Attributes:
        report: of the comparison.
        folder: what was kept of them, by target.
        dialects: by target.
    """

    def __init__(self, folder: Path, places: ExitStack) -> None:
        self.folder = folder / "kept"
        self.flags = [f"data_dir={folder / 'data'}"]
        self.dialects: dict[str, str] = {}
        for type_, place in PLACES.items():
            if " " in type_:
                continue  # another form of a target that is there
            (folder / type_).mkdir()
            try:
                found = places.enter_context(place(folder / type_))
            except pytest.skip.Exception:  # its extra is not installed
                continue
            self.flags += found.flags
            target = resolve(ROOT, flags=[*self.flags, f"target={found.target}"], environ={}).target
            self.dialects[found.target] = target.dialect
        if len(self.dialects) < 2:
            pytest.skip("uv sync --all-extras")
        self.report: ParityReport = parity(
            resolve(ROOT, flags=self.flags, environ={}),
            tuple(self.dialects),
            ParityOptions(sources=("jaffle_shop", "shop"), scale=0.02, keep=self.folder),
            flags=self.flags,
        )


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    with ExitStack() as places:
        yield Compared(tmp_path_factory.mktemp("parity"), places)


def test_every_target_has_the_same_marts(compared: Compared) -> None:
    found = {
        target.target: target.error
        or {table.name: table.outcome for table in target.tables if table.outcome != "identical"}
        for target in compared.report.targets
    }
    assert compared.report.is_good, found
    names = {table.name for table in compared.report.targets[0].tables}
    assert {"marts.orders", "marts.fct_orders", "marts.dim_customers"} <= names


def test_what_dbt_compiled_is_sql_of_the_dialect(compared: Compared) -> None:
    unread = []
    for target, dialect in compared.dialects.items():
        config = FluffConfig(overrides={"dialect": DIALECTS.get(dialect, dialect)})
        linter = Linter(config=config)
        manifests = list((compared.folder / target).rglob("dbt/target/manifest.json"))
        assert manifests, target
        nodes = json.loads(manifests[0].read_bytes())["nodes"].values()
        compiled = {
            node["name"]: node["compiled_code"]
            for node in nodes
            if node["resource_type"] in {"model", "snapshot"} and node.get("compiled_code")
        }
        assert len(compiled) > 20, target
        unread += [
            (target, name, str(problems[0]))
            for name, sql in compiled.items()
            if (problems := linter.parse_string(sql).violations)
        ]
    assert unread == []
