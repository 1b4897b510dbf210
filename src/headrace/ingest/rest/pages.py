"""Page after page until there are no more, and how an API gives its next page."""

import copy
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dlt.common import jsonpath
from dlt.sources.helpers.requests import Session
from dlt.sources.helpers.rest_client.paginators import (
    BasePaginator,
    BaseReferencePaginator,
    HeaderCursorPaginator,
    OffsetPaginator,
    RangePaginator,
)
from dlt.sources.rest_api.config_setup import create_paginator
from requests import Request, Response
from requests.exceptions import RequestException

from headrace.errors import SourceError
from headrace.ingest.model import ApiLimits
from headrace.ingest.rest import envelope
from headrace.libraries.dlt import next_reference, set_next_page


@dataclass(frozen=True)
class PageRules:
    """What the pages of a resource are to keep to.

    Attributes:
        source: the source's name.
        table: the resource's name.
        selector: JSON path of the rows; None has them found.
        check_totals: whether what answers say of totals must come out.
        limits: how many pages, and for how long.
        start: puts the cursor into the first request.
        detect: finds the paginator from the first answer, by trying.
    """

    source: str
    table: str
    selector: str | None
    check_totals: bool
    limits: ApiLimits
    start: Callable[[Request], None]
    detect: Callable[[Request, Response, list[Any]], BasePaginator]

    def error(self, words: str) -> SourceError:
        """An error that names the resource."""
        return SourceError(f"source {self.source}: {self.table}: {words}")

    @property
    def remedy(self) -> str:
        """What to set."""
        return (
            f"set sources.{self.source}.resources.{self.table}.paginator to how its next page is "
            "found"
        )


@dataclass
class _Seen:
    """What was read so far."""

    started: float = field(default_factory=time.monotonic)
    pages: int = 0
    rows: int = 0
    prints: dict[bytes, int] = field(default_factory=dict)
    references: set[str] = field(default_factory=set)
    path: envelope.Path = ()
    first_total: int | None = None
    total: int | None = None


