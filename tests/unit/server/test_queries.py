"""The answers themselves: what is in them, and that they follow what happens."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from benchmarks import server_data
from server_lab import SIZE, Client, Project, assert_problem, write_project

from headrace.catalog import Asset, Catalog, Column, ColumnEdge, LineageProblem, RunStore
from headrace.errors import RunStoreError
from headrace.server import logs, queries
from headrace.server.errors import ForbiddenError, NotFoundError, UnavailableError
from headrace.server.published import PublishedFile
from headrace.server.state import ServerState


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return write_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def state(project: Project) -> Iterator[ServerState]:
    found = project.state()
    yield found
    found.close()


def test_home_says_how_things_are(state: ServerState, project: Project) -> None:
    home = queries.home(state)
    assert home.hint is None
    assert home.catalog_version == 2
    assert [run.run_id for run in home.runs] == [f"run-{n:03d}" for n in (3, 2, 1, 0)]
    assert home.runs[0].seconds == 14.5
    assert home.counts["model"] == 30
    assert home.counts["column"] == 50 * SIZE.columns
    assert {source.source for source in home.freshness} >= {"source_0", "source_9"}
    assert home.freshness[0].run_id == "run-003"
    assert home.freshness[0].rows_changed == 3
    assert home.publish.status == "published"
    assert home.publish.tables == 3
    assert home.publish.is_current is True
    assert [reading.mode for reading in home.readings] == ["strict"]


def test_home_lists_what_is_published_with_its_tests(state: ServerState, project: Project) -> None:
    home = queries.home(state)
    assert {one.id for one in home.published} == set(state.snapshot().publication.tables)
    assert {one.published_rows for one in home.published} == {100}
    assert all(one.tests == 1 and one.owners for one in home.published)
    assert {one.failing + one.warning + one.passing for one in home.published} == {1}
    resources = queries.assets(state, kind="resource", limit=500).assets
    assert all(one.ran_at is None for one in resources)
    assert sum(one.passing for one in resources) > 0, "a test runs also of what is not run itself"
    assert [-one.failing for one in home.published] == sorted(
        -one.failing for one in home.published
    )
    listed = queries.assets(state, schema="marts", limit=500).assets
    assert {one.published_rows for one in listed} == {100, None}


def test_a_column_says_what_it_is_made_from(state: ServerState, project: Project) -> None:
    detail = queries.asset(state, project.mart)
    catalog = project.catalog
    for column in detail.columns:
        edges = {
            (edge.parent, edge.parent_column, edge.kind)
            for edge in catalog.column_edges
            if edge.child == project.mart and edge.child_column == column.name
        }
        found = [(one.asset, one.column, one.kind) for one in column.origins]
        assert set(found) == edges
        assert found == sorted(found)
        assert column.upstream == len(found)
        assert all(catalog.assets[one.asset].name == one.asset_name for one in column.origins)
    assert any(column.origins for column in detail.columns)


def test_tests_that_are_not_good_are_on_the_first_page(project: Project) -> None:
    test = f"test.lab.not_null_{project.mart}"
    store = RunStore(project.url)
    store.begin_run("run-900", command="headrace build", target="x", lock="y", code_version="1")
    row = {
        "unique_id": test, "name": "n", "label": "l", "resource_type": "test", "seconds": 0.1,
        "failures": 7, "message": "Got 7 results", "started_at": None, "thread": None,
    }  # fmt: skip
    store.add_nodes("run-900", [{**row, "status": "fail"}])
    state = project.state()
    try:
        home = queries.home(state)
        assert (test, 7) in [(one.id, one.failures) for one in home.failing]
        assert home.failing_total >= 1
        detail = queries.asset(state, project.mart)
        assert detail.tests[0].status == "fail"
        assert detail.tests[0].message == "Got 7 results"
        assert [one.status for one in detail.tests[0].history][:2] == ["fail", "pass"]
        (summary,) = [
            one
            for one in queries.assets(state, schema="marts", limit=500).assets
            if one.id == project.mart
        ]
        assert summary.failing == 1

        store.add_nodes("run-900", [{**row, "status": "pass", "failures": 0}])
        store.end_run(
            "run-900", status="success", seconds=1, error=None, rows_loaded=0, published_path=None
        )
        assert state.refresh()
        assert test not in [one.id for one in queries.home(state).failing]
    finally:
        store.close()
        state.close()


def test_assets_come_in_pages_that_together_are_all(state: ServerState) -> None:
    pages = [queries.assets(state, offset=offset, limit=20) for offset in (0, 20, 40, 60)]
    found = [asset.id for page in pages for asset in page.assets]
    assert len(found) == len(set(found)) == pages[0].total == 51
    assert not any(asset_id.startswith("test.") for asset_id in found)
    assert [page.total for page in pages] == [51] * 4


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"kind": "resource"}, 10),
        ({"kind": "test"}, 50),
        ({"schema": "marts"}, 10),
        ({"schema": "marts", "owner": "team_0@example.com"}, 2),
        ({"tag": "tag_3", "kind": "model"}, 3),
        ({"schema": "nothing"}, 0),
        ({"owner": "' or 1=1 --"}, 0),
    ],
)
def test_filters_hold_together(state: ServerState, filters: dict[str, str], count: int) -> None:
    page = queries.assets(state, limit=500, **filters)  # type: ignore[arg-type]
    assert page.total == len(page.assets) == count
    for asset in page.assets:
        assert filters.get("kind", asset.kind) == asset.kind
        assert filters.get("schema", asset.schema_name) == asset.schema_name


def test_an_asset_knows_its_neighbours_columns_and_runs(
    state: ServerState, project: Project
) -> None:
    detail = queries.asset(state, project.mart)
    assert [ref.kind for ref in detail.upstream] == ["model", "model"]
    assert [ref.kind for ref in detail.downstream] == ["exposure"]
    assert [column.upstream for column in detail.columns] == [1, 1, 1, 1, 1, 2]
    assert detail.columns[0].tests == (f"test.lab.not_null_{project.mart}",)
    assert len(detail.run_times) == SIZE.runs
    assert [one.run_id for one in detail.run_times] == [f"run-{n:03d}" for n in range(4)]
    assert detail.published_rows == 100
    assert "column added" in {change.what for change in detail.changes}
    retyped = [change for change in detail.changes if change.what == "column retyped"]
    assert [(change.before, change.after) for change in retyped] == [("INTEGER", "BIGINT")]


def test_a_test_is_an_asset_with_its_history(state: ServerState, project: Project) -> None:
    detail = queries.asset(state, f"test.lab.not_null_{project.mart}")
    assert detail.test is not None
    assert detail.test.asset is not None
    assert detail.test.asset.id == project.mart
    assert len(detail.test.history) >= SIZE.runs


def test_a_raw_table_has_the_freshness_of_its_source(state: ServerState, project: Project) -> None:
    table = next(key for key in project.catalog.assets if key.startswith("table.source_3_raw."))
    fresh = queries.asset(state, table).freshness
    assert fresh is not None
    assert fresh.source == "source_3"


def test_what_is_not_there_is_not_found(state: ServerState) -> None:
    for ask in (queries.asset, queries.sample, queries.lineage, queries.impact):
        with pytest.raises(NotFoundError):
            ask(state, "model.lab.nothing")
    for run_id in ("nothing", "../../etc/passwd", "' or 1=1", "x" * 10_000, "a\0b", ""):
        with pytest.raises(NotFoundError):
            queries.run(state, run_id)


def test_lineage_of_a_column_goes_up_to_the_source(state: ServerState, project: Project) -> None:
    column = project.catalog.assets[project.mart].columns[0].name
    graph = queries.lineage(state, project.mart, column=column.upper(), direction="upstream")
    assert graph.column == column
    assert {node.kind for node in graph.nodes} >= {"resource", "table", "model"}
    near = queries.lineage(state, project.mart, direction="upstream", depth=1)
    assert len(near.nodes) == 3
    with pytest.raises(NotFoundError):
        queries.lineage(state, project.mart, column="nothing")


def test_impact_names_the_exposure(state: ServerState, project: Project) -> None:
    report = queries.impact(state, project.mart)
    assert [item.id for item in report.exposures] == ["exposure.lab.board_0"]


def test_a_run_has_steps_loads_and_pages_of_nodes(state: ServerState) -> None:
    first = queries.run(state, "run-001", limit=30)
    second = queries.run(state, "run-001", offset=30, limit=1000)
    assert [step.step for step in first.steps] == ["load", "build", "publish"]
    assert len(first.loads) == 20
    nodes = [node.unique_id for node in (*first.nodes, *second.nodes)]
    assert len(nodes) == len(set(nodes)) == first.nodes_total == 80
    assert all(node.asset == node.unique_id for node in first.nodes)


def test_a_run_shows_its_lines_of_the_log_without_tracebacks(project: Project) -> None:
    log = project.directory / "logs" / "headrace.jsonl"
    log.parent.mkdir(exist_ok=True)
    lines = [
        {"time": "2026-01-01T00:00:00+00:00", "level": "info", "message": m, "run_id": run, **more}
        for m, run, more in (
            ("of another", "run-000", {}),
            ("older", "run-002", {"step": "load"}),
            ("failed", "run-002", {"exception": "Traceback of /home/me/secret.py"}),
        )
    ]
    log.write_text("\n".join([*map(json.dumps, lines), '{"run_id": "run-002", broken']))
    state = project.state()
    found = queries.run(state, "run-002").log
    state.close()
    assert [line.event for line in found[:2]] == ["older", "failed"]
    assert found[0].details == "step=load"
    assert found[0].at == datetime(2026, 1, 1, tzinfo=UTC)
    assert len(found) == 3
    assert "secret" not in repr(found)


def test_a_line_that_is_written_later_is_seen_and_names_no_path(project: Project) -> None:
    log = project.directory / "later.jsonl"
    line = {"time": "2026-01-01T10:00:00+00:00", "level": "info", "message": "m", "run_id": "r"}
    log.write_text(json.dumps(line | {"path": "/srv/shop/data/x.csv"}) + "\n")
    assert [one.details for one in logs.of_run(log, "r", root="/srv/shop")] == ["path=data/x.csv"]
    assert len(logs.of_run(log, "r", root="/srv/shop")) == 1
    with log.open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    assert len(logs.of_run(log, "r", root="/srv/shop")) == 2


def test_search_finds_by_name_column_and_beginning(state: ServerState, project: Project) -> None:
    mart = project.catalog.assets[project.mart]
    word = mart.name.split("_")[0]
    exact = queries.search(state, mart.name)
    assert exact.hits[0].name == mart.name
    assert mart.id in {hit.id for hit in queries.search(state, word[:3], limit=100).hits}
    column = mart.columns[1].name
    hits = queries.search(state, column, limit=100).hits
    assert (mart.id, column) in {(hit.id, hit.column) for hit in hits}
    assert queries.search(state, "nowhere to be found").hits == ()


@pytest.mark.parametrize(
    "text",
    ['"', "'", "* OR *", "name:x", "NEAR(a b)", "-a", "\0", "()", "^", "a AND", "ﷺ", "½", "__", ""],
)
def test_search_takes_any_text(state: ServerState, text: str) -> None:
    assert queries.search(state, text).total >= 0
    assert queries.assets(state, search=text).total >= 0


def test_changes_are_those_of_the_days(state: ServerState, project: Project) -> None:
    everything = queries.changes(state, days=1)
    assert {change.what for change in everything.changes} >= {"column added", "column retyped"}
    assert everything.versions == 2
    own = queries.changes(state, asset_id=project.mart)
    assert {change.asset for change in own.changes} == {project.mart}
    assert queries.changes(state, limit=1).truncated


def test_a_new_version_is_seen_after_a_refresh_and_not_before(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    state = project.state()
    assets = dict(project.catalog.assets)
    assets["model.lab.new"] = Asset(id="model.lab.new", kind="model", name="new", schema="marts")
    parents = {**project.catalog.parents, "model.lab.new": ()}
    before = state.snapshot()
    assert not state.refresh()
    project.save(replace(project.catalog, assets=assets, parents=parents))
    assert state.snapshot() is before
    assert state.refresh()
    assert queries.asset(state, "model.lab.new").name == "new"
    assert "asset added" in {change.what for change in queries.changes(state).changes}
    assert state.snapshot().token != before.token
    # who still holds the old one reads on
    assert "model.lab.new" not in before.index.catalog.assets
    state.close()


def test_watching_finds_a_new_version_by_itself(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    state = project.state()
    before = state.snapshot().index.catalog.version
    state.watch()
    project.save(replace(project.catalog, column_edges=()))
    for _ in range(3_000):
        if state.snapshot().index.catalog.version != before:
            break
        state._closing.wait(0.1)
    assert state.snapshot().index.catalog.version == 3
    state.close()


def test_without_a_run_everything_is_empty_and_nothing_is_made(tmp_path: Path) -> None:
    state = Project(tmp_path).state()
    home = queries.home(state)
    assert home.hint == "there has been no run yet: run `headrace run`"
    assert home.publish.status == "none"
    assert (home.runs, home.counts) == ((), {})
    assert queries.assets(state).total == queries.search(state, "x").total == 0
    assert queries.runs(state).runs == ()
    assert queries.changes(state).changes == ()
    with pytest.raises(NotFoundError, match="no such asset"):
        queries.asset(state, "model.lab.x")
    state.close()
    assert list(tmp_path.iterdir()) == []


def test_a_large_catalog_is_read_while_requests_are_told_so(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    state = project.state()
    make = state._make
    monkeypatch.setattr("headrace.server.state._LARGE", 10)
    monkeypatch.setattr(state, "_make", lambda *given: go_on.wait(30) and make(*given))
    with Client(state) as client:
        state.begin()
        assert not state.is_ready
        answer = client.get("/api/v1/home")
        assert_problem(answer, 503, "unavailable")
        assert "is being read" in answer.text
        assert answer.headers["retry-after"] == "2"
        page = client.get("/", headers={"accept": "text/html"})
        assert page.status_code == 503
        assert "data-again" in page.text
        assert client.get("/healthz").status_code == 200
        go_on.set()
        while not state.is_ready:
            time.sleep(0.01)
        assert client.json("/api/v1/home")["catalog_version"] == 2


def test_a_small_catalog_is_read_before_anybody_asks(project: Project) -> None:
    state = project.state()
    state.begin()
    assert state.is_ready
    state.close()


def test_a_run_store_that_comes_later_is_found(tmp_path: Path) -> None:
    state = Project(tmp_path).state()
    assert queries.home(state).catalog_version is None
    write_project(tmp_path)
    assert state.refresh()
    assert queries.home(state).catalog_version == 2
    state.close()


def test_a_run_store_that_was_replaced_is_opened_anew(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    state = project.state()
    assert len(queries.runs(state).runs) == SIZE.runs
    for path in tmp_path.glob("headrace.sqlite*"):
        path.unlink()
    store = RunStore(project.url)
    store.begin_run("other", command="headrace run", target="x", lock="y", code_version="1")
    store.close()
    assert state.refresh()
    home = queries.home(state)
    assert [run.run_id for run in home.runs] == ["other"]
    assert home.hint is not None
    state.close()


def test_a_run_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    store = RunStore(project.url)
    with store._begin() as connection:
        connection.exec_driver_sql("update meta set value = '999'")
    store.close()
    with pytest.raises(RunStoreError, match="version 999"):
        project.state().snapshot()


def test_a_dead_run_is_interrupted(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    store = RunStore(project.url)
    for run_id in ("older", "dead"):
        store.begin_run(run_id, command="headrace run", target="x", lock=run_id, code_version="1")
    store.close()
    state = project.state()
    statuses = {run.run_id: run.status for run in queries.runs(state).runs}
    assert (statuses["dead"], statuses["older"]) == ("interrupted", "interrupted")
    assert statuses["run-000"] == "success"
    assert queries.run(state, "dead").run.status == "interrupted"
    state.close()


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
        problems=(LineageProblem(mart.id, "a macro that no parser reads"),),
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
    assert found.rows == tuple((f"id {n}", *["***"] * 4) for n in range(3))
    with pytest.raises(ForbiddenError):
        queries.sample(state, "model.lab.people", pii=True)
    state.close()

    state = people.state(allow_pii=True)
    assert queries.sample(state, "model.lab.people", limit=3).masked == found.masked
    shown = queries.sample(state, "model.lab.people", limit=3, pii=True)
    assert shown.masked == ()
    assert shown.rows[2][1] == "mail_domain 2"
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


def test_rows_that_were_looked_at_are_not_read_again(
    people: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = people.state(allow_pii=True)
    first = queries.sample(state, people.mart, limit=3)

    def closed(_: PublishedFile) -> None:
        raise AssertionError("the file was opened again")

    with monkeypatch.context() as patched:
        patched.setattr(PublishedFile, "_open", closed)
        more = queries.sample(state, people.mart, limit=5)
        assert more.rows[:3] == first.rows
        assert len(more.rows) > 3
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


def test_a_replaced_file_is_read_anew_and_readers_do_not_block_it(people: Project) -> None:
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


def test_a_look_that_takes_too_long_is_ended(
    people: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.server.published._SECONDS", 0.1)
    state = people.state()
    looked = threading.Event()

    def tidy_again_and_again() -> None:
        while not looked.wait(0.2):
            state.published.tidy()

    ending = threading.Thread(target=tidy_again_and_again, daemon=True)

    def look() -> None:
        with state.published._explained(), state.published._open() as connection:
            ending.start()
            connection.execute("select count(*) from range(100_000_000_000) where random() < 0")

    with pytest.raises(UnavailableError, match="could not be read within"):
        look()
    looked.set()
    ending.join()
    assert len(queries.sample(state, "model.lab.people").rows) == 10
    state.close()
