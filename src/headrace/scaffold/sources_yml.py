"""The sources yml: what is new is added, what is gone from dlt's schema is reported."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from headrace.errors import ScaffoldError
from headrace.formatting import count
from headrace.scaffold import render
from headrace.scaffold.dbt_project import DeclaredTable, Offer, declared_tables, record_name
from headrace.scaffold.draft import ByHand, Draft, Vanished, YamlAddition
from headrace.scaffold.plan import is_writable
from headrace.scaffold.raw_schema import LOAD_ID, RawTableSchema
from headrace.yaml_editor import ListItem, MappingKey, value_at

LOADS = "_dlt_loads"

_NOT_OF_THE_SOURCE = ("_dlt", "_quarantine")


def merge_sources(draft: Draft) -> dict[str, str]:
    """Bring the sources yml up to date.

    Returns:
        What dbt calls each table that is declared now, by its name in the warehouse.

    Raises:
        ScaffoldError: the user deleted the declaration, or its place is taken.
    """
    declared = declared_tables(draft.project, draft.source)
    places = draft.project.entries("sources", draft.source)
    if not places:
        return _new_file(draft)
    found = {table: entry.name for table, entry in declared.items()}
    path, place = next(
        ((e.path, int(e.where[1])) for t, e in declared.items() if t == LOADS), places[0]
    )
    changes: dict[Path, list[YamlAddition]] = {}
    new: list[RawTableSchema] = []
    for table in draft.schema.tables:
        if table.name in declared:
            entry = declared[table.name]
            changes.setdefault(entry.path, []).extend(_new_columns(draft, table, entry))
            draft.offer("table", table.name)
        elif not draft.record.has("table", table.name):
            new.append(table)
    changes.setdefault(path, []).extend(_new_tables(draft, new, path, place, LOADS in declared))
    for changed, edits in changes.items():
        if edits:
            draft.change(changed, edits)
    made = {t.name: t.name for t in new if draft.offered("table", t.name)}
    return found | made


def _new_file(draft: Draft) -> dict[str, str]:
    if any(offer[0] == "table" for offer in draft.record.offers):
        raise ScaffoldError(
            f"no yml of the dbt project declares the source {draft.source} any more: bring it "
            f"back, or delete {record_name(draft.source)} to start over; nothing was written"
        )
    path = draft.folder / f"_{draft.source}__sources.yml"
    if path in draft.project.texts:
        raise ScaffoldError(
            f"{draft.project.name(path)} exists and declares no source {draft.source}: "
            "declare it there, or move the file away; nothing was written"
        )
    tables = draft.schema.tables
    text = render.sources_file(draft.source, tables, schema=draft.raw_schema)
    draft.add_file(path, text, f"source {draft.source} with {count(len(tables), 'table')}")
    draft.offer("table", LOADS)
    for table in tables:
        draft.offers.update(_offers(table))
        draft.without_description += [
            f"{draft.project.name(path)}: column {column.name} of {table.name}"
            for column in table.columns
            if render.TO_DESCRIBE in "".join(render.raw_column_entry(column, table))
        ]
    return {table.name: table.name for table in tables}


def _offers(table: RawTableSchema) -> set[Offer]:
    columns = {("source column", table.name, column.name) for column in table.columns}
    return {("table", table.name), *columns}


def _new_columns(draft: Draft, table: RawTableSchema, entry: DeclaredTable) -> list[YamlAddition]:
    """Columns that the table's entry lacks and that were never offered."""
    order = [column.name for column in render.ordered(table.columns)]
    new = []
    for column in render.ordered(table.columns):
        offer = ("source column", table.name, column.name)
        if column.name in entry.columns or offer in draft.offers:
            draft.offers.add(offer)
        else:
            new.append((column, offer))
    path = (*entry.where, "columns")
    lines = [render.raw_column_entry(column, table) for column, _ in new]
    labels = [f"column {column.name} of {table.name}" for column, _ in new]
    if new and value_at(draft.document(entry.path).data, path) is None:
        block = ["columns:", *(f"  {line}" for item in lines for line in item)]
        offers = tuple(offer for _, offer in new)
        return [YamlAddition(MappingKey(entry.where, tuple(block)), ", ".join(labels), offers)]
    return [
        YamlAddition(
            ListItem(path, after(entry.columns, order, column.name), tuple(text)), label, (offer,)
        )
        for (column, offer), text, label in zip(new, lines, labels, strict=True)
    ]


def after(existing: Sequence[str], order: Sequence[str], name: str) -> int:
    """The place of the item that a new one follows: the nearest before it in ``order``.

    Args:
        existing: names of the items that are there, not empty.
        order: all names in order.
        name: the new one.
    """
    before = order[: order.index(name)]
    for other in reversed(before):
        if other in existing:
            return list(existing).index(other)
    last = len(existing) - 1
    return last - 1 if last > 0 and existing[last] == LOAD_ID else last


