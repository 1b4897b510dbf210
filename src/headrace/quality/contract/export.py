"""A model or a source's table as a contract: what dbt's manifest says, in the standard's words.

description ─► description      not_null ─► required            group's owner ─► team
columns ─► properties           unique, the key ─► unique, primaryKey
meta.sla, freshness ─► slaProperties    relationships ─► relationships
                                other tests ─► quality: a metric, or the SQL that dbt ran
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from headrace.artifacts.dbt_manifest import Manifest, SourceNode
from headrace.artifacts.dbt_nodes import COMBINATION, Node
from headrace.quality.contract.document import API_VERSION

DBT_TEST = "dbtTest"
"""The custom property of a rule that has the dbt test that it was made from."""
_LOGICAL = (
    (("TIMESTAMP", "DATETIME"), "timestamp"),
    (("DATE",), "date"),
    (("TIME",), "time"),
    (("BOOL",), "boolean"),
    (("HUGEINT", "BIGINT", "SMALLINT", "TINYINT", "INT", "UBIGINT", "UINT", "USMALL"), "integer"),
    (("DECIMAL", "NUMERIC", "DOUBLE", "FLOAT", "REAL", "NUMBER"), "number"),
    (("STRUCT", "MAP", "JSON"), "object"),
)
_PERIODS = {"minute": "min", "hour": "h", "day": "d"}
_IN_SCHEMA = {"not_null", "unique", "relationships"}
_PLAIN_CONFIG = {"severity", "where", "error_if", "warn_if", "fail_calc"}


def logical_type(type_: str) -> str:
    """The standard's name for a type of DuckDB, Postgres or another engine."""
    upper = type_.upper()
    if upper.endswith("[]"):
        return "array"
    return next((to for starts, to in _LOGICAL if upper.startswith(starts)), "string")


def contract_of(
    manifest: Manifest, node: Node | SourceNode, columns: Mapping[str, str], *, project: str
) -> dict[str, Any]:
    """A contract of one table, in the order in which it is written.

    Args:
        manifest: dbt's.
        node: the model, seed, snapshot or source's table.
        columns: the engine's types by name; empty if it is not built.
        project: the name of the project, for the id.
    """
    tests = [one for one in manifest.nodes.values() if one.attached_node == node.unique_id]
    tests = [one for one in tests if one.test_metadata is not None]
    meta = node.all_meta
    known = dict(meta["contract"]) if isinstance(meta.get("contract"), dict) else {}
    table = {
        "name": node.name,
        "physicalName": f"{node.schema_name}.{node.relation_name}",
        "physicalType": "view" if _is_view(node) else "table",
        "logicalType": "object",
        "description": _text(node.description),
        "properties": list(_properties(manifest, node, columns, tests)),
        "quality": [one for test in tests for one in _rule(manifest, node, test, None)],
    }
    data = {
        "apiVersion": API_VERSION,
        "kind": "DataContract",
        "id": known.get("id") or f"{project}.{node.schema_name}.{node.relation_name}",
        "name": known.get("name") or node.name,
        "version": str(known.get("version") or getattr(node, "version", None) or "1.0.0"),
        "status": known.get("status") or "active",
        "description": {"purpose": _text(node.description)},
        "schema": [_without_empty(table)],
        "team": _team(manifest, node),
        "slaProperties": list(_service_levels(node)),
    }
    return _without_empty(data)


def _without_empty(data: Mapping[str, Any]) -> dict[str, Any]:
    filled = {key: value for key, value in data.items() if value not in (None, "", [], {})}
    if filled.get("description") == {"purpose": ""}:
        del filled["description"]
    return filled


def _text(description: str) -> str:
    """A description whose paragraphs are lines."""
    paragraphs = re.split(r"\n\s*\n", description.strip())
    return "\n\n".join(" ".join(one.split()) for one in paragraphs)


def _is_view(node: Node | SourceNode) -> bool:
    return isinstance(node, Node) and node.config.materialized in {"view", "ephemeral"}


def _team(manifest: Manifest, node: Node | SourceNode) -> dict[str, Any] | None:
    group = node.group or node.config.group if isinstance(node, Node) else None
    found = next((one for one in manifest.groups.values() if one.name == group), None)
    owner = node.all_meta.get("owner")
    if found is None:
        return {"name": str(owner)} if owner else None
    member = {"name": found.owner.name, "username": next(iter(found.owner.emails), None)}
    members = [_without_empty(member)] if any(member.values()) else []
    return _without_empty({"name": str(owner or found.name), "members": members})


def _service_levels(node: Node | SourceNode) -> Iterator[dict[str, Any]]:
    """Those of ``meta.sla``, and the freshness of a source."""
    given = node.all_meta.get("sla")
    promised = [dict(one) for one in given if isinstance(one, dict)] if given else []
    if isinstance(node, SourceNode) and not any(
        one.get("property") == "latency" for one in promised
    ):
        freshness = node.freshness or node.config.freshness
        after = freshness and (freshness.error_after or freshness.warn_after)
        if after and after.count and after.period:
            yield {
                "property": "latency", "value": after.count,
                "unit": _PERIODS.get(after.period, after.period),
            }  # fmt: skip
    yield from promised


