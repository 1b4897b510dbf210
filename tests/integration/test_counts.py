"""Given = new + changed + unchanged + quarantined: in the report, the run store and the page."""

import pytest
from lab import Lab, Shop

from headrace.catalog import RunStore
from headrace.pipeline.reports import TableReport

KEYED = "{orders: {pattern: '*', primary_key: [id], cursor: at}}"
KEYLESS = "{orders: {pattern: '*'}}"


def counts(table: TableReport) -> tuple[int, int, int, int, int, int]:
    """Given, new, changed, unchanged, quarantined; and the rows of the table after it."""
    return (
        table.rows_given,
        table.rows_new,
        table.rows_changed,
        table.rows_unchanged,
        table.rows_quarantined,
        table.rows_total,
    )


def stored(lab: Lab) -> tuple[int | None, ...]:
    """The same counts of the newest run, as the run store has them."""
    store = RunStore(lab.resolved.run_store_url)
    detail = store.run(store.last_runs(1)[0].run_id)
    store.close()
    assert detail is not None
    (load,) = detail.loads
    return (
        load.rows_given,
        load.rows_new,
        load.rows_changed,
        load.rows_unchanged,
        load.rows_quarantined,
        load.rows_total,
    )


def test_each_row_of_a_keyed_table_is_counted_once(shop: Shop) -> None:
    lab = shop.lab_with(KEYED)
    # two keys in both files, one of them newer in the first; no key; the same key in one file
    shop.write("a.csv", "id,v,at\n1,a,2024-01-02\n2,a,2024-01-01\n,a,2024-01-01\n")
    shop.write("b.csv", "id,v,at\n1,b,2024-01-01\n2,b,2024-01-01\n3,b,2024-01-01\n3,c,2024-01-01\n")
    table = lab.load_one()
    assert counts(table) == (7, 3, 0, 2, 2, 3)
    assert stored(lab) == counts(table)

    # one as before, one older than what is there, one changed, one new
    shop.write("c.csv", "id,v,at\n1,a,2024-01-02\n2,z,2023-01-01\n3,z,2024-05-01\n4,z,2024-01-01\n")
    table = lab.load_one()
    assert counts(table) == (4, 1, 1, 2, 0, 4)
    assert stored(lab) == counts(table)

    table = lab.load_one()
    assert counts(table) == (0, 0, 0, 0, 0, 4)


def test_each_row_of_a_keyless_table_is_counted_once(shop: Shop) -> None:
    lab = shop.lab_with(KEYLESS)
    shop.write("a.csv", "v\nx\nx\n")
    shop.write("b.csv", "v\ny\n")
    assert counts(lab.load_one()) == (3, 3, 0, 0, 0, 3)
    shop.write("a.csv", "v\nx\n")
    shop.write("c.csv", "v\nz\n")
    assert counts(lab.load_one()) == (2, 1, 1, 0, 0, 3)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("discard_row", (2, 0, 1, 0, 1, 1)), ("discard_value", (2, 1, 1, 0, 0, 2))],
)
def test_a_row_that_is_bad_in_two_ways_is_counted_once(
    shop: Shop, mode: str, expected: tuple[int, ...]
) -> None:
    lab = shop.lab_with(
        "{orders: {pattern: '*', primary_key: [id]}}", schema_contract=f"{{data_type: {mode}}}"
    )
    shop.write("a.csv", "id,one,two\n1,1,1\n")
    lab.load()
    shop.write("a.csv", "id,one,two\n1,1,2\n2,x,y\n")
    table = lab.load_one()
    assert counts(table) == expected
    assert lab.query("select count(distinct row_number) from store_raw._quarantine") == [(1,)]
