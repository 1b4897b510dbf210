"""A REST API as a dlt source: where a load begins, and rows that are checked and typed."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from dlt.common.schema import Schema
from dlt.extract import DltResource, DltSource
from dlt.sources.helpers.requests import Session
from dlt.sources.helpers.rest_client.paginators import BasePaginator
from dlt.sources.rest_api import rest_api_source
from dlt.sources.rest_api.config_setup import create_paginator
from requests import Request

from headrace.errors import NoCursorError, SourceError
from headrace.ingest.cursor import CursorError, Key, Kind, find, key
from headrace.ingest.model import ApiLimits, ApiResource, IngestContext, Paginator, TableLoad
from headrace.ingest.periods import Backfill
from headrace.ingest.rest.field_types import written
from headrace.ingest.rest.pages import CheckedPages, Detector, PageRules, fingerprint
from headrace.ingest.rest.rows import RowSpool
from headrace.ingest.rest.session import open_session
from headrace.libraries.dlt import replace_rows

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


_FEWEST_ROWS = 10  # a page of fewer rows is hardly cut off
_DEFAULTS: dict[str, dict[str, Any]] = {
    "offset": {"limit": 100, "total_path": None},
    "page_number": {"base_page": 1, "total_path": None},
}


def api_source(
    context: IngestContext,
    client: Mapping[str, Any],
    resources: Mapping[str, ApiResource],
    *,
    defaults: ApiResource | None = None,
    allowed_hosts: Sequence[str] = (),
    limits: ApiLimits | None = None,
    timeout: float = 30.0,
    max_attempts: int = 5,
    max_wait: float = 60.0,
) -> DltSource:
    """The tables of an API.

    Args:
        context: what the load runs in.
        client: dlt's configuration of the client: ``base_url``, and ``auth``, ``headers``.
        resources: raw table name to what is particular to it.
        defaults: what all resources have in common.
        allowed_hosts: further hosts that the API may lead to; they get the credentials, too.
        limits: how much it may answer.
        timeout: how long to wait for a byte of an answer, in seconds.
        max_attempts: how often a request is made that is answered by 429 or 5xx, or not at all.
        max_wait: the longest pause between two attempts, in seconds.

    Raises:
        SourceError: a resource is not described in a way that can be read.
    """
    session = open_session(
        context.source,
        str(client["base_url"]),
        allowed_hosts,
        limits or ApiLimits(),
        timeout=timeout,
        max_attempts=max_attempts,
        max_wait=max_wait,
    )
    checks = {
        name: _Resource(context, name, _merged(one, defaults), session, limits or ApiLimits())
        for name, one in resources.items()
    }
    config = {
        "client": {**client, "session": session},
        "resources": [check.config() for check in checks.values()],
    }
    source = rest_api_source(config, name=context.source)  # type: ignore[arg-type]
    source.schema_contract = context.contract.for_dlt()  # type: ignore[assignment]
    source.schema.remove_type_detection("iso_timestamp")  # types are decided over all rows
    for name, check in checks.items():
        check.wrap(source.resources[name])
    return source


def _merged(one: ApiResource, defaults: ApiResource | None) -> ApiResource:
    """A resource with what it leaves open."""
    if defaults is None:
        return one
    open_ones = {
        each.name: getattr(defaults, each.name)
        for each in fields(ApiResource)
        if getattr(one, each.name) is None
    }
    return replace(one, **open_ones, check_totals=one.check_totals and defaults.check_totals)


@dataclass
class _Resource:
    """One resource of one load."""

    context: IngestContext
    name: str
    settings: ApiResource
    session: Session
    limits: ApiLimits
    cursor: ApiCursor | None = field(init=False)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        given = self.settings
        where = f"source {self.context.source}: {self.name}"
        if given.cursor and not given.primary_key:
            raise SourceError(
                f"{where}: a cursor needs a primary_key: changed rows are merged by it"
            )
        self.cursor = (
            ApiCursor(
                source=self.context.source,
                table=self.name,
                field=given.cursor,
                param=given.start_param or "since",
                declared=given.cursor_type,
                lag=given.lag,
                backfill=self.context.backfill,
            )
            if given.cursor
            else None
        )

    def config(self) -> dict[str, Any]:
        """The resource in dlt's words."""
        given = self.settings
        endpoint: dict[str, Any] = {
            "path": given.path if given.path is not None else self.name,
            "paginator": CheckedPages(self._rules(), self._paginator(given.paginator)),
        }
        if given.params:
            endpoint["params"] = dict(given.params)
        if given.data_selector is not None:
            endpoint["data_selector"] = given.data_selector
        config: dict[str, Any] = {
            "name": self.name,
            "endpoint": endpoint,
            # without a key, each load takes the place of the last
            "write_disposition": "merge" if given.primary_key else "replace",
        }
        if given.primary_key:
            config["primary_key"] = given.primary_key
        if given.deleted:
            config["columns"] = {given.deleted: {"hard_delete": True}}
        return config

    def _rules(self) -> PageRules:
        return PageRules(
            source=self.context.source,
            table=self.name,
            selector=self.settings.data_selector,
            check_totals=self.settings.check_totals,
            limits=self.limits,
            start=self._start,
            detect=Detector(self.session, self._found, self.settings.data_selector),
        )

    def _paginator(self, given: Paginator | None) -> BasePaginator | None:
        """dlt's paginator; None where it is to be found.

        Raises:
            SourceError: there is none of that name, or not with such options.
        """
        options = {"type": given} if isinstance(given, str) else dict(given or {"type": "auto"})
        kind = str(options.get("type", "auto"))
        if kind == "auto":
            return None
        try:
            return create_paginator({**_DEFAULTS.get(kind, {}), **options})  # type: ignore[arg-type]
        except (ValueError, TypeError) as error:
            words = " ".join(str(error).split())[:200]
            raise SourceError(
                f"source {self.context.source}: {self.name}: paginator {kind}: {words}: set "
                f"sources.{self.context.source}.resources.{self.name}.paginator to a name and "
                "options that dlt knows"
            ) from error

    def _start(self, request: Request) -> None:
        if self.cursor is not None:
            self.cursor.start(request)

    def _found(self, settings: dict[str, Any], doubtful_rows: int) -> None:
        words = ", ".join(
            f"{key}: {'null' if value is None else value}" for key, value in settings.items()
        )
        if settings["type"] != "single_page":
            self.notes.append(f"its pages were found by trying: paginator: {{{words}}}")
        elif doubtful_rows >= _FEWEST_ROWS:
            self.notes.append(
                f"the API names no page after the first; if there are more than {doubtful_rows:,} "
                f"rows, set paginator at sources.{self.context.source}.resources.{self.name}"
            )

    def wrap(self, resource: DltResource) -> None:
        """Have the rows of all pages come first, and then go to dlt with their types."""
        replace_rows(resource, self._spooled)

    def _spooled(self, generate: Callable[..., Iterator[Any]]) -> Callable[[], Iterator[Any]]:
        import dlt

        def load() -> Iterator[Any]:
            backfill = self.context.backfill
            if backfill is not None and self.cursor is None:
                message = f"{self.context.source}.{self.name} has no cursor"
                if backfill.is_named:
                    raise NoCursorError(f"{message}: each load brings all of it")
                self.context.report(
                    TableLoad(self.context.source, self.name, notes=(f"left out: {message}",))
                )
                return
            state = dlt.current.resource_state(self.name)
            schema: Schema = dlt.current.source_schema()
            is_known = bool(state)
            spool = RowSpool(
                source=self.context.source,
                table=self.name,
                key=tuple(self.settings.primary_key or ()),
                folder=self.context.scratch_dir,
                mode=self.context.contract.data_type or "freeze",
            )
            if self.cursor is not None:
                self.cursor.begin(state.setdefault("cursor", {}))
            known = 0
            with spool.file:
                for page in generate():
                    rows = list(page)
                    if self.cursor is not None:
                        rows = self.cursor.add(rows)
                    known += len(page) - len(rows)
                    spool.add(rows)
                yield from spool.rows(schema, state)
            notes = [f"loaded again: {backfill}"] if backfill else []
            notes += [*spool.notes, *(self.cursor.end() if self.cursor is not None else ())]
            self.context.report(
                TableLoad(
                    self.context.source,
                    self.name,
                    rows_given=spool.count + known,
                    rows_quarantined=spool.misfits.rows,
                    notes=tuple(notes if is_known else [*self.notes, *notes]),
                    is_counted=False,
                )
            )

        return load
