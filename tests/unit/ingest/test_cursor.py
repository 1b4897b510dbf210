"""Which kind a cursor is, and which of two values is newer."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.ingest.cursor import CursorError, find, key, refuse_dates_in_other_forms


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["2024-01-01T10:00:00Z", "2024-01-01T10:00:00.250Z"], "timestamp"),
        (["2024-01-01T10:00:00+02:00", "2024-01-01 10:00", None], "timestamp"),
        (["2024-01-01", "2024-01-01T10:00:00"], "timestamp"),
        (["2024-01-01 10:00:00 UTC", "2024-01-01T10:00:00+0100"], "timestamp"),
        ([datetime(2024, 1, 1, tzinfo=UTC), "2024-01-01T10:00:00Z"], "timestamp"),
        (["2024-01-01", date(2024, 1, 2)], "date"),
        (["9", "10"], "number"),
        ([9, 10.5, Decimal(1), "007"], "number"),
        (["01HV5K3F6Y", "01HV5K3F70"], "text"),
        (["a1", "12", "9f"], "text"),
        ([None], None),
        ([], None),
    ],
)
def test_kind_that_is_found(values: list[object], kind: str | None) -> None:
    assert find(values) == kind


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["2024-12-31", "31/12/2024"], "'31/12/2024' is a date, but not in ISO form"),
        (["31.12.2024"], "not in ISO form"),
        (["12-31-2024 10:00"], "not in ISO form"),
        (["31-Dec-2024"], "not in ISO form"),
        (["2024/12/31"], "not in ISO form"),
        (["2023-02-29"], "'2023-02-29' is no date"),
        (["2024-01-01T25:00:00"], "no date"),
        (["2024-01-01", "2024-01-02", "n/a"], "'n/a' and '2024-01-01' are not of one kind"),
        (["2024-01-01", 5], "not of one kind"),
        (["v9", "v10"], "'v10' and 'v9' are texts of different lengths"),
        (["first draft"], "neither a timestamp, a date nor a number"),
        ([""], "neither"),
        ([True], "true or false"),
        ([float("nan")], "no finite number"),
        ([{"a": 1}], "no single value"),
    ],
)
def test_values_that_cannot_be_ordered_are_refused(values: list[object], words: str) -> None:
    with pytest.raises(CursorError) as caught:
        find(values)
    assert words in str(caught.value)


def test_a_declared_kind_is_held_to() -> None:
    assert find(["v9", "v10", "2024/12/31"], "text") == "text"
    assert find(["2024-01-01"], "timestamp") == "timestamp"
    assert find([], "number") == "number"
    with pytest.raises(CursorError, match="'31/12/2024' is a date, but not in ISO form"):
        refuse_dates_in_other_forms(["2024-12-31", None, "31/12/2024"])
    with pytest.raises(CursorError, match="'x' is not a number"):
        find(["1", "x"], "number")


@pytest.mark.parametrize(
    "ascending",
    [
        ["2024-01-01T10:00:00Z", "2024-01-01T10:00:00.250Z", "2024-01-01T10:00:00.2501Z"],
        ["2024-10-27T02:50:00+02:00", "2024-10-27T02:15:00+01:00", "2024-10-27T01:16:00Z"],
        ["2024-01-01T23:00:00-05:00", "2024-01-02T05:00:00Z"],
        ["2023-12-31T23:59:59.999999999Z", "2024-01-01", "2024-01-01 00:00:00.000000001"],
        ["1969-12-31T23:59:59.5Z", "1970-01-01"],
    ],
)
def test_times_are_ordered_as_what_they_mean(ascending: list[str]) -> None:
    kind = find(ascending)
    assert kind == "timestamp"
    assert all(key(one, kind) < key(other, kind) for one, other in pairwise(ascending))


def test_one_time_in_several_spellings_is_one_key() -> None:
    spellings = ["2024-01-01T02:00:00+02:00", "2024-01-01 00:00", "2024-01-01T00:00:00.000Z"]
    moment = datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert {key(value, "timestamp") for value in [*spellings, moment, date(2024, 1, 1)]} == {
        (Decimal(1_704_067_200), "")
    }


def test_numbers_are_ordered_exactly() -> None:
    numbers = ["-1e3", "9", "10", "9007199254740992", "9007199254740993", "9007199254740993.1"]
    assert find(numbers) == "number"
    keys = [key(number, "number") for number in numbers]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


def test_a_key_of_another_kind_is_refused() -> None:
    with pytest.raises(CursorError, match="'x' is not a timestamp"):
        key("x", "timestamp")


OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.lists(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=OFFSETS)))  # noqa: DTZ001
def test_text_orders_as_the_times_that_it_spells(moments: list[datetime]) -> None:
    spelled = [moment.isoformat() for moment in moments]
    assert sorted(spelled, key=lambda text: key(text, "timestamp")) == [
        text for _, text in sorted(zip(moments, spelled, strict=True), key=lambda pair: pair[0])
    ]
