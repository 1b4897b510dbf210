"""Kept profiles as the page and the REST API show them: versions, moves, and what is masked."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest
from server_lab import Client, Project, assert_problem, write_project

from headrace.catalog import RunStore
from headrace.quality.profile import profile_quickly
from headrace.quality.profile.model import Bin, ColumnProfile
from headrace.server import charts, pages
from headrace.server.rendering import FileLinks, PageFrame


def payload(rows: int, columns: tuple[str, ...]) -> str:
    """A profile whose columns have a text, a number and a time; nothing of it is masked."""
    select = [
        ("['new', 'paid'][1 + i % 2]", "i * 1.5", "timestamp '2024-01-01' + interval (i) hour")[
            place % 3
        ]
        + f' as "{name}"'
        for place, name in enumerate(columns)
    ]
    with duckdb.connect() as connection:
        connection.execute(f"create table t as select {', '.join(select)} from range({rows}) r(i)")
        made = profile_quickly(connection, "t", "t", personal=(), is_stored=True)
    return made.model_dump_json(exclude_defaults=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = write_project(tmp_path_factory.mktemp("profiles"))
    names = tuple(column.name for column in made.catalog.assets[made.mart].columns)
    with closing(RunStore(made.url)) as store:
        for run_id, rows in (("run-000", 40), ("run-001", 50), ("run-002", 60)):
            store.add_profile(
                run_id, made.mart, rows=rows, stamp=run_id, payload=payload(rows, names)
            )
    return made


@pytest.fixture
def client(project: Project) -> Iterator[Client]:
    with Client(project.state()) as client:
        yield client


def test_the_newest_beside_the_one_before(client: Client, project: Project) -> None:
    found = client.json("/api/v1/profile", id=project.mart)
    assert [one["rows"] for one in found["versions"]] == [60, 50, 40]
    assert (found["version"]["rows"], found["against"]["rows"]) == (60, 50)
    assert found["profile"]["rows"] == 60
    assert found["changes"][0] == {
        "column": None, "what": "rows", "before": "50", "after": "60", "is_large": False
    }  # fmt: skip
    assert found["over_time"][0] == {
        "column": None, "number": "rows", "values": [60.0, 50.0, 40.0]
    }  # fmt: skip


def test_any_two_versions(client: Client, project: Project) -> None:
    found = client.json("/api/v1/profile", id=project.mart, run="run-000", against="run-002")
    assert (found["version"]["rows"], found["against"]["rows"]) == (40, 60)
    first = client.json("/api/v1/profile", id=project.mart, run="run-000")
    assert (first["against"], first["before"], first["changes"]) == (None, None, [])


def test_what_is_personal_today_is_masked(tmp_path: Path, project: Project) -> None:
    first, *others = project.catalog.assets[project.mart].columns
    asset = replace(
        project.catalog.assets[project.mart], columns=(replace(first, pii="email"), *others)
    )
    catalog = replace(project.catalog, assets={**project.catalog.assets, asset.id: asset})
    marked = Project(tmp_path, catalog)
    marked.save(catalog)
    with closing(RunStore(marked.url)) as store:
        store.begin_run("r", command="c", target="t", lock="l", code_version="v")
        names = tuple(column.name for column in asset.columns)
        kept = payload(20, names)
        store.add_profile("r", asset.id, rows=20, stamp="s", payload=kept)
    assert "paid" in kept
    with Client(marked.state(allow_pii=True)) as client:  # that is of rows on request
        found = client.json("/api/v1/profile", id=asset.id)["profile"]["columns"]
        page = client.get("/profile", {"asset": asset.id, "column": first.name}).text
    assert found[0]["personal"] == {"kind": "declared", "share": None}
    assert (found[0]["min"], found[0]["top"], found[0]["histogram"]) == (None, [], [])
    assert "It holds personal data" in page
    assert not all(one["personal"] for one in found)


def test_what_is_not_there(client: Client, project: Project) -> None:
    assert_problem(client.get("/api/v1/profile", {"id": "model.no"}), 404, "not_found")
    assert_problem(
        client.get("/api/v1/profile", {"id": project.mart, "run": "run-9"}), 404, "not_found"
    )
    other = next(
        key for key, one in project.catalog.assets.items()
        if one.is_relation and key != project.mart
    )  # fmt: skip
    found = client.json("/api/v1/profile", id=other)
    assert (found["versions"], found["profile"]) == ([], None)
    assert "No run has kept a profile of it yet" in client.get("/profile", {"asset": other}).text


def test_the_page_has_a_table_for_every_picture(client: Client, project: Project) -> None:
    shown = [
        one["name"] for one in client.json("/api/v1/profile", id=project.mart)["profile"]["columns"]
        if one["histogram"]
    ]  # fmt: skip
    page = client.get("/profile", {"asset": project.mart, "column": shown[0]}).text
    assert f"Histogram of {shown[0]}" in page
    assert '<caption class="hidden">Histogram of' in page
    assert "over time, the newest first" in page
    assert "Compared with" in page
    missing = client.get("/profile", {"asset": project.mart, "column": "none"})
    assert missing.status_code == 404
    assert client.get("/profile").status_code in {302, 307}
    asset = client.get(f"/assets/{project.mart}").text
    assert 'id="profile"' in asset


def test_the_static_page_has_all_columns(project: Project) -> None:
    state = project.state()
    try:
        page = pages.profile(state, PageFrame(FileLinks("../"), "lab"), project.mart)
    finally:
        state.close()
    assert "<form" not in page.split("<main", 1)[1]
    for column in project.catalog.assets[project.mart].columns:
        anchor = FileLinks().profile(project.mart, column.name).partition("#")[2]
        assert f'id="{anchor}"' in page


def test_two_histograms_have_one_scale() -> None:
    def column(*edges: float) -> ColumnProfile:
        bins = tuple(
            Bin(low=str(left), high=str(right), rows=10) for left, right in pairwise(edges)
        )
        return ColumnProfile(
            name="a", data_type="DOUBLE", kind="number", nulls=0, null_share=0, distinct=9,
            histogram=bins,
        )  # fmt: skip

    drawn = charts.histograms(column(0, 1, 2, 3), column(6, 7, 8, 9))
    assert drawn is not None
    assert (drawn.low, drawn.high) == ("0", "9")
    assert drawn.now.startswith("M0.0 ")
    assert drawn.before.startswith(f"M{drawn.width * 6 / 9:.1f} ")
    # a last bar that reaches far is as wide as the others
    far = charts.histograms(column(0, 1, 2, 3, 1e9), None)
    assert far is not None
    assert far.high == "4"
    assert charts.histograms(column(), None) is None


@pytest.mark.parametrize(
    ("values", "path"),
    [((), ""), ((1.0,), ""), ((2.0, 2.0), ""), ((2.0, 1.0), "M2.0 26.0L118.0 2.0")],
)
def test_a_line_over_time(values: tuple[float, ...], path: str) -> None:
    assert charts.spark_line(values) == path


def test_a_line_has_gaps_where_nothing_is_known() -> None:
    assert charts.spark_line((3.0, None, 1.0, 2.0)).count("M") == 2
