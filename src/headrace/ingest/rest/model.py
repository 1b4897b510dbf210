"""What the settings say of a REST API: its resources, and how much it may answer."""

from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from pydantic import ConfigDict

from headrace.ingest.cursor import Kind

Paginator: TypeAlias = str | dict[str, Any]
"""A paginator of dlt by its name (``json_link``), or with its options
(``{type: offset, limit: 100}``); ``auto`` finds one and tries it."""


@dataclass(frozen=True)
class ApiResource:
    """One raw table of an API; what is not set is taken from the source's settings.

    Attributes:
        path: below ``base_url``; by default the resource's name.
        primary_key: what a changed row is found by; ``[]`` is no key.
        cursor: the field that grows when a row changes; ``""`` is none.
        cursor_type: what the cursor's values are; by default found by looking at them.
        start_param: the parameter by which the API is asked for what changed.
        lag: how far before the last cursor a load begins, in seconds for timestamps, in days for
            dates: for rows that arrive late.
        deleted: the field that marks a row as deleted, by true or by any value.
        paginator: how the next page is found.
        data_selector: JSON path of the rows in an answer; by default the list that it holds.
        params: further query parameters.
        check_totals: whether what an answer says of totals must come out.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    path: str | None = None
    primary_key: list[str] | None = None
    cursor: str | None = None
    cursor_type: Kind | None = None
    start_param: str | None = None
    lag: float | None = None
    deleted: str | None = None
    paginator: Paginator | None = None
    data_selector: str | None = None
    params: dict[str, str | int | float | bool] | None = None
    check_totals: bool = True


@dataclass(frozen=True)
class ApiLimits:
    """How much an API may answer before the load is stopped.

    Attributes:
        max_pages: pages of one resource.
        max_seconds: seconds for all pages of one resource.
        max_response_seconds: seconds for one answer, from its first byte to its last.
        max_response_mb: size of one answer, unpacked.
    """

    max_pages: int = 100_000
    max_seconds: float = 14_400.0
    max_response_seconds: float = 300.0
    max_response_mb: float = 256.0
