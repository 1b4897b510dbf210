"""A REST API as a dlt source: dlt's ``rest_api`` asks, and what it gives is checked and typed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from dlt.common.schema import Schema
from dlt.extract import DltResource, DltSource
from dlt.sources.helpers.requests import Session
from dlt.sources.helpers.rest_client.paginators import BasePaginator
from dlt.sources.rest_api import rest_api_source
from dlt.sources.rest_api.config_setup import create_paginator
from requests import Request

from headrace.errors import NoCursorError, SourceError
from headrace.ingest.model import ApiLimits, ApiResource, IngestContext, Paginator, TableLoad
from headrace.ingest.rest.detect import Detector
from headrace.ingest.rest.incremental import ApiCursor
from headrace.ingest.rest.pages import CheckedPages, PageRules
from headrace.ingest.rest.rows import RowSpool
from headrace.ingest.rest.session import open_session
from headrace.libraries.dlt import replace_rows

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
