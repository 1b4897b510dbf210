"""Sample rows of the published file: masked, cached, limited, whatever is in the file."""

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from benchmarks import server_data
from server_lab import Project

from headrace.catalog import Asset, Catalog, Column, ColumnEdge, ColumnLineageProblem
from headrace.server import queries
from headrace.server.errors import (
    ForbiddenError,
    NotFoundError,
    RequestError,
    UnavailableError,
)
from headrace.server.published import PublishedFileReader
from headrace.server.row_query import ALL_ROWS, RowFilter
from headrace.server.state import ServerState


def pii_catalog() -> Catalog:
    """`people` is published: its columns are declared, inherited, harmless, or not readable."""
    source = Asset(
        id="table.raw.people", kind="table", name="people", schema="raw", identifier="people",
        columns=(Column("mail", pii="email"), Column("id")),
    )  # fmt: skip
    names = ("id", "mail_domain", "declared", "unread")
    mart = Asset(
        id="model.lab.people", kind="model", name="people", schema="marts", identifier="people",
        columns=tuple(Column(name, pii="name" if name == "declared" else None) for name in names),
    )  # fmt: skip
    edges = (
        ColumnEdge(source.id, "id", mart.id, "id", "copied"),
        ColumnEdge(source.id, "mail", mart.id, "mail_domain", "computed"),
        ColumnEdge(source.id, "mail", mart.id, "", "filtered"),
    )
    return Catalog(
        {source.id: source, mart.id: mart},
        {source.id: (), mart.id: (source.id,)},
        column_edges=edges,
        problems=(ColumnLineageProblem(mart.id, "a macro that no parser reads"),),
    )


@pytest.fixture
def people(tmp_path: Path) -> Project:
    project = Project(tmp_path, pii_catalog())
    project.save(project.catalog)
    mart = project.catalog.assets["model.lab.people"]
    grown = replace(mart, columns=(*mart.columns, Column("not_in_the_catalog")))
    server_data.write_published(project.published, [grown], rows=60)
    return project


def test_personal_data_is_masked_unless_asked_for_and_allowed(people: Project) -> None:
    state = people.state()
    found = queries.sample(state, "model.lab.people", limit=3)
    assert found.masked == ("mail_domain", "declared", "unread", "not_in_the_catalog")
    assert len(found.rows) == 3
    assert all(row[1:] == ("***",) * 4 for row in found.rows)
    with pytest.raises(ForbiddenError):
        queries.sample(state, "model.lab.people", pii=True)
    state.close()

    state = people.state(allow_pii=True)
    assert queries.sample(state, "model.lab.people", limit=3).masked == found.masked
    shown = queries.sample(state, "model.lab.people", limit=3, pii=True)
    assert shown.masked == ()
    number = shown.rows[2][0].removeprefix("id ")
    assert shown.rows[2][1] == f"mail_domain {number}"
    assert {c.name: c.pii_from for c in queries.asset(state, "model.lab.people").columns}[
        "mail_domain"
    ] == "people.mail"
    state.close()


def test_a_sample_has_at_most_fifty_rows(people: Project) -> None:
    state = people.state()
    found = queries.sample(state, "model.lab.people", limit=10_000)
    assert len(found.rows) == 50
    assert found.total == 60
    state.close()


def test_a_sample_is_of_the_whole_table_and_the_same_each_time(people: Project) -> None:
    state = people.state()
    numbers = [int(row[0].removeprefix("id ")) for row in _sample(state, limit=20)]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] > 40
    state.close()
    again = people.state()
    assert [int(row[0].removeprefix("id ")) for row in _sample(again, limit=20)] == numbers
    again.close()


def test_rows_are_searched_and_sorted_in_the_whole_table_but_not_by_what_is_masked(
    people: Project,
) -> None:
    state = people.state()
    assert [row[0] for row in _sample(state, RowFilter("ID 59"))] == ["id 59"]
    assert [row[0] for row in _sample(state, RowFilter("59", "id"))] == ["id 59"]
    assert _sample(state, RowFilter("mail_domain 59")) == ()
    ordered = _sample(state, RowFilter(sort="id", descending=True), limit=2)
    assert [row[0] for row in ordered] == ["id 9", "id 8"]
    for wanted in (RowFilter("x", "mail_domain"), RowFilter(sort="declared"), RowFilter("x", "no")):
        with pytest.raises(RequestError, match="it is not shown"):
            _sample(state, wanted)
    assert _sample(state, RowFilter("'; drop table x; --")) == ()
    state.close()


def _sample(
    state: ServerState, wanted: RowFilter = ALL_ROWS, *, limit: int = 10
) -> tuple[tuple[Any, ...], ...]:
    return queries.sample(state, "model.lab.people", limit=limit, wanted=wanted).rows


