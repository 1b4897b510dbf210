"""Two tables compared by DuckDB: equal at a glance, else by key, else as bags of rows."""

from collections.abc import Sequence

from headrace.quality.diff.by_key import ByKey
from headrace.quality.diff.by_row import ByRow
from headrace.quality.diff.columns import Common
from headrace.quality.diff.key import NO_KEY, is_safe_to_join, why_no_key
from headrace.quality.diff.pair import Pair
from headrace.quality.diff.rows import Rows


def compare_rows(pair: Pair, key: Sequence[Common]) -> Rows:
    """Compare the rows; by key where there is one that tells them apart.

    Args:
        pair: the tables.
        key: columns of both; empty when none is known.
    """
    if not pair.columns.common:
        return Rows(changed=None, notes=("they have no column in common",))
    if pair.is_equal():
        return Rows()
    if not key:
        return ByRow(pair).rows((NO_KEY,))
    notes = () if is_safe_to_join(pair, key) else why_no_key(pair, key)
    if not notes:
        found = ByKey(pair, key).rows()
        if found is not None:
            return found
        notes = why_no_key(pair, key)
    return ByRow(pair).rows(notes)
