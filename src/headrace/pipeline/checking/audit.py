"""The audit step: whether the last build may be published."""

import inspect
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from headrace.artifacts import read_manifest
from headrace.artifacts.dbt_results import FAILED
from headrace.errors import SettingsError
from headrace.pipeline.checking.checked_tables import BuiltMart, BuiltMarts, RawTable, RawTables
from headrace.pipeline.checking.promises import Promises, is_broken, sentence
from headrace.pipeline.publishing import published_file
from headrace.pipeline.reports import AuditReport, Event, Listener, NodeReport, NodeStatus
from headrace.pipeline.state import build_state
from headrace.pipeline.state.build_state import BuildState
from headrace.rules import Rule, chosen_rules, find_rules, rule
from headrace.settings import Resolved
from headrace.targets import Target

__all__ = [
    "BuiltMart", "BuiltMarts", "RawTable", "RawTables", "audit", "chosen_checks", "failed_nodes",
    "find_checks", "judge", "marts_exist", "marts_keep_their_rows", "result_of",
]  # fmt: skip


def audit(
    resolved: Resolved,
    target: Target,
    *,
    listen: Listener,
    affected: Collection[str] = frozenset(),
) -> AuditReport:
    """Judge the last build.

    It passes when neither the project nor the data changed since the build, no model and no test
    of severity error failed, and no check has anything against it.

    Args:
        resolved: the settings.
        target: what was built in.
        listen: is told the result.
        affected: ids of nodes that are not published, and not judged.

    Raises:
        SettingsError: a check cannot be found, or takes no such setting.
        TransformError: dbt's manifest cannot be read.
        WarehouseError: the target cannot be read.
    """
    started = time.monotonic()
    state = build_state.read(resolved)
    nodes: list[NodeReport] = []
    problems, warnings = _problems(resolved, target, state, affected, nodes)
    passed = not problems
    seconds = time.monotonic() - started
    detail = "passed" if passed else f"{len(problems)} against publishing"
    listen(Event("audit", "audit", "done" if passed else "failed", detail, seconds))
    return AuditReport(
        passed=passed,
        problems=tuple(problems),
        warnings=tuple(warnings),
        without_contract=_without_contract(resolved, state) if passed and state else (),
        nodes=tuple(nodes),
        seconds=seconds,
    )


def judge(nodes: Iterable[NodeReport], *, listen: Listener) -> AuditReport:
    """Judge a slim build by its own nodes; it is not published."""
    problems = list(failed_nodes(nodes))
    passed = not problems
    detail = "passed" if passed else f"{len(problems)} failed"
    listen(Event("audit", "audit", "done" if passed else "failed", detail, 0.0))
    return AuditReport(passed=passed, problems=tuple(problems), seconds=0.0)


def failed_nodes(nodes: Iterable[NodeReport]) -> Iterator[str]:
    """What is against publishing these nodes: a sentence for each that failed."""
    for node in nodes:
        if node.status in FAILED:
            yield node.problem


@rule
def marts_exist(build: BuiltMarts) -> Iterator[str]:
    """Every mart that was built is in the warehouse."""
    for mart in build.marts:
        if mart.rows is None:
            yield f"{mart.name} is not in the warehouse: run `headrace build --full-refresh`"


@rule
def marts_keep_their_rows(
    build: BuiltMarts, *, max_loss: Annotated[float, Field(gt=0, le=1)] = 1.0
) -> Iterator[str]:
    """No mart has lost too many of its published rows.

    `max_loss` is the share of rows whose loss is refused: 1.0 refuses only an empty mart, 0.2 each
    mart that has lost a fifth of its rows.
    """
    for mart in build.marts:
        lost = mart.published_rows - (mart.rows if mart.rows is not None else mart.published_rows)
        if lost > 0 and lost >= max_loss * mart.published_rows:
            now = f"has {mart.rows:,} rows" if mart.rows else "is empty"
            yield (
                f"{mart.name} {now} now, and {mart.published_rows:,} rows of it are published: "
                "look at its sources; if it is right, run `headrace publish --set "
                "audit.checks.marts_keep_their_rows=false`"
            )


CHECKS = (marts_exist, marts_keep_their_rows)


def find_checks(resolved: Resolved) -> dict[str, Rule]:
    """The checks by name: Headrace's, those of installed packages, and those of the project.

    Raises:
        SettingsError: a module cannot be imported, or two checks have the same name.
    """
    modules = resolved.settings.audit.modules
    return find_rules(CHECKS, group="headrace.checks", modules=modules, root=resolved.root)


def chosen_checks(
    resolved: Resolved, *, raw: bool
) -> list[tuple[Rule, dict[str, Any], Literal["error", "warn"]]]:
    """The checks that the settings leave on, with what is set of each and its severity.

    Args:
        resolved: the settings.
        raw: those of raw tables, before the build; else those of what was built.

    Raises:
        SettingsError: a check cannot be found, or takes no such setting.
    """
    options, severities = {}, {}
    for name, given in resolved.settings.audit.checks.items():
        options[name] = given
        if isinstance(given, dict) and "severity" in given:
            severity = given["severity"]
            if severity not in {"error", "warn"}:
                raise SettingsError(f"audit.checks.{name}.severity = {severity!r}: error or warn")
            severities[name] = severity
            options[name] = {key: value for key, value in given.items() if key != "severity"}
    rules = find_checks(resolved)
    return [
        (check, given, severities.get(check.name, "error"))
        for check, given in chosen_rules(rules, options, key="audit.checks")
        if _is_of_raw(check) == raw
    ]