def test_rows_that_were_looked_at_are_not_read_again(
    people: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = people.state(allow_pii=True)
    first = queries.sample(state, people.mart, limit=3)

    def closed(_: PublishedFileReader) -> None:
        raise AssertionError("the file was opened again")

    with monkeypatch.context() as patched:
        patched.setattr(PublishedFileReader, "reading", closed)
        more = queries.sample(state, people.mart, limit=5)
        assert len(more.rows) == 5
        assert queries.sample(state, people.mart, limit=3).rows == first.rows
        with pytest.raises(AssertionError):
            queries.sample(state, people.mart, limit=3, pii=True)
    assert queries.sample(state, people.mart, limit=3, pii=True).rows != first.rows
    state.close()


def test_what_is_not_published_has_no_sample(people: Project) -> None:
    state = people.state()
    with pytest.raises(NotFoundError, match="not published"):
        queries.sample(state, "table.raw.people")
    state.close()


def test_a_sample_is_json_whatever_is_in_the_table(people: Project) -> None:
    people.published.unlink()
    asset = Asset(id="model.lab.people", kind="model", name="p", schema="m x", identifier='t"; --')
    with duckdb.connect(str(people.published)) as connection:
        server_data.write_published(people.directory / "other.duckdb", [], rows=0)
        connection.execute(f"attach '{people.directory / 'other.duckdb'}' as other")
        connection.execute("copy from database other to published")
        connection.execute('create schema "m x"')
        connection.execute(
            'create table "m x"."t""; --" as select 9007199254740993 as large, 1 as small, '
            "'nan'::double as odd, 1.50::decimal(9, 2) as price, "
            "timestamp '2026-01-01 00:00:00' as at, "
            "repeat('x', 1000) as long, [1, 2] as list, {'a': 1} as pair, 'a'::blob as bytes, "
            "null::int as nothing, true as yes, '<script>' as html"
        )
        connection.execute(
            "insert into _headrace.tables values (?, 1, ?, 'f')", ['m x.t"; --', asset.id]
        )
    names = (
        "large", "small", "odd", "price", "at", "long", "list", "pair", "bytes", "nothing", "yes",
        "html",
    )  # fmt: skip
    people.save(
        Catalog({asset.id: replace(asset, columns=tuple(map(Column, names)))}, {asset.id: ()})
    )
    state = people.state()
    found = queries.sample(state, asset.id)
    (row,) = json.loads(found.model_dump_json())["rows"]
    assert row == [
        "9007199254740993", 1, "nan", "1.50", "2026-01-01 00:00:00", "x" * 200 + "…", "[1, 2]",
        "{'a': 1}", "a", None, True, "<script>",
    ]  # fmt: skip
    state.close()


def test_a_replaced_file_is_read_again_and_readers_do_not_block_it(people: Project) -> None:
    state = people.state()
    assert queries.sample(state, "model.lab.people").total == 60
    mart = people.catalog.assets["model.lab.people"]
    server_data.write_published(people.directory / "next.duckdb", [mart], rows=5)
    (people.directory / "next.duckdb").replace(people.published)
    assert state.refresh()
    assert queries.sample(state, "model.lab.people").total == 5
    assert len(queries.sample(state, "model.lab.people", limit=50).rows) == 5
    state.close()


def test_a_published_file_that_is_none_is_said_to_be_so(people: Project) -> None:
    people.published.write_bytes(b"this is no database")
    state = people.state()
    assert queries.home(state).publish.status == "unreadable"
    with pytest.raises(NotFoundError):
        queries.sample(state, "model.lab.people")
    state.close()


def test_a_file_that_goes_away_in_between_is_unavailable(people: Project) -> None:
    state = people.state()
    state.snapshot()
    state.published.close()
    people.published.unlink()
    with pytest.raises(UnavailableError):
        queries.sample(state, "model.lab.people")
    state.close()


def test_a_view_in_the_published_file_reaches_no_other_file(people: Project) -> None:
    secret = people.directory / "secret.csv"
    secret.write_text("a\n1\n")
    with duckdb.connect(str(people.published)) as connection:
        connection.execute("drop table marts.people")
        connection.execute(f"create view marts.people as select * from read_csv('{secret}')")
    state = people.state()
    with pytest.raises(UnavailableError):
        queries.sample(state, "model.lab.people")
    state.close()


def test_a_query_that_takes_too_long_is_ended(
    people: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.server.published.MAX_SECONDS", 0.1)
    state = people.state()
    looked = threading.Event()

    def close_again_and_again() -> None:
        while not looked.wait(0.2):
            state.published.close_idle()

    ending = threading.Thread(target=close_again_and_again, daemon=True)

    def look() -> None:
        with state.published.reading() as connection:
            ending.start()
            connection.execute("select count(*) from range(100_000_000_000) where random() < 0")

    with pytest.raises(UnavailableError, match="could not be read within"):
        look()
    looked.set()
    ending.join()
    assert len(queries.sample(state, "model.lab.people").rows) == 10
    state.close()


def test_an_asset_that_is_not_there_has_proposals(people: Project) -> None:
    state = people.state()
    ids = {"table.raw.people", "model.lab.people"}
    for asked in ("/assets/model.lab.poeple", "model.lab.PEOPLE", "/peple"):
        assert {one.id for one in queries.proposals(state, asked)} == ids, asked
    assert queries.proposals(state, "/assets/zzzzzz") == []
    assert queries.proposals(state, "/") == []
    state.close()
