"""Types that all models of a schema file share: names, shares, durations and timestamps."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

Share = Annotated[float, Field(ge=0, le=1)]
Timestamp = Annotated[
    datetime | date,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$",
            "description": "A date, or a timestamp in ISO 8601; UTC where it names no offset.",
        }
    ),
]
Duration = Annotated[
    str,
    Field(
        pattern=r"^\s*\d+(\.\d+)?\s*(s|min|h|d|w)\s*$",
        description="A length of time: a number and s, min, h, d or w, like 36h or 1.5d.",
    ),
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]


class Strict(BaseModel):
    """A model that takes no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _knows_its_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            allowed = [info.alias or name for name, info in cls.model_fields.items()]
            for name in data:
                if name not in allowed:
                    raise PydanticCustomError(
                        "unknown_key",
                        "unknown key {name}; allowed: {allowed}",
                        {"name": repr(name), "key": name, "allowed": ", ".join(allowed)},
                    )
        return data


_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def duration_us(text: str) -> int:
    """A duration such as ``36h`` in microseconds."""
    text = text.strip()
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz ").strip()
    unit = text[len(number) :].strip()
    return round(float(number) * _UNITS[unit] * 1_000_000)


def as_datetime(timestamp: Timestamp) -> datetime:
    """A date or a timestamp as a timestamp in UTC without a time zone."""
    if isinstance(timestamp, datetime):
        if timestamp.tzinfo is not None:
            return timestamp.astimezone(UTC).replace(tzinfo=None)
        return timestamp
    return datetime(timestamp.year, timestamp.month, timestamp.day)  # noqa: DTZ001


def tags(union: Any, key: str) -> tuple[str, ...]:
    """The values of the key that tells the models of an annotated union apart."""
    models = get_args(get_args(union)[0])
    return tuple(get_args(model.model_fields[key].annotation)[0] for model in models)
