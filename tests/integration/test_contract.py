"""The schema contract, and the quarantine of rows that break a rule."""

import pytest
from lab import Lab, Rows, Shop, partly_loaded, refused

from headrace.errors import SourceError

ORDERS = "{orders: {pattern: '*', primary_key: [id]}}"


def rows(lab: Lab, columns: str) -> Rows:
    return lab.query(f"select {columns} from store_raw.orders order by all")


def loaded(shop: Shop, **options: str) -> Lab:
    """A lab that has loaded two orders."""
    shop.write("orders.csv", "id,amount\n1,10\n2,20\n")
    lab = shop.lab_with(ORDERS, **options)
    assert lab.load_one().rows_new == 2
    return lab


def test_frozen_columns_refuse_a_new_one(shop: Shop) -> None:
    lab = loaded(shop, schema_contract="freeze")
    shop.write("orders.csv", "id,amount,note\n1,10,x\n3,30,\n")
    words = ["orders.csv", "'note'", "sources.store.schema_contract.columns", "evolve"]
    for frozen in (lab, shop.lab_with(ORDERS, schema_contract="{columns: freeze}")):
        refused(frozen, "load", kind=SourceError, words=words)
        assert rows(lab, "id, amount") == [(1, 10), (2, 20)]

    table = shop.lab_with(ORDERS, schema_contract="evolve").load_one()
    assert (table.rows_new, table.rows_changed, table.new_columns) == (1, 1, ("note",))


def test_discarded_columns_are_left_out(shop: Shop) -> None:
    lab = loaded(shop, schema_contract="{columns: discard_value}")
    shop.write("orders.csv", "id,amount,note\n1,10,x\n3,30,\n")
    table = lab.load_one()

    assert (table.rows_new, table.rows_changed, table.new_columns) == (1, 0, ())
    assert any("note" in note for note in table.notes)
    assert lab.schema("store_raw.orders") == {"id": "BIGINT", "amount": "BIGINT"}


def test_rows_with_an_unknown_column_are_put_aside(shop: Shop) -> None:
    lab = loaded(shop, schema_contract="{columns: discard_row}")
    shop.write("orders.csv", "id,amount,note\n1,11,x\n3,30,\n")
    table = lab.load_one()

    assert (table.rows_new, table.rows_changed, table.rows_quarantined) == (1, 0, 1)
    assert rows(lab, "id, amount") == [(1, 10), (2, 20), (3, 30)]
    assert lab.quarantine() == [
        ("orders", "orders.csv", 1, "schema_contract", "unknown columns: note")
    ]


def test_text_in_a_number_column_is_quarantined(shop: Shop) -> None:
    lab = loaded(shop)
    shop.write("orders.csv", "id,amount\n1,10\n2,many\n3,30\n")
    table = lab.load_one()
    assert (table.rows_new, table.rows_unchanged, table.rows_quarantined) == (1, 1, 1)
    assert rows(lab, "id, amount") == [(1, 10), (2, 20), (3, 30)]
    assert lab.quarantine() == [("orders", "orders.csv", 2, "data_type", "amount is not a BIGINT")]
    assert lab.query("select line_number from store_raw._quarantine") == [(3,)]
    assert [note for note in table.notes if "columns: {amount: text}" in note]

    shop.write("orders.csv", "id,amount\n1,10\n0,0\n2,many\n3,30\n")
    table = lab.load_one()
    assert (table.rows_new, table.rows_quarantined) == (1, 1)
    assert [row[2] for row in lab.quarantine()] == [3]  # the same row, now further down

    shop.write("orders.csv", "id,amount\n1,10\n2,21\n3,30\n")
    table = lab.load_one()
    assert (table.rows_new, table.rows_changed, table.rows_quarantined) == (0, 1, 0)
    assert lab.query("select superseded_at is null from store_raw._quarantine") == [(False,)]


def test_text_in_a_number_column_stops_the_load(shop: Shop) -> None:
    """By contract, or because the column is no longer of numbers."""
    lab = loaded(shop, schema_contract="{data_type: freeze}")
    shop.write("orders.csv", "id,amount\n1,10\n2,many\n3,30\n")
    words = ["orders.csv row 2", "amount is 'many'", "sources.store.schema_contract.data_type"]
    refused(lab, "load", kind=SourceError, words=words)
    assert rows(lab, "id, amount") == [(1, 10), (2, 20)]

    lines = "".join(f"{number},many\n" for number in range(10))
    shop.write("orders.csv", f"id,amount\n11,1\n{lines}")
    words = [
        "10 of 11 values of amount in orders.csv are no BIGINT",
        "{amount: text}",
        "discard_row",
    ]
    refused(shop.lab_with(ORDERS), "load", kind=SourceError, words=words)

    shop.write("orders.csv", "id,amount\n1,10\n2,21\n3,30\n")
    table = lab.load_one()
    assert (table.rows_new, table.rows_changed) == (1, 1)


