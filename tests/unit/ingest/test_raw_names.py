"""Two names never become one."""

import itertools

import pytest
from dlt.common.normalizers.naming.snake_case import NamingConvention
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import SourceError
from headrace.ingest.names import NamedColumns, name_columns

normalize = NamingConvention().normalize_identifier


def named(
    *headers: list[str], given: NamedColumns | None = None, rename: dict[str, str] | None = None
) -> NamedColumns:
    return name_columns(headers, normalize, given.given if given else {}, rename)


@pytest.mark.parametrize(
    ("header", "raw"),
    [
        (["id", "Order Date"], ["id", "order_date"]),
        (["id", "name", "Name"], ["id", "name", "name_2"]),
        (["Name", "name"], ["name_2", "name"]),  # what is written so already keeps its name
        (["Order ID", "order_id", "ORDER-ID"], ["order_id_2", "order_id", "order_id_3"]),
        (["Name", "NAME"], ["name", "name_2"]),
        (["名前", "住所", "id"], ["x", "x_2", "id"]),
        (
            ["station", "", "Goals", "Visitor", "Goals", "", "Goals"],
            ["station", "column_2", "goals", "visitor", "goals_2", "column_6", "goals_3"],
        ),
        (["goals", "goals", "goals_2"], ["goals", "goals_3", "goals_2"]),
        (["", "column_1"], ["column_1_2", "column_1"]),
        (["a", " ", "\t"], ["a", "column_2", "column_3"]),
        (["a\t2", "a", "a"], ["a_2", "a", "a_3"]),
        (["_dlt_id", "_file_name", "dlt_id"], ["dlt_id_2", "file_name", "dlt_id"]),
    ],
)
def test_names_of_one_header(header: list[str], raw: list[str]) -> None:
    names = named(header)
    assert list(names.raw[0]) == raw
    plain = [normalize(name) if name.strip() else "" for name in header]
    assert len(names.notes) == sum(one != other for one, other in zip(raw, plain, strict=True))
    assert named(header, given=names) == NamedColumns(names.raw, names.given, ())


def test_notes_say_what_became_of_which_name() -> None:
    assert named(["name", "Name", "", "name", "_dlt_id"]).notes == (
        "'Name' is name_2, because 'name' is name",
        "column 3 has no name: it is column_3",
        "'name' (number 2) is name_3, because the header repeats the name",
        "'_dlt_id' is dlt_id, because _dlt_id is a reserved name",
    )


def test_a_name_that_was_given_stays_whatever_comes_later() -> None:
    first = named(["id", "Name"])
    later = named(["name", "id", "Name", "NAME"], given=first)
    assert later.raw == (("name_2", "id", "name", "name_3"),)
    for order in itertools.permutations(["name", "id", "Name", "NAME"]):
        again = named(list(order), given=later)
        assert dict(zip(order, again.raw[0], strict=True)) == {
            "id": "id", "Name": "name", "name": "name_2", "NAME": "name_3",
        }  # fmt: skip


def test_files_that_write_a_name_in_two_ways_share_a_column() -> None:
    names = named(["Order ID", "amount"], ["order_id", "Amount"])
    assert names.raw == (("order_id", "amount"), ("order_id", "amount"))
    assert names.notes == (
        "'Order ID' is the same column as 'order_id': order_id",
        "'Amount' is the same column as 'amount': amount",
    )


def test_names_that_only_look_alike_to_dlt_are_not_shared() -> None:
    names = named(["年"], ["月"], ["Größe"], ["Gräße"])
    assert names.raw == (("x",), ("x_2",), ("gr_e",), ("gr_e_2",))


def test_renamed_column_is_the_one_that_later_files_have() -> None:
    rename = {"client": "customer"}
    names = named(["client"], ["customer"], rename=rename)
    assert names.raw == (("customer",), ("customer",))


def test_files_share_no_column_where_one_file_has_both() -> None:
    names = named(["name"], ["Name"], ["name", "Name"])
    assert names.raw == (("name",), ("name_2",), ("name", "name_2"))


def test_names_that_shared_a_column_part_when_they_meet() -> None:
    shared = named(["name"], given=named(["Name"]))
    assert shared.raw == (("name",),)
    names = named(["Name", "name"], given=shared)
    assert names.raw == (("name_2", "name"),)
    assert names.notes == (
        (
            "'Name' is now name_2, because a file has it beside another column that is name; "
            "rows loaded before have it in name"
        ),
    )


def test_rename_settles_it() -> None:
    rename = {"Name": "nick name", "goals_2": "away", "_dlt_id": "source_id"}
    names = named(["name", "Name", "goals", "goals", "_dlt_id"], rename=rename)
    assert names.raw == (("name", "nick_name", "goals", "away", "source_id"),)
    assert names.notes == ()
    assert named(["Name", "goals", "goals"], given=names, rename=rename).raw == (
        ("nick_name", "goals", "away"),
    )


def test_rename_of_a_loaded_column_says_where_its_rows_are() -> None:
    names = named(["id", "Name"], given=named(["id", "Name"]), rename={"Name": "title"})
    assert names.raw == (("id", "title"),)
    assert names.notes == (
        "'Name' is now title; rows loaded before have it in name (--full-refresh reads all again)",
    )


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ({"a": "c", "b": "c"}, "rename gives 'b' the name c, which 'a' has, too"),
        ({"a": "_dlt_id"}, "rename gives 'a' the name _dlt_id, which is reserved"),
    ],
)
def test_a_rename_that_cannot_be(rename: dict[str, str], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        named(["a", "b"], rename=rename)


NAMES = st.lists(st.sampled_from(["a", "A", "a_2", "A-2", "", " ", "é", "年", "月", "x", "_dlt_a"]))


@given(st.lists(st.lists(NAMES, max_size=3), max_size=4))
def test_no_two_columns_of_a_header_ever_share_a_name(loads: list[list[list[str]]]) -> None:
    before = None
    for headers in loads:
        before = named(*headers, given=before)
        for raw in before.raw:
            assert len({name.lower() for name in raw}) == len(raw)
            assert all(name and not name.startswith("_dlt") for name in raw)
