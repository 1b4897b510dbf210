"""The answer to a search: assets, and columns of them, by words."""

from headrace.catalog.model import Asset
from headrace.server import describe, views
from headrace.server.search import words_of
from headrace.server.state import ServerState


def search(state: ServerState, text: str, *, limit: int = 20) -> views.SearchResult:
    """Assets and columns by words in names, descriptions, tags and owners."""
    index = state.snapshot().index
    words = words_of(text)
    positions = index.search.find(text)
    hits: list[views.SearchHit] = []
    for position in positions:
        if len(hits) >= limit:
            break
        hits += _hits(index.order[position], words)
    return views.SearchResult(query=text, hits=tuple(hits[:limit]), total=len(positions))


def _hits(found: Asset, words: list[str]) -> list[views.SearchHit]:
    """The asset, and the first few of its columns that have all the words in their name."""
    starts = [f" {word}" for word in words]
    columns, some = [], None
    for column in found.columns:
        name = _spaced(column.name)
        known = sum(start in name for start in starts)
        if known == len(starts):
            columns.append(column)
        some = some or (column if known else None)
    is_named = any(start in _spaced(found.name) for start in starts)
    snippet = f"column {some.name}" if some and not is_named else found.description
    return [_hit(found, None, snippet), *(_hit(found, c.name, c.description) for c in columns[:3])]


def _hit(found: Asset, column: str | None, snippet: str) -> views.SearchHit:
    return views.SearchHit(
        id=found.id,
        kind=found.kind,
        name=found.name,
        relation=found.relation,
        column=column,
        snippet=describe.cut(snippet, 200),
    )


def _spaced(name: str) -> str:
    """The name with a space before each of its words."""
    return f" {name.casefold().replace('_', ' ')}"
