"""Whether a key tells the rows of two tables apart."""

from collections.abc import Sequence

from headrace.quality.diff.columns import Common
from headrace.quality.diff.pair import Pair
from headrace.sql_text import identifier, scalar

NO_KEY = "no key is known (--key TABLE=COLUMN), so rows are compared as wholes"
_BUCKETS = 65_536
_FEW = 64  # rows of one bucket that are none too many


def is_safe_to_join(pair: Pair, key: Sequence[Common]) -> bool:
    """Whether no value of the key can be there so often that a join on it explodes.

    Rows are counted by a hash of the key: a value that is there a thousand times makes its bucket
    stand out. This is a tenth of what an exact count costs, which the join itself gives for free.
    """
    for (table, of_after), rows in zip(pair.sides, pair.count, strict=True):
        values = ", ".join(one.hashed("t", of_after=of_after) for one in key)
        fullest = scalar(
            pair.connection,
            "select coalesce(max(n), 0) from (select count(*) as n "
            f"from {table} as t group by hash({values}) % {_BUCKETS})",
        )
        if fullest > _FEW + 2 * rows // _BUCKETS:
            return False
    return True


def why_no_key(pair: Pair, key: Sequence[Common]) -> tuple[str, ...]:
    """A sentence for each table whose rows the key does not tell apart."""
    notes = []
    for (table, of_after), word in zip(pair.sides, ("first", "second"), strict=True):
        names = [one.after if of_after else one.before for one in key]
        listed = ", ".join(identifier(name) for name in names)
        empty = " or ".join(f"{identifier(name)} is null" for name in names)
        row = pair.connection.execute(
            "select count(*), coalesce(sum(n), 0) from "
            f"(select count(*) as n from {table} group by {listed} "
            f"having count(*) > 1 or bool_or({empty}))"
        ).fetchone()
        keys, rows = row if row is not None else (0, 0)
        if keys:
            notes.append(
                f"the key ({', '.join(names)}) does not tell the rows of the {word} apart: "
                f"{keys:,} of its values are null or there twice, in {int(rows):,} rows; so "
                "rows are compared as wholes"
            )
    return tuple(notes)
