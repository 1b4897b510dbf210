"""DuckDB types as dlt columns, and the names that dlt gives them."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlt.common.schema.typing import TColumnSchema

_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_BIGINT_DIGITS = 19
DECIMAL_DIGITS = 38  # of DuckDB's widest decimal
_SIMPLE: dict[str, dict[str, Any]] = {
    "BOOLEAN": {"data_type": "bool"},
    "FLOAT": {"data_type": "double"},
    "DOUBLE": {"data_type": "double"},
    "VARCHAR": {"data_type": "text"},
    "DATE": {"data_type": "date"},
    "TIME": {"data_type": "time"},
    "TIMESTAMP": {"data_type": "timestamp", "timezone": False},
    "TIMESTAMP_S": {"data_type": "timestamp", "timezone": False},
    "TIMESTAMP_MS": {"data_type": "timestamp", "timezone": False},
    "TIMESTAMP_NS": {"data_type": "timestamp", "timezone": False, "precision": 9},
    "TIMESTAMP WITH TIME ZONE": {"data_type": "timestamp", "timezone": True},
    "BLOB": {"data_type": "binary"},
    "UBIGINT": {"data_type": "decimal", "precision": 20, "scale": 0},
    "HUGEINT": {"data_type": "decimal", "precision": 38, "scale": 0},
    "UHUGEINT": {"data_type": "decimal", "precision": 38, "scale": 0},
    "JSON": {"data_type": "json"},
}
_STORED = {
    "UBIGINT": "DECIMAL(20,0)",
    "HUGEINT": "DECIMAL(38,0)",
    "UHUGEINT": "DECIMAL(38,0)",
    "FLOAT": "DOUBLE",
    "TIMESTAMP_S": "TIMESTAMP",
    "TIMESTAMP_MS": "TIMESTAMP",
}


@dataclass(frozen=True)
class RawColumn:
    """A column of a raw table.

    Attributes:
        name: its name in the raw schema (normalised by dlt, for example ``order_id``).
        duckdb_type: the type it is stored with, in DuckDB's words (``DECIMAL(10,2)``).
    """

    name: str
    duckdb_type: str

    def hint(self, *, nullable: bool = True) -> "TColumnSchema":
        """The column as a dlt column schema."""
        kind = self.duckdb_type
        if match := _DECIMAL.fullmatch(kind):
            spec: dict[str, Any] = {
                "data_type": "decimal",
                "precision": int(match[1]),
                "scale": int(match[2]),
            }
        elif kind in _INTEGERS:
            spec = {"data_type": "bigint"}
        else:
            spec = dict(_SIMPLE[kind])
        return {"name": self.name, "nullable": nullable, **spec}  # type: ignore[typeddict-item]


def stored_type(duckdb_type: str) -> str:
    """The type in which a column that reads as ``duckdb_type`` is stored in the raw table.

    Nested values (struct, list, map, union) become JSON; what dlt has no type for becomes text.
    """
    if duckdb_type in _INTEGERS:
        return "BIGINT"
    if duckdb_type in _STORED:
        return _STORED[duckdb_type]
    if duckdb_type in _SIMPLE or _DECIMAL.fullmatch(duckdb_type):
        return duckdb_type
    return "JSON" if _is_nested(duckdb_type) else "VARCHAR"


def _is_nested(duckdb_type: str) -> bool:
    return duckdb_type.endswith("]") or duckdb_type.startswith(("STRUCT", "MAP", "UNION"))


def decimal_for(kinds: Collection[str]) -> str | None:
    """The decimal that holds every value of integer and decimal types; None if there is none."""
    whole, scale = 0, 0
    for kind in kinds:
        match = _DECIMAL.fullmatch(kind)
        if match is None and kind != "BIGINT":
            return None
        precision, places = map(int, match.groups()) if match else (_BIGINT_DIGITS, 0)
        whole, scale = max(whole, precision - places), max(scale, places)
    return f"DECIMAL({whole + scale},{scale})" if 0 < whole + scale <= DECIMAL_DIGITS else None


def common_read(kinds: Collection[str]) -> str:
    """The type in which a column is read that has these types in several files.

    Text, where they differ; JSON, where one of them is nested.
    """
    if len(kinds) == 1:
        return next(iter(kinds))
    stored = {stored_type(kind) for kind in kinds}
    if len(stored) == 1:
        return next(iter(stored))
    return "JSON" if any(_is_nested(kind) for kind in kinds) else "VARCHAR"
