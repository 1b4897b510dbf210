"""The record of what was offered before, so that a column that the user removed stays removed.

``_<source>__scaffold.lock`` is beside the models and is committed with them, so that it
survives a clone. It is a set of lines, each a JSON array, sorted: two branches that each add a
table merge line by line, and a line that is deleted by hand is offered again.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from headrace.errors import ScaffoldError

What = Literal["table", "model", "source column", "model column", "test"]
Offer = tuple[str, ...]

_HEAD = """\
# Written by `headrace scaffold {source}`: what it has offered so far. Commit this file: by it the
# scaffold knows that a column, a test or a file was removed on purpose. Delete a line, and it is
# offered again.
"""


@dataclass(frozen=True)
class Record:
    """All that was offered.

    Attributes:
        offers: what and of which table, column and test.
        exists: whether there is such a file yet.
    """

    offers: frozenset[Offer]
    exists: bool

    def has(self, what: What, *names: str) -> bool:
        """Whether something was offered."""
        return (what, *names) in self.offers

    def knows(self, table: str) -> bool:
        """Whether anything of a table was offered."""
        return any(offer[1] == table for offer in self.offers)

    def columns(self, table: str) -> list[str]:
        """The columns of a table that were offered."""
        kinds = {"source column", "model column"}
        return sorted({o[2] for o in self.offers if o[0] in kinds and o[1] == table})


def file_name(source: str) -> str:
    """The name of the record's file."""
    return f"_{source}__scaffold.lock"


def render(source: str, offers: Iterable[Offer]) -> str:
    """The text of a record."""
    lines = [json.dumps(list(offer), ensure_ascii=False) for offer in sorted(set(offers))]
    return _HEAD.format(source=source) + "\n".join(lines) + "\n"


def parse(text: str | None, name: str) -> Record:
    """Read a record; None is a file that is not there.

    Raises:
        ScaffoldError: a line is not a record, such as a merge conflict marker.
    """
    if text is None:
        return Record(frozenset(), exists=False)
    offers: set[Offer] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        is_offer = isinstance(value, list) and len(value) >= 2
        if not is_offer or not all(isinstance(part, str) for part in value):
            raise ScaffoldError(
                f"{name}:{number}: this is not a line of a scaffold record (a merge conflict?): "
                "keep the lines of both sides, and delete this one; nothing was written"
            )
        offers.add(tuple(value))
    return Record(frozenset(offers), exists=True)
