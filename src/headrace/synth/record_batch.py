"""From the columns of a frame to Arrow: flat ones, structs and lists."""

import numpy as np
import pyarrow as pa

from headrace.synth.expression_values import truth
from headrace.synth.frame import Frame, Link
from headrace.synth.plan import FieldPath, TablePlan
from headrace.synth.schema.fields import AnyField, Derived, ForeignKey, ListOf, Numerical, Struct
from headrace.synth.values import Values, both, from_numpy, to_arrow


def to_batch(frame: Frame) -> pa.RecordBatch:
    """Every column that is written; a tombstone column where rows can be deleted."""
    names = frame.plan.columns
    arrays = [_arrow(frame, frame.plan.table.fields[name], ("fields", name)) for name in names]
    deletions = frame.plan.table.deletions
    if deletions is not None:
        deleted = frame.deleted()
        assert deleted is not None
        names = [*names, deletions.column]
        arrays.append(from_numpy(deleted <= frame.view.as_of))
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _arrow(frame: Frame, item: AnyField, place: FieldPath) -> pa.Array:
    match item:
        case Struct():
            return _struct(frame, item, place)
        case ListOf(of=str()):
            return _list_of(frame, item, place)
        case ListOf():
            return _list_items(frame, item, place)
    values = frame.column(str(place[1])) if len(place) == 2 else frame.make(item, place)
    written_as: str | None = None
    scale: int | None = None
    if (isinstance(item, Numerical) and item.as_ != "number") or isinstance(item, Derived):
        written_as, scale = item.as_, item.round
    elif isinstance(item, ForeignKey):
        return _key_arrow(frame, item, values)
    return to_arrow(values, written_as=written_as, scale=scale)


def _key_arrow(frame: Frame, item: ForeignKey, values: Values) -> pa.Array:
    """Written as what it points at is."""
    target = frame.view.world.plans[item.table].table.fields[item.column]
    if isinstance(target, Numerical | Derived):
        as_ = None if target.as_ == "number" and isinstance(target, Numerical) else target.as_
        return to_arrow(values, written_as=as_, scale=target.round)
    return to_arrow(values)


def _struct(frame: Frame, item: Struct, place: FieldPath) -> pa.Array:
    fields = item.fields
    arrays = [
        _arrow(frame, field, (*place, "fields", name))
        for name, field in fields.items()
        if not field.hidden
    ]
    names = [name for name, field in fields.items() if not field.hidden]
    mask = frame.not_null(item, tuple(str(step) for step in place[1:]), None)
    node = frame.owner.nodes.get((*place, "if"))
    if node is not None:
        mask = both(mask, truth(node, frame))
    absent = None if mask is None else from_numpy(~mask)
    return pa.StructArray.from_arrays(arrays, names=names, mask=absent)


def _list_of(frame: Frame, item: ListOf, place: FieldPath) -> pa.Array:
    assert item.of is not None
    plan = frame.plan.listable(item.of)
    assert plan is not None
    children = frame.children(plan) if plan.parent is frame.plan else frame.siblings(plan)
    assert children.index is not None
    if item.fields is None:
        elements = to_batch(children).to_struct_array()
    else:
        inner = _ListedFrame(children, frame.owner)
        elements = _struct(inner, Struct(type="struct", fields=item.fields), place)
    counts = np.bincount(children.index, minlength=len(frame))
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    return pa.ListArray.from_arrays(from_numpy(offsets), elements)


def _list_items(frame: Frame, item: ListOf, place: FieldPath) -> pa.Array:
    """Items one after another, then in the order of the rows."""
    arrays, masks = [], []
    for number, element in enumerate(item.items or ()):
        here = (*place, "items", number)
        node = frame.owner.nodes.get((*here, "if"))
        masks.append(np.ones(len(frame), dtype=bool) if node is None else truth(node, frame))
        arrays.append(_struct(frame, Struct(type="struct", fields=element.fields), here))
    mask = np.stack(masks, axis=1)
    size = len(frame)
    rows, numbers = np.nonzero(mask)
    merged = pa.concat_arrays(_alike(arrays))
    elements = merged.take(from_numpy(numbers * size + rows))
    offsets = np.concatenate(([0], np.cumsum(mask.sum(axis=1)))).astype(np.int32)
    return pa.ListArray.from_arrays(from_numpy(offsets), elements)


class _ListedFrame(Frame):
    """A child's frame for the fields of a list, which stand in the table that lists its rows."""

    def __init__(self, frame: Frame, owner: TablePlan) -> None:
        super().__init__(frame.view, frame.plan, frame.rows, frame.parent, frame.index)
        self.owner = owner
        self._base = frame

    def column(self, name: str) -> Values:
        return self._base.column(name)

    def follow(self, name: str) -> Link:
        return self._base.follow(name)

    def children(self, plan: TablePlan) -> Frame:
        return self._base.children(plan)

    def siblings(self, plan: TablePlan) -> Frame:
        return self._base.siblings(plan)

    def key_rows(self, column: str) -> Values:
        return self._base.key_rows(column)


def _alike(arrays: list[pa.Array]) -> list[pa.Array]:
    """Structs with the same fields, so that they can stand in one list."""
    types: dict[str, pa.DataType] = {}
    for array in arrays:
        for field in array.type:
            kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            if field.name not in types or pa.types.is_null(types[field.name]):
                types[field.name] = kind
    same = []
    for array in arrays:
        columns = []
        for name, kind in types.items():
            position = array.type.get_field_index(name)
            if position < 0:
                columns.append(pa.nulls(len(array), kind))
            else:
                columns.append(array.field(position).cast(kind))
        absent = array.is_null() if array.null_count else None
        same.append(pa.StructArray.from_arrays(columns, names=list(types), mask=absent))
    return same


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """A schema in which no string is a dictionary, and no column without a type."""
    return pa.schema([pa.field(each.name, _plain(each.type)) for each in schema])


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(each.name, _plain(each.type)) for each in kind])
    if pa.types.is_list(kind):
        return pa.list_(_plain(kind.value_type))
    return pa.string() if pa.types.is_null(kind) else kind


def plain(table: pa.Table) -> pa.Table:
    """A table with no string as a dictionary."""
    return table.cast(plain_schema(table.schema))
