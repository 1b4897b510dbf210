"""A plugin of dbt-duckdb that lets dbt's connection read a lake.

dbt-duckdb imports this module by the name in the profile. Extensions are loaded from their
packages, and no secret is in the profile: the target that wrote it is asked, in the same process.
"""

from collections.abc import Callable
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from duckdb import DuckDBPyConnection

_PREPARE: dict[str, Callable[[DuckDBPyConnection], None]] = {}


def register(name: str, prepare: Callable[[DuckDBPyConnection], None]) -> None:
    """Have dbt's connections prepared.

    Args:
        name: of the target.
        prepare: is called with each new connection.
    """
    _PREPARE[name] = prepare


class Plugin(BasePlugin):
    """What dbt-duckdb looks for."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Take the name of the target."""
        self.target = str(plugin_config.get("target", ""))

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Prepare a connection; outside of Headrace nothing is known of the lake."""
        if prepare := _PREPARE.get(self.target):
            prepare(conn)
