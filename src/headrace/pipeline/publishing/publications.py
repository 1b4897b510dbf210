"""``headrace published``: what readers have, what they had, and back to it; on every target."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import Field

from headrace.errors import PublishError
from headrace.formatting import first_few
from headrace.pipeline import lock
from headrace.pipeline.publishing import published_file
from headrace.pipeline.publishing.publish import forget_published_state
from headrace.pipeline.reports import Report
from headrace.settings import Resolved
from headrace.targets.publication import Publication


class ReadersTable(Report):
    """A table that readers have."""

    name: str = Field(description="`schema.table`, as dbt built it")
    rows: int
    asset: str = Field(description="dbt's id of the model")


class PublicationReport(Report):
    """What readers had at once, from a time on."""

    run_id: str = Field(description="of the run that published it; what --rollback takes")
    since: datetime = Field(description="from when readers had it; UTC")
    code_version: str
    is_current: bool
    tables: tuple[ReadersTable, ...]


class PublishedReport(Report):
    """The answer of ``headrace published``."""

    target: str
    location: str = Field(description="where readers find it")
    publications: tuple[PublicationReport, ...] = Field(
        description="the current one; with --history all that are kept, newest first; with "
        "--as-of the one of that time"
    )
    rolled_back: bool = False


def history(resolved: Resolved) -> list[Publication]:
    """What readers had and can have again, newest first; the current one is the first."""
    publisher = resolved.target.publisher()
    if publisher is None:
        return published_file.history(resolved.published)
    return publisher.history()


def published(
    resolved: Resolved, *, is_history: bool = False, as_of: datetime | None = None
) -> PublishedReport:
    """What readers have, or had.

    Args:
        resolved: the settings.
        is_history: whether all that is kept is wanted.
        as_of: the time of which it is wanted; by default now.

    Raises:
        PublishError: nothing is published, or what was published then is not kept.
        WarehouseError: the target cannot be read.
    """
    found = history(resolved)
    if not found:
        raise PublishError(f"nothing is published at {_location(resolved)}: run `headrace run`")
    chosen: Sequence[Publication] = found if is_history else found[:1]
    if as_of is not None:
        chosen = [one for one in found if one.published_at <= as_of][:1]
        if not chosen:
            oldest = found[-1].published_at
            raise PublishError(
                f"what was published at {as_of:%Y-%m-%d %H:%M:%S} UTC is not kept: the oldest is of"
                f" {oldest:%Y-%m-%d %H:%M:%S} UTC (publish.keep is "
                f"{resolved.settings.publish.keep})"
            )
    return _report(resolved, chosen, found[0])


def rollback(resolved: Resolved, run_id: str) -> PublishedReport:
    """Give readers again what an earlier run published, in one step.

    What is built stays: the next run that passes its audit publishes it.

    Args:
        resolved: the settings.
        run_id: of the run; its beginning is enough.

    Raises:
        PublishError: it is not kept, or is what readers have.
        LockedError: a run is in progress.
        WarehouseError: the target cannot be reached.
    """
    target = resolved.target
    with lock.hold(target, "headrace published --rollback"):
        found = history(resolved)
        wanted = sorted({one.run_id for one in found if one.run_id.startswith(run_id)})
        if run_id in wanted:
            wanted = [run_id]
        if len(wanted) != 1:
            runs = first_few(list(dict.fromkeys(one.run_id for one in found)), 10)
            why = f"is the beginning of {len(wanted)} runs" if wanted else "is not kept"
            raise PublishError(f"run {run_id} {why}; there are: {runs or 'none'}")
        if wanted[0] == found[0].run_id:
            raise PublishError(f"readers have what run {wanted[0]} published: nothing to do")
        publisher = target.publisher()
        # what is built is not what is published any more
        forget_published_state(resolved)
        if publisher is None:
            keep = resolved.settings.publish.keep
            published_file.restore(resolved.published, wanted[0], keep)
        else:
            publisher.restore(wanted[0])
            if any(one.run_id == wanted[0] for one in published_file.earlier(resolved.published)):
                keep = resolved.settings.publish.keep
                published_file.restore(resolved.published, wanted[0], keep)
            else:  # the copy would show what readers do not have
                resolved.published.unlink(missing_ok=True)
    found = history(resolved)
    return _report(resolved, found[:1], found[0], rolled_back=True)


def _location(resolved: Resolved) -> str:
    publisher = resolved.target.publisher()
    return publisher.location if publisher is not None else str(resolved.published)


def _report(
    resolved: Resolved,
    chosen: Sequence[Publication],
    newest: Publication,
    *,
    rolled_back: bool = False,
) -> PublishedReport:
    return PublishedReport(
        target=resolved.target.name,
        location=_location(resolved),
        publications=tuple(
            PublicationReport(
                run_id=one.run_id,
                since=one.published_at.astimezone(UTC),
                code_version=one.code_version,
                is_current=one is newest,
                tables=tuple(
                    ReadersTable(name=table.full_name, rows=table.rows, asset=table.unique_id)
                    for table in one.tables
                ),
            )
            for one in chosen
        ),
        rolled_back=rolled_back,
    )
