"""``headrace where``: the resolved paths and settings, and the layer each comes from."""

from typing import Any

from pydantic import BaseModel, Field

from headrace.pipeline.reports import Report
from headrace.secrets import hide_in
from headrace.settings import Resolved, SourceSettings

DEFAULT = "default"


class PlaceReport(Report):
    """A path that Headrace reads or writes."""

    name: str
    path: str
    exists: bool


class SettingReport(Report):
    """A setting: its dotted key, its value as text, and the layer that set it."""

    key: str
    value: str
    layer: str


class WhereReport(Report):
    """The answer of ``headrace where``. Secrets are masked."""

    env: str | None
    environment: str = Field(description="its name; `default` where none was chosen")
    target: str
    places: tuple[PlaceReport, ...]
    settings: tuple[SettingReport, ...]


def where(resolved: Resolved) -> WhereReport:
    """Describe the resolved settings; nothing is opened."""
    target = resolved.target
    paths = {
        "project": resolved.root,
        "data": resolved.data_dir,
        "published": resolved.published,
        "dbt project": resolved.dbt_project,
        "dbt artifacts": resolved.artifacts,
        "dbt profile": resolved.data_dir / "dbt" / "profiles.yml",
        "dlt state": resolved.data_dir / "dlt",
        "logs": resolved.data_dir / "logs",
    }
    store = resolved.run_store_file
    if store is not None:
        paths["run store"] = store
    places = [PlaceReport(name=name, path=str(p), exists=p.exists()) for name, p in paths.items()]
    warehouse = PlaceReport(name="warehouse", path=target.location, exists=target.exists())
    return WhereReport(
        env=resolved.env,
        environment=resolved.environment,
        target=target.name,
        places=(*places[:2], warehouse, *places[2:]),
        settings=tuple(
            SettingReport(key=key, value=value, layer=resolved.origins.get(key, DEFAULT))
            for key, value in _flat(hide_in(_plain(resolved.settings)), "")
        ),
    )


def _plain(value: Any) -> Any:
    """Settings as mappings, with the options of sources."""
    if isinstance(value, BaseModel):
        fields: dict[str, Any] = {name: getattr(value, name) for name in type(value).model_fields}
        if isinstance(value, SourceSettings):
            fields |= value.options
        value = fields
    return (
        {key: _plain(inner) for key, inner in value.items()} if isinstance(value, dict) else value
    )


def _flat(value: Any, key: str) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        return [
            row
            for name, inner in value.items()
            for row in _flat(inner, f"{key}.{name}" if key else str(name))
        ]
    if isinstance(value, tuple | list):
        return [(key, ", ".join(str(item) for item in value))]
    if value is None or value == {}:
        return [(key, "-")]
    return [(key, str(value))]