class CheckedPages(BasePaginator):
    """dlt's paginator in a check: a repeated page, a lost one, another shape stop the load."""

    def __init__(self, rules: PageRules, given: BasePaginator | None) -> None:
        super().__init__()
        self._rules = rules
        self._given = given
        self._inner = given
        self._seen = _Seen()
        self._request = Request()
        self._was_object = False

    def __deepcopy__(self, memo: dict[int, Any]) -> "CheckedPages":
        """The same one: dlt copies a configuration to check it, and this leads to the load."""
        return self

    @property
    def has_next_page(self) -> bool:
        """Whether another page follows."""
        return self._inner is None or self._inner.has_next_page

    def init_request(self, request: Request) -> None:
        """Begin again."""
        self._inner, self._seen, self._request = self._given, _Seen(), request
        self._rules.start(request)
        if self._inner is not None:
            set_next_page(self._inner, follows=True)  # a load may come again
            self._inner.init_request(request)

    def update_request(self, request: Request) -> None:
        """Ask for the next page."""
        if self.has_next_page and self._inner is not None:
            self._inner.update_request(request)

    def update_state(self, response: Response, data: list[Any] | None = None) -> None:
        """Look at a page.

        Raises:
            SourceError: it is not as it should be.
        """
        seen, rules = self._seen, self._rules
        seen.pages += 1
        body = response.json()
        try:
            rows = self._rows(body, [] if data is None else data)
        except ValueError as error:
            raise rules.error(f"page {seen.pages}: {error}") from error
        self._check_repeated(rows)
        seen.rows += len(rows)
        found = envelope.fields(body, response.headers)
        counted = envelope.total_rows(found, len(rows))
        if counted is not None:
            seen.total = int(counted.value)
        if seen.pages == 1:
            seen.first_total = seen.total
        if self._inner is None:
            self._inner = self._detected(response, rows)
        self._advance(response, rows)
        if self.has_next_page:
            self._check_limits()
        elif rules.check_totals:
            self._check_end(response, rows, found)

    def _rows(self, body: Any, data: list[Any]) -> list[Any]:
        """The rows of a page; what dlt took for one, and is none, is taken out of ``data``."""
        selector, seen = self._rules.selector, self._seen
        if selector is not None:
            is_plain = not set(selector) & set("*?[") and ".." not in selector
            if is_plain and body is not None and not jsonpath.find_values(selector, body):
                raise ValueError(f"nothing is at data_selector {selector}")
            return data
        if seen.pages == 1:
            seen.path = envelope.row_path(body, self._rules.table)
        if body is None or (not seen.path and envelope.is_nothing(body)):
            data.clear()
            return data
        if not seen.path and seen.pages > 1 and isinstance(body, dict) != self._was_object:
            raise ValueError("it is of another shape than the first: a list and an object")
        self._was_object = isinstance(body, dict)
        return envelope.rows_at(body, seen.path)

    def _detected(self, response: Response, rows: list[Any]) -> BasePaginator:
        try:
            return self._rules.detect(self._request, response, rows)
        except ValueError as error:
            raise self._rules.error(
                "the API says that more rows follow, and none of the usual ways to ask for the "
                f"next page works: {self._rules.remedy}"
            ) from error

    def _advance(self, response: Response, rows: list[Any]) -> None:
        inner = self._inner
        assert inner is not None
        if isinstance(inner, OffsetPaginator):
            inner.value_step = len(rows) or inner.limit  # an API may give fewer than asked for
        try:
            inner.update_state(response, rows)
        except ValueError as error:
            words = " ".join(str(error).split())[:160]
            raise self._rules.error(
                f"page {self._seen.pages} is not as the paginator expects it ({words}): "
                f"{self._rules.remedy}"
            ) from error
        if (
            isinstance(inner, RangePaginator)
            and self._given is None
            and inner.total_path is None
            and self._seen.total == self._seen.first_total == self._seen.rows
        ):
            # some answer an error to whoever asks for more
            set_next_page(inner, follows=False)
        if isinstance(inner, HeaderCursorPaginator) and not next_reference(inner):
            set_next_page(inner, follows=False)  # an empty header is none
        if isinstance(inner, BaseReferencePaginator) and inner.has_next_page:
            reference = str(next_reference(inner))
            if reference in self._seen.references:
                raise self._rules.error(
                    f"page {self._seen.pages} leads back to a page that was read: "
                    f"{self._rules.remedy}"
                )
            self._seen.references.add(reference)

    def _check_repeated(self, rows: list[Any]) -> None:
        if not rows:
            return
        mark = fingerprint(rows)
        first = self._seen.prints.setdefault(mark, self._seen.pages)
        if first != self._seen.pages:
            raise self._rules.error(
                f"page {self._seen.pages} has the same rows as page {first}: the API does not "
                f"understand how it was asked for the next one; {self._rules.remedy}"
            )

    def _check_limits(self) -> None:
        seen, limits, source = self._seen, self._rules.limits, self._rules.source
        if seen.pages >= limits.max_pages:
            raise self._rules.error(
                f"there are more than {limits.max_pages:,} pages: raise sources.{source}.max_pages"
                ", or ask for larger pages (params)"
            )
        if time.monotonic() - seen.started > limits.max_seconds:
            raise self._rules.error(
                f"{seen.pages:,} pages took longer than {limits.max_seconds:,g} seconds, and more "
                f"follow: raise sources.{source}.max_seconds"
            )

    def _check_end(self, response: Response, rows: list[Any], found: list[envelope.Field]) -> None:
        """Where the paginator sees no further page, nothing may say that there is one."""
        seen, rules = self._seen, self._rules
        read = (
            f"{seen.rows:,} rows of {seen.pages:,} page{'s' if seen.pages != 1 else ''} were read"
        )
        off = f"or check_totals: false at sources.{rules.source}.resources.{rules.table}"
        if seen.total is not None and (
            seen.rows < seen.total or (seen.rows > seen.total == seen.first_total)
        ):
            raise rules.error(
                f"the API says that it has {seen.total:,} rows, and {read}: {rules.remedy}, {off}"
            )
        counted = envelope.total_pages(found)
        pages = int(counted.value) if counted else 0
        if seen.pages < pages and rows:
            raise rules.error(
                f"the API says that it has {pages:,} pages, and {read}: {rules.remedy}, {off}"
            )
        more = envelope.has_more(found)
        token = envelope.next_link(found) or envelope.next_token(found)
        says = None
        if more is not None:
            says = more.path[-1] if more.value else None
        elif rows and token is not None:
            says = token.path[-1]
        elif rows and "next" in response.links:
            says = "Link"
        if says is not None:
            raise rules.error(f"more rows follow ({says}), and {read}: {rules.remedy}, {off}")


