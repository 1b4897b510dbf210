"""The profiles that runs kept of a table: one of them, another beside it, and how numbers moved."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

from headrace.catalog.kept_profiles import KeptProfile
from headrace.catalog.model import Asset
from headrace.catalog.pii import why_masked
from headrace.quality.profile import TableProfile, compare, without_values
from headrace.quality.profile.model import ColumnProfile
from headrace.quality.profile.service import Change
from headrace.server.errors import NotFoundError
from headrace.server.models import ApiModel
from headrace.server.snapshot import ProjectSnapshot
from headrace.server.state import ServerState

MOST = 60  # versions of a table
Number = Literal["rows", "nulls", "distinct", "mean", "min", "max"]


class ProfileVersion(ApiModel):
    """A run that kept a profile of the table, since the table had changed."""

    run_id: str
    at: datetime
    rows: int
    code_version: str


class NumberOverTime(ApiModel):
    """A number of a table or column, as each version has it."""

    column: str | None = Field(description="null: of the table")
    number: Number = Field(description="`nulls` is a share of the rows")
    values: tuple[float | None, ...] = Field(description="as `versions`, the newest first")


class ProfileView(ApiModel):
    """A table's profile of one run, beside that of another."""

    id: str
    name: str
    relation: str | None
    versions: tuple[ProfileVersion, ...] = Field(description="the newest first")
    version: ProfileVersion | None = Field(None, description="null: no run kept a profile yet")
    profile: TableProfile | None = Field(
        None, description="as `headrace profile --json` has it, without what is costly to find out"
    )
    against: ProfileVersion | None = None
    before: TableProfile | None = Field(None, description="the profile of `against`")
    changes: tuple[Change, ...] = Field((), description="what differs between the two")
    over_time: tuple[NumberOverTime, ...] = ()
    has_column: bool = Field(True, description="false: the column that was asked for is not there")


def profile(
    state: ServerState,
    asset_id: str,
    *,
    run_id: str | None = None,
    against: str | None = None,
    column: str | None = None,
) -> ProfileView:
    """A table's profile; values of personal data are never in it.

    Args:
        state: what is asked.
        asset_id: of the table.
        run_id: the run whose profile is shown; None for the newest.
        against: the run that it is compared with; None for the one before it.
        column: numbers over time of this column only; None of all.

    Raises:
        NotFoundError: there is no such asset, or no profile of such a run.
        RunStoreError: the run store cannot be read.
    """
    now, store = state.snapshot(), state.store()
    asset = now.index.catalog.assets.get(asset_id)
    if asset is None:
        raise NotFoundError("there is no such asset", hint="/api/v1/search finds assets by words")
    kept = store.profiles(asset_id, MOST) if store is not None and asset.is_relation else []
    by_run = {one.run_id: read(now, asset, one) for one in kept}
    versions = {one.run_id: _version(one) for one in kept}
    order = list(versions)
    for wanted in (run_id, against):
        if wanted is not None and wanted not in versions:
            raise NotFoundError(
                "no profile of this table by that run is kept",
                hint="without `run` it is the newest; `versions` lists them",
            )
    chosen = run_id or (order[0] if order else None)
    if against is None and chosen is not None:
        earlier = order[order.index(chosen) + 1 :]
        against = earlier[0] if earlier else None
    found, before = by_run.get(chosen or ""), by_run.get(against or "")
    return ProfileView(
        id=asset.id,
        name=asset.name,
        relation=asset.relation,
        versions=tuple(versions.values()),
        version=versions.get(chosen or ""),
        profile=found,
        against=versions.get(against or ""),
        before=before,
        changes=compare(before, found) if found is not None and before is not None else (),
        over_time=_over_time(found, [by_run[one] for one in order], column),
        has_column=found is None
        or column is None
        or any(one.name == column for one in found.columns),
    )


def newest_profile(state: ServerState, asset: Asset) -> tuple[ProfileVersion, TableProfile] | None:
    """The newest profile of a table; None where no run kept one."""
    store = state.store()
    kept = store.profiles(asset.id, 1) if store is not None and asset.is_relation else []
    return (_version(kept[0]), read(state.snapshot(), asset, kept[0])) if kept else None


def _version(one: KeptProfile) -> ProfileVersion:
    return ProfileVersion(
        run_id=one.run_id, at=one.at, rows=one.rows, code_version=one.code_version
    )


def read(now: ProjectSnapshot, asset: Asset, kept: KeptProfile) -> TableProfile:
    """A profile, with what is personal by the catalog of today masked."""
    found = TableProfile.model_validate_json(kept.payload)
    return without_values(found, personal_of(now, asset, [one.name for one in found.columns]))


def personal_of(now: ProjectSnapshot, asset: Asset, columns: Collection[str]) -> set[str]:
    """The columns of which no value may be shown."""
    index = now.index
    is_read = asset.id not in index.problems
    return {
        name
        for name in columns
        if (asset.id, name) in index.personal_sources
        or why_masked(index.catalog, index.personal, asset.id, asset.column(name), is_read=is_read)
    }


def _over_time(
    found: TableProfile | None, versions: Sequence[TableProfile], only: str | None
) -> tuple[NumberOverTime, ...]:
    if found is None or len(versions) < 2:
        return ()
    rows = NumberOverTime(
        column=None, number="rows", values=tuple(float(one.rows) for one in versions)
    )
    moved = [rows]
    by_name = [{one.name: one for one in version.columns} for version in versions]
    for column in found.columns:
        if only is not None and column.name != only:
            continue
        of_it = [columns.get(column.name) for columns in by_name]
        for number in ("nulls", "distinct", "mean", "min", "max"):
            values = tuple(None if one is None else _number(one, number) for one in of_it)
            if any(value is not None for value in values):
                moved.append(
                    NumberOverTime.model_validate(
                        {"column": column.name, "number": number, "values": values}
                    )
                )
    return tuple(moved)


def _number(column: ColumnProfile, name: str) -> float | None:
    if name == "nulls":
        return round(column.null_share, 6)
    if name == "distinct":
        return float(column.distinct)
    if name == "mean":
        return column.mean
    text = column.min if name == "min" else column.max
    try:
        return float(text) if text is not None and column.kind == "number" else None
    except ValueError:
        return None
