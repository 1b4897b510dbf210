"""Lists and proposals in messages."""

from headrace.formatting import did_you_mean, first_few, one_line


def test_a_long_list_says_how_many_more_there_are() -> None:
    assert first_few(["a", "b"], 2) == "a, b"
    assert first_few(["a", "b", "c"], 2) == "a, b and 1 more"
    assert first_few(["x"] * 1_500, 1) == "x and 1,499 more"


def test_proposals_are_the_names_that_are_spelt_alike() -> None:
    assert did_you_mean("ordres", {"orders": 1, "stores": 2}) == "did you mean 'orders'?"
    names = ["order_a", "order_b", "stores"]
    assert did_you_mean("order_c", names, most=3) == "did you mean 'order_b' or 'order_a'?"
    assert did_you_mean("zebra", ["orders"]) == ""


def test_one_line_is_cut_at_its_limit() -> None:
    assert one_line("a\n  b\n\n") == "a b"
    assert one_line("abcdef", 4) == "abc…"
