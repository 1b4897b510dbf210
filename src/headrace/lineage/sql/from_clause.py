"""The relations of one ``from``: tables, functions, subqueries and pivots, joined left to right."""

from collections.abc import Callable

from headrace.lineage.sql import tree
from headrace.lineage.sql.dependencies import (
    COMPUTED,
    FILTERED,
    GROUPED,
    JOINED,
    SAME,
    Deps,
    add,
    element,
    fold,
    length,
)
from headrace.lineage.sql.evaluator import Evaluator, expanded
from headrace.lineage.sql.relations import (
    Bound,
    Ctes,
    Relation,
    Rest,
    Scope,
    distinct_names,
    optional,
)

_ONE_COLUMN = frozenset({"unnest", "range", "generate_series"})
_TOLD = frozenset({"fixed", "spread"})  # columns that are made from what is known


class FromClause:
    """Binds relations to the names that they have.

    Attributes:
        scope: where they stand.
        rows: what decides the rows of all of them together.
        order: what they are sorted by.
        keeps_first: a row of the first of them is in the result once at most.
    """

    def __init__(self, evaluator: Evaluator, scope: Scope, ctes: Ctes) -> None:
        self.scope = scope
        self.rows: Deps = {}
        self.order: Deps = {}
        self.keeps_first = True
        self._evaluator = evaluator
        self._ctes = ctes

    def bind(self, sources: tuple[tree.Source, ...]) -> None:
        for source in sources:
            relation = self.source(source)
            add(self.order, relation.order)
            self._add(source, relation)

    def source(self, source: tree.Source) -> Relation:
        """What a relation in ``from`` yields."""
        of = source.of
        if type(of) is tree.TableName:
            found = self._table(of.parts)
        elif type(of) is tree.Subquery:
            found = self._evaluator.query(of.query, self.scope, self._ctes)
        elif type(of) is tree.TableFunction:
            found = self._function(of, source.alias)
        else:
            assert type(of) is tree.JoinGroup
            inner = FromClause(
                self._evaluator, Scope(self.scope, self._evaluator.report), self._ctes
            )
            inner.bind(of.sources)
            star = expanded(tree.Star(), inner.scope, {})
            found = Relation(star.columns, inner.rows, star.rest)
        for step in source.pivots:
            at = Scope(self.scope, self._evaluator.report, [Bound(source.alias, (), found)])

            def reads(one: tree.Reads, at: Scope = at) -> Deps:
                return self._evaluator.collect(one, at, self._ctes)

            if isinstance(step, tree.PivotStep):
                found = _pivoted(step.pivot, found, reads)
            else:
                found = _unpivoted(step.unpivot, found, at)
        return found.renamed(source.columns)

    def _table(self, parts: tree.Names) -> Relation:
        if len(parts) == 1 and parts[0] in self._ctes:
            return self._ctes[parts[0]]
        found = self._evaluator.tables(parts)
        if found is not None:
            return found
        name = ".".join(parts)
        self._evaluator.report(f'it reads "{name}", which is not in the catalog')
        return Relation([], rest=(Rest("external", f'"{name}"'),))

    def _function(self, of: tree.TableFunction, alias: str) -> Relation:
        arguments = [
            self._evaluator.collect(reads, self.scope, self._ctes) for reads in of.arguments
        ]
        rows: Deps = {}
        for deps in arguments:
            add(rows, length(deps) if of.name == "unnest" else deps, JOINED)
        label = f"{of.name}(…)"
        if of.external and not any(arguments):
            return Relation([], rows, (Rest("external", label),))
        together: Deps = {}
        for deps in arguments:
            add(together, deps, COMPUTED)
        single = of.name in _ONE_COLUMN
        name = of.name if single else alias or of.name
        columns = [(name, element(deps)) for deps in arguments] if of.name == "unnest" else []
        columns = columns or [(name, together)]
        if of.ordinality:
            columns.append((of.ordinality, {}))
        # `json_each` and the like have more columns, which are made from the same
        rest = () if single else (Rest("fixed", label, deps=together),)
        return Relation(distinct_names(columns), rows, rest)

    def _add(self, source: tree.Source, relation: Relation) -> None:
        scope, join = self.scope, source.join
        parts = source.of.parts if type(source.of) is tree.TableName and not source.alias else ()
        alias = source.alias or (parts[-1] if parts else "")
        function = type(source.of) is tree.TableFunction
        using = self._natural(relation) if join.natural else join.using
        group = type(source.of) is tree.JoinGroup and not source.alias
        decides: Deps = {}
        for name in using:
            self._merge(name, relation, join.side, decides)
        inside = self._inside(source, relation) if group else []
        is_optional = not group and not join.natural and self._finds_one(alias, relation, join)
        if group or (scope.bound and not (is_optional or join.only_left)):
            self.keeps_first = False
        one = Bound(alias, parts, relation, frozenset(map(fold, using)), single=function)
        before = len(scope.bound)
        scope.bound.extend(inside or [one])
        if join.side == "positional":
            add(self.rows, self.order)
        if join.on:
            add(decides, self._evaluator.collect(join.on, scope, self._ctes))
        if is_optional and all(rest.kind in _TOLD for rest in relation.rest):
            one.relation = optional(relation, decides)
        else:
            add(self.rows, relation.rows)
            add(self.rows, decides)
        if join.only_left:
            del scope.bound[before:]

    def _finds_one(self, alias: str, relation: Relation, join: tree.Join) -> bool:
        """Whether a left join finds one row at most for each row on its left.

        So it is where the condition says of all columns of a key of the right side that they are
        equal to something on the left.
        """
        if join.side != "left" or not self.scope.bound:
            return False
        if join.nearest:
            return True
        fixed = set(join.using)
        for pair in join.equal:
            for ours, theirs in (pair, pair[::-1]):
                is_left = len(theirs) == 2 and any(
                    one.alias == theirs[0] for one in self.scope.bound
                )
                if len(ours) == 2 and ours[0] == alias != theirs[0] and is_left:
                    fixed.add(ours[1])
        return any(key <= fixed for key in relation.unique)

    def _inside(self, source: tree.Source, relation: Relation) -> list[Bound]:
        """Of joined relations in parentheses without an alias, each under its own name."""
        del relation
        assert type(source.of) is tree.JoinGroup
        inner = FromClause(self._evaluator, Scope(self.scope.parent, self.scope.report), self._ctes)
        inner.bind(source.of.sources)
        for name, deps in inner.scope.merged.items():
            self.scope.merged.setdefault(name, deps)
        return inner.scope.bound

    def _merge(self, name: str, right: Relation, side: str, decides: Deps) -> None:
        """A column of ``using``: one column of both, which decides which rows meet."""
        ours: Deps = self.scope.merged.get(name) or {}
        if not ours:
            for one in self.scope.bound:
                found = one.relation.index.get(name)
                if found is None:
                    found = one.relation.guess(name, "open") or one.relation.guess(name, "fixed")
                if found is not None:
                    ours = found
                    break
            else:
                ours = self.scope.find((name,))
        theirs = right.any(name)
        if theirs is None:
            self._evaluator.report(f'column "{name}" of `using` is not on both sides of the join')
            theirs = {}
        add(decides, ours, JOINED)
        add(decides, theirs, JOINED)
        if side == "full":
            both: Deps = {}
            add(both, ours, COMPUTED)
            add(both, theirs, COMPUTED)
            self.scope.merged[name] = both
        else:
            self.scope.merged[name] = theirs if side == "right" else ours

    def _natural(self, right: Relation) -> tree.Names:
        for relation in (right, *(one.relation for one in self.scope.bound)):
            for rest in relation.rest:
                if rest.kind == "open":
                    self._evaluator.report(
                        f"a natural join is on columns of {rest.label} that are not known"
                    )
        ours = {name for one in self.scope.bound for name in one.relation.index}
        return tuple(name for name in right.index if name in ours)


