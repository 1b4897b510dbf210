"""What the load step does when a source fails; a stand-in for a source raises the error."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from step_lab import project, stand_in

from headrace.errors import HeadraceError, SourceError, WarehouseError
from headrace.pipeline.load import load
from headrace.pipeline.reports import LoadReport
from headrace.pipeline.sources import raw_schema
from headrace.settings import Resolved
from headrace.synth.errors import SynthError

CONFIG = """
sources:
  first:
    kind: api
  second:
    kind: api
  third:
    kind: api
"""


def rows() -> Any:
    """A source of one table of two rows."""

    @dlt.source(name="tables")
    def tables() -> Any:
        def given() -> Iterator[dict[str, int]]:
            yield from ({"id": number} for number in range(2))

        return dlt.resource(given, name="things", primary_key="id", write_disposition="merge")

    return tables()


@pytest.fixture
def resolved(tmp_path: Path) -> Resolved:
    found = project(tmp_path, CONFIG)
    found.target.prepare()
    return found


def loaded(
    resolved: Resolved,
    monkeypatch: pytest.MonkeyPatch,
    *,
    full_refresh: bool = False,
    **errors: Exception,
) -> LoadReport:
    """Load the three sources; those that are named raise what is given."""

    def build(_: object, name: str, *__: object) -> Any:
        if name in errors:
            raise errors[name]
        return rows()

    stand_in(monkeypatch, "sources.build", build)
    return load(
        resolved,
        resolved.target,
        resolved.settings.sources,
        full_refresh=full_refresh,
        listen=lambda _: None,
    )


def markers(resolved: Resolved) -> list[str]:
    return sorted(path.name for path in (resolved.data_dir / "refreshing").glob("*"))


def test_all_sources_are_loaded_and_all_rows_accounted_for(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = loaded(resolved, monkeypatch)
    assert [(table.source, table.rows_new) for table in report.tables] == [
        ("first", 2), ("second", 2), ("third", 2),
    ]  # fmt: skip
    again = loaded(resolved, monkeypatch)
    assert [(table.rows_new, table.rows_unchanged) for table in again.tables] == [(0, 2)] * 3
    assert again.rows_loaded == 0


def test_a_source_that_fails_ends_the_step_and_keeps_what_was_loaded_before(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SourceError, match=r"^its token is wrong$"):
        loaded(resolved, monkeypatch, second=SourceError("its token is wrong"))
    counts = [resolved.target.row_counts(raw_schema(name)) for name in resolved.settings.sources]
    assert [found.get("things") for found in counts] == [2, None, None]


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (SynthError("no such table"), SourceError, "source first: no such table"),
        (OSError(28, "No space left"), WarehouseError, "source first: the disk is full"),
        (
            ValueError("one line\nand more"),
            SourceError,
            "source first: ValueError: one line (--debug shows where)",
        ),
    ],
)
def test_each_error_is_one_line_with_the_sources_name(
    resolved: Resolved,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    kind: type[HeadraceError],
    said: str,
) -> None:
    with pytest.raises(kind) as caught:
        loaded(resolved, monkeypatch, first=error)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_secret_is_not_in_the_message(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace import secrets

    secrets.learn({"token": "a-long-secret-token"})
    with pytest.raises(SourceError) as caught:
        loaded(resolved, monkeypatch, first=ValueError("refused a-long-secret-token"))
    assert "a-long-secret-token" not in str(caught.value)


def test_a_full_refresh_that_fails_says_which_sources_did_not_begin(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SourceError, match="the full refresh of third did not begin") as caught:
        loaded(resolved, monkeypatch, full_refresh=True, second=SourceError("its token is wrong"))
    assert str(caught.value).startswith("its token is wrong; ")
    assert markers(resolved) == ["duckdb.second"]


def test_a_full_refresh_that_was_stopped_is_made_by_the_next_load(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(resolved, monkeypatch)
    with pytest.raises(SourceError):
        loaded(resolved, monkeypatch, full_refresh=True, first=SourceError("its token is wrong"))
    assert markers(resolved) == ["duckdb.first"]
    report = loaded(resolved, monkeypatch)
    assert [table.rows_new for table in report.tables] == [2, 0, 0]
    assert "full refresh" in report.tables[0].notes[0]
    assert markers(resolved) == []
