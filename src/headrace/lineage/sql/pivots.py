"""What ``pivot`` and ``unpivot`` make of a relation."""

from collections.abc import Callable

from headrace.lineage.sql import tree
from headrace.lineage.sql.kinds import FILTERED, GROUPED, SAME, Deps, add
from headrace.lineage.sql.names import fold
from headrace.lineage.sql.relations import Relation, Rest
from headrace.lineage.sql.scope import Scope
from headrace.lineage.sql.stars import expanded


def pivoted(pivot: tree.Pivot, inner: Relation, collect: Callable[[tree.Reads], Deps]) -> Relation:
    """``pivot``: a column for each value; each is made from the aggregate and the pivot's key.

    Args:
        pivot: as written.
        inner: what it is done to.
        collect: what expressions read.
    """
    on = collect(pivot.on)
    using = [collect(reads) for reads in pivot.using]
    rows = dict(inner.rows)
    values: list[Deps] = []
    for deps in using:
        value = dict(deps)
        add(value, on)
        values.append(value)
    kept = _kept(pivot, inner)
    for _, deps in kept:
        add(rows, deps, GROUPED)
    together: Deps = {}
    for value in values:
        add(together, value)
    rest: tuple[Rest, ...] = ()
    columns = list(kept)
    if pivot.columns is None:
        rest = (Rest("fixed", "the pivot", deps=together),)
    else:
        columns += [(name, values[number]) for name, number in pivot.columns]
    if pivot.group is None:
        used = {read.parts[-1] for read in _columns(pivot)}
        rest += tuple(left.without(used) for left in inner.rest)
    return Relation(columns, rows, rest)


def _columns(pivot: tree.Pivot) -> list[tree.Col]:
    todo = [*pivot.on, *(read for using in pivot.using for read in using)]
    found: list[tree.Col] = []
    while todo:
        read = todo.pop()
        if isinstance(read, tree.Col):
            found.append(read)
        elif isinstance(read, tree.Part):
            todo += [one for reads in (*read.parts, read.others) for one in reads]
    return found


def _kept(pivot: tree.Pivot, inner: Relation) -> list[tuple[str, Deps]]:
    """The columns that stay: those of ``group by``, or all that are read nowhere else."""
    if pivot.group is not None:
        names = [read.parts[-1] for read in pivot.group if isinstance(read, tree.Col)]
        spelled = {fold(name): name for name, _ in inner.columns}
        return [(spelled.get(name, name), inner.any(name) or {}) for name in names]
    used = {read.parts[-1] for read in _columns(pivot)}
    return [(name, deps) for name, deps in inner.columns if fold(name) not in used]


def unpivoted(unpivot: tree.Unpivot, inner: Relation, scope: Scope) -> Relation:
    """``unpivot``: the values of several columns in one, and a column that names them."""
    sources = [list(names) for names in unpivot.columns]
    if unpivot.star is not None:
        sources[0] += [fold(name) for name, _ in expanded(unpivot.star, scope, {}).columns]
    taken = {name for names in sources for name in names}
    columns = [(name, deps) for name, deps in inner.columns if fold(name) not in taken]
    columns.append((unpivot.name, {}))
    rows = dict(inner.rows)
    for name, names in zip(unpivot.values, sources, strict=True):
        value: Deps = {}
        for source in names:
            add(value, scope.find((source,)), SAME)
        columns.append((name, value))
        if not unpivot.keeps_nulls:
            add(rows, value, FILTERED)
    return Relation(columns, rows, tuple(rest.without(taken) for rest in inner.rest))