def _new_tables(
    draft: Draft, tables: Sequence[RawTableSchema], path: Path, place: int, has_loads: bool
) -> list[YamlAddition]:
    """Tables that no file declares and that were never offered."""
    where = ("sources", place)
    present = value_at(draft.document(path).data, (*where, "tables")) or []
    there = [
        str(t.get("identifier") or t.get("name")) if isinstance(t, dict) else "" for t in present
    ]
    entries = [
        (f"table {table.name}", render.table_entry(table), tuple(_offers(table)), table.name)
        for table in tables
    ]
    if not has_loads and not draft.record.has("table", LOADS):
        offers: tuple[Offer, ...] = (("table", LOADS),)
        entries.append((f"table {LOADS}", render.loads_entry(), offers, LOADS))
    if not present:
        return _all_tables(draft, where, entries)
    order = [table.name for table in draft.schema.tables]
    ours = [n for n, name in enumerate(there) if name and not name.startswith("_dlt")]
    changes = []
    for label, lines, offers, name in entries:
        last = ours[-1] if ours else len(there) - 1
        if name == LOADS:
            last = len(there) - 1
        elif any(other in there for other in order[: order.index(name)]):
            last = after(there, order, name)
        changes.append(
            YamlAddition(ListItem((*where, "tables"), last, tuple(lines)), label, offers)
        )
    return changes


def _all_tables(
    draft: Draft,
    where: tuple[str | int, ...],
    entries: Sequence[tuple[str, list[str], tuple[Offer, ...], str]],
) -> list[YamlAddition]:
    if not entries:
        return []
    lines = ["tables:"]
    for number, (_, entry, _, _) in enumerate(entries):
        lines += [*([""] if number else []), *(f"  {line}" if line else "" for line in entry)]
    label = ", ".join(entry[0] for entry in entries)
    offers = tuple(offer for entry in entries for offer in entry[2])
    return [YamlAddition(MappingKey(where, tuple(lines)), label, offers)]


def unwritable(draft: Draft) -> None:
    """Report the columns that no model can have."""
    for table in draft.schema.tables:
        for column in table.columns:
            if not is_writable(column.name):
                draft.by_hand.append(
                    ByHand(
                        what=f"the column {column.name!r} of {table.name} is left out of the "
                        "model: jinja would read its name as code; rename it in the source"
                    )
                )


def find_vanished(draft: Draft) -> tuple[Vanished, ...]:
    """Tables and columns that dlt's schema lacks, with each place that still names them."""
    declared = declared_tables(draft.project, draft.source)
    found = []
    for table, entry in sorted(declared.items()):
        if table.startswith(_NOT_OF_THE_SOURCE):
            continue
        if table not in draft.schema.known:
            places = (_yaml_place(draft, entry), *_reading(draft, entry))
            was_loaded = draft.record.has("table", table)
            found.append(Vanished(table=table, places=places, was_loaded=was_loaded))
        else:
            found += _columns(draft, table, entry)
    return tuple(found)


def forget(draft: Draft, vanished: tuple[Vanished, ...]) -> None:
    """Drop from the record what is gone from schema and files: if it comes back, it is new."""
    still = {(item.table, item.column) for item in vanished}
    known = draft.schema.known
    declared = declared_tables(draft.project, draft.source)

    def is_gone(offer: Offer) -> bool:
        table = offer[1]
        if table.startswith(_NOT_OF_THE_SOURCE):
            return False
        if table not in known:
            return table not in declared
        column = offer[2] if len(offer) > 2 else ""
        return bool(column) and column not in known[table] and (table, column) not in still

    draft.offers = {offer for offer in draft.offers if not is_gone(offer)}


def _columns(draft: Draft, table: str, entry: DeclaredTable) -> Iterator[Vanished]:
    known = draft.schema.known[table]
    recorded = draft.record.columns(table)
    columns = dict.fromkeys([*entry.columns, *recorded])
    for column in columns:
        if column in known:
            continue
        places = [*_yaml_places(draft, entry, column), *_mentions(draft, entry, column)]
        if places:
            was_loaded = column in recorded
            yield Vanished(table=table, column=column, places=tuple(places), was_loaded=was_loaded)


def _yaml_place(draft: Draft, entry: DeclaredTable) -> str:
    line = draft.document(entry.path).line(entry.where)
    return f"{draft.project.name(entry.path)}:{line}"


def _yaml_places(draft: Draft, entry: DeclaredTable, column: str) -> Iterator[str]:
    document = draft.document(entry.path)
    name = draft.project.name(entry.path)
    items = value_at(document.data, (*entry.where, "columns"))
    for place, item in enumerate(items if isinstance(items, list) else []):
        if isinstance(item, dict) and item.get("name") == column:
            yield f"{name}:{document.line((*entry.where, 'columns', place))}"


def _models(draft: Draft, entry: DeclaredTable) -> Iterator[Path]:
    for path, model in draft.project.models().items():
        if (draft.source, entry.name) in model.reads:
            yield path


def _reading(draft: Draft, entry: DeclaredTable) -> Iterator[str]:
    for path in _models(draft, entry):
        lines = draft.model(path).lines_with(entry.name)
        yield f"{draft.project.name(path)}:{lines[0] if lines else 1}"


def _mentions(draft: Draft, entry: DeclaredTable, column: str) -> Iterator[str]:
    for path in _models(draft, entry):
        model = draft.model(path)
        if column not in {"source", "final"} and not column.startswith("_dlt"):
            for line in model.lines_with(column):
                yield f"{draft.project.name(path)}:{line}"
