"""Where a load begins to ask an API: at the newest cursor of the last one, by its meaning."""

import dataclasses
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from requests import Request

from headrace.errors import SourceError
from headrace.ingest.backfill import Backfill
from headrace.ingest.cursor import CursorError, Key, Kind, find, key
from headrace.ingest.rest.field_types import written
from headrace.ingest.rest.pages import fingerprint

_FEW = 5_000
_MOST = 10_000


@dataclass
class ApiCursor:
    """The cursor of one resource.

    Attributes:
        source: the source's name, for messages.
        table: the resource's name.
        field: the field of the rows.
        param: the query parameter by which the API is asked for what changed.
        declared: its kind, as the settings say.
        lag: how far before the last cursor a load begins: seconds, days, or the number itself.
        backfill: the range that is asked for instead; what is kept stays as it is.
        state: what is kept from load to load.
    """

    source: str
    table: str
    field: str
    param: str
    declared: Kind | None
    lag: float | None
    backfill: Backfill | None = None
    state: dict[str, Any] = dataclasses.field(default_factory=dict)
    _examples: dict[Any, None] = dataclasses.field(default_factory=dict)
    _newest: Any = None
    _kind: Kind | None = None
    _boundary: list[str] = dataclasses.field(default_factory=list)

    def begin(self, state: dict[str, Any]) -> None:
        """Begin a load, with what was kept of the last one."""
        self.state = state
        self._examples, self._newest, self._boundary = {}, None, []
        self._kind = self.declared or state.get("kind")

    def start(self, request: Request) -> None:
        """Ask for what changed since the last load, rows at the boundary too."""
        value = self.state.get("value")
        if self.backfill is not None:
            value = self._since(value, self.backfill)
        if value is None:
            return
        params = request.params if isinstance(request.params, dict) else {}
        start = written(value) if self.backfill else self._lagged(value)
        request.params = {**params, self.param: start}

    def _since(self, value: Any, backfill: Backfill) -> Any:
        """The beginning of the range, as the API writes its values."""
        if value is None:
            raise SourceError(
                f"{self.source}.{self.table} was not loaded yet: run `headrace load` without "
                "--since"
            )
        if self.state.get("kind") == "timestamp" and len(backfill.since) == len("2024-12-31"):
            zone = re.search(r"(Z|[+-]\d\d:?\d\d)?$", str(value).strip())
            return f"{backfill.since}T00:00:00{'Z' if zone and zone[0] else ''}"
        return backfill.since

    def add(self, rows: list[Any]) -> list[Any]:
        """Look at a page; rows without a value are taken, and move nothing.

        Returns:
            The rows without those of the boundary that the last load brought just so.

        Raises:
            SourceError: a row has no such field, or its value cannot be ordered.
        """
        known = set(self.state.get("boundary", ()))
        try:
            self._find_kind([row.get(self.field) for row in rows if isinstance(row, dict)])
            if self.backfill is not None:
                since, until = self.backfill.keys(self._kind or "text")
                return [row for row in rows if self._is_in(row, since, until)]
            return [row for row in rows if not self._is_known(row, known)]
        except CursorError as error:
            raise SourceError(
                f"source {self.source}: {self.table}: the cursor {self.field} cannot be ordered: "
                f"{error}; set cursor_type at sources.{self.source}.resource_defaults to "
                "timestamp, date, number or text, or take another cursor"
            ) from error

    def _is_in(self, row: Any, since: Key, until: Key | None) -> bool:
        """Whether a row is in the range; the API may give more."""
        value = row.get(self.field) if isinstance(row, dict) else None
        if value is None:
            return True
        order = key(value, self._kind or "text")
        return order >= since and (until is None or order < until)

    def _find_kind(self, values: list[Any]) -> None:
        for value in values:
            if isinstance(value, dict | list):
                raise CursorError(str(value)[:60], "is no single value")
            if len(self._examples) < _FEW:
                self._examples[value] = None
        self._kind = find(self._examples, self.declared) or self._kind

    def _is_known(self, row: Any, known: set[str]) -> bool:
        if not isinstance(row, dict):
            return False
        if self.field not in row:
            raise SourceError(
                f"source {self.source}: {self.table}: a row has no field {self.field!r}, its "
                f"cursor; it has {', '.join(sorted(row))}: set cursor at "
                f"sources.{self.source}.resource_defaults"
            )
        value = row[self.field]
        if value is None:
            return False
        is_newest = self._take(value)
        mark = fingerprint([row]).hex()
        if is_newest:
            self._boundary = []
        if is_newest is not None and len(self._boundary) < _MOST:
            self._boundary.append(mark)
        return mark in known

    def _take(self, value: Any) -> bool | None:
        """True of a value that is newer than all before, False of one that equals the newest."""
        kind = self._kind or "text"
        order = key(value, kind)
        newest = None if self._newest is None else key(self._newest, kind)
        if newest is None or order > newest:
            self._newest = value
            return True
        return False if order == newest else None

    def end(self) -> tuple[str, ...]:
        """Keep the newest value; sentences for the user."""
        if self._newest is None or self._kind is None or self.backfill is not None:
            return ()
        before = self.state.get("value")
        kind = self._kind
        is_first = self.state.get("kind") != kind
        try:
            if before is not None and key(before, kind) > key(self._newest, kind):
                return ()
            if before is not None and key(before, kind) == key(self._newest, kind):
                self._boundary = [*self.state.get("boundary", ()), *self._boundary]
        except CursorError:
            pass  # the kind is another than that of the last load: the new value counts
        value = self._newest
        self.state |= {
            "value": str(value) if isinstance(value, Decimal) else value,
            "kind": kind,
            "boundary": list(dict.fromkeys(self._boundary))[:_MOST],
        }
        return (f"the cursor {self.field} is a {kind}",) if is_first else ()

    def _lagged(self, value: Any) -> str:
        kind = self.state.get("kind")
        if not self.lag:
            return written(value)
        if kind == "number":
            number = Decimal(str(value)) - Decimal(str(self.lag))
            return str(int(number)) if number == int(number) else str(number)
        try:
            if kind == "date":
                return (date.fromisoformat(str(value)) - timedelta(days=self.lag)).isoformat()
            if kind == "timestamp":
                text = str(value)
                earlier = datetime.fromisoformat(text) - timedelta(seconds=self.lag)
                written_back = earlier.isoformat()
                is_utc = text.endswith("Z") and written_back.endswith("+00:00")
                return written_back[:-6] + "Z" if is_utc else written_back
        except (ValueError, OverflowError):
            pass
        raise SourceError(
            f"source {self.source}: {self.table}: lag is set, and {written(value)!r} is a {kind}, "
            f"which has no distance: drop lag at sources.{self.source}.resource_defaults"
        )
