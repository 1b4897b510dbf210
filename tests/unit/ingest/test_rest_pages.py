"""Pages of an API: every way in which an API gives them, all rows, once each."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import SourceError
from headrace.ingest.rest import ApiLimits, ApiResource, Paginator
from rest_lab import Asked, Reply, RestLab, serve

pytestmark = pytest.mark.slow

SIZE = 10
Rows = list[dict[str, Any]]
Style = Callable[[Asked, Rows], Any]


def rows_of(count: int) -> Rows:
    return [{"id": number, "name": f"name {number}"} for number in range(count)]


def by_page(asked: Asked, rows: Rows, base: int = 1, name: str = "page") -> tuple[Rows, int, int]:
    """The rows of a page, its number, and how many pages there are."""
    page = int(asked.query.get(name, base))
    first = (page - base) * SIZE
    return rows[first : first + SIZE] if first >= 0 else [], page, -(-len(rows) // SIZE)


def by_offset(asked: Asked, rows: Rows) -> tuple[Rows, int]:
    first = int(asked.query.get("offset", 0))
    size = min(SIZE, int(asked.query.get("limit", SIZE)))
    return rows[first : first + size], first


def link_in_body(asked: Asked, rows: Rows) -> Any:
    page, number, pages = by_page(asked, rows)
    return {"data": page, "next": f"{asked.path}?page={number + 1}" if number < pages else None}


def odata_link(asked: Asked, rows: Rows) -> Any:
    page, number, pages = by_page(asked, rows)
    more = {"@odata.nextLink": f"?page={number + 1}"} if number < pages else {}
    return {"value": page, **more}


def link_in_header(asked: Asked, rows: Rows) -> Any:
    page, number, pages = by_page(asked, rows)
    link = {"Link": f'<{asked.path}?page={number + 1}>; rel="next"'} if number < pages else {}
    return Reply(page, link)


def cursor_in_body(asked: Asked, rows: Rows) -> Any:
    first = int(asked.query.get("cursor", "t0")[1:])
    following = first + SIZE
    token = f"t{following}" if rows[following:] else None
    return {"items": rows[first:following], "next_cursor": token}


def page_token(asked: Asked, rows: Rows) -> Any:
    first = int(asked.query.get("pageToken", "t0")[1:])
    following = first + SIZE
    token = {"nextPageToken": f"t{following}"} if rows[following:] else {}
    return {"items": rows[first:following], **token}


def cursor_in_header(asked: Asked, rows: Rows) -> Any:
    page, number, pages = by_page(asked, rows)
    return Reply(page, {"X-Next-Page": str(number + 1) if number < pages else ""})


def offset_with_total(asked: Asked, rows: Rows) -> Any:
    page, first = by_offset(asked, rows)
    return {"data": page, "offset": first, "limit": SIZE, "total": len(rows)}


def page_from_one(asked: Asked, rows: Rows) -> Any:
    page, number, pages = by_page(asked, rows)
    return {"data": page, "page": number, "total_pages": pages}


def page_from_zero(asked: Asked, rows: Rows) -> Any:
    page, number, pages = by_page(asked, rows, 0)
    found = {"number": number, "totalPages": pages, "totalElements": len(rows)}
    return {"content": page, "page": found}


def strict_page(asked: Asked, rows: Rows) -> Any:
    """A page beyond the last is not found."""
    page, number, pages = by_page(asked, rows)
    if number > max(pages, 1):
        return Reply({"error": "no such page"}, status=404)
    return {"data": page, "page": number, "total": len(rows)}


def has_more(asked: Asked, rows: Rows) -> Any:
    page, number, pages = by_page(asked, rows)
    return {"data": page, "has_more": number < pages}


def next_number(asked: Asked, rows: Rows) -> Any:
    page, number, pages = by_page(asked, rows)
    return {"data": page, "meta": {"next_page": number + 1 if number < pages else None}}


def total_in_header(asked: Asked, rows: Rows) -> Any:
    page, _, _ = by_page(asked, rows)
    return Reply(page, {"X-Total-Count": str(len(rows))})


def nothing_said(asked: Asked, rows: Rows) -> Any:
    return by_page(asked, rows)[0]


def offset_unsaid(asked: Asked, rows: Rows) -> Any:
    return by_offset(asked, rows)[0]


STYLES: tuple[Style, ...] = (
    link_in_body, odata_link, link_in_header, cursor_in_body, page_token, cursor_in_header,
    offset_with_total, page_from_one, page_from_zero, strict_page, has_more, next_number,
    total_in_header, nothing_said, offset_unsaid,
)  # fmt: skip
COUNTS = (0, 1, SIZE, 2 * SIZE, 35)


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.__name__)
def test_all_rows_once_each(style: Style, tmp_path: Path) -> None:
    """Without a word in the settings; the resources are the numbers of rows."""
    names = {f"rows_{count}": ApiResource() for count in COUNTS}
    paths = {f"/rows_{count}": rows_of(count) for count in COUNTS}
    lab = RestLab(tmp_path)
    with serve(lambda asked: style(asked, paths[asked.path])) as api:
        lab.load(api.url, names)
    assert {table.table: table.rows_given for table in lab.told} == {
        f"rows_{count}": count for count in COUNTS
    }
    for count in COUNTS[1:]:
        found = lab.query(f"select count(*), count(distinct id) from crm_raw.rows_{count}")
        assert found == [(count, count)]


@pytest.mark.parametrize(
    ("style", "paginator"),
    [
        (offset_unsaid, "offset"),
        (offset_unsaid, {"type": "offset", "limit": 4}),
        (offset_unsaid, {"type": "offset", "limit": 1000}),  # the API gives ten all the same
        (nothing_said, "page_number"),
        (page_from_zero, {"type": "page_number", "base_page": 0}),
        (link_in_body, {"type": "json_link", "next_url_path": "next"}),
        (cursor_in_body, {"type": "cursor", "cursor_path": "next_cursor"}),
        (link_in_header, "header_link"),
        (
            cursor_in_header,
            {"type": "header_cursor", "cursor_key": "X-Next-Page", "cursor_param": "page"},
        ),
    ],
)
def test_a_paginator_of_the_settings(style: Style, paginator: Paginator, tmp_path: Path) -> None:
    lab = RestLab(tmp_path)
    with serve(lambda asked: style(asked, rows_of(35))) as api:
        lab.load(api.url, {"orders": ApiResource(paginator=paginator)})
    assert lab.query("select count(*), count(distinct id) from crm_raw.orders") == [(35, 35)]


def refused(
    tmp_path: Path,
    answer: Callable[[Asked], Any],
    paginator: Paginator | None = None,
    **limits: float,
) -> str:
    """The error of a load, which leaves no row."""
    lab = RestLab(tmp_path)
    with serve(answer) as api, pytest.raises(SourceError) as caught:
        lab.load(
            api.url,
            {"orders": ApiResource(paginator=paginator)},
            limits=ApiLimits(**limits),  # type: ignore[arg-type]
            extract_only=True,
        )
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("source crm: ")
    return message.removeprefix("source crm: ")


def test_a_page_parameter_that_is_ignored(tmp_path: Path) -> None:
    message = refused(tmp_path, lambda _: {"data": rows_of(10)}, "page_number")
    assert message == (
        "orders: page 2 has the same rows as page 1: the API does not understand how it was asked "
        "for the next one; set sources.crm.resources.orders.paginator to how its next page is "
        "found"
    )


@pytest.mark.parametrize(
    "more", [{"total": 250}, {"has_more": True}, {"total_pages": 3}, {"next_cursor": "x"}]
)
def test_more_rows_that_nobody_can_ask_for(more: dict[str, Any], tmp_path: Path) -> None:
    body = {"data": rows_of(10), **more}
    message = refused(tmp_path, lambda _: body)
    assert "none of the usual ways to ask for the next page works" in message
    message = refused(tmp_path, lambda _: body, "single_page")
    assert "10 rows of 1 page were read: set sources.crm.resources.orders.paginator" in message


def test_a_total_that_does_not_come_out_can_be_ignored(tmp_path: Path) -> None:
    lab = RestLab(tmp_path)
    with serve(lambda _: {"data": rows_of(10), "total": 250}) as api:
        only = ApiResource(paginator="single_page", check_totals=False)
        lab.load(api.url, {"orders": only})
    assert lab.query("select count(*) from crm_raw.orders") == [(10,)]


def test_a_page_that_links_to_itself(tmp_path: Path) -> None:
    message = refused(tmp_path, lambda _: {"data": rows_of(2), "next": "/orders"})
    assert "page 2 has the same rows as page 1" in message
    message = refused(tmp_path, lambda _: {"data": [], "next": "/orders?a=1"})
    assert "page 2 leads back to a page that was read" in message


def test_pages_without_end(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Any:
        page = int(asked.query.get("page", 1))
        return {"data": [{"id": page}], "next": f"/orders?page={page + 1}"}

    message = refused(tmp_path, answer, max_pages=20)
    assert message.startswith("orders: there are more than 20 pages: raise sources.crm.max_pages")
    message = refused(tmp_path, answer, max_seconds=0)
    assert "raise sources.crm.max_seconds" in message


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ([{"id": 20}], "rows are at data on the first page; this one is"),
        ({"items": [{"id": 20}]}, "rows are at data on the first page; this one is"),
        ({"error": "too many requests"}, "rows are at data on the first page; this one is"),
        ({"data": "busy"}, 'rows are at data, and there is "busy"'),
        ({"data": [[1]]}, "is not an object"),
        ({"data": [None]}, "is not an object, but null"),
    ],
)
def test_a_second_page_of_another_shape(second: Any, words: str, tmp_path: Path) -> None:
    first = {"data": rows_of(10), "next": "/orders?page=2"}
    assert words in refused(tmp_path, lambda asked: second if asked.query else first)


def test_a_second_page_of_one_object(tmp_path: Path) -> None:
    lab = RestLab(tmp_path)
    pages = {"": {"data": rows_of(10), "next": "/orders?page=2"}, "2": {"data": {"id": 99}}}
    with serve(lambda asked: pages[asked.query.get("page", "")]) as api:
        lab.load(api.url)
    assert lab.query("select max(id), count(*) from crm_raw.orders") == [(99, 11)]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": "no access"}, "the answer is an error"),
        ({"errors": [{"title": "no access"}]}, "the answer is an error"),
        ({"warnings": [], "people": [{"id": 1}]}, "several lists (warnings, people)"),
        ([1, 2], "is not an object, but 1"),
        ({"data": [{"name": "x"}]}, "has no value of 'id', its key"),
        ("nothing", "rows are at the whole answer"),
    ],
)
def test_a_first_page_that_is_not_rows(body: Any, words: str, tmp_path: Path) -> None:
    assert words in refused(tmp_path, lambda _: body)


@pytest.mark.parametrize(
    "body", [{"data": None, "total": 0}, [], {"data": []}, Reply(b"", status=204)]
)
def test_no_rows_at_all(body: Any, tmp_path: Path) -> None:
    lab = RestLab(tmp_path)
    with serve(lambda _: body) as api:
        lab.load(api.url)
    assert [table.rows_given for table in lab.told] == [0]


def test_limits_of_one_answer(tmp_path: Path) -> None:
    wide = json.dumps([{"id": 1, "text": "x" * 2_000_000}]).encode()
    assert "is larger than 1 MB" in refused(tmp_path, lambda _: Reply(wide), max_response_mb=1)
    message = refused(tmp_path, lambda _: Reply(wide), max_response_seconds=0)
    assert "takes longer than 0 seconds" in message
