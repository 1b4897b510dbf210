"""What readers had, and back to it: the published file, and a target that publishes itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from step_lab import manifest_of, mart, project, stand_in

from headrace.cli.main import app
from headrace.errors import PublishError
from headrace.pipeline.publishing import published_file
from headrace.pipeline.publishing.publications import history, published, rollback
from headrace.pipeline.publishing.publish import (
    PublishedState,
    publish,
    read_published_state,
    write_published_state,
)
from headrace.pipeline.publishing.published_file import published_rows
from headrace.pipeline.reports import Event, PublishReport
from headrace.settings import Resolved
from headrace.targets.publication import BuiltTable, Publication


@pytest.fixture
def resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resolved:
    """A project with one mart, of which two earlier publications are kept."""
    stand_in(monkeypatch, "publishing.publish.read_manifest", manifest_of(mart("orders")))
    return project(tmp_path, "publish: {keep: 2}\n")


def publish_orders(
    resolved: Resolved, run: str, rows: int, target: Any = None, listen: Any = lambda _: None
) -> PublishReport:
    path = Path(resolved.target.location)
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema if not exists marts")
        connection.execute(f"create or replace table marts.orders as from range({rows}) t(id)")
    return publish(resolved, target or resolved.target, run_id=run, code_version="c", listen=listen)


def runs(resolved: Resolved) -> list[str]:
    return [one.run_id for one in history(resolved)]


def test_rollback_of_the_published_file(resolved: Resolved) -> None:
    with pytest.raises(PublishError, match="nothing is published"):
        published(resolved)
    for number, run in enumerate(("r1", "r2", "r3", "r4"), start=1):
        publish_orders(resolved, run, number)
    assert runs(resolved) == ["r4", "r3", "r2"]
    at = datetime.now(UTC)
    write_published_state(
        resolved, PublishedState(run_id="r4", code_version="c", published_at=at, signature="s")
    )
    (now,) = rollback(resolved, "r3").publications
    assert (now.run_id, now.is_current, now.tables[0].rows) == ("r3", True, 3)
    assert published_rows(resolved.published) == {"marts.orders": 3}
    assert read_published_state(resolved) is None
    # r3 from its publication on, r4, and r3 again
    assert runs(resolved) == ["r3", "r4", "r3", "r2"]
    (then,) = published(resolved, as_of=at).publications
    assert (then.run_id, then.is_current) == ("r4", False)
    # nothing is lost: on again, and the next run publishes what is built
    rollback(resolved, "r4")
    assert published_rows(resolved.published) == {"marts.orders": 4}
    rollback(resolved, "r2")
    publish_orders(resolved, "r5", 4)
    assert published_rows(resolved.published) == {"marts.orders": 4}
    assert runs(resolved)[0] == "r5"


def test_what_cannot_be_gone_back_to(resolved: Resolved) -> None:
    publish_orders(resolved, "run-1", 1)
    publish_orders(resolved, "run-2", 2)
    for run, why in {
        "run-9": "is not kept; there are: run-2, run-1",
        "run": "is the beginning of 2 runs",
        "run-2": "nothing to do",
    }.items():
        with pytest.raises(PublishError, match=why):
            rollback(resolved, run)
    with pytest.raises(PublishError, match=r"is not kept: the oldest is of .*publish.keep is 2"):
        published(resolved, as_of=datetime.now(UTC) - timedelta(days=1))
    assert published_rows(resolved.published) == {"marts.orders": 2}


def test_a_rollback_that_is_stopped_changes_nothing(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_orders(resolved, "r1", 1)
    publish_orders(resolved, "r2", 2)

    def stopped(*_: object) -> None:
        raise OSError("stopped")

    with monkeypatch.context() as patch:
        stand_in(patch, "publishing.published_file.portable.replace", stopped)
        with pytest.raises(PublishError, match="stopped"):
            rollback(resolved, "r1")
    assert published_rows(resolved.published) == {"marts.orders": 2}
    rollback(resolved, "r1")
    assert published_rows(resolved.published) == {"marts.orders": 1}
    assert not list(resolved.published.parent.glob("*.tmp"))
    # as if it had been killed before it was noted
    (published_file.folder(resolved.published) / "rolled_back.jsonl").unlink()
    assert runs(resolved) == ["r1", "r2", "r1"]


def test_a_journal_that_was_cut_short(resolved: Resolved) -> None:
    publish_orders(resolved, "r1", 1)
    publish_orders(resolved, "r2", 2)
    folder = published_file.folder(resolved.published)
    (folder / "rolled_back.jsonl").write_text('{"run_id": "r1"}\n{"run_')
    assert runs(resolved) == ["r2", "r1"]


@dataclass
class Engine:
    """A publisher that keeps tables in memory, over the DuckDB warehouse of the project."""

    target: Any
    publications: list[Publication] = field(default_factory=list)
    copied: list[str] = field(default_factory=list)
    location: str = "engine, schema published"

    def fingerprints(self, relations: Sequence[tuple[str, str]]) -> dict[Any, tuple[int, str]]:
        found = self.target.count_rows(relations)
        return {key: (rows, f"{rows} rows") for key, rows in found.items()}

    def current(self) -> Publication | None:
        return self.publications[0] if self.publications else None

    def publish(
        self,
        publication: Publication,
        changed: Sequence[BuiltTable],
        *,
        keep: int,
        tell: Callable[[BuiltTable, float], None],
    ) -> None:
        for table in changed:
            self.copied.append(table.full_name)
            tell(table, 0.1)
        self.publications = [publication, *self.publications][: keep + 1]

    def history(self) -> list[Publication]:
        return self.publications

    def restore(self, run_id: str) -> Publication:
        (found,) = {one.run_id: one for one in self.publications if one.run_id == run_id}.values()
        self.publications.insert(0, replace(found, published_at=datetime.now(UTC)))
        return found


class InEngine:
    """The DuckDB target, as one that publishes itself."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self.engine = Engine(target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def publisher(self) -> Engine:
        return self.engine


