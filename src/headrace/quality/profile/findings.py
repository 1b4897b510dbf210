"""What a reader of a table should know: each rule looks at a profile and says what it saw.

A rule's docstring is what users read as the reason why it matters; its keyword arguments are the
limits from which on it speaks.
"""

import inspect
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from headrace.formatting import count, first_few, printable, shortened
from headrace.quality.profile.model import (
    Finding,
    Level,
    TableProfile,
    TestProposal,
    ValueCount,
)
from headrace.quality.profile.relations import is_named_like_a_key

_PLACEHOLDERS = {
    "-", "--", ".", "?", "n/a", "na", "#n/a", "null", "none", "nil", "nan", "unknown", "undefined",
    "missing", "tbd", "test", "xxx", "(blank)", "(empty)", "not available", "not applicable",
    "1900-01-01", "1970-01-01", "1900-01-01 00:00:00", "1970-01-01 00:00:00", "9999-12-31",
    "9999-12-31 00:00:00",
}  # fmt: skip
_EXACT_UP_TO = {"DOUBLE": 2**53, "FLOAT": 2**24}
_SENTINELS = {"-1", "-99", "-999", "-9999", "999", "9999", "99999", "999999", "9999999"}


@dataclass(frozen=True)
class Seen:
    """What a rule yields: without the rule's name and reason, which it has anyway."""

    seen: str
    advice: str
    columns: tuple[str, ...] = ()
    level: Level = "warn"
    tests: tuple[TestProposal, ...] = ()


Rule = Callable[..., Iterator[Seen]]


def find(profile: TableProfile) -> tuple[Finding, ...]:
    """All findings: warnings first, in the order of the rules; none about columns of dlt."""
    own = tuple(column for column in profile.columns if not column.name.startswith("_dlt"))
    profile = profile.model_copy(update={"columns": own})
    found = [
        Finding(
            rule=rule.__name__,
            level=one.level,
            columns=one.columns,
            seen=one.seen,
            why=" ".join((inspect.getdoc(rule) or "").split()),
            advice=one.advice,
            tests=one.tests,
        )
        for rule in RULES
        for one in rule(profile)
    ]
    return tuple(sorted(found, key=lambda one: one.level != "warn"))


def empty_table(table: TableProfile) -> Iterator[Seen]:
    """A join with an empty table gives no rows, and a sum over it null: both look like results."""
    if not table.rows:
        yield Seen(
            "there are no rows",
            "check whether the source was loaded, or a filter is wrong",
            tests=(_test(None, "expect_table_row_count_to_be_between", min_value=1),),
        )


def duplicate_rows(table: TableProfile) -> Iterator[Seen]:
    """Each sum and count includes a repeated row again; they come from a load that ran twice or a
    join with more than one match."""
    if table.duplicates:
        yield Seen(
            f"{_rows(table.duplicates, table.rows)} the same as another in all columns",
            "find out which step repeats them, or keep one by select distinct",
        )


def no_key(table: TableProfile) -> Iterator[Seen]:
    """Without a key nobody can tell which row changed, merge a later load, or join without
    multiplying rows."""
    if table.rows > 1 and not table.keys and table.duplicates is not None:
        near = [
            column
            for column in table.columns
            if is_named_like_a_key(column.name)
            and column.kind in {"number", "text"}
            and column.distinct >= 0.9 * (table.rows - column.nulls) > 0
        ]
        if near:
            repeated = max(table.rows - near[0].nulls - near[0].distinct, 0)
            yield Seen(
                f"{near[0].name} is nearly a key: about {count(repeated, 'row')} repeated, "
                f"{count(near[0].nulls, 'null')}",
                "look at the repeated ones; once they are gone, the test unique keeps them out",
                (near[0].name,),
                tests=(TestProposal(column=near[0].name, name="unique"),),
            )
        else:
            yield Seen(
                "no column and no pair of columns identifies a row",
                "decide what one row is, and add the column that says so",
            )