def _properties(
    manifest: Manifest, node: Node | SourceNode, columns: Mapping[str, str], tests: list[Node]
) -> Iterator[dict[str, Any]]:
    key = node.key(tests) if isinstance(node, Node) else _source_key(tests)
    places = {name.casefold(): number for number, name in enumerate(key, start=1)}
    described = {name.casefold(): column for name, column in node.columns.items()}
    names = list(columns) or list(node.columns)
    for name in names:
        column = described.get(name.casefold())
        own = [test for test in tests if (test.column_name or "").casefold() == name.casefold()]
        kinds = {
            one.test_metadata.name
            for one in own
            if one.test_metadata and one.severity == "error" and not one.config.where
        }
        constraints = {one.type for one in column.constraints} if column else set()
        type_ = columns.get(name) or (column.data_type if column else None) or ""
        if column is not None and column.data_type:
            type_ = column.data_type
        place = places.get(name.casefold())
        tags = [str(one) for one in (column.all_tags if column else ())]
        yield _without_empty(
            {
                "name": name,
                "physicalType": type_,
                "logicalType": logical_type(type_) if type_ else None,
                "description": _text(column.description) if column else "",
                "tags": tags,
                "classification": (column.all_meta if column else {}).get("classification"),
                "primaryKey": True if place else None,
                "primaryKeyPosition": place,
                "required": True if kinds & {"not_null"} or "not_null" in constraints else None,
                "unique": True if "unique" in kinds else None,
                "relationships": [one for test in own for one in _relationship(manifest, test)],
                "quality": [one for test in own for one in _rule(manifest, node, test, name)],
            }
        )


def _source_key(tests: Iterable[Node]) -> tuple[str, ...]:
    named = [(one.test_metadata.name, one.column_name) for one in tests if one.test_metadata]
    unique = [column for name, column in named if name == "unique" and column]
    return next(((one,) for one in unique if ("not_null", one) in named), ())


def _relationship(manifest: Manifest, test: Node) -> Iterator[dict[str, Any]]:
    metadata = test.test_metadata
    if metadata is None or metadata.name != "relationships" or test.severity != "error":
        return
    name = re.search(r"'([^']+)'\s*\)", str(metadata.arguments.get("to")))
    field = metadata.arguments.get("field")
    if name and field:
        yield {"type": "foreignKey", "to": f"{name[1]}.{field}"}


def _rule(
    manifest: Manifest, node: Node | SourceNode, test: Node, column: str | None
) -> Iterator[dict[str, Any]]:
    """A dbt test as a quality rule, where the schema does not say it."""
    metadata = test.test_metadata
    if metadata is None or (column is None and test.column_name):
        return
    warns = test.severity == "warn"
    plain = not warns and not test.config.where
    if metadata.name in _IN_SCHEMA and plain:
        return
    key = node.key([test]) if isinstance(node, Node) else ()
    if metadata.name == COMBINATION and plain and metadata.columns == key:
        return  # the properties say so
    given = {
        name: value for name, value in metadata.arguments.items()
        if name not in {"model", "column_name"}
    }  # fmt: skip
    severity = "warning" if warns else "error"
    dbt: dict[str, Any] = {"name": metadata.name}
    if given:
        dbt["arguments"] = given
    config = {key: value for key, value in _config_of(test).items() if value is not None}
    if config:
        dbt["config"] = config
    rule: dict[str, Any] = {"name": _name(test), "severity": severity}
    custom = [{"property": DBT_TEST, "value": dbt}]
    simple = _library(metadata.name, given) if not test.config.where else None
    if simple is not None:
        yield {**rule, "type": "library", **simple, "customProperties": custom}
        return
    query = _query(manifest, node, test)
    if query is None:
        yield {**rule, "type": "custom", "engine": "dbt", "implementation": dbt}
        return
    yield {**rule, "type": "sql", "query": query, "mustBe": 0, "customProperties": custom}


def _config_of(test: Node) -> dict[str, Any]:
    where = test.config.where
    return {"severity": "warn" if test.severity == "warn" else None, "where": where}


def _name(test: Node) -> str:
    """What people call it: as in the yml, or what is tested; dbt's own name is cut by a hash."""
    metadata = test.test_metadata
    assert metadata is not None  # a generic test
    if not test.name.startswith(metadata.name) and not test.name.startswith("source_"):
        return test.name
    column = test.column_name
    return f"{metadata.name}({column})" if column else metadata.name


def _library(name: str, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """A metric of the standard's library that says the same as a test."""
    if name == "accepted_values" and set(given) <= {"values", "quote"}:
        return {
            "metric": "invalidValues",
            "arguments": {"validValues": list(given.get("values", ()))},
            "mustBe": 0,
        }
    least, most = given.get("min_value"), given.get("max_value")
    if name == "expect_table_row_count_to_be_between" and set(given) <= {"min_value", "max_value"}:
        if least is not None and most is not None:
            return {"metric": "rowCount", "mustBeBetween": [least, most]}
        if least is not None:
            return {"metric": "rowCount", "mustBeGreaterOrEqualTo": least}
        return {"metric": "rowCount", "mustBeLessOrEqualTo": most}
    if name == "expect_table_row_count_to_equal" and set(given) == {"value"}:
        return {"metric": "rowCount", "mustBe": given["value"]}
    return None


def _query(manifest: Manifest, node: Node | SourceNode, test: Node) -> str | None:
    """The SQL that dbt ran, on ``${object}``; None where it was not compiled."""
    code = (test.compiled_code or "").strip().rstrip(";")
    if not code:
        return None
    read: list[Node | SourceNode] = [*manifest.nodes.values(), *manifest.sources.values()]
    ids = set(test.depends_on.nodes)
    if ids != {node.unique_id}:
        return None  # who has the contract need not have the other tables
    relations = [one.relation for one in read if one.relation and one.unique_id in ids]
    for relation in relations:
        code = code.replace(str(relation), "${object}")
    return f"select count(*) from ({' '.join(_lines(code))}) as failing"


def _lines(code: str) -> Iterator[str]:
    """The lines of a query without comments, so that they can be one."""
    for line in code.splitlines():
        text = re.sub(r"--.*$", "", line) if "'" not in line else line
        if text.strip():
            yield text.strip()
