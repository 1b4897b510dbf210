"""Rows of JSON, kept on disk until all have come: then names and types hold for all of them.

dlt types a field by the first row that has it, and gives one name to fields that differ by case.
Here both are decided over all rows of a load, nested objects and lists too.
"""

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

from headrace.errors import SourceError
from headrace.ingest.model import ContractMode
from headrace.ingest.names import name_columns
from headrace.ingest.rest.field_types import FieldKinds, FieldType, kind_of, written

if TYPE_CHECKING:
    from dlt.common.schema import Schema

Row = dict[str, Any]
_SHAPES = 500
_BATCH = 1_000


@dataclass
class _Level:
    """The fields of one kind of object: the rows themselves, or those nested in them.

    Attributes:
        table: the raw table that they go to.
        prefix: what dlt puts before their names there.
        is_root: whether that table is the rows' own.
    """

    table: str
    prefix: str = ""
    is_root: bool = True
    shapes: dict[tuple[str, ...], None] = field(default_factory=dict)
    keys: dict[str, None] = field(default_factory=dict)
    kinds: dict[str, FieldKinds] = field(default_factory=dict)
    objects: dict[str, "_Level"] = field(default_factory=dict)
    lists: dict[str, "_Level"] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    types: dict[str, FieldType] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)

    def add(self, row: Row) -> None:
        """Look at an object."""
        shape = tuple(row)
        if shape not in self.shapes:
            self.keys |= dict.fromkeys(shape)
            if len(self.shapes) < _SHAPES:
                self.shapes[shape] = None
        for key, value in row.items():
            self.add_value(key, value)

    def add_value(self, key: str, value: Any) -> None:
        if value is None:
            return
        if isinstance(value, dict):
            self.objects.setdefault(key, _Level("", is_root=self.is_root)).add(value)
        elif isinstance(value, list):
            level = self.lists.setdefault(key, _Level("", is_root=False))
            for item in value:
                if isinstance(item, dict):
                    level.add(item)
                else:
                    level.add_value("list" if isinstance(item, list) else "value", item)
        else:
            self.kinds.setdefault(key, FieldKinds()).add(value)

    def settle(self, schema: "Schema", state: dict[str, Any], path: str, notes: list[str]) -> None:
        """Decide names and types of all fields."""
        normalize = schema.naming.normalize_identifier
        shapes = [*self.shapes] if len(self.shapes) < _SHAPES else [tuple(self.keys)]
        named = name_columns(shapes, lambda name: normalize(name or "field"), state.get(path, {}))
        self.names = {"value": "value", "list": "list"} | dict(named.given)
        if named.given:
            state[path] = dict(named.given)
        notes += [note if not path else f"{path}: {note}" for note in named.notes]
        columns = schema.tables[self.table]["columns"] if self.table in schema.tables else {}
        for key, kinds in self.kinds.items():
            raw = self.prefix + self.names[key]
            existing = columns.get(raw, {})
            if existing.get("data_type"):
                self.known.add(key)
                self.types[key] = FieldType(
                    str(existing["data_type"]),
                    existing.get("precision"),
                    existing.get("scale"),
                    existing.get("timezone", True) is not False,
                )
            else:
                self.types[key] = kinds.settled(is_root=self.is_root)
        for key, level in self.objects.items():
            level.table, level.prefix = self.table, f"{self.prefix}{self.names[key]}__"
            level.settle(schema, state, f"{path}.{key}" if path else key, notes)
        for key, level in self.lists.items():
            level.table = f"{self.table}__{self.prefix}{self.names[key]}"
            level.settle(schema, state, f"{path}.{key}[]" if path else f"{key}[]", notes)

    def hints(self) -> Iterator[dict[str, Any]]:
        """The columns of the rows' own table that dlt would type otherwise."""
        for key, kind in self.types.items():
            if key not in self.known:
                yield kind.hint(self.prefix + self.names[key])
        for level in self.objects.values():
            yield from level.hints()


@dataclass
class Misfits:
    """What came of values that do not fit the column that is there already."""

    rows: int = 0
    values: int = 0


