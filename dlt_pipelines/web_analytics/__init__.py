"""Simulated web analytics: the events of the shop's site, as GA4 exports them to BigQuery."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dlt
from dlt.extract import DltSource

from headrace.synth.resources import Simulation, simulated_resources

SCHEMA = Path(__file__).parents[2] / "data" / "schemas" / "web_analytics.yml"
LAG = timedelta(days=3)
"""How long an exported day may still change, because events arrive late."""


def build_source(
    *,
    schema: Path | None = None,
    seed: int = 0,
    scale: float = 1.0,
    as_of: datetime | None = None,
) -> DltSource:
    """The source as the settings describe it.

    Args:
        schema: the schema file; default the project's ``data/schemas/web_analytics.yml``.
        seed: the seed of the shop whose orders are placed on the site.
        scale: the scale of that shop; about 100 events per order.
        as_of: the time up to which things have happened, UTC; default now.

    Raises:
        SynthError: the schema file is wrong; says where.
    """
    return web_analytics(Simulation(schema or SCHEMA, seed=seed, scale=scale, as_of=as_of))


@dlt.source(name="web_analytics")
def web_analytics(simulation: Simulation) -> Any:
    """``events``, merged on its key and incremental on the time of the event, with a lag."""
    return simulated_resources(simulation, cursors={"events": "event_timestamp"}, lag=LAG)
