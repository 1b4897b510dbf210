"""What a statement says about columns: its scopes, and what each expression reads.

A tree of small records that msgspec writes and reads; names that are only looked up are folded to
lower case, names that come out are as written. Nothing in it depends on the tables' columns.
"""

from typing import Union

from msgspec import Struct

Names = tuple[str, ...]


class Col(Struct, array_like=True, frozen=True, gc=False, tag=1):
    """A column: the parts of its name, folded; ``role`` is how it is read (``kinds``)."""

    role: int
    parts: Names


class Nested(Struct, array_like=True, frozen=True, gc=False, tag=2):
    """A query within an expression; ``exists``: only its rows count."""

    role: int
    query: "Query"
    exists: bool


class Every(Struct, array_like=True, frozen=True, gc=False, tag=3):
    """All columns that a star stands for, as an argument."""

    role: int
    star: "Star"


class CountOfRows(Struct, array_like=True, frozen=True, gc=False, tag=4):
    """``count(*)``."""

    role: int


class Nth(Struct, array_like=True, frozen=True, gc=False, tag=5):
    """``#2``: a column by its number in ``from``, from 1."""

    role: int
    number: int


class ValuePart(Struct, array_like=True, frozen=True, gc=False, tag=6):
    """A value of which the parts may be known apart, or a part of such a value.

    Attributes:
        role: how it is read.
        way: ``struct`` of fields; ``change`` and ``concat`` of structs; ``cast`` to a struct;
            ``list`` of elements; ``any`` one of several; ``field``, ``at``, ``item`` and
            ``unnest`` of a value, ``values`` of a map; ``each`` and ``kept`` elements of a list
            by a function; ``query`` the value of a query; ``whole`` all of a value together.
        names: of fields; of a function's parameters.
        parts: what each part reads.
        others: what decides which part it is.
    """

    role: int
    way: str
    names: Names
    parts: tuple["Reads", ...]
    others: "Reads" = ()


Read = Col | Nested | Every | CountOfRows | Nth | ValuePart
Reads = tuple[Read, ...]


class SelectExpression(Struct, array_like=True, frozen=True, gc=False):
    """One expression of a select list.

    Attributes:
        name: of its column; None of a star without a name of its own.
        reads: what it is made from.
        aggregated: an aggregate function stands in it (outside a window).
        unnests: it makes several rows of one.
        star: it stands for several columns; ``reads`` counts for each of them.
        role: how the columns of the star are read.
        ordered: it depends on the order of the rows that it reads.
        spreads: `unnest`, of which only types tell whether a struct becomes several columns
            (``maybe``); ``always`` where it says so itself, ``deep`` where all that is in it does.
        value: the same as ``reads`` with the parts of its value apart, where they may be known; of
            `unnest` its argument.
    """

    name: str | None
    reads: Reads
    aggregated: bool = False
    unnests: bool = False
    star: "Star | None" = None
    role: int = 0
    ordered: bool = False
    spreads: str = ""
    value: Reads = ()


class Match(Struct, array_like=True, frozen=True, gc=False):
    """What a column's name must match.

    Attributes:
        way: ``regex``, ``regex_full``, ``like``, ``ilike``, ``names`` (upper and lower case alike),
            ``among``, ``equal``, ``contains``, ``starts``, ``ends``; ``and``, ``or``, ``not``,
            ``lower``, ``upper`` of the parts; ``unknown``.
        arguments: patterns or names; of ``unknown`` the condition.
        parts: conditions that this one is made of.
    """

    way: str
    arguments: Names = ()
    parts: tuple["Match", ...] = ()


