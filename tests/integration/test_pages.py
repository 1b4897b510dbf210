"""The pages' HTML over catalogs with evil names, a thousand nodes, and nothing at all."""

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from page_lab import EVIL, hostile, layered, stored

from headrace.server.access import Access
from headrace.server.app import create_app
from headrace.server.state import ServerState

_VOID = {"meta", "link", "input", "br", "img", "hr", "line", "path", "circle", "rect"}


class Reader(HTMLParser):
    """What of a page could run, and what it is built of."""

    def __init__(self) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.ids: list[str] = []
        self.wanted_ids: list[str] = []
        self.headings: list[int] = []
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in {"style", "img", "iframe", "object"} or (tag == "script" and "src" not in found):
            self.inline.append(tag)
        self.inline += [name for name in found if name.startswith("on") or name == "style"]
        self.ids += [value for name, value in attrs if name == "id" and value]
        for name in ("aria-labelledby", "aria-describedby", "aria-controls", "for"):
            self.wanted_ids += (found.get(name) or "").split()
        if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            self.headings.append(int(tag[1]))
        self.links += [found["href"] or ""] if "href" in found else []
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        while self.open and self.open.pop() != tag:
            pass

    @classmethod
    def of(cls, html: str) -> "Reader":
        reader = cls()
        reader.feed(html)
        return reader


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("evil")
    yield from _client("<b>evil</b>", stored(hostile(), folder / "runs.sqlite"), folder)


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("big")
    yield from _client("big", stored(layered(1000), folder / "runs.sqlite"), folder)


@pytest.fixture
def nothing(tmp_path: Path) -> Iterator[TestClient]:
    yield from _client("new", f"sqlite:///{tmp_path / 'none.sqlite'}", tmp_path)


def _client(project: str, url: str, folder: Path) -> Iterator[TestClient]:
    state = ServerState(project=project, run_store_url=url, published=folder / "no.duckdb")
    with TestClient(create_app(state, Access()), base_url="http://localhost") as client:
        client.headers["accept"] = "text/html"
        yield client


def _evil_pages() -> list[str]:
    pages = ["/", "/assets", "/lineage", "/runs", "/runs/run-2", "/changes"]
    for number, name in enumerate(EVIL):
        key, column = quote(f"model.evil.{name}", safe=""), quote(name, safe="")
        pages += [
            f"/assets/{key}",
            f"/assets/{quote(f'test.evil.{number}{name}', safe='')}",
            f"/assets?search={column}&tag={column}&owner={column}",
            f"/lineage?asset={key}&column={column}",
            f"/impact?asset={key}&column={column}",
            f"/changes?name={column}&what={column}",
        ]
    return pages


@pytest.mark.parametrize("path", _evil_pages())
def test_no_name_becomes_a_part_of_a_page(evil: TestClient, path: str) -> None:
    answer = evil.get(path)
    assert answer.status_code == 200
    page = Reader.of(answer.text)
    assert page.inline == []
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert set(page.wanted_ids) <= set(page.ids)
    assert [link for link in page.links if link.casefold().startswith("javascript")] == []
    assert page.headings[0] == 1
    assert all(b <= a + 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_each_page_of_a_name_is_found_by_its_link(evil: TestClient) -> None:
    page = Reader.of(evil.get("/assets").text)
    links = [link for link in page.links if link.startswith("/assets/")]
    assert len(links) == len(EVIL)
    assert {evil.get(link).status_code for link in links} == {200}


def test_an_empty_project_says_what_to_run(nothing: TestClient) -> None:
    assert "headrace run" in nothing.get("/").text
    for path in ("/assets", "/lineage", "/runs", "/changes"):
        assert nothing.get(path).status_code == 200
    lineage = nothing.get("/lineage").text
    assert "No graph yet" in lineage
    assert "data-graph" not in lineage
    assert nothing.get("/data/graph.json").json()["ids"] == []


def test_lists_are_filtered_and_paged(big: TestClient) -> None:
    first = Reader.of(big.get("/assets?kind=model&tag=orders").text)
    names = [link for link in first.links if link.startswith("/assets/")]
    assert names
    assert all(link.startswith("/assets/model.big.") for link in names)
    assert all("_orders_" in link for link in names)
    page = Reader.of(big.get("/assets").text)
    (following,) = [link for link in page.links if "offset=" in link]
    assert following == "/assets?offset=100"
    second = Reader.of(big.get(following).text)
    assert not set(_assets(page)) & set(_assets(second))
    assert "Nothing found" in big.get("/assets?search=zzzz").text


def _assets(page: Reader) -> list[str]:
    return [link for link in page.links if link.startswith("/assets/")]


def test_the_graph_is_that_of_the_catalog(big: TestClient) -> None:
    catalog = layered(1000)
    answer = big.get("/data/graph.json")
    found = answer.json()
    ids = found["ids"]
    assert set(ids) == {key for key, asset in catalog.assets.items() if not asset.is_test}
    pairs = zip(found["edges"][::2], found["edges"][1::2], strict=True)
    edges = {(ids[parent], ids[child]) for parent, child in pairs}
    assert edges == {
        (parent, child)
        for child, parents in catalog.parents.items()
        for parent in parents
        if child in set(ids)
    }
    assert sum(found["failing"]) > 0
    again = big.get("/data/graph.json", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


def test_the_columns_are_those_of_the_catalog(big: TestClient) -> None:
    catalog = layered(1000)
    ids = big.get("/data/graph.json").json()["ids"]
    found = big.get("/data/columns.json").json()
    names = [[*columns, ""] for columns in found["names"]]  # -1 is the last: the rows
    edges = {
        (ids[p], names[p][a], ids[c], names[c][b], found["kind_names"][kind])
        for p, a, c, b, kind in zip(*[iter(found["edges"])] * 5, strict=True)
    }
    assert edges == {
        (edge.parent, edge.parent_column, edge.child, edge.child_column, edge.kind)
        for edge in catalog.column_edges
    }
    assert len(found["pii"]) == sum(
        column.pii is not None for asset in catalog.assets.values() for column in asset.columns
    )


def test_data_is_json_that_no_page_can_run(evil: TestClient) -> None:
    answer = evil.get("/data/graph.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert set(json.loads(answer.text)["names"]) == set(EVIL)
