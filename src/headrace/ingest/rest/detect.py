"""How an API gives its next page, found from the first answer, and tried before it is believed."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dlt.common import jsonpath
from dlt.sources.helpers.requests import Session
from dlt.sources.helpers.rest_client.paginators import BasePaginator
from dlt.sources.rest_api.config_setup import create_paginator
from requests import Request, Response
from requests.exceptions import RequestException

from headrace.errors import SourceError
from headrace.ingest.rest import envelope
from headrace.ingest.rest.pages import fingerprint

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