def key(table: TableProfile) -> Iterator[Seen]:
    """A key says what one row is. Tested, it stops rows that come twice before a reader counts
    them twice."""
    if not table.keys:
        return
    first = table.keys[0]
    others = [" and ".join(one) for one in table.keys[1:]]
    seen = f"{' and '.join(first)} {'is' if len(first) == 1 else 'are'} different in every row"
    if others:
        seen += f"; so {'is' if len(others) == 1 else 'are'} {first_few(others, 3)}"
    test = (
        TestProposal(column=first[0], name="unique")
        if len(first) == 1
        else TestProposal(
            column=None, name="unique_combination_of_columns", arguments={"columns": list(first)}
        )
    )
    if table.rows_looked_at < table.rows:
        seen += ", in the sample"
    # a few rows have keys by chance
    if table.rows >= 10 or any(is_named_like_a_key(name) for name in first):
        yield Seen(seen, "test the key", first, "note", (test,))


def all_null(table: TableProfile) -> Iterator[Seen]:
    """A column without a value is one that the source stopped filling, or that a join missed."""
    for column in table.columns:
        if table.rows and column.nulls == table.rows:
            yield Seen(
                f"{column.name} has no value at all",
                "find out since when; leave it out if nobody fills it",
                (column.name,),
            )


def few_nulls(table: TableProfile, *, most: float = 0.05) -> Iterator[Seen]:
    """A column that nearly always has a value is relied upon: the rows without one fall out of
    joins and filters."""
    for column in table.columns:
        if 0 < column.null_share <= most:
            yield Seen(
                f"{column.name} is null in {_share(column.nulls, table.rows)} of the rows",
                "decide whether it may be; if not, fix the source and test not_null",
                (column.name,),
                tests=(TestProposal(column=column.name, name="not_null"),),
            )


def never_null(table: TableProfile, *, least: int = 100) -> Iterator[Seen]:
    """What always had a value is used as if it always would; the test tells of the first row that
    has none."""
    names = tuple(column.name for column in table.columns if not column.nulls)
    if names and table.rows >= least:
        has = "has" if len(names) == 1 else "have"
        yield Seen(
            f"{first_few(names, 6)} {has} a value in every row",
            "test not_null where readers rely on it",
            names,
            "note",
            tuple(TestProposal(column=name, name="not_null") for name in names),
        )


def empty_texts(table: TableProfile) -> Iterator[Seen]:
    """An empty text is no null: it passes not_null, counts as a value and joins with other empty
    ones."""
    for column in table.columns:
        if column.empty:
            yield Seen(
                f"{column.name} is empty in {_rows(column.empty, table.rows, verb=False)}",
                f"make it null in staging: nullif(trim({column.name}), '')",
                (column.name,),
                tests=(_test(column.name, "not_empty_string"),),
            )


def padded_texts(table: TableProfile) -> Iterator[Seen]:
    """``'paid '`` and ``'paid'`` are two values: groups fall apart and joins miss."""
    for column in table.columns:
        if column.padded:
            yield Seen(
                f"{column.name} begins or ends in a blank in "
                f"{_rows(column.padded, table.rows, verb=False)}",
                f"trim it in staging: trim({column.name})",
                (column.name,),
                tests=(
                    _test(column.name, "expect_column_values_to_not_match_regex", regex="^ | $"),
                ),
            )


def placeholders(table: TableProfile) -> Iterator[Seen]:
    """A value that stands for none hides what is missing, and shifts means and first dates."""
    for column in table.columns:
        for one in column.top:
            if column.kind in {"text", "time"}:
                is_one = one.value.strip().lower() in _PLACEHOLDERS
            else:
                is_one = one.value in _SENTINELS and one.value in {column.min, column.max}
                is_one = is_one and bool(column.outliers)
            if is_one:
                yield Seen(
                    f"{column.name} is {_quoted(one)} in {_share(one.rows, table.rows)} of the "
                    "rows, which seems to stand for no value",
                    f"make it null in staging: nullif({column.name}, {one.value!r})",
                    (column.name,),
                    tests=(
                        (_test(column.name, "not_accepted_values", values=[one.value]),)
                        if column.kind == "text"
                        else ()
                    ),
                )


