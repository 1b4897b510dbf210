"""How events of runs are sent."""

from collections.abc import Iterable
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, field_validator

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}


class TransportSettings(BaseModel):
    """Where events go; keys beside these are openlineage-python's own, as they are."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    type: str = Field(
        "http", description="`http`, `file`, `console`, or another transport of openlineage-python"
    )
    url: SecretStr | None = Field(None, description="of an `http` transport; it may hold a secret")
    timeout: float = Field(3.0, gt=0, description="seconds that one `http` request may take")

    @field_validator("type")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("name a transport: http, file, console, ...")
        return value.strip()

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Nothing but the type: any other key may hold a secret."""
        yield "type", self.type

    @property
    def config(self) -> dict[str, Any]:
        """The configuration as openlineage-python takes it; it holds secrets."""
        extra = {key: _plain(value) for key, value in (self.model_extra or {}).items()}
        known: dict[str, Any] = {"type": self.type}
        if self.url is not None:
            known["url"] = self.url.get_secret_value()
        if self.type in {"http", "async_http"}:
            known["timeout"] = self.timeout
        return extra | known


class OpenLineageSettings(BaseModel):
    """OpenLineage events of each run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(False, description="whether each run sends OpenLineage events")
    namespace: str = Field(
        "headrace", min_length=1, description="the namespace of the jobs; one per project"
    )
    nominal_time: AwareDatetime | None = Field(
        None,
        description="the time that a scheduler meant the run for, with its zone; "
        "`{{ data_interval_start }}` of Airflow, for example",
    )
    transport: TransportSettings | None = Field(
        None,
        description="where to; by default what OPENLINEAGE_URL or openlineage.yml says, else "
        "openlineage.jsonl in `data_dir`",
    )


def _plain(value: Any) -> Any:
    """A switch that came as text from the environment as a switch."""
    if isinstance(value, str) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE if not value.isdigit() else value
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value
