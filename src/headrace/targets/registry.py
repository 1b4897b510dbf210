"""The types of targets: Headrace's own, and those that installed packages add by an entry point."""

import importlib.metadata
from importlib.metadata import EntryPoint

from headrace.targets.base import TargetSettings

GROUP = "headrace.targets"
"""Of entry points: the name is the type, and what it leads to a class of ``TargetSettings``."""


OWN_TYPES = {
    "duckdb": "headrace.targets.duckdb:DuckDbSettings",
    "ducklake": "headrace.targets.ducklake.target:DuckLakeSettings",
    "lake": "headrace.targets.lake.target:LakeSettings",
    "postgres": "headrace.targets.postgres.target:PostgresSettings",
    "redshift": "headrace.targets.redshift.target:RedshiftSettings",
    "sail": "headrace.targets.spark.sail:SailSettings",
    "snowflake": "headrace.targets.snowflake.target:SnowflakeSettings",
    "spark": "headrace.targets.spark.target:SparkSettings",
}
"""Headrace's own, each imported when it is asked for; a target of such a name needs no entry."""


def settings_of_type(name: str) -> type[TargetSettings]:
    """The settings of a type of target.

    Raises:
        ValueError: there is no such type, or what the entry point leads to is no settings class.
    """
    points = {key: EntryPoint(key, value, GROUP) for key, value in OWN_TYPES.items()}
    if name not in points:  # all installed packages are looked at
        installed = importlib.metadata.entry_points(group=GROUP)
        points = {point.name: point for point in installed} | points
    if name not in points:
        known = ", ".join(sorted(points))
        raise ValueError(f"there is no type of target {name!r}; known: {known}")
    found = points[name].load()
    if not (isinstance(found, type) and issubclass(found, TargetSettings)):
        value = points[name].value
        raise ValueError(f"{value} of {GROUP} is not a subclass of TargetSettings")  # noqa: TRY004
    return found