def letter_case(table: TableProfile) -> Iterator[Seen]:
    """Values that differ in upper and lower case alone are counted apart, and mean the same."""
    for column in table.columns:
        if column.kind != "text" or column.distinct > 50:
            continue
        spelt: dict[str, list[ValueCount]] = {}
        for one in column.top:
            spelt.setdefault(one.value.strip().casefold(), []).append(one)
        for same in spelt.values():
            if len({one.value.strip() for one in same}) > 1:
                yield Seen(
                    f"{column.name} has {' and '.join(_quoted(one) for one in same)}",
                    f"write them alike in staging: lower({column.name})",
                    (column.name,),
                    tests=(_test(column.name, "expect_column_values_to_have_consistent_casing"),),
                )


def few_values(table: TableProfile, *, most: int = 10, least_each: int = 5) -> Iterator[Seen]:
    """A column with few values is one that code branches on: a new one falls through every case."""
    for column in table.columns:
        values = [one.value for one in column.top]
        if (
            column.kind == "text"
            and 2 <= column.distinct <= most
            and len(values) == column.distinct
            and table.rows >= least_each * len(values)
            and max(map(len, values)) <= 40
            and not (column.empty or column.padded)
        ):
            shown = first_few([_quoted(one) for one in column.top], 6)
            yield Seen(
                f"{column.name} has {count(len(values), 'value')}: {shown}",
                "list them in a test, so that a new one is noticed",
                (column.name,),
                "note",
                (
                    TestProposal(
                        column=column.name,
                        name="accepted_values",
                        arguments={"values": sorted(values)},
                    ),
                ),
            )


def constant(table: TableProfile, *, least: int = 20) -> Iterator[Seen]:
    """A column with one value says nothing about a row; it may be a default that nobody sets."""
    for column in table.columns:
        if column.distinct == 1 and table.rows - column.nulls >= least and column.personal is None:
            shown = f" ({_quoted(column.top[0])})" if column.top else ""
            yield Seen(
                f"{column.name} has the same value in every row{shown}",
                "check whether it is meant",
                (column.name,),
                "note",
            )


def reference(table: TableProfile) -> Iterator[Seen]:
    """A row that refers to nothing falls out of an inner join, and out of every sum behind it."""
    for one in table.references:
        test = TestProposal(
            column=one.column,
            name="relationships",
            arguments={"to": one.table, "field": one.field},
        )
        if one.orphans:
            yield Seen(
                f"{one.column} refers to {one.table}.{one.field}, which lacks the value of "
                f"{count(one.orphans, 'row')}",
                "find out what came late or was deleted there",
                (one.column,),
                tests=(test,),
            )
        else:
            yield Seen(
                f"every {one.column} is one of {one.table}.{one.field}",
                "test the relationship",
                (one.column,),
                "note",
                (test,),
            )


def not_finite(table: TableProfile) -> Iterator[Seen]:
    """One NaN or infinity makes every sum and mean that includes it NaN or infinite."""
    for column in table.columns:
        if column.not_finite:
            yield Seen(
                f"{column.name} is NaN or infinite in "
                f"{_rows(column.not_finite, table.rows, verb=False)}",
                f"make it null in staging: case when isfinite({column.name}) then "
                f"{column.name} end",
                (column.name,),
            )


