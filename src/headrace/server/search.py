"""Search over names, columns, descriptions, tags and owners: SQLite's FTS5, in memory."""

import re
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Sequence

from headrace.catalog.model import Asset

MAX_HITS = 1000
_WORD = re.compile(r"\w+")
_LONGEST = 12  # words of a query that count
_TEXT = 2000  # characters of a description that are searched
# without columnsize, bm25 does not mind the length: a table of many columns is no worse a hit
_TABLE = """
create virtual table assets using fts5(
    name, relation, columns, labels, description,
    content='', columnsize=0, detail=column, tokenize='unicode61 remove_diacritics 2',
    prefix='1 2 3'
)
"""
_FIND = """
select rowid from assets where assets match ?
order by rowid >= ?, bm25(assets, 10, 5, 3, 2, 1), rowid limit ?
"""


class SearchIndex:
    """An index of assets by their position in a sequence; made once, read by many threads."""

    def __init__(self, assets: Sequence[Asset]) -> None:
        """Index the assets, of which the tests come last; 100,000 take a few seconds."""
        self._lock = threading.Lock()
        self._tests_from = sum(1 for asset in assets if not asset.is_test)
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        # whoever reads an old index goes on; it is closed when nobody has it any more
        weakref.finalize(self, self._database.close)
        self._database.execute(_TABLE)
        with self._database:
            self._database.executemany(
                "insert into assets(rowid, name, relation, columns, labels, description) "
                "values (?, ?, ?, ?, ?, ?)",
                _documents(assets),
            )

    def find(self, text: str) -> tuple[int, ...]:
        """Positions of assets that hold every word of the text, or one that begins like it.

        Returns:
            At most ``MAX_HITS``, the best first, tests last.
        """
        words = words_of(text)
        if not words:
            return ()
        query = " AND ".join(f'"{word}"*' for word in words)
        try:
            with self._lock:
                rows = self._database.execute(_FIND, (query, self._tests_from, MAX_HITS)).fetchall()
        except sqlite3.OperationalError:
            return ()  # a word that the tokenizer sees as several, or as none
        return tuple(row[0] for row in rows)


def words_of(text: str) -> list[str]:
    """The words that a search looks for, in small letters."""
    return _WORD.findall(text.casefold().replace("_", " "))[:_LONGEST]


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
