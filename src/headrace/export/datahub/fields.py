"""Columns in DataHub's words."""

import re
from functools import cache

from datahub.metadata.schema_classes import (
    ArrayTypeClass,
    BooleanTypeClass,
    BytesTypeClass,
    DateTypeClass,
    EnumTypeClass,
    MapTypeClass,
    NullTypeClass,
    NumberTypeClass,
    RecordTypeClass,
    SchemaFieldClass,
    SchemaFieldDataTypeClass,
    StringTypeClass,
    TimeTypeClass,
)

from headrace.catalog.model import Asset, Column
from headrace.export.datahub.urns import column_tags, global_tags

_UNKNOWN = "unknown"
# engine's and dlt's names, without what stands in brackets
_NUMBERS = (
    r"u?(tiny|small|big|huge)?int(eger)?\d*|long|short|decimal|numeric|double( precision)?|"
    r"float\d?|real|wei"
)
_TYPES = (
    (r"array|list", ArrayTypeClass),
    (r"struct|row|complex|json|variant", RecordTypeClass),
    (r"map", MapTypeClass),
    (r"enum", EnumTypeClass),
    (r"bool(ean)?", BooleanTypeClass),
    (_NUMBERS, NumberTypeClass),
    (r"varchar|char|bpchar|text|string|uuid", StringTypeClass),
    (r"date", DateTypeClass),
    (r"time.*|datetime.*|interval", TimeTypeClass),
    (r"blob|bytea|binary|varbinary|bit", BytesTypeClass),
)


def schema_field(column: Column, asset: Asset) -> SchemaFieldClass:
    """A column; what it cannot say is left out."""
    return SchemaFieldClass(
        fieldPath=column.name,
        type=SchemaFieldDataTypeClass(type=_type_of(column.data_type)()),
        nativeDataType=column.data_type or _UNKNOWN,
        nullable=column.nullable is not False,
        description=column.description or None,
        globalTags=global_tags(column_tags(column)),
        isPartOfKey=column.name in asset.primary_key,
    )


@cache
def _type_of(data_type: str | None) -> type:
    text = (data_type or "").strip().lower()
    if text.endswith("]"):
        return ArrayTypeClass
    bare = re.sub(r"\(.*\)", "", text, flags=re.DOTALL).strip()
    for pattern, found in _TYPES:
        if re.fullmatch(pattern, bare):
            return found
    return NullTypeClass
