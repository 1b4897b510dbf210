"""The target ``sail``: Spark's protocol without Java; it builds Delta tables in a folder.

Its server runs in this process, or on another machine that mounts the folder by the same path.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headrace.errors import WarehouseError
from headrace.exceptions import first_line
from headrace.extras import how_to_install
from headrace.process import default_variable
from headrace.targets.base import Capabilities
from headrace.targets.spark.tables import DiskTable
from headrace.targets.spark.target import FIXTURE_TYPES, EngineSettings, EngineTarget

if TYPE_CHECKING:
    from headrace.libraries.spark import Session

_PORT = 50051
_IN_USE = re.compile(r"os error (98|48|10048)\b")  # Linux, macOS, Windows; pysail sets no errno


class SailSettings(EngineSettings):
    """Settings of Sail (``targets.<name>`` in the settings): without a host it runs in process."""

    def target(self, name: str, *, data_dir: Path, path_of: Callable[[Path], Path]) -> "SailTarget":
        """The target."""
        root = path_of(self.path) if self.path else data_dir / "files"
        return SailTarget(name, root, self, data_dir)


@dataclass(frozen=True)
class SailTarget(EngineTarget):
    """Sail; see ``EngineTarget``."""

    adapter: str = "dbt-sail"
    extra: ClassVar[str] = "sail"
    file_format: ClassVar[str] = "delta"

    @property
    def capabilities(self) -> Capabilities:
        """Delta tables can be merged into."""
        return Capabilities(fixture_types=FIXTURE_TYPES, engine="Sail")

    def require_packages(self) -> None:
        """See ``EngineTarget``; Sail itself, too."""
        super().require_packages()
        if find_spec("pysail") is None:
            raise WarehouseError(
                f"the target {self.name} needs more packages: run `{how_to_install(self.extra)}`"
            )

    def check(self) -> None:
        """See ``EngineTarget``; a server elsewhere is looked for, too."""
        from headrace.libraries import spark

        super().check()
        if self.settings.host:
            spark.require_server(
                self.settings.host, self.settings.port or _PORT, "Sail's server",
                f"{self.setting}.host and port",
            )  # fmt: skip

    def node_config(self) -> Callable[[str], Mapping[str, Any]]:
        """See ``EngineTarget``.

        Sail replaces no table by one in another folder, and has no constraints.
        """
        of_engine = super().node_config()
        drop = "{% if not is_incremental() %}drop table if exists {{ this }}{% endif %}"
        return lambda schema: {**of_engine(schema), "first_sql": drop, "constraints": False}

    def register_table(self, session: "Session", table: DiskTable) -> None:
        """Make one table over its folder; Sail's catalog knows the columns that it is told."""
        from pyspark.sql.types import StructType

        shape = StructType.fromJson(json.loads(table.columns()))
        columns = ", ".join(
            f"`{one.name}` {one.dataType.simpleString()}{'' if one.nullable else ' not null'}"
            for one in shape.fields
        )
        form = "delta" if table.is_delta else "parquet"
        session.sql(
            f"create table {table.spark_name} ({columns}) using {form} location {table.spark_path}"
        )

    def options(self) -> dict[str, str]:
        """Settings of the session."""
        return {
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.warehouse.dir": (self.root / "managed").as_posix(),
            **self.settings.conf,
        }

    def start(self) -> tuple[Any, Any]:
        """See ``EngineTarget``."""
        from headrace.libraries import spark

        given, server = self.settings, None
        host, port = given.host or "127.0.0.1", given.port or _PORT
        try:
            if given.host is None:
                from pysail.spark import SparkConnectServer

                default_variable("RUST_LOG", "error")  # else its server tells of each start
                server = SparkConnectServer(ip=host, port=given.port or 0)
                server.start(background=True)
                _, port = server.listening_address
            return spark.connect(f"sc://{host}:{port}", self.options()), server
        except Exception as error:
            why = spark.explained(error, self.setting)
            if isinstance(error, OSError) and _IN_USE.search(str(error)):
                why = (
                    f"port {given.port} is in use: stop the program that has it, or set another "
                    f"{self.setting}.port (without one, Sail takes a free port)"
                )
            raise WarehouseError(f"Sail cannot be started: {why}") from error

    def dbt_output(self) -> dict[str, Any]:
        """dbt-sail's; its own server would be another one, so it gets the one of this process."""
        given = self.settings
        where = {"mode": "remote", "host": given.host, "port": given.port or _PORT}
        return {
            **super().dbt_output(),
            "type": "sail",
            **(where if given.host else {"mode": "embedded"}),
            "server_side_parameters": self.options(),
        }

    def explain(self, error: Exception) -> WarehouseError:
        """See ``EngineTarget``."""
        if type(error).__module__.startswith("pyspark"):
            return WarehouseError(f"Sail: {first_line(error)}")
        return super().explain(error)
