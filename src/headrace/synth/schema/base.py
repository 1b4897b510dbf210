"""What the models of a schema file are made of."""

from datetime import date, datetime
from typing import Annotated, Any

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
    """Unknown keys are errors."""

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