@pytest.mark.parametrize(
    "values",
    [
        {
            "zip": "01067", "phone": "0041791234569", "ratio": "12345678901234567.89",
            "paid": "1", "day": "2024/01/05", "seen": "2024-01-05 10:00:00",
        },
        {"phone": "+41791234570", "ratio": "007.10"},
    ],
)  # fmt: skip
def test_column_does_not_take_what_it_cannot_give_back(shop: Shop, values: dict[str, str]) -> None:
    good = {
        "id": "1", "zip": "10115", "phone": "41791234567", "ratio": "1.5", "paid": "true",
        "day": "2024-01-05", "seen": "2024-01-05T10:00:00Z",
    }  # fmt: skip
    shop.write("people.csv", f"{','.join(good)}\n{','.join(good.values())}\n")
    lab = shop.lab_with(ORDERS)
    lab.load()
    before = rows(lab, "*")
    texts = {}
    for number, (column, value) in enumerate(values.items(), 2):
        later = good | {"id": str(number), column: value}
        texts[f"people_{column}.csv"] = f"{','.join(later)}\n{','.join(later.values())}\n"
    for name, text in texts.items():
        shop.write(name, text)
    notes = lab.load_one().notes
    assert len(notes) == len(values)
    for column, value in values.items():
        remedy = "timestamptz" if column == "seen" else "text"
        words = [
            f"people_{column}.csv row 1", f"{column} is {value!r}", f"{{{column}: {remedy}}}",
        ]  # fmt: skip
        assert [note for note in notes if all(word in note for word in words)], (words, notes)
    assert rows(lab, "*") == before
    assert [row[:4] for row in lab.quarantine()] == [
        ("orders", f"people_{column}.csv", 1, "data_type") for column in sorted(values)
    ]

    for name, text in texts.items():
        shop.write(name, f"{text}\n")
    shop.lab_with(ORDERS, schema_contract="{data_type: evolve}").load()
    for number, (column, value) in enumerate(values.items(), 2):
        found = rows(lab, f"id, {column} is null, {column}__v_text")
        assert [row for row in found if row[1] or row[2]] == [(number, True, value)]
        assert found[0] == (1, False, None)


def test_integer_column_does_not_take_what_it_would_have_to_round(shop: Shop) -> None:
    lab = loaded(shop)
    for value in ("10.5", "1e-3", "99999999999999999999", "0x1f"):
        shop.write("orders.csv", f"id,amount\n3,{value}\n")
        table = lab.load_one()
        assert (table.rows_new, table.rows_quarantined) == (0, 1)
        assert f"amount is '{value}'" in table.notes[0]


def test_values_that_do_not_fit_put_their_row_aside(shop: Shop) -> None:
    lab = loaded(shop, schema_contract="{data_type: discard_row}")
    shop.write("orders.csv", "id,amount\n2,many\n3,30\n")
    table = lab.load_one()

    assert (table.rows_new, table.rows_changed, table.rows_quarantined) == (1, 0, 1)
    assert rows(lab, "id, amount") == [(1, 10), (2, 20), (3, 30)]
    assert lab.quarantine() == [("orders", "orders.csv", 1, "data_type", "amount is not a BIGINT")]
    assert lab.query("select row_json ->> '$.amount' from store_raw._quarantine") == [("many",)]


def test_values_that_do_not_fit_are_discarded(shop: Shop) -> None:
    lab = loaded(shop, schema_contract="{data_type: discard_value}")
    shop.write("orders.csv", "id,amount\n2,many\n3,30\n")
    table = lab.load_one()

    assert (table.rows_new, table.rows_changed, table.rows_quarantined) == (1, 1, 0)
    assert rows(lab, "id, amount") == [(1, 10), (2, None), (3, 30)]
    assert lab.quarantine() == [
        ("orders", "orders.csv", 1, "data_type_value", "amount is not a BIGINT")
    ]


def test_values_that_do_not_fit_get_a_column_of_their_own(shop: Shop) -> None:
    lab = loaded(shop, schema_contract="{data_type: evolve}")
    shop.write("orders.csv", "id,amount\n2,many\n3,30\n")
    table = lab.load_one()

    assert (table.rows_new, table.rows_changed) == (1, 1)
    assert table.new_columns == ("amount__v_text",)
    assert rows(lab, "id, amount, amount__v_text") == [(1, 10, None), (2, None, "many"),
                                                       (3, 30, None)]  # fmt: skip

    shop.write("orders.csv", "id,amount\n2,22\n3,30\n")
    table = lab.load_one()
    assert (table.rows_new, table.rows_changed, table.new_columns) == (0, 1, ())
    assert rows(lab, "id, amount, amount__v_text")[1] == (2, 22, None)


