"""The walk over one expression of sqlglot's, which collects what it reads.

It has a stack of its own, so that a condition of ten thousand terms is no deeper than one. What
each class of expressions reads is known to its handler (``expressions``).
"""

from collections.abc import Callable, Mapping
from typing import Any

from sqlglot import exp

from headrace.lineage.sql import tree
from headrace.lineage.sql.dependencies import DECISION, WINDOWED, fold

Bound = frozenset[str]
"""Names that are parameters of a function around an expression, folded."""
NO_NAMES: Bound = frozenset()
Handler = Callable[["Walk", Any, int, Bound], None]
Windows = dict[str, exp.Expr]
"""The named windows of a select, by folded name."""
_Step = tuple[Any, int, Bound]


class Walk:
    """Reads one expression.

    Attributes:
        reads: what it reads.
        aggregated: an aggregate function stands in it, outside a window.
        unnests: it makes several rows of one.
        ordered: it depends on the order of rows.
        star: the ``columns(…)`` in it, and how it is read.
        depth: how many values it is in whose parts are kept apart.
        parameters: of the functions that it is in, folded.
    """

    def __init__(
        self,
        query: Callable[[Any], tree.Query],
        handlers: Mapping[type, Handler],
        windows: Windows | None = None,
        depth: int = 0,
    ) -> None:
        """Start.

        Args:
            query: reads a nested query.
            handlers: of every class of expressions.
            windows: the named windows in scope.
            depth: how many values it is in.
        """
        self.depth = depth
        self.parameters: Bound = NO_NAMES
        self.reads: list[tree.Read] = []
        self.aggregated = False
        self.unnests = False
        self.ordered = False
        self.star: tuple[tree.Star, int] | None = None
        self.query = query
        self._handlers = handlers
        self._windows = windows or {}
        self._steps: list[_Step] = []

    def over(self, node: Any, role: int, bound: Bound = NO_NAMES) -> "Walk":
        """Read ``node`` as ``role``."""
        self._steps.append((node, role, bound))
        return self.run()

    def run(self) -> "Walk":
        """Read all that is still to be read."""
        steps, handlers = self._steps, self._handlers
        while steps:
            node, role, bound = steps.pop()
            handlers[type(node)](self, node, role, bound)
        return self

    def push(self, node: Any, role: int, bound: Bound) -> None:
        """Read ``node`` later; None and values that are no expressions are nothing."""
        if node is None or node is False or node is True:
            return
        if isinstance(node, list):
            for part in node:
                self.push(part, role, bound)
        elif isinstance(node, exp.Expr):
            self._steps.append((node, role, bound))

    def children(self, node: Any, role: int, bound: Bound) -> None:
        """Read all parts of ``node`` later."""
        steps = self._steps
        for value in node.args.values():
            if value is None or value is False or value is True:
                continue
            if isinstance(value, list):
                steps.extend([(part, role, bound) for part in value if isinstance(part, exp.Expr)])
            elif isinstance(value, exp.Expr):
                steps.append((value, role, bound))

    def fresh(self, windows: Windows | None = None) -> "Walk":
        """A new walk, over another expression; with the same windows unless others are given."""
        return Walk(self.query, self._handlers, self._windows if windows is None else windows)

    def inner(self, node: Any, role: int, bound: Bound) -> tree.Reads:
        """What a part of the expression reads, apart from all else; None is nothing."""
        if not isinstance(node, exp.Expr):
            return ()
        walk = self._apart().over(node, role, bound)
        self.aggregated |= walk.aggregated
        self.unnests |= walk.unnests
        self.ordered |= walk.ordered
        if walk.star is not None:
            walk.reads.append(tree.Every(walk.star[1], walk.star[0]))
        return tuple(walk.reads)

    def framed(self, node: exp.Expr, role: int, bound: Bound) -> tree.Reads:
        """What the window of a function is made of."""
        walk = self._apart()
        walk.window(node, role, bound)
        return tuple(walk.run().reads)

    def _apart(self) -> "Walk":
        walk = Walk(self.query, self._handlers, self._windows, self.depth)
        walk.parameters = self.parameters
        return walk

    def window(self, node: exp.Expr, role: int, bound: Bound) -> None:
        """A window function: its arguments, and what the window is made of."""
        decision = role if role & DECISION else WINDOWED
        seen: set[str] = set()
        frame: Any = node
        while frame is not None:
            for part in ("partition_by", "order", "spec"):
                self.push(frame.args.get(part), decision, bound)
            name = frame.args.get("alias")
            named = fold(name.name) if name is not None else ""
            frame = self._windows.get(named) if named and named not in seen else None
            seen.add(named)