@dataclass
class RowSpool:
    """The rows of one resource, on disk.

    Attributes:
        source: the source's name, for messages.
        table: the raw table.
        key: fields that every row has to have a value of.
        folder: where the rows are kept.
        mode: what becomes of a value that does not fit the column that is there already.
        file: holds them; it goes when it is closed.
    """

    source: str
    table: str
    key: tuple[str, ...]
    folder: Path
    mode: ContractMode = "freeze"
    count: int = 0
    misfits: Misfits = field(default_factory=Misfits)
    notes: list[str] = field(default_factory=list)
    _root: _Level = field(init=False)
    file: IO[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = TemporaryFile(dir=self.folder)  # noqa: SIM115 - closed by who made it
        self._root = _Level(self.table)

    def add(self, rows: list[Any]) -> None:
        """Take a page.

        Raises:
            SourceError: a row is not an object, or has no key.
        """
        for row in rows:
            self.count += 1
            if not isinstance(row, dict):
                raise SourceError(
                    f"source {self.source}: {self.table}: row {self.count:,} is not an object, but "
                    f"{written(row)[:60] if not isinstance(row, list) else 'a list'}: set "
                    f"data_selector at sources.{self.source}.resources.{self.table}"
                )
            missing = next((name for name in self.key if row.get(name) is None), None)
            if missing is not None:
                raise SourceError(
                    f"source {self.source}: {self.table}: row {self.count:,} has no value of "
                    f"{missing!r}, its key; it has {', '.join(sorted(row)) or 'no field'}: set "
                    f"primary_key at sources.{self.source}.resources.{self.table}"
                )
            self._root.add(row)
        if rows:
            pickle.dump(list(rows), self.file, pickle.HIGHEST_PROTOCOL)

    def rows(self, schema: "Schema", state: dict[str, Any]) -> Iterator[Any]:
        """All rows in batches, with the types of their columns for dlt.

        Args:
            schema: dlt's, with the columns that are there already.
            state: holds the names of fields from load to load.
        """
        import dlt

        self._root.settle(schema, state.setdefault("names", {}), "", self.notes)
        columns: Any = list(self._root.hints())
        hints = dlt.mark.make_hints(columns=columns)
        is_first = True
        for batch in self._batches():
            yield dlt.mark.with_hints(batch, hints) if is_first else batch
            is_first = False

    def _batches(self) -> Iterator[list[Row]]:
        self.file.seek(0)
        batch: list[Row] = []
        while True:
            try:
                # written above, to a file without a name
                page = pickle.load(self.file)  # noqa: S301
            except EOFError:
                break
            for row in page:
                typed = self._typed(self._root, row, row)
                if typed is not None:
                    batch.append(typed)
                if len(batch) >= _BATCH:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def _typed(self, level: _Level, item: Row, row: Row) -> Row | None:
        """An object with its final names and types; None if its row is left out."""
        typed: Row = {}
        for key, value in item.items():
            name = level.names[key]
            if isinstance(value, dict):
                inner = self._typed(level.objects[key], value, row)
                if inner is None:
                    return None
                typed[name] = inner
            elif isinstance(value, list):
                items = self._items(level.lists[key], value, row)
                if items is None:
                    return None
                typed[name] = items
            elif value is None:
                typed.setdefault(name, None)
            else:
                try:
                    typed[name] = level.types[key].fit(value)
                except ValueError:
                    if not self._misfit(level, key, value, typed, row):
                        return None
        return typed

    def _items(self, level: _Level, items: list[Any], row: Row) -> list[Any] | None:
        found: list[Any] = []
        for item in items:
            if isinstance(item, dict):
                typed = self._typed(level, item, row)
                if typed is None:
                    return None
                found.append(typed)
            elif isinstance(item, list):
                inner = self._items(level.lists["list"], item, row)
                if inner is None:
                    return None
                found.append(inner)
            elif item is not None:
                typed = self._typed(level, {"value": item}, row)
                if typed is None:
                    return None
                found.append(typed.get("value"))
        return found

    def _misfit(self, level: _Level, key: str, value: Any, typed: Row, row: Row) -> bool:
        """Do as the contract says with a value that does not fit; False leaves the row out."""
        name, kind = level.names[key], level.types[key].data_type
        column = f"{level.table}.{level.prefix}{name}"
        if self.mode == "discard_row":
            self.misfits.rows += 1
            return False
        if self.mode == "discard_value":
            self.misfits.values += 1
            return True
        if self.mode == "evolve":
            is_text = kind_of(value) in {"text", "timestamp", "local", "wide"}
            variant = "text" if is_text else kind_of(value)
            typed[f"{name}__v_{variant}"] = FieldType(variant).fit(value)
            return True
        setting = f"sources.{self.source}.schema_contract"
        where = ", ".join(f"{part} {row.get(part)}" for part in self.key)
        raise SourceError(
            f"source {self.source}: {column} is {kind}, and a row came with "
            f"{written(value)[:60]!r} there{f' ({where})' if where else ''}: to have the type "
            "decided again from all rows, run "
            f"`headrace load --full-refresh --source {self.source}`; or set {setting} to "
            "{data_type: evolve} (such values go to a column of their own), discard_value or "
            "discard_row"
        )