def fingerprint(rows: list[Any]) -> bytes:
    """What is the same for pages of the same rows."""
    text = json.dumps(rows, default=str, sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


_PAGE_PARAMS = ("page", "page_number", "pageNumber", "p")
_OFFSET_PARAMS = (("offset", "limit"), ("skip", "limit"), ("start", "limit"), ("skip", "top"))
_TOKEN_PARAMS = ("cursor", "page_token", "pageToken", "after", "starting_after", "token", "page")


@dataclass
class Detector:
    """Finds the paginator of one resource.

    Attributes:
        session: asks the API for pages, to try.
        found: is told the settings of the paginator, in dlt's words, and how many rows a page
            had after which the API says nothing of more; 0 where it does.
        selector: JSON path of the rows; None has them found.
    """

    session: Session
    found: Callable[[dict[str, Any], int], None]
    selector: str | None = None
    _tried: dict[str, list[Any] | None] = field(default_factory=dict)
    _doubtful: int = 0

    def __call__(self, request: Request, response: Response, rows: list[Any]) -> BasePaginator:
        """The paginator of an API; that of a single page where nothing says that more follow.

        Raises:
            ValueError: more pages follow, and none of the ways to ask for them works.
        """
        self._tried.clear()
        self._doubtful = 0
        settings = self._settings(request, response, rows)
        self.found(settings, self._doubtful)
        paginator = create_paginator(settings)  # type: ignore[arg-type]
        assert paginator is not None  # none of them is `auto`
        paginator.init_request(copy.deepcopy(_bare(request)))
        return paginator

    def _settings(self, request: Request, response: Response, rows: list[Any]) -> dict[str, Any]:
        body = response.json()
        fields = envelope.fields(body, response.headers)
        if "next" in response.links:
            return {"type": "header_link"}
        if link := envelope.next_link(fields):
            return {"type": "json_link", "next_url_path": link.json_path}
        if token := envelope.next_token(fields):
            return self._token(token, request, rows)
        more, page_field = envelope.has_more(fields), envelope.total_pages(fields)
        pages = int(page_field.value) if page_field else None
        total_field = envelope.total_rows(fields, len(rows))
        total = int(total_field.value) if total_field else None
        if (
            (more is not None and not more.value)
            or (more is None and pages is not None and pages <= 1)
            or (more is None and pages is None and total is not None and total <= len(rows))
            or not rows
        ):
            return {"type": "single_page"}
        is_said = bool((more is not None and more.value) or pages or total)
        if not is_said and self._names_no_next(body):
            return {"type": "single_page"}
        for settings in self._numbered(fields, request, rows):
            counted = page_field if settings["type"] == "page_number" else total_field
            if more is not None:
                settings["has_more_path"] = more.json_path
            elif counted is not None and not counted.is_header:
                settings["total_path"] = counted.json_path
            return settings
        if is_said:
            raise ValueError
        self._doubtful = len(rows)
        return {"type": "single_page"}

    @staticmethod
    def _names_no_next(body: Any) -> bool:
        """Whether an answer has a field for the next page, and it is empty."""
        if not isinstance(body, dict):
            return False
        parts = [body, *(part for part in body.values() if isinstance(part, dict))]
        return not any(isinstance(part, list) for part in body.values()) or any(
            key.lower().startswith("next") and not value
            for part in parts
            for key, value in part.items()
        )

    def _token(self, token: envelope.Field, request: Request, rows: list[Any]) -> dict[str, Any]:
        plain = token.path[-1].removeprefix("next").lstrip("_-")
        own = [name for name in (plain, plain[:1].lower() + plain[1:]) if name]
        if token.is_header:
            own = [name for name in ("page",) if token.word == "xnextpage"]
        numbers = ["page"] if str(token.value).isdigit() else []
        for param in dict.fromkeys((*numbers, *own, *_TOKEN_PARAMS)):
            other = self._ask(request, {param: token.value})
            if other is not None and (not other or fingerprint(other) != fingerprint(rows)):
                if token.is_header:
                    name = token.path[-1]
                    return {"type": "header_cursor", "cursor_key": name, "cursor_param": param}
                return {"type": "cursor", "cursor_path": token.json_path, "cursor_param": param}
        raise ValueError

    def _numbered(
        self, fields: list[envelope.Field], request: Request, rows: list[Any]
    ) -> Iterator[dict[str, Any]]:
        """By page or by offset: what makes another page come, and the first one, too."""
        first = fingerprint(rows)
        offsets = envelope.offset_names(fields)
        if not offsets:
            yield from self._by_page(fields, request, first)
        size = len(rows)
        own = [(name, limit) for name in offsets for limit in ("limit", "top", "count")]
        for offset, limit in dict.fromkeys((*own, *_OFFSET_PARAMS)):
            other = self._ask(request, {offset: size, limit: size})
            zero = self._ask(request, {offset: 0, limit: size}) if other else None
            if other and zero and fingerprint(other) != first == fingerprint(zero):
                yield {
                    "type": "offset", "limit": size, "offset_param": offset, "limit_param": limit,
                    "total_path": None,
                }  # fmt: skip
        if offsets:
            yield from self._by_page(fields, request, first)

    def _by_page(
        self, fields: list[envelope.Field], request: Request, first: bytes
    ) -> Iterator[dict[str, Any]]:
        for param in dict.fromkeys((*envelope.page_names(fields), *_PAGE_PARAMS)):
            for base in (1, 0):
                here = self._ask(request, {param: base})
                if not here or fingerprint(here) != first:
                    continue
                following = self._ask(request, {param: base + 1})
                if following and fingerprint(following) != first:
                    yield {
                        "type": "page_number", "page_param": param, "base_page": base,
                        "total_path": None,
                    }  # fmt: skip

    def _ask(self, request: Request, params: dict[str, Any]) -> list[Any] | None:
        """The rows of an answer to a request with further parameters; None is no good answer."""
        key = repr(sorted(params.items()))
        if key not in self._tried:
            self._tried[key] = self._answer(request, params)
        return self._tried[key]

    def _answer(self, request: Request, params: dict[str, Any]) -> list[Any] | None:
        other = copy.copy(request)
        other.params = {**_params(request), **params}
        other.hooks = {"response": []}
        try:
            response: Response = self.session.send(  # type: ignore[no-untyped-call]
                self.session.prepare_request(other)
            )
            if response.status_code != 200:
                return None
            body = response.json()
            if self.selector is not None:
                values = jsonpath.find_values(self.selector, body)
                is_list = len(values) == 1 and isinstance(values[0], list)
                return list(values[0] if is_list else values)
            return envelope.rows_at(body, envelope.row_path(body, ""))
        except (RequestException, SourceError, ValueError):
            return None


def _bare(request: Request) -> Request:
    """A request to begin a paginator with, once its first page was read."""
    return Request(url=request.url, params=_params(request))


def _params(request: Request) -> dict[str, Any]:
    """The query parameters of a request; dlt gives them as a dict."""
    return dict(request.params) if isinstance(request.params, dict) else {}
