"""How targets are compared: what they ran with, which marts are equal, and what differs."""

import json
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from step_lab import manifest_of, mart, project, stand_in

from headrace.errors import ParityError
from headrace.pipeline.parity import ParityOptions, ParityReport, parity
from headrace.settings import Resolved

TARGETS = "target: one\ntargets: {one: {}, two: {}, three: {}}\n"
SOURCES = "sources: {files: {enabled: true}, other: {enabled: true}}\n"


class Runs:
    """Stands in for `headrace run`: writes what a target publishes, and says how it went."""

    def __init__(self, marts: dict[str, Sequence[str]]) -> None:
        self.marts = marts
        self.sets: list[dict[str, str]] = []
        self.fails: dict[str, dict[str, Any]] = {}
        self.says = ""

    def __call__(self, words: Sequence[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        sets = dict(text.split("=", 1) for text in words[6::2])
        self.sets.append(sets)
        name, path = sets["target"], Path(sets["publish.path"])
        if name in self.fails:
            out = json.dumps(self.fails[name]) if self.fails[name] else ""
            return subprocess.CompletedProcess(words, 1, out, self.says)
        path.unlink(missing_ok=True)
        with duckdb.connect(str(path)) as connection:
            connection.execute("create schema marts")
            for sql in self.marts.get(name, ()):
                connection.execute(sql)
        report = {"seconds": 2.0, "load": {"seconds": 0.5}, "build": {"seconds": 1.0}}
        return subprocess.CompletedProcess(words, 0, json.dumps(report), "")


Compare = Callable[..., ParityReport]


@pytest.fixture
def resolved(tmp_path: Path) -> Resolved:
    for name in ("files", "other"):
        folder = tmp_path / "dlt_pipelines" / name
        folder.mkdir(parents=True)
        takes = "*, as_of=None, scale=1.0" if name == "files" else ""
        (folder / "__init__.py").write_text(f"def build_source({takes}): ...\n", "utf-8")
    return project(tmp_path, TARGETS + SOURCES)


@pytest.fixture
def compare(resolved: Resolved, monkeypatch: pytest.MonkeyPatch) -> Compare:
    orders = mart("orders")
    stand_in(monkeypatch, "parity.read_manifest", manifest_of(orders))

    def run(runs: Runs, *targets: str, **options: Any) -> ParityReport:
        monkeypatch.setattr(subprocess, "run", runs)
        return parity(resolved, targets, ParityOptions(**options))

    return run


ORDERS = (
    "create table marts.orders as select i::integer as id, (i / 4)::decimal(10, 2) as price, "
    "i * 0.1::double as share, timestamp '2024-01-01 10:00:00' as at, [i] as parts "
    "from range(10) as t(i)"
)
# of other widths, in another order, with a sum that was added up in another order
ORDERS_ELSEWHERE = (
    "create table marts.orders as select i::hugeint as id, (i / 4)::decimal(20, 6) as price, "
    "i * 0.1::double + 1e-13 as share, timestamptz '2024-01-01 10:00:00+00' as at, [i] as parts "
    "from range(10) as t(i) order by i desc"
)


def test_other_widths_and_another_order_are_equal(compare: Compare, resolved: Resolved) -> None:
    runs = Runs({"one": [ORDERS], "two": [ORDERS_ELSEWHERE], "three": [ORDERS]})
    report = compare(runs, "one", "two", "three")
    assert report.is_good
    found = {target.target: target.tables[0] for target in report.targets}
    assert {name: one.outcome for name, one in found.items()} == {
        "one": "identical",
        "two": "equal",
        "three": "identical",
    }
    assert found["one"].content == found["three"].content != found["two"].content
    assert {one.rows for one in found.values()} == {10}
    assert report.targets[0].seconds == (2.0, 2.0)
    assert report.targets[0].steps == {"load": 1.0, "build": 2.0, "publish": 0.0}
    assert list(resolved.data_dir.glob("parity-*")) == []


def test_each_run_has_a_place_of_its_own_and_the_same_data(
    compare: Compare, resolved: Resolved
) -> None:
    runs = Runs({"one": [ORDERS], "two": [ORDERS]})
    at = datetime(2024, 3, 1, tzinfo=UTC)
    report = compare(runs, "one", "two", as_of=at, scale=0.5)
    assert [sets["target"] for sets in runs.sets] == ["one", "two", "one", "two"]
    assert [sets["sources.files.as_of"][:10] for sets in runs.sets] == [
        "2024-01-31", "2024-01-31", "2024-03-01", "2024-03-01",
    ]  # fmt: skip
    places = {sets["data_dir"] for sets in runs.sets}
    assert len(places) == 2
    assert all(Path(place).is_relative_to(resolved.data_dir) for place in places)
    assert runs.sets[1]["targets.two.path"].startswith(runs.sets[1]["data_dir"])
    assert report.notes == ("other was loaded twice as it is: it takes no as_of",)


@pytest.mark.parametrize(
    ("sql", "outcome", "says"),
    [
        (ORDERS.replace("range(10)", "range(9)"), "different", "rows_removed"),
        (ORDERS.replace("i * 0.1", "i * 0.2"), "different", "columns_changed"),
        (ORDERS.replace("i::integer as id", "i::varchar as id"), "different", "columns_retyped"),
        (ORDERS.replace("[i] as parts", "[i + 1] as parts"), "different", "columns_changed"),
        (ORDERS.replace("as price", "as cost"), "different", "columns_added"),
        (ORDERS.replace("marts.orders", "marts.other"), "missing", None),
    ],
)
def test_what_differs_is_told(compare: Compare, sql: str, outcome: str, says: str | None) -> None:
    report = compare(Runs({"one": [ORDERS], "two": [sql]}), "one", "two")
    assert not report.is_good
    table = report.targets[1].tables[0]
    assert table.outcome == outcome
    if says is not None:
        assert table.name == "marts.orders"
        assert getattr(table.difference, says)


def test_a_tolerance_of_nothing_is_exact(compare: Compare) -> None:
    runs = Runs({"one": [ORDERS], "two": [ORDERS_ELSEWHERE]})
    assert not compare(runs, "one", "two", tolerance=0.0).is_good


@pytest.mark.parametrize(
    ("report", "said", "why"),
    [
        ({"audit": {"problems": ["unique_orders failed"]}}, "", "unique_orders failed"),
        ({"error": "the source is gone"}, "", "the source is gone"),
        ({}, "note: x\nerror: there is no server\n", "there is no server"),
        ({}, "", "no reason was given"),
    ],
)
def test_a_target_that_cannot_be_built_says_why(
    compare: Compare, report: dict[str, Any], said: str, why: str
) -> None:
    runs = Runs({"one": [ORDERS]})
    runs.fails, runs.says = {"two": report}, said
    found = compare(runs, "one", "two")
    assert not found.is_good
    assert [target.error for target in found.targets] == [None, why]
    assert len(runs.sets) == 3  # not run again


def test_nothing_to_compare_is_not_equal(compare: Compare) -> None:
    assert not compare(Runs({}), "one", "two").is_good


def test_what_targets_have_is_kept_on_request(compare: Compare, tmp_path: Path) -> None:
    runs = Runs({"one": [ORDERS], "two": [ORDERS]})
    keep = tmp_path / "kept"
    assert compare(runs, "one", "two", keep=keep).is_good
    assert (keep / "two" / "published.duckdb").is_file()
    with pytest.raises(ParityError, match="is not empty"):
        compare(runs, "one", "two", keep=keep)


@pytest.mark.parametrize(
    ("targets", "sources", "words"),
    [
        (("one",), (), "name two targets or more"),
        (("one", "one"), (), "name two targets or more"),
        (("one", "two"), ("nothing",), "there is no source nothing: .*files, other"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    compare: Compare, targets: tuple[str, ...], sources: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ParityError, match=words):
        compare(Runs({}), *targets, sources=sources)
