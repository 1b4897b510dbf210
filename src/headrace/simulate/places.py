"""Where the stages are: the bucket, and the settings that each stage's target is resolved by."""

import json
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.errors import LockedError, WarehouseError
from headrace.extras import how_to_install
from headrace.libraries.duckdb import create_secret, load_extension
from headrace.settings import Resolved, resolve
from headrace.targets.object_store import S3Store
from headrace.targets.s3_access import S3Access
from headrace.targets.s3_standin import EXTRA, KEY_ID, REGION, SECRET

if TYPE_CHECKING:
    import duckdb

BRONZE, SILVER, GOLD, BUILT = "bronze", "silver", "gold", "intermediate"
"""Folders of the bucket; `intermediate` holds what dbt builds on the way to the marts."""


@dataclass(frozen=True)
class CloudStack:
    """The places of a simulation.

    Attributes:
        project: the settings of the project.
        sources: that are simulated.
        flags: settings of this call, as ``--set`` takes them.
    """

    project: Resolved
    sources: tuple[str, ...]
    flags: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """All that it keeps on this machine."""
        return self.project.common_data_dir / "simulate"

    @property
    def is_local(self) -> bool:
        """Whether the bucket is the stand-in's."""
        return self.project.settings.simulate.local

    @cached_property
    def access(self) -> S3Access:
        """How the bucket is reached; the stand-in is started for that.

        Raises:
            WarehouseError: the stand-in is not installed, or cannot be started.
        """
        settings = self.project.settings.simulate
        bucket, _, prefix = settings.url.removeprefix("s3://").strip("/").partition("/")
        if self.is_local:
            return S3Access(
                bucket=bucket, prefix=prefix, endpoint=self._stand_in(), region=REGION,
                path_style=True, key_id=KEY_ID, secret=SECRET, token=None, setting="simulate",
            )  # fmt: skip
        secret = settings.secret_access_key
        token = settings.session_token
        key = settings.access_key_id
        return S3Access(
            bucket=bucket, prefix=prefix, endpoint=settings.endpoint, region=settings.region,
            path_style=settings.endpoint is not None,
            key_id=key.get_secret_value() if key else None,
            secret=secret.get_secret_value() if secret else None,
            token=token.get_secret_value() if token else None, setting="simulate",
        )  # fmt: skip

    def _stand_in(self) -> str:
        if find_spec("moto") is None:
            raise WarehouseError(
                f"the stand-in for S3 needs more packages: run `{how_to_install(EXTRA)}`"
            )
        from headrace.targets.s3_standin import process

        return f"http://127.0.0.1:{process.port_of(self.folder / 's3')}"

    @cached_property
    def store(self) -> S3Store:
        """The bucket; that of the stand-in is made where there is none.

        Raises:
            WarehouseError: it cannot be reached.
        """
        found = S3Store(self.access)
        if self.is_local:
            found.make_bucket()
        return found

    @property
    def url(self) -> str:
        """Bucket and prefix."""
        return self.store.url

    def requests(self) -> dict[str, int]:
        """Requests to the stand-in since its start, by kind; nothing of another bucket."""
        if not self.is_local:
            return {}
        from headrace.targets.s3_standin.server import REQUESTS

        with urllib.request.urlopen(f"{self.access.endpoint}{REQUESTS}", timeout=30) as answer:  # noqa: S310
            found: dict[str, int] = json.load(answer)
        return found

    def open(self, connection: "duckdb.DuckDBPyConnection") -> None:
        """Let a connection of DuckDB read and write the bucket.

        Raises:
            WarehouseError: a package is missing, or there are no credentials.
        """
        load_extension(connection, "httpfs", extra=EXTRA)
        connection.execute(create_secret(self.access.duckdb_secret()))
        connection.execute("set TimeZone = 'UTC'")

    def resolved(self, target: str, more: Sequence[str] = ()) -> Resolved:
        """The settings of a target that has a place of its own in the simulation.

        Args:
            target: its name in the settings.
            more: further settings.

        Raises:
            SettingsError: there is no such target.
        """
        folder = self.folder / "runs" / target
        others = [name for name in self.project.settings.sources if name not in self.sources]
        flags = [
            *self.flags,
            *(f"sources.{name}.enabled=true" for name in self.sources),
            *(f"sources.{name}.enabled=false" for name in others),
            f"target={target}", f"data_dir={self.folder}",
            f"publish.path={folder / 'published.duckdb'}",
            f"run_store.url=sqlite:///{folder / 'runs.sqlite'}", "openlineage.enabled=false",
            *more,
        ]  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        return resolve(self.project.root, env=self.project.env, flags=flags)

    @property
    def extract(self) -> Resolved:
        """What dlt loads the sources into, before they are staged: a DuckDB file."""
        return self.resolved(
            "duckdb",
            ["targets.duckdb.type=duckdb", f"targets.duckdb.path={self.folder / 'extract.duckdb'}"],
        )

    @property
    def lakehouse(self) -> Resolved:
        """A lake whose raw tables are those of silver."""
        access, name = self.access, "simulated_lake"
        at = f"targets.{name}"
        found = {
            "type": "lake", "url": self.url, "region": access.region,
            "marts_format": "delta", "layout.bronze": SILVER, "layout.silver": BUILT,
            "layout.gold": GOLD, "endpoint": access.endpoint, "access_key_id": access.key_id,
            "secret_access_key": access.secret, "session_token": access.token,
        }  # fmt: skip
        return self.resolved(name, [f"{at}.{key}={value}" for key, value in found.items() if value])

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One command at a time runs stages; ``watch`` waits for none.

        Raises:
            LockedError: another one does.
        """
        from filelock import FileLock, Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / "stages.lock", timeout=0):
                yield
        except Timeout:
            raise LockedError(
                f"another `headrace simulate` works in {self.folder}: wait until it has ended"
            ) from None
