"""Simulated web analytics: the events of the shop's site, as GA4 exports them to BigQuery."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dlt
from dlt.extract import DltSource

from headrace.synth.resources import Simulation, simulated_resources

SCHEMA = Path(__file__).parents[2] / "data" / "schemas" / "web_analytics.yml"
LAG = timedelta(days=3)
"""An exported day changes for so long: events arrive late."""


def build_source(
    *,
    schema: Path | None = None,
    seed: int = 0,
    scale: float = 1.0,
    as_of: datetime | None = None,
) -> DltSource:
    """The source as the settings describe it.

    Args:
        schema: the schema file; without it, the project's ``data/schemas/web_analytics.yml``.
        seed: that of the shop whose orders are bought on the site.
        scale: that of the shop, too; about 100 events an order.
        as_of: the moment up to which things have happened, UTC; without it, now.

    Raises:
        SynthError: the schema file is wrong; says where.
    """
    return web_analytics(Simulation(schema or SCHEMA, seed=seed, scale=scale, as_of=as_of))


@dlt.source(name="web_analytics")
def web_analytics(simulation: Simulation) -> Any:
    """``events``, merged on its key and incremental on the time of the event, with a lag."""
    return simulated_resources(simulation, cursors={"events": "event_timestamp"}, lag=LAG)