def result_of(
    check: Rule,
    options: Mapping[str, Any],
    tables: RawTables | BuiltMarts,
    resolved: Resolved,
    severity: Literal["error", "warn"],
) -> tuple[NodeReport, list[str]]:
    """What a check in Python finds; one that raises or takes too long has that as its problem.

    Returns:
        The result, and each problem in a sentence.
    """
    began = time.monotonic()
    seconds = resolved.settings.audit.timeout
    found = check.problems(tables, options, seconds=seconds, stop=tables.interrupt)
    status: NodeStatus = "pass" if not found else "warn" if severity == "warn" else "fail"
    node = NodeReport(
        unique_id=f"check.{check.name}",
        name=check.name,
        label=check.name,
        resource_type="check",
        status=status,
        severity=severity,
        seconds=time.monotonic() - began,
        failures=len(found) or None,
        message="; ".join(found) or None,
    )
    return node, found


def _is_of_raw(check: Rule) -> bool:
    """Whether a check is one of raw tables, by the annotation of its first parameter."""
    first = next(iter(inspect.signature(check.function).parameters.values()), None)
    annotation = first.annotation if first is not None else None
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return name.rpartition(".")[2] == RawTables.__name__


def _problems(
    resolved: Resolved,
    target: Target,
    state: BuildState | None,
    affected: Collection[str],
    nodes: list[NodeReport],
) -> tuple[list[str], list[str]]:
    """What is against publishing, and what is only to be said; results are added to the nodes."""
    if state is None:
        return ["there is no finished build: run `headrace build`"], []
    if state.signature is not None and state.signature != target.signature():
        return ["the warehouse changed after the last build: run `headrace build`"], []
    if state.inputs != build_state.inputs(resolved, target):
        return ["the dbt project changed after the last build: run `headrace build`"], []
    checks = chosen_checks(resolved, raw=False)
    judged = [node for node in state.nodes if node.unique_id not in affected]
    fresh = [node for node in state.freshness if node.unique_id not in affected]
    problems = list(failed_nodes((*judged, *fresh)))
    good = {node.unique_id for node in judged if node.status not in FAILED | {"skipped"}}
    promises = Promises(resolved)
    nodes += _promises(promises, resolved, good)
    problems += [
        *promises.broken_files.values(),
        *(sentence(one) for one in nodes if is_broken(one)),
    ]
    warnings = promises.notes + [sentence(one) for one in nodes if one.status == "warn"]
    if problems:
        return problems, warnings
    built = _marts(resolved, target, {node.unique_id for node in judged})
    for check, options, severity in checks:
        node, found = result_of(check, options, built, resolved, severity)
        nodes.append(node)
        (warnings if severity == "warn" else problems).extend(found)
    return problems, warnings


def _promises(
    promises: Promises, resolved: Resolved, built: Collection[str]
) -> Iterator[NodeReport]:
    """The promises of contracts about models, and all service levels."""
    manifest = read_manifest(resolved.artifacts)
    for part in ("data", "service levels"):
        for node in promises.check(manifest, of="models", part=part):
            of = node.attached_to
            if node.status != "skipped" and (part != "data" or of is None or of in built):
                yield node  # of a model that failed that is told
    for node in promises.check(manifest, of="sources", part="service levels"):
        if node.status != "skipped":
            yield node


def _without_contract(resolved: Resolved, state: BuildState) -> tuple[str, ...]:
    """The built marts of which nobody said whether their columns are enforced."""
    built = {node.unique_id for node in state.nodes}
    return tuple(
        mart.name
        for mart in read_manifest(resolved.artifacts).relations(resolved.settings.publish.schemas)
        if mart.unique_id in built
        and mart.resource_type == "model"
        and mart.language != "python"  # dbt enforces no contract of these
        and not mart.is_contracted
        and "contract" not in mart.unrendered_config
    )


def _marts(resolved: Resolved, target: Target, built: Collection[str]) -> BuiltMarts:
    marts = []
    publisher = target.publisher()
    if publisher is None:
        published = published_file.published_rows(resolved.published)
    else:
        current = publisher.current()
        published = {table.full_name: table.rows for table in current.tables} if current else {}
    wanted = read_manifest(resolved.artifacts).relations(*resolved.published_relations)
    names = [(one.schema_name or "", one.relation_name) for one in wanted if one.unique_id in built]
    rows = target.count_rows(names) if names else {}
    for key in names:
        name = ".".join(key)
        marts.append(BuiltMart(name, rows.get(key), published.get(name, 0)))
    return BuiltMarts(tuple(marts), resolved.published, target=target)
