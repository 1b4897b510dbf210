"""What an answer says besides its rows: where they are, whether more follow, how many there are."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dlt.sources.helpers.rest_client.detector import (
    RECORD_KEY_PATTERNS,
    find_all_lists,
    find_response_page_data,
)

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOTAL_PAGES = {"totalpages", "pages", "pagecount", "lastpage", "numpages", "numberofpages"}
_TOTAL_ROWS = {
    "total", "totalcount", "totalresults", "totalrecords", "totalitems", "totalelements",
    "totalrows", "recordcount", "recordstotal", "numfound", "resultcount", "odatacount", "count",
    "xtotalcount", "xtotal",
}  # fmt: skip
_MORE = {"hasmore", "hasnext", "hasnextpage", "more", "moreresults", "next"}
_AFTER = {"nextcursor", "after", "endcursor"}
_PAGE = {"page", "currentpage", "pagenumber", "number"}
_OFFSET = {"offset", "skip", "start", "startat", "startindex"}
_ERRORS = {"error", "errors"}

Path = tuple[str, ...]


@dataclass(frozen=True)
class Field:
    """A scalar of an answer, or a header.

    Attributes:
        path: its keys.
        value: true, false, a number or a text.
        is_header: whether it is a header.
    """

    path: Path
    value: Any
    is_header: bool = False

    @property
    def word(self) -> str:
        """The last key in small letters, without punctuation."""
        return _letters(self.path[-1])

    @property
    def json_path(self) -> str:
        """Its JSON path, as dlt reads it."""
        return ".".join(part if _PLAIN.fullmatch(part) else f"'{part}'" for part in self.path)


def fields(body: Any, headers: Mapping[str, str]) -> list[Field]:
    """The scalars of an answer beside its rows, and its headers on pages."""
    found = list(_scalars(body, ())) if isinstance(body, dict) else []
    for key, value in headers.items():
        word = _letters(key)
        if word.startswith("x") and value and ("next" in word or "total" in word):
            found.append(Field((key,), value, is_header=True))
    return found


def _scalars(body: Mapping[str, Any], path: Path) -> Iterator[Field]:
    for key, value in body.items():
        if isinstance(value, dict):
            if len(path) < 3:
                yield from _scalars(value, (*path, key))
        elif value is not None and value != "" and not isinstance(value, list):
            yield Field((*path, key), value)


def row_path(body: Any, table: str) -> Path:
    """The keys of the rows in a first answer; none is the answer itself.

    Raises:
        ValueError: what is wrong with it.
    """
    if not isinstance(body, dict):
        return ()
    path, _ = find_response_page_data(body)
    path = () if path == ("$",) else tuple(path)
    if path and path[-1].lower() in _ERRORS:
        raise ValueError(f"the answer is an error: {_shown(body)}")
    if not path:
        if any(body.get(key) for key in body if key.lower() in _ERRORS) and len(body) <= 8:
            raise ValueError(f"the answer is an error: {_shown(body)}")
        return ()
    lists = [tuple(where) for where, _ in find_all_lists(body, result=[])]
    if len(lists) > 1 and path[-1] not in RECORD_KEY_PATTERNS and path[-1] != table:
        names = ", ".join(".".join(where) for where in lists)
        raise ValueError(
            f"the answer has several lists ({names}): set data_selector to the one that holds the "
            "rows, or to $ if the answer is one row"
        )
    return path


def is_nothing(body: Any) -> bool:
    """Whether an answer without a list is one that says ``data: null``, and no row."""
    return body is None or (
        isinstance(body, dict)
        and any(value is None for key, value in body.items() if key.lower() in RECORD_KEY_PATTERNS)
    )


def rows_at(body: Any, path: Path) -> list[Any]:
    """The rows of an answer.

    Raises:
        ValueError: it has another shape than the first one.
    """
    where = ".".join(path) or "the whole answer"
    value = body
    for key in path:
        if not isinstance(value, dict) or key not in value:
            raise ValueError(f"rows are at {where} on the first page; this one is {_shown(body)}")
        value = value[key]
    if value is None:
        return []
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [value]
    raise ValueError(f"rows are at {where}, and there is {_shown(value)}")


def next_link(found: list[Field]) -> Field | None:
    """A link to the next page."""
    return next(
        (
            field
            for field in found
            if _is_next(field) and isinstance(field.value, str) and _is_link(field.value)
            and not field.is_header
        ),
        None,
    )  # fmt: skip


def next_token(found: list[Field]) -> Field | None:
    """A token or number by which the next page is asked for."""
    for field in found:
        is_token = isinstance(field.value, str | int) and not isinstance(field.value, bool)
        if is_token and (_is_next(field) or field.word in _AFTER) and not _is_link(field.value):
            return field
    return None


def has_more(found: list[Field]) -> Field | None:
    """The field that says, by true or false, whether there are more rows."""
    return next((f for f in found if f.word in _MORE and isinstance(f.value, bool)), None)


def total_pages(found: list[Field]) -> Field | None:
    """The field that says how many pages there are."""
    return _number(found, _TOTAL_PAGES)


def total_rows(found: list[Field], page_rows: int) -> Field | None:
    """The field that says how many rows there are; ``count`` only if it is more than a page has."""
    total = _number(found, _TOTAL_ROWS - {"count"})
    count = _number(found, {"count"})
    return total if total or count is None or int(count.value) <= page_rows else count


def page_names(found: list[Field]) -> list[str]:
    """Names that an answer has for its page number."""
    return [f.path[-1] for f in found if f.word in _PAGE and not f.is_header and _is_int(f.value)]


def offset_names(found: list[Field]) -> list[str]:
    """Names that an answer has for its offset."""
    return [f.path[-1] for f in found if f.word in _OFFSET and not f.is_header]


def _is_next(field: Field) -> bool:
    if field.is_header:
        return "next" in field.word
    words = [_letters(part) for part in field.path]
    return words[-1].startswith("next") or words[-1].endswith("nextlink") or (
        len(words) > 1 and words[-2] == "next" and words[-1] in {"href", "url"}
    )  # fmt: skip


def _is_link(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://", "/", "?"))


def _number(found: list[Field], words: set[str]) -> Field | None:
    return next((f for f in found if f.word in words and _is_int(f.value)), None)


def _is_int(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 18
    )


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).lower()


def _shown(value: Any) -> str:
    import json

    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:119]}…"