class Star(Struct, array_like=True, frozen=True, gc=False):
    """``*``, ``t.*``, ``columns(…)``.

    Attributes:
        table: the parts of its qualifier, folded.
        exclude: names that it leaves out: the parts, folded.
        replace: expressions for columns of that name.
        rename: column to its new name.
        pattern: what the names must match.
    """

    table: Names = ()
    exclude: tuple[Names, ...] = ()
    replace: tuple[SelectExpression, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    pattern: Match | None = None


class TableName(Struct, array_like=True, frozen=True, gc=False, tag=1):
    """A table or CTE by name: its parts, folded."""

    parts: Names


class TableFunction(Struct, array_like=True, frozen=True, gc=False, tag=2):
    """A table function, ``unnest`` too.

    Attributes:
        name: of the function; its only column is called so where no alias says otherwise.
        arguments: what each reads.
        ordinality: the name of a column that numbers the rows.
        external: it reads what no argument names (a file); its columns are not known.
    """

    name: str
    arguments: tuple[Reads, ...]
    ordinality: str | None = None
    external: bool = False


class JoinGroup(Struct, array_like=True, frozen=True, gc=False, tag=3):
    """Joined relations in parentheses."""

    sources: tuple["Source", ...]


class Subquery(Struct, array_like=True, frozen=True, gc=False, tag=4):
    """A query in parentheses."""

    query: "Query"


class Join(Struct, array_like=True, frozen=True, gc=False):
    """How a source is joined to those on its left.

    Attributes:
        side: ``left``, ``right``, ``full``, ``positional`` or empty.
        only_left: a semi or anti join: the right side's columns are not there afterwards.
        natural: on all columns of the same name.
        using: the columns.
        on: what the condition reads.
        equal: pairs of columns of which the condition of a left join says that they are equal.
        nearest: it finds one row at most (``asof``).
    """

    side: str = ""
    only_left: bool = False
    natural: bool = False
    using: Names = ()
    on: Reads = ()
    equal: tuple[tuple[Names, Names], ...] = ()
    nearest: bool = False


class Pivot(Struct, array_like=True, frozen=True, gc=False):
    """``pivot``: values become columns.

    Attributes:
        on: what the new columns' names are made from.
        using: the aggregates: what they read.
        columns: the new columns' names and the number of their aggregate; None: only the data
            tell.
        group: what stays; None: all columns that are read nowhere else.
    """

    on: Reads
    using: tuple[Reads, ...]
    columns: tuple[tuple[str, int], ...] | None
    group: Reads | None


class Unpivot(Struct, array_like=True, frozen=True, gc=False):
    """``unpivot``: columns become rows.

    Attributes:
        name: of the column that says which column a value is from.
        values: the columns that the values go to.
        columns: what goes to each of them.
        star: all columns that it stands for go to the first of them.
        keeps_nulls: rows without a value stay.
    """

    name: str
    values: Names
    columns: tuple[Names, ...]
    star: Star | None
    keeps_nulls: bool


class Source(Struct, array_like=True, frozen=True, gc=False):
    """A relation in ``from``.

    Attributes:
        of: what it is.
        alias: folded; empty where it has none.
        columns: names that replace those of its first columns.
        join: to those before it.
        pivots: what is done to it.
    """

    of: TableName | TableFunction | JoinGroup | Subquery
    alias: str = ""
    columns: Names = ()
    join: Join = Join()
    pivots: tuple[Union["PivotStep", "UnpivotStep"], ...] = ()


class PivotStep(Struct, array_like=True, frozen=True, gc=False, tag=1):
    """A pivot, and the alias it gives."""

    pivot: Pivot


class UnpivotStep(Struct, array_like=True, frozen=True, gc=False, tag=2):
    """An unpivot."""

    unpivot: Unpivot


class Cte(Struct, array_like=True, frozen=True, gc=False):
    """A named query; ``name`` folded."""

    name: str
    columns: Names
    query: "Query"
    recursive: bool


class Term(Struct, array_like=True, frozen=True, gc=False):
    """A key of ``group by``, ``order by``, ``distinct on``: a column's number from 1, or reads."""

    reads: Reads
    ordinal: int = 0


class Order(Struct, array_like=True, frozen=True, gc=False):
    """``order by``, ``limit`` and ``offset`` of a query.

    Attributes:
        terms: of ``order by``.
        every: ``order by all``.
        limited: a ``limit`` or ``offset`` cuts rows off.
        limit: what these read.
    """

    terms: tuple[Term, ...] = ()
    every: bool = False
    limited: bool = False
    limit: Reads = ()


class Select(Struct, array_like=True, frozen=True, gc=False, tag=1):
    """A ``select``.

    Attributes:
        ctes: named queries before it.
        sources: in order.
        items: the select list.
        filters: what ``where``, ``having`` and ``qualify`` read.
        group: keys of ``group by``.
        group_all: by all items that are no aggregates.
        distinct: no row twice.
        distinct_on: one row of each.
        order: its end.
        keyed: there is one row for each value of the keys of ``group by``; not so with ``rollup``.
    """

    ctes: tuple[Cte, ...]
    sources: tuple[Source, ...]
    items: tuple[SelectExpression, ...]
    filters: Reads = ()
    group: tuple[Term, ...] = ()
    group_all: bool = False
    distinct: bool = False
    distinct_on: tuple[Term, ...] = ()
    order: Order = Order()
    keyed: bool = False


class Branch(Struct, array_like=True, frozen=True, gc=False):
    """A query that a set operation adds to those before it."""

    operation: str
    distinct: bool
    by_name: bool
    query: "Query"


class SetOperation(Struct, array_like=True, frozen=True, gc=False, tag=2):
    """``union``, ``except``, ``intersect``, from left to right."""

    ctes: tuple[Cte, ...]
    first: "Query"
    branches: tuple[Branch, ...]
    order: Order = Order()


class ValuesList(Struct, array_like=True, frozen=True, gc=False, tag=3):
    """``values``: the columns' names, and what the values of each read."""

    ctes: tuple[Cte, ...]
    names: Names
    columns: tuple[Reads, ...]


class AllColumns(Struct, array_like=True, frozen=True, gc=False, tag=4):
    """All columns of a source (``pivot …`` as a statement)."""

    ctes: tuple[Cte, ...]
    source: Source


Query = Select | SetOperation | ValuesList | AllColumns


class Summary(Struct, array_like=True, frozen=True, gc=False):
    """All that is kept of a statement.

    Attributes:
        query: None where it could not be read.
        tables: the names of all tables that it reads, folded; no CTEs.
        problems: what is not supported, one sentence each.
    """

    query: Query | None
    tables: tuple[Names, ...] = ()
    problems: Names = ()
