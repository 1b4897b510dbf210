"""What each query returns."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient
from server_lab import SIZE, Project, write_project

from headrace.catalog import RunStore
from headrace.catalog.evidence import MaskedRow, QuarantinedTable
from headrace.error_detail import ErrorDetail
from headrace.secrets import MASK
from headrace.server import pages, queries
from headrace.server.access import Access
from headrace.server.app import create_app
from headrace.server.errors import NotFoundError
from headrace.server.rendering import FileLinks, PageFrame, ServerLinks
from headrace.server.search import tier
from headrace.server.state import ServerState
from headrace.server.store import lines_of


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


def test_lists_begin_with_marts_and_what_is_read_most(state: ServerState) -> None:
    ids = [one.id for one in queries.assets(state, limit=500).assets]
    catalog = state.snapshot().index.catalog
    readers = [
        sum(1 for child in catalog.children[key] if not catalog.assets[child].is_test)
        for key in ids
    ]
    ranks = [(tier(catalog.assets[key]), -count) for key, count in zip(ids, readers, strict=True)]
    assert ranks == sorted(ranks)
    assert ranks[0][0] == 0 < ranks[-1][0]
    assert {catalog.assets[key].kind for key in ids[-10:]} == {"resource"}


def test_a_search_names_the_columns_that_it_found(state: ServerState) -> None:
    order = state.snapshot().index.order
    found = next(
        (asset, column.name)
        for asset in order
        for column in asset.columns
        if column.name.split("_")[0] not in asset.name and not asset.is_test
    )
    asset, name = found
    hits = queries.assets(state, search=name, limit=500).assets
    assert name in next(hit for hit in hits if hit.id == asset.id).matched
    assert all(not one.matched for one in queries.assets(state, search=asset.name, limit=1).assets)
    assert all(not one.matched for one in queries.assets(state).assets)


@pytest.mark.parametrize("sort", sorted(queries.SORTS))
def test_a_list_is_sorted_as_a_whole_both_ways(state: ServerState, sort: str) -> None:
    up = [one.id for one in queries.assets(state, sort=sort, limit=500).assets]
    down = [one.id for one in queries.assets(state, sort=f"-{sort}", limit=500).assets]
    now = state.snapshot()
    value = {key: queries.SORTS[sort](now, now.index.catalog.assets[key]) for key in up}
    known = [key for key in up if value[key] is not None]
    assert up[: len(known)] == known, "what has no value comes last"
    assert [value[key] for key in known] == sorted(value[key] for key in known)
    assert [value[key] for key in down[: len(known)]] == [value[key] for key in reversed(known)]
    first = queries.assets(state, sort=sort, limit=7, offset=7).assets
    assert [one.id for one in first] == up[7:14]


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
    detail = ErrorDetail("models/a.sql", 3, 2, "3 | <b>\n  |  ^")
    store.add_nodes("run-900", [{**row, "status": "fail", "detail": detail}])
    state = project.state()
    try:
        home = queries.home(state)
        assert (test, 7) in [(one.id, one.failures) for one in home.failing]
        assert home.failing_total >= 1
        mart = queries.asset(state, project.mart)
        assert mart.tests[0].status == "fail"
        assert mart.tests[0].message == "Got 7 results"
        assert mart.tests[0].detail == detail
        assert [one.status for one in mart.tests[0].history][:2] == ["fail", "pass"]
        assert queries.run(state, "run-900").errors[0].detail == detail
        with TestClient(create_app(state, Access()), base_url="http://localhost") as client:
            page = client.get("/runs/run-900").text
        assert "Got 7 results\n--&gt; models/a.sql:3:2\n3 | &lt;b&gt;\n  |  ^</pre>" in page
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
    assert [one.details for one in lines_of(log, "r", root="/srv/shop")] == ["path=data/x.csv"]
    assert len(lines_of(log, "r", root="/srv/shop")) == 1
    with log.open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    assert len(lines_of(log, "r", root="/srv/shop")) == 2


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


def test_a_change_of_code_shows_the_lines(project: Project) -> None:
    mart = project.catalog.assets[project.mart]
    for code in ("select 1\nfrom a", "select 2\nfrom a <b>"):
        changed = replace(mart, raw_code=code)
        project.save(replace(project.catalog, assets={**project.catalog.assets, mart.id: changed}))
    state = project.state()
    newest = queries.changes(state, asset_id=mart.id).changes[0]
    assert newest.what == "code changed"
    assert newest.diff == "@@ -1,2 +1,2 @@\n-select 1\n-from a\n+select 2\n+from a <b>"
    assert (newest.before, newest.after) == (None, None)
    without = queries.changes(state, asset_id=mart.id, diffs=0).changes[0]
    assert without.diff is None
    frame = PageFrame(links=ServerLinks(root="/"), project="lab")
    page = pages.asset(state, frame, queries.asset(state, mart.id))
    assert "<del>-select 1</del>" in page
    assert "<ins>+from a &lt;b&gt;</ins>" in page
    state.close()


def test_quarantine_is_on_home_and_the_raw_table(project: Project) -> None:
    raw = next(one for one in project.catalog.assets.values() if one.kind == "table")
    source = project.catalog.source_of(raw)
    assert source is not None
    row = MaskedRow("a.csv line 2", "n is 'x<y', no number", {"n": "x<y", "email": "***"})
    store = RunStore(project.url)
    store.keep_quarantine(
        "r", [source], [QuarantinedTable(source, raw.name, "data_type", 7, (row,))]
    )
    store.close()
    state = project.state()
    home = queries.home(state)
    (one,) = home.quarantine
    assert (one.asset, one.reason, one.rows, one.sample) == (raw.id, "data_type", 7, ())
    assert "7 rows are in quarantine" in home.headline.text
    (fresh,) = [each for each in home.freshness if each.source == source]
    assert fresh.rows_in_quarantine == 7
    detail = queries.asset(state, raw.id)
    assert detail.verdict is not None
    assert detail.verdict.status == "quarantined"
    assert detail.quarantine[0].sample[0].values == {"n": "x<y", "email": "***"}
    for links, shown in ((ServerLinks(root="/"), True), (FileLinks(root="../"), False)):
        page = pages.asset(state, PageFrame(links=links, project="lab"), detail)
        assert "x&lt;y" in page
        assert (f"<bdi>{MASK}</bdi>" in page) == shown
        assert f"headrace quarantine discard {source}.{raw.name}" in page
    state.close()
