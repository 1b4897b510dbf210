"""Hooks and macros that may change a model's table besides its compiled SQL.

A hook is judged by its text alone: SQL that cannot change the table does not count; a macro does,
since what it runs is not known.
"""

import re
from collections.abc import Iterator

from headrace.artifacts.dbt_manifest import Manifest
from headrace.artifacts.dbt_nodes import Node
from headrace.formatting import one_line

_QUERIES = frozenset({"macro.dbt.run_query", "macro.dbt.statement"})
"""Macros that run a query while a model is compiled."""
_HARMLESS = re.compile(
    r"(grant|revoke|analyze|vacuum|comment|checkpoint|select|set|use|pragma|install|load|attach|"
    r"create\s+(unique\s+)?index)\b",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"\{#.*?#\}|--[^\n]*|/\*.*?\*/", re.DOTALL)
_JINJA = re.compile(r"\{\{(.*?)\}\}|\{%.*?%\}", re.DOTALL)
_NAME = re.compile(
    r"\s*-?\s*(this\b[\w.]*|target\.\w+|(?:ref|source|var|env_var)\s*\([^()]*\))\s*-?\s*"
)
_WRITES = re.compile(
    r"\b(?:update|into|delete\s+from|truncate(?:\s+table)?|(?:alter|drop|create(?:\s+or\s+replace)?)"
    r"\s+(?:table|view))\s+(?:if\s+(?:not\s+)?exists\s+)?(\{\{.*?\}\}|[\w.\"]+)",
    re.IGNORECASE | re.DOTALL,
)
_SHOWN = 60  # characters of a hook in a message


class HooksAndMacros:
    """The hooks and macros of a project."""

    def __init__(self, manifest: Manifest | None) -> None:
        """Index the manifest."""
        self._macros = manifest.macros if manifest is not None else {}
        self._query: dict[str, bool] = {}
        self._operations: dict[str, list[Node]] = {}
        for node in manifest.nodes.values() if manifest is not None else ():
            if node.resource_type == "operation":
                for key in node.depends_on.nodes:
                    self._operations.setdefault(key, []).append(node)

    def of(self, node: Node) -> tuple[str, ...]:
        """Why a node's table may hold other rows than its SQL yields, one clause per reason."""
        return tuple(dict.fromkeys(self._clauses(node)))

    def _clauses(self, node: Node) -> Iterator[str]:
        for kind, hooks in (("pre", node.config.pre_hook), ("post", node.config.post_hook)):
            for hook in hooks:
                if _may_change(hook.sql, node):
                    yield f"its {kind}-hook `{one_line(hook.sql, _SHOWN)}` may change its rows"
        for operation in self._operations.get(node.unique_id, ()):
            sql = operation.raw_code or ""
            if _may_change(sql, node):
                kind = "on-run-start" if "on-run-start" in operation.all_tags else "on-run-end"
                yield f"the {kind} hook `{one_line(sql, _SHOWN)}` may change its rows"
        if any(map(self._runs_a_query, node.depends_on.macros)):
            yield "a macro wrote its SQL from the result of a query"

    def _runs_a_query(self, macro: str) -> bool:
        known = self._query.get(macro)
        if known is None:
            self._query[macro] = False  # ends the recursion of macros that call each other
            called = self._macros[macro].depends_on.macros if macro in self._macros else ()
            known = macro in _QUERIES or any(map(self._runs_a_query, called))
            self._query[macro] = known
        return known


def _may_change(sql: str, node: Node) -> bool:
    text = _COMMENT.sub(" ", sql).strip()
    if not text:
        return False
    calls = [found for found in _JINJA.finditer(text) if not _NAME.fullmatch(found[1] or "")]
    if calls:
        return True
    statements = [one.strip() for one in text.split(";") if one.strip()]
    changing = [one for one in statements if not _HARMLESS.match(one)]
    return any(_writes(one, node) for one in changing)


def _writes(statement: str, node: Node) -> bool:
    """Whether it writes to the node's table; a statement of an unknown kind may."""
    targets = _WRITES.findall(statement)
    if not targets:
        return True
    return any(
        _refers(target, node) if target.startswith("{{")
        else target.rpartition(".")[2].strip('"').casefold() == node.relation_name.casefold()
        for target in targets
    )  # fmt: skip


def _refers(expression: str, node: Node) -> bool:
    name = re.search(r"ref\s*\(\s*(?:['\"]\w+['\"]\s*,\s*)?['\"](\w+)['\"]", expression)
    return "this" in expression or (name is not None and name[1] == node.name)
