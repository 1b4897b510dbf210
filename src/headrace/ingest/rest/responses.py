"""An answer of an API, as JSON without a loss: every digit, and no field twice."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from requests import Response

from headrace.errors import SourceError
from headrace.secrets import public_url

MAX_DEPTH = 64


class JsonResponse(Response):
    """A response whose ``json()`` loses nothing."""

    _source: str
    _parsed: Any
    _is_parsed: bool

    @classmethod
    def of(cls, response: Response, body: bytes, source: str) -> "JsonResponse":
        """The same response, its body read."""
        vars(response).update(_content=body, _content_consumed=True)  # what requests reads itself
        vars(response).update(_source=source, _parsed=None, _is_parsed=False)
        response.__class__ = cls
        return cast("JsonResponse", response)

    def json(self, **kwargs: Any) -> Any:
        """The body as JSON; numbers with a fraction are decimals; None of an answer without one.

        Raises:
            SourceError: it is no JSON, or not as JSON has to be.
        """
        del kwargs
        if not self._is_parsed:
            try:
                self._parsed = None if self.status_code == 204 else parse(self.content)
            except ValueError as error:
                kind = self.headers.get("Content-Type", "").partition(";")[0]
                raise SourceError(
                    f"source {self._source}: an answer was no JSON: see whether "
                    f"sources.{self._source}.base_url is that of the API "
                    f"({public_url(self.url)}{f', {kind}' if kind else ''}: {error})"
                ) from error
            self._is_parsed = True
        return self._parsed


def parse(content: bytes) -> Any:
    """A JSON text, in UTF-8, UTF-16 or UTF-32.

    Raises:
        ValueError: with what is wrong with it.
    """
    if not content.strip():
        raise ValueError("it is empty")
    try:
        text = content.decode(json.detect_encoding(content))
        parsed = json.loads(
            text,
            parse_float=_number,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not valid {error.encoding}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError as error:
        words = str(error)
        if "integer string conversion" in words:
            words = "a number has more than 4,300 digits"
        raise ValueError(words) from error
    if _depth(parsed) > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    return parsed


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text[:40]} is not a number that can be kept") from error


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not a number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the field {twice!r} twice")
    return found


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        following: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                following += [part for part in one.values() if isinstance(part, dict | list)]
            elif isinstance(one, list):
                following += [part for part in one if isinstance(part, dict | list)]
        depth, level = depth + 1, following
    return depth