def _pivoted(pivot: tree.Pivot, inner: Relation, collect: Callable[[tree.Reads], Deps]) -> Relation:
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
    kept = _kept_columns(pivot, inner)
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
        used = {read.parts[-1] for read in _pivot_reads(pivot)}
        rest += tuple(left.without(used) for left in inner.rest)
    return Relation(columns, rows, rest)


def _pivot_reads(pivot: tree.Pivot) -> list[tree.Col]:
    todo = [*pivot.on, *(read for using in pivot.using for read in using)]
    found: list[tree.Col] = []
    while todo:
        read = todo.pop()
        if isinstance(read, tree.Col):
            found.append(read)
        elif isinstance(read, tree.ValuePart):
            todo += [one for reads in (*read.parts, read.others) for one in reads]
    return found


def _kept_columns(pivot: tree.Pivot, inner: Relation) -> list[tuple[str, Deps]]:
    """The columns that stay: those of ``group by``, or all that are read nowhere else."""
    if pivot.group is not None:
        names = [read.parts[-1] for read in pivot.group if isinstance(read, tree.Col)]
        spelled = {fold(name): name for name, _ in inner.columns}
        return [(spelled.get(name, name), inner.any(name) or {}) for name in names]
    used = {read.parts[-1] for read in _pivot_reads(pivot)}
    return [(name, deps) for name, deps in inner.columns if fold(name) not in used]


def _unpivoted(unpivot: tree.Unpivot, inner: Relation, scope: Scope) -> Relation:
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
