"""How many rows a load added and changed, for sources that do not say."""

from pathlib import Path

import duckdb
from step_lab import project

from headrace.pipeline.loading.row_changes import RowChanges, RowHashes


def test_what_a_load_that_did_not_end_left_is_not_known(tmp_path: Path) -> None:
    target = project(tmp_path).target
    path = Path(target.location)
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "create schema raw; create table raw._dlt_loads as select 'a' as load_id, 0 as status; "
            "create table raw.items as from (values (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'a')) "
            "as _ (id, amount, _dlt_load_id)"
        )
    hashes = RowHashes(target, "raw", {"items": ["id"]})
    hashes.take()
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "update raw.items set _dlt_load_id = 'c'; insert into raw._dlt_loads values ('c', 0); "
            "update raw.items set amount = 31 where id = 3"
        )
    found = hashes.changes("items", ["id"], ["c"], disposition="merge")
    hashes.close()
    assert found == RowChanges(new=1, changed=1, same=1)
