"""The types of targets: DuckDB, and those that installed packages add by an entry point."""

import importlib.metadata

from headrace.targets.base import TargetSettings
from headrace.targets.duckdb import DuckDbSettings

GROUP = "headrace.targets"
"""Of entry points: the name is the type, and what it leads to a class of ``TargetSettings``."""


def settings_of_type(name: str) -> type[TargetSettings]:
    """The settings of a type of target.

    Raises:
        ValueError: there is no such type, or what the entry point leads to is no settings class.
    """
    if name == "duckdb":
        return DuckDbSettings
    points = {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}
    if name not in points:
        known = ", ".join(["duckdb", *points])
        raise ValueError(f"there is no type of target {name!r}; known: {known}")
    found = points[name].load()
    if not (isinstance(found, type) and issubclass(found, TargetSettings)):
        value = points[name].value
        raise ValueError(f"{value} of {GROUP} is not a subclass of TargetSettings")  # noqa: TRY004
    return found
