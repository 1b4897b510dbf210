"""What is written down and no longer in dlt's schema: pointed at, never removed."""

from collections.abc import Iterator
from pathlib import Path

from headrace.scaffold.draft import Draft
from headrace.scaffold.project import Declared, declared_tables
from headrace.scaffold.record import Offer
from headrace.scaffold.report import Vanished
from headrace.scaffold.yaml_text import value_at

_NOT_OF_THE_SOURCE = ("_dlt", "_quarantine")


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


def _columns(draft: Draft, table: str, entry: Declared) -> Iterator[Vanished]:
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


def _yaml_place(draft: Draft, entry: Declared) -> str:
    line = draft.document(entry.path).line(entry.where)
    return f"{draft.project.name(entry.path)}:{line}"


def _yaml_places(draft: Draft, entry: Declared, column: str) -> Iterator[str]:
    document = draft.document(entry.path)
    name = draft.project.name(entry.path)
    items = value_at(document.data, (*entry.where, "columns"))
    for place, item in enumerate(items if isinstance(items, list) else []):
        if isinstance(item, dict) and item.get("name") == column:
            yield f"{name}:{document.line((*entry.where, 'columns', place))}"


def _models(draft: Draft, entry: Declared) -> Iterator[Path]:
    for path, model in draft.project.models().items():
        if (draft.source, entry.name) in model.reads:
            yield path


def _reading(draft: Draft, entry: Declared) -> Iterator[str]:
    for path in _models(draft, entry):
        lines = draft.model(path).lines_with(entry.name)
        yield f"{draft.project.name(path)}:{lines[0] if lines else 1}"


def _mentions(draft: Draft, entry: Declared, column: str) -> Iterator[str]:
    for path in _models(draft, entry):
        model = draft.model(path)
        if column not in {"source", "final"} and not column.startswith("_dlt"):
            for line in model.lines_with(column):
                yield f"{draft.project.name(path)}:{line}"
