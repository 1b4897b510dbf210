"""The project on every target that is installed: equal marts, and SQL that each dialect knows.

Spark takes minutes: a workflow compares it each night, by the command.
"""

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab import ROOT
from small_project import copy_models, leave_tests
from sqlfluff.core import FluffConfig, Linter
from warm_process import run_module

from headrace.pipeline.parity import ParityOptions, ParityReport, parity
from headrace.settings import resolve
from target_places import PLACES

pytestmark = pytest.mark.slow

FIRST = "duckdb"
# sqlfluff's names where they differ from sqlglot's
DIALECTS = {"spark": "sparksql"}
PLAIN_TESTS = ("not_null", "unique", "relationships", "accepted_values")


@dataclass(frozen=True)
class Group:
    """Targets that are compared with DuckDB.

    Attributes:
        types: of the targets.
        sources: what is loaded; engines that take seconds for each model get the small one.
        models: at least so many are compiled.
        marts: some of those that there must be.
    """

    types: tuple[str, ...]
    sources: tuple[str, ...]
    models: int
    marts: frozenset[str]


GROUPS = {
    "databases and lakes": Group(
        (FIRST, "ducklake", "lake", "postgres"),
        ("jaffle_shop", "shop"),
        20,
        frozenset({"marts.orders", "marts.fct_orders", "marts.dim_customers"}),
    ),
    "Sail and cloud warehouses": Group(
        (FIRST, "sail", "snowflake", "redshift"),
        ("jaffle_shop",),
        5,
        frozenset({"marts.orders", "marts.customers"}),
    ),
}


class Compared:
    """Targets, built once.

    Attributes:
        group: which.
        report: of the comparison.
        folder: what was kept of them, by target.
        dialects: by target.
    """

    def __init__(self, group: Group, root: Path, folder: Path, places: ExitStack) -> None:
        self.group = group
        self.folder = folder / "kept"
        self.flags = [f"data_dir={folder / 'data'}"]
        self.dialects: dict[str, str] = {}
        self._runs = 0
        for type_ in group.types:
            (folder / type_).mkdir()
            found = places.enter_context(PLACES[type_](folder / type_))
            self.flags += found.flags
            target = resolve(root, flags=[*self.flags, f"target={found.target}"], environ={}).target
            self.dialects[found.target] = target.dialect
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("headrace.pipeline.parity._headrace", self._run)
            self.report: ParityReport = parity(
                resolve(root, flags=self.flags, environ={}),
                tuple(self.dialects),
                ParityOptions(sources=group.sources, scale=0.02, keep=self.folder),
                flags=self.flags,
            )

    def _run(
        self, words: Sequence[str], folder: Path, environ: Mapping[str, str]
    ) -> "subprocess.CompletedProcess[str]":
        """As the command does, from a process that has imported dlt and dbt.

        Unit tests read none of the data: each target has them in its first run alone.
        """
        self._runs += 1
        if self._runs == len(self.dialects) + 1:
            leave_tests(folder / "dbt_project", lambda test: "given" not in test)
        return run_module("headrace", words, cwd=folder, env=environ)


def few_plain_ones() -> Callable[[Any], bool]:
    """Leaves two of those whose SQL is the same but for names and values."""
    seen: Counter[tuple[str, ...]] = Counter()

    def is_left(test: Any) -> bool:
        name, more = next(iter(test.items())) if isinstance(test, dict) else (test, {})
        if name not in PLAIN_TESTS:
            return True
        form = (name, *more.get("arguments", ()), *more.get("config", ()))
        seen[form] += 1
        return seen[form] <= 2

    return is_left


@pytest.fixture(scope="module", params=list(GROUPS))
def compared(
    request: pytest.FixtureRequest, jaffle_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Compared]:
    group = GROUPS[request.param]
    root = tmp_path_factory.mktemp("parity") / "project"
    shutil.copytree(jaffle_root, root, ignore=shutil.ignore_patterns("dbt_project"))
    models = root / "dbt_project"
    # dbt would parse the models of other sources for each target
    copy_models(ROOT / "dbt_project", models, simulated=group.sources, unit_tests=True)
    leave_tests(models, few_plain_ones())
    with ExitStack() as places:
        yield Compared(group, root, tmp_path_factory.mktemp("parity"), places)


def test_every_target_has_the_same_marts(compared: Compared) -> None:
    found = {
        target.target: target.error
        or {table.name: table.outcome for table in target.tables if table.outcome != "identical"}
        for target in compared.report.targets
    }
    assert compared.report.is_good, found
    names = {table.name for table in compared.report.targets[0].tables}
    assert compared.group.marts <= names


def test_what_dbt_compiled_is_sql_of_the_dialect(compared: Compared) -> None:
    unread = []
    # three targets are DuckDB's, and their SQL differs in the database's name alone
    read: set[tuple[str, str]] = set()
    for target, dialect in compared.dialects.items():
        config = FluffConfig(overrides={"dialect": DIALECTS.get(dialect, dialect)})
        linter = Linter(config=config)
        manifests = list((compared.folder / target).rglob("dbt/target/manifest.json"))
        assert manifests, target
        nodes = json.loads(manifests[0].read_bytes())["nodes"].values()
        results = json.loads(manifests[0].with_name("run_results.json").read_bytes())["results"]
        built = {one["unique_id"] for one in results if one["status"] == "success"}
        compiled = {
            node["name"]: node["compiled_code"]
            for node in nodes
            if node["unique_id"] in built and node.get("compiled_code")
        }
        assert len(compiled) >= compared.group.models, target
        databases = {re.escape(node["database"]) for node in nodes if node["database"]}
        for name, sql in compiled.items():
            plain = (dialect, re.sub("|".join(databases), "", sql))
            if plain in read:
                continue
            read.add(plain)
            if problems := linter.parse_string(sql).violations:
                unread.append((target, name, str(problems[0])))
    assert unread == []
