"""Full-text search over names, columns, descriptions, tags and owners: SQLite's FTS5, in memory."""

import re
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from headrace.catalog.model import Asset
from headrace.formatting import shortened
from headrace.server.models import SearchHit

MAX_HITS = 1000
_WORD = re.compile(r"\w+")
_MAX_LENGTH = 12  # words of a query that count
_MATCHED = 3  # columns that a list names as the reason why an asset was found
_TEXT = 2000  # characters of a description that are searched
# without columnsize, bm25 does not mind the length: a table of many columns is no worse a hit
_TABLE = """
create virtual table assets using fts5(
    name, relation, columns, labels, description,
    content='', columnsize=0, detail=column, tokenize='unicode61 remove_diacritics 2',
    prefix='1 2 3'
)
"""
_RANKS = "create table ranks (position integer primary key, name text, tier int, readers int)"
_FIND = """
select assets.rowid from assets inner join ranks on ranks.position = assets.rowid
where assets match :query
order by
    tier = :tests, ranks.name <> :words, not startswith(ranks.name, :words), tier, readers desc,
    bm25(assets, 10, 5, 3, 2, 1), assets.rowid
limit :most
"""
_TIERS = (
    "mart",
    "exposure",
    "metric",
    "model",
    "snapshot",
    "seed",
    "semantic_model",
    "saved_query",
    "table",
    "resource",
)
_TESTS = len(_TIERS)


class SearchIndex:
    """An index of assets by their position in a sequence; made once, read by many threads."""

    def __init__(self, assets: Sequence[Asset], children: Mapping[str, Sequence[str]]) -> None:
        """Index the assets; 100,000 take a few seconds.

        Args:
            assets: in any order; a hit is a position in it.
            children: asset id to the ids of what reads it.
        """
        self._lock = threading.Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        # an old index is closed when no request uses it any more
        weakref.finalize(self, self._database.close)
        self._database.create_function("startswith", 2, str.startswith, deterministic=True)
        self._database.execute(_TABLE)
        self._database.execute(_RANKS)
        with self._database:
            self._database.executemany(
                "insert into assets(rowid, name, relation, columns, labels, description) "
                "values (?, ?, ?, ?, ?, ?)",
                _documents(assets),
            )
            self._database.executemany(
                "insert into ranks values (?, ?, ?, ?)",
                (
                    (position, _spaced(asset.name), tier(asset), len(children.get(asset.id, ())))
                    for position, asset in enumerate(assets)
                ),
            )

    def find(self, text: str) -> tuple[int, ...]:
        """Positions of assets that hold every word of the text, or one that begins like it.

        Returns:
            At most ``MAX_HITS``: those of that very name, then those whose name begins so, then all
            others; marts come first and tests last, and what is read most before what is not.
        """
        words = words_of(text)
        if not words:
            return ()
        query = " AND ".join(f'"{word}"*' for word in words)
        try:
            with self._lock:
                asked = {
                    "query": query, "words": " ".join(words), "tests": _TESTS, "most": MAX_HITS
                }  # fmt: skip
                rows = self._database.execute(_FIND, asked).fetchall()
        except sqlite3.OperationalError:
            return ()  # a word that the tokenizer sees as several, or as none
        return tuple(row[0] for row in rows)


def words_of(text: str) -> list[str]:
    """The words that a search looks for, in lower case."""
    return _WORD.findall(text.casefold().replace("_", " "))[:_MAX_LENGTH]


def _spaced(name: str) -> str:
    return " ".join(words_of(name))


def tier(asset: Asset) -> int:
    """The rank of its kind, marts first, tests last; a model is a mart by its folder, contract or
    access."""
    if asset.is_test:
        return _TESTS
    is_mart = asset.kind == "model" and (
        asset.contract or asset.access == "public" or "/marts/" in f"/{asset.path or ''}"
    )
    return _TIERS.index("mart" if is_mart else asset.kind)


def _documents(assets: Sequence[Asset]) -> Iterable[tuple[int, str, str, str, str, str]]:
    for position, asset in enumerate(assets):
        yield (
            position,
            asset.name,
            asset.relation or asset.id,
            " ".join(column.name for column in asset.columns),
            " ".join((*asset.tags, *asset.owners, asset.group or "")),
            asset.description[:_TEXT],
        )


def matched_columns(found: Asset, words: Sequence[str]) -> tuple[str, ...]:
    """The first columns with a word of a search in their name; none if its own name has all."""
    starts = [f" {word}" for word in words]
    if not starts or all(start in _padded(found.name) for start in starts):
        return ()
    named = (
        column.name
        for column in found.columns
        if any(start in _padded(column.name) for start in starts)
    )
    return tuple(islice(named, _MATCHED))


def hits_of(found: Asset, words: list[str]) -> list[SearchHit]:
    """An asset as a hit, and its first three columns that have all the words in their name."""
    starts = [f" {word}" for word in words]
    columns, some = [], None
    for column in found.columns:
        name = _padded(column.name)
        known = sum(start in name for start in starts)
        if known == len(starts):
            columns.append(column)
        some = some or (column if known else None)
    is_named = any(start in _padded(found.name) for start in starts)
    snippet = f"column {some.name}" if some and not is_named else found.description
    return [_hit(found, None, snippet), *(_hit(found, c.name, c.description) for c in columns[:3])]


def _hit(found: Asset, column: str | None, snippet: str) -> SearchHit:
    return SearchHit(
        id=found.id,
        kind=found.kind,
        name=found.name,
        relation=found.relation,
        column=column,
        snippet=shortened(snippet, 200),
    )


def _padded(name: str) -> str:
    """The name with a space before each of its words."""
    return f" {name.casefold().replace('_', ' ')}"