def rounded_numbers(table: TableProfile) -> Iterator[Seen]:
    """A floating-point number has 15 to 17 digits (FLOAT 6 to 9): of longer ids the last ones are
    rounded, so that two ids become one and rows join with the wrong ones."""
    for column in table.columns:
        exact = _EXACT_UP_TO.get(column.data_type)
        if exact is None or not is_named_like_a_key(column.name):
            continue
        ends = [float(end) for end in (column.min, column.max) if end is not None]
        if any(exact < abs(end) < math.inf for end in ends):
            yield Seen(
                f"{column.name} is a floating-point number and goes up to {column.max}, more than "
                f"the {exact:,} up to which it holds each integer",
                "write it as text or decimal(38, 0) where it comes from; a cast here brings no "
                "digit back",
                (column.name,),
            )


def outliers(table: TableProfile, *, most: float = 0.01) -> Iterator[Seen]:
    """A few values far from all others move a mean and a sum: a wrong unit, a slipped decimal
    point, or the row that matters most."""
    for column in table.columns:
        filled = table.rows - column.nulls
        if column.outliers and column.outliers <= most * filled and filled >= 20:
            middle, far = column.quantiles.get("50"), (column.min, column.max)
            yield Seen(
                f"{column.name} has {count(column.outliers, 'value')} far from all others "
                f"({far[0]} to {far[1]}; the median is {middle})"
                if middle is not None
                else f"{column.name} has {count(column.outliers, 'value')} far from all others",
                "look at these rows",
                (column.name,),
            )


def few_negatives(table: TableProfile, *, most: float = 0.02) -> Iterator[Seen]:
    """A sign that is rare is a refund that should stand elsewhere, or a mistake."""
    for column in table.columns:
        filled = table.rows - column.nulls
        if column.negatives and column.negatives <= most * filled:
            yield Seen(
                f"{column.name} is negative in {_rows(column.negatives, table.rows, verb=False)}",
                "decide whether it may be; if not, test that it is not",
                (column.name,),
                tests=(_test(column.name, "expect_column_values_to_be_between", min_value=0),),
            )


def future_times(table: TableProfile, *, most: float = 0.05) -> Iterator[Seen]:
    """A date that is yet to come makes the newest row look fresh forever: a wrong time zone, or
    day and month exchanged."""
    for column in table.columns:
        filled = table.rows - column.nulls
        if column.future and column.future <= most * filled:
            yield Seen(
                f"{column.name} is in the future in {_rows(column.future, table.rows, verb=False)}",
                "look at time zones, and at dates whose day and month could be exchanged",
                (column.name,),
                tests=(
                    _test(
                        column.name,
                        "expect_column_values_to_be_between",
                        max_value="current_timestamp",
                    ),
                ),
            )


def stored_as_text(table: TableProfile) -> Iterator[Seen]:
    """As texts, ``'10'`` comes before ``'9'`` and a sum is an error: each reader casts by its own
    rule."""
    for column in table.columns:
        if column.reads_as is not None and column.personal is None:
            kind = "decimal(18, 2)" if column.reads_as == "decimal" else column.reads_as
            if column.reads_as == "integer" and is_named_like_a_key(column.name):
                continue
            yield Seen(
                f"{column.name} is text, and every value looked at is {_a(column.reads_as)}",
                f"cast it in staging: cast({column.name} as {kind})",
                (column.name,),
            )


def mixed_shapes(table: TableProfile, *, least: float = 0.95) -> Iterator[Seen]:
    """Codes of one form are made by one rule; those of another form come from somewhere else."""
    for column in table.columns:
        shapes = column.shapes
        if len(shapes) > 1 and least <= shapes[0].share < 1 and "9" in shapes[0].value:
            yield Seen(
                f"{column.name} has the form {shapes[0].value} in {shapes[0].share:.1%} of its "
                f"values, and otherwise {first_few([one.value for one in shapes[1:]], 3)}",
                "look at the others: another source, or typing errors",
                (column.name,),
                tests=(
                    _test(
                        column.name,
                        "expect_column_values_to_match_regex",
                        regex=_regex(shapes[0].value),
                    ),
                ),
            )