def test_frozen_tables_let_the_first_load_in_and_no_later_table(shop: Shop) -> None:
    lab = loaded(shop, schema_contract="freeze")
    shop.write("more/refunds.jsonl", '{"id": 1}\n')
    tables = "{orders: {pattern: '*', primary_key: [id]}, refunds: {pattern: 'more/*'}}"
    more = shop.lab_with(tables, schema_contract="freeze")
    partly_loaded(
        more, "load", words=["refunds is a new table", "sources.store.schema_contract.tables"]
    )

    left_out = shop.lab_with(tables, schema_contract="{tables: discard_row}").load()
    assert [(table.table, table.files_read) for table in left_out.tables] == [
        ("orders", 0),
        ("refunds", 0),
    ]
    assert "left out by the schema contract" in left_out.tables[1].notes[0]
    assert "refunds" not in lab.resolved.target.row_counts("store_raw")


def test_column_that_left_the_file_is_noted(shop: Shop) -> None:
    lab = loaded(shop)
    shop.write("orders.csv", "id\n1\n3\n")
    table = lab.load_one()

    assert (table.rows_new, table.rows_changed) == (1, 1)
    assert table.notes == ("column amount is no longer in the files: null in what was read",)


BAD_KEYS = "id,state\n1,a\n,b\n2,c\n1,d\n"


def test_bad_keys_are_put_aside_and_counted(shop: Shop) -> None:
    shop.write("orders.csv", BAD_KEYS)
    lab = shop.lab_with(ORDERS)
    table = lab.load_one()

    assert (table.rows_new, table.rows_total, table.rows_quarantined) == (2, 2, 2)
    assert rows(lab, "id, state") == [(1, "d"), (2, "c")]
    assert lab.quarantine() == [
        ("orders", "orders.csv", 1, "duplicate_key", "a later row of the file has the same id"),
        ("orders", "orders.csv", 2, "null_key", "id is null"),
    ]
    assert lab.query("select row_json::json ->> 'state' from store_raw._quarantine order by 1") == [
        ("a",), ("b",),
    ]  # fmt: skip


def test_rows_are_put_aside_once(shop: Shop) -> None:
    shop.write("orders.csv", BAD_KEYS)
    lab = shop.lab_with(ORDERS)
    lab.load()
    assert lab.load_one().rows_quarantined == 0  # not read again
    assert len(lab.quarantine()) == 2

    lab.load(full_refresh=True)
    assert len(lab.quarantine()) == 2

    shop.write("orders.csv", "id,state\n1,a\n2,c\n")
    table = lab.load_one()
    assert (table.rows_quarantined, table.rows_changed) == (0, 1)


def test_partly_null_composite_key(shop: Shop) -> None:
    shop.write("orders.csv", "shop,number\nA,1\nA,\n,\n")
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [shop, number]}}")
    table = lab.load_one()

    assert (table.rows_new, table.rows_quarantined) == (1, 2)
    assert {row[4] for row in lab.quarantine()} == {"shop, number is null"}


def test_newest_of_duplicate_keys_wins_by_the_cursor(shop: Shop) -> None:
    shop.write("orders.csv", "id,state,at\n1,new,2024-02-01\n1,old,2024-01-01\n")
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [id], cursor: at}}")
    table = lab.load_one()

    assert (table.rows_new, table.rows_quarantined) == (1, 1)
    assert rows(lab, "state") == [("new",)]


def test_file_of_nothing_but_bad_rows(shop: Shop) -> None:
    shop.write("orders.csv", "id,state\n,a\n,b\n")
    lab = shop.lab_with(ORDERS)
    table = lab.load_one()

    assert (table.rows_new, table.rows_total, table.rows_quarantined) == (0, 0, 2)
    assert len(lab.quarantine()) == 2
    shop.write("orders.csv", "id,state\n1,a\n2,b\n")
    assert lab.load_one().rows_new == 2


def test_tables_of_one_source_share_the_quarantine(shop: Shop) -> None:
    shop.write("a.csv", "id\n1\n1\n")
    shop.write("b.csv", "id\n2\n2\n")
    lab = shop.lab_with(
        "{a: {pattern: a.csv, primary_key: [id]}, b: {pattern: b.csv, primary_key: [id]}}"
    )
    assert [table.rows_quarantined for table in lab.load().tables] == [1, 1]
    assert [row[0] for row in lab.quarantine()] == ["a", "b"]


def test_quarantine_of_the_jaffle_shop(done: Lab) -> None:
    path = done.data_dir / "jaffle_shop" / "raw_customers.csv"
    path.write_text(path.read_text() + ",Nobody,N.\n1,Twice,T.\n")
    report = done.run()

    assert report.status == "success"
    assert report.load is not None
    customers = report.load.tables[0]
    assert (customers.table, customers.rows_quarantined) == ("raw_customers", 2)
    assert (customers.rows_new, customers.rows_changed) == (0, 1)
    assert [row[3] for row in done.quarantine("jaffle_shop")] == ["duplicate_key", "null_key"]
