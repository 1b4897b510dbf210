"""A simulated Shopify-style shop: relational tables, or the nested objects of the Admin API."""

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import dlt
from dlt.extract import DltSource

from headrace.synth.resources import Simulation, simulated_resources

SCHEMA = Path(__file__).parents[2] / "data" / "schemas" / "shop.yml"


def build_source(
    *,
    schema: Path | None = None,
    seed: int = 0,
    scale: float = 1.0,
    as_of: datetime | None = None,
    shape: Literal["relational", "api"] = "relational",
    faults: str | None = None,
) -> DltSource:
    """The source as the settings describe it.

    Args:
        schema: the schema file; default the project's ``data/schemas/shop.yml``.
        seed: another seed gives another shop.
        scale: multiplies the orders a day, the customers and the products.
        as_of: the time up to which things have happened, UTC; default now.
        shape: ``relational`` for twenty tables, ``api`` for products, customers and orders, nested.
        faults: what is wrong with the data, as ``headrace generate --faults`` takes it: a file,
            or ``kind:table.column:argument``.

    Raises:
        SynthError: the schema file is wrong; says where.
    """
    simulation = Simulation(schema or SCHEMA, seed=seed, scale=scale, as_of=as_of, faults=faults)
    return shop(simulation, shape)


@dlt.source(name="shop")
def shop(simulation: Simulation, shape: str) -> Any:
    """The tables of one shape, each merged on its key and incremental on its last change."""
    return simulated_resources(simulation, group=shape)