def personal_data(table: TableProfile) -> Iterator[Seen]:
    """Data about people may only be where it is needed. Once it is marked, Headrace masks it
    wherever it goes."""
    for column in table.columns:
        if column.personal is not None and column.personal.kind != "declared":
            share = column.personal.share
            how = f"{share:.0%} of its values look like it" if share else "by its name"
            yield Seen(
                f"{column.name} seems to hold personal data: {column.personal.kind} ({how})",
                f"mark it in the sources yml, if it is: meta: {{pii: {column.personal.kind}}}",
                (column.name,),
                "note",
            )


def follows(table: TableProfile) -> Iterator[Seen]:
    """What follows from another column is kept twice, and may come apart; it belongs to a table
    with that column as its key."""
    keys = {one[0] for one in table.keys if len(one) == 1}
    for cause in dict.fromkeys(one.follows_from for one in table.dependencies):
        effects = [one.column for one in table.dependencies if one.follows_from == cause]
        if cause not in keys:
            yield Seen(
                f"{first_few(effects, 4)} {'follows' if len(effects) == 1 else 'follow'} from "
                f"{cause}",
                "expect it when you group by both; move it to a table of its own if it changes",
                (cause, *effects),
                "note",
            )


def go_together(table: TableProfile, *, least: float = 0.95) -> Iterator[Seen]:
    """Two columns that nearly tell the same are one measure twice, or one computed from the
    other."""
    causes: dict[str, set[str]] = {}
    for dependency in table.dependencies:
        causes.setdefault(dependency.column, {dependency.column}).add(dependency.follows_from)
    for one in table.correlations:
        known = causes.get(one.one, {one.one}) & causes.get(one.other, {one.other})
        if abs(one.value) >= least and not known:
            names: dict[str, str] = {
                "pearson": "Pearson",
                "spearman": "Spearman",
                "cramers_v": "Cramér's V",
            }
            yield Seen(
                f"{one.one} and {one.other} go together ({names[one.method]} {one.value:.2f})",
                "check whether one is computed from the other",
                (one.one, one.other),
                "note",
            )


RULES: tuple[Rule, ...] = (
    empty_table, duplicate_rows, no_key, all_null, few_nulls, empty_texts, padded_texts,
    placeholders, letter_case, not_finite, rounded_numbers, outliers, few_negatives,
    future_times, stored_as_text, mixed_shapes, reference, key, few_values, never_null, constant,
    personal_data, follows, go_together,
)  # fmt: skip


def _test(column: str | None, name: str, **arguments: Any) -> TestProposal:
    return TestProposal(column=column, name=name, arguments=arguments)


def _regex(shape: str) -> str:
    """A regular expression of a shape: ``AA-9+`` is ``^[A-Za-z]{2}-[0-9]+$``."""
    kinds = {"A": "[A-Za-z]", "9": "[0-9]"}
    found = []
    for letter, same in groupby(re.findall(r"[A9]\+|.", shape, flags=re.DOTALL)):
        size = len(list(same))
        one = f"{kinds[letter[0]]}+" if len(letter) == 2 else kinds.get(letter, re.escape(letter))
        found.append(one if size == 1 else f"{one}{{{size}}}")
    return f"^{''.join(found)}$"


def _share(rows: int, of: int) -> str:
    share = rows / of if of else 0
    return f"{share:.1%}" if share >= 0.001 else f"{rows:,} of {of:,}"


def _rows(rows: int, of: int, *, verb: bool = True) -> str:
    are = "" if not verb else " is" if rows == 1 else " are"
    return (
        f"{count(rows, 'row')}{are}"
        if rows == of or rows < 10
        else (f"{rows:,} rows ({_share(rows, of)}){are}")
    )


def _quoted(one: ValueCount) -> str:
    return f"'{shortened(printable(one.value), 30)}'"


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