def test_a_target_that_publishes_itself_has_a_copy_beside_it(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, told = InEngine(resolved.target), list[Event]()
    report = publish_orders(resolved, "r1", 3, target, told.append)
    assert (report.path, report.written, report.tables[0].rows_new) == (
        "engine, schema published", True, 3,
    )  # fmt: skip
    assert [event.name for event in told] == ["marts.orders"]
    assert published_rows(resolved.published) == {"marts.orders": 3}
    again = publish_orders(resolved, "r2", 3, target)
    assert (again.written, target.engine.copied) == (False, ["marts.orders"])
    assert published_file.publication(resolved.published) is not None
    publish_orders(resolved, "r3", 4, target)
    monkeypatch.setattr(Resolved, "target", property(lambda _: target))
    rollback(resolved, "r1")
    assert [one.run_id for one in history(resolved)] == ["r1", "r3", "r1"]
    assert published_rows(resolved.published) == {"marts.orders": 3}


def test_a_target_that_publishes_itself_without_a_copy(resolved: Resolved) -> None:
    target = InEngine(resolved.target)
    publish_orders(resolved, "r1", 3, target)
    settings = resolved.settings
    for rows, update, note in (
        (5, {"local_copy_limit": 1000}, "it would take more than 1,000 bytes"),
        (6, {"local_copy": "never"}, ""),
    ):
        changed = settings.publish.model_copy(update=update)
        alone = replace(resolved, settings=settings.model_copy(update={"publish": changed}))
        report = publish_orders(alone, f"r{rows}", rows, target)
        assert (report.written, report.tables[0].rows_new, report.bytes) == (True, None, 0)
        assert note in (report.note or "")
        assert not resolved.published.exists()  # it would be taken for what is published
        publish_orders(resolved, "r0", rows, target)


def test_what_was_published_when_the_copy_could_not_be_written(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = InEngine(resolved.target)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        stand_in(patch, "publishing.published_copy.portable.make_durable", full)
        with pytest.raises(PublishError, match=r"has what was built, and the copy .* does not"):
            publish_orders(resolved, "r1", 3, target)
    assert target.engine.copied == ["marts.orders"]
    report = publish_orders(resolved, "r2", 3, target)  # makes up for it
    assert not report.written
    assert published_rows(resolved.published) == {"marts.orders": 3}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--as-of", "noon"], "is no time"),
        (["--history", "--rollback", "r1"], "choose one of"),
    ],
)
def test_options_of_the_command(words: list[str], why: str) -> None:
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, ["published", *words])
    assert result.exit_code == 2
    assert why in result.output
