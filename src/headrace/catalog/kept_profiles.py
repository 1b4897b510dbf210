"""The profiles of tables in the run store: one of each run in which a table changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headrace.artifacts.reading import utc
from headrace.catalog.database import StoreDatabase


@dataclass(frozen=True)
class KeptProfile:
    """A profile of a table, as a run kept it.

    Attributes:
        asset_id: the catalog's id of the table.
        run_id: the run.
        at: when that began, UTC.
        code_version: of the project in that run.
        rows: of the table.
        payload: the profile, a ``TableProfile`` as JSON.
    """

    asset_id: str
    run_id: str
    at: datetime
    code_version: str
    rows: int
    payload: str


class ProfileStore(StoreDatabase):
    """Records and reads profiles of tables."""

    def add_profile(
        self, run_id: str, asset_id: str, *, rows: int, stamp: str, payload: str
    ) -> None:
        """Record a profile.

        Args:
            run_id: the run.
            asset_id: the catalog's id of the table.
            rows: of the table.
            stamp: of the table's content; another one means that the table changed.
            payload: the profile as JSON.
        """
        row = {"run_id": run_id, "asset_id": asset_id, "rows": rows}
        self._insert("profiles", [{**row, "stamp": stamp, "payload": payload}])

    def profile_stamps(self) -> Mapping[str, str]:
        """The stamp of each table's newest profile, by asset id."""
        from sqlalchemy import func, select

        profiles = self._tables["profiles"]
        newest = select(func.max(profiles.c.id)).group_by(profiles.c.asset_id)
        query = select(profiles.c.asset_id, profiles.c.stamp).where(profiles.c.id.in_(newest))
        with self.begin() as connection:
            return {str(asset_id): str(stamp) for asset_id, stamp in connection.execute(query)}

    def profiles(self, asset_id: str, limit: int) -> list[KeptProfile]:
        """The newest profiles of a table, newest first."""
        profiles = self._tables["profiles"]
        return self._profiles(
            self._profile_query()
            .where(profiles.c.asset_id == asset_id)
            .order_by(profiles.c.id.desc())
            .limit(limit)
        )

    def newest_profiles(self, run_id: str | None = None) -> Mapping[str, KeptProfile]:
        """Each table's newest profile by asset id; with a run, only those that it kept."""
        from sqlalchemy import func, select

        profiles = self._tables["profiles"]
        newest = select(func.max(profiles.c.id)).group_by(profiles.c.asset_id)
        query = self._profile_query().where(profiles.c.id.in_(newest))
        if run_id is not None:
            query = query.where(profiles.c.run_id == run_id)
        return {one.asset_id: one for one in self._profiles(query)}

    def last_profiled_run(self) -> str | None:
        """The newest run that kept a profile; None before the first one."""
        from sqlalchemy import select

        profiles = self._tables["profiles"]
        query = select(profiles.c.run_id).order_by(profiles.c.id.desc()).limit(1)
        with self.begin() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else str(found)

    def replace_profiles(self, asset_id: str, payloads: Mapping[str, str]) -> None:
        """Replace the content of profiles of a table, by the run that kept them."""
        from sqlalchemy import update

        profiles = self._tables["profiles"]
        with self.begin() as connection:
            for run_id, payload in payloads.items():
                connection.execute(
                    update(profiles)
                    .where(profiles.c.asset_id == asset_id, profiles.c.run_id == run_id)
                    .values(payload=payload)
                )

    def forget_profiles(self, asset_ids: Sequence[str], keep: int) -> None:
        """Delete all but the newest profiles of some tables."""
        from sqlalchemy import delete, select

        profiles = self._tables["profiles"]
        with self.begin() as connection:
            for asset_id in asset_ids:
                newest = (
                    select(profiles.c.id)
                    .where(profiles.c.asset_id == asset_id)
                    .order_by(profiles.c.id.desc())
                    .limit(keep)
                )
                ids = list(connection.execute(newest).scalars())
                connection.execute(
                    delete(profiles).where(
                        profiles.c.asset_id == asset_id, profiles.c.id.not_in(ids)
                    )
                )

    def _profile_query(self) -> Any:
        from sqlalchemy import select

        profiles, runs = self._tables["profiles"], self._tables["runs"]
        return select(
            profiles.c.asset_id, profiles.c.run_id, runs.c.started_at, runs.c.code_version,
            profiles.c.rows, profiles.c.payload,
        ).join(runs, runs.c.run_id == profiles.c.run_id)  # fmt: skip

    def _profiles(self, query: Any) -> list[KeptProfile]:
        with self.begin() as connection:
            return [
                KeptProfile(asset_id, run_id, utc(at), *rest)
                for asset_id, run_id, at, *rest in connection.execute(query)
            ]
