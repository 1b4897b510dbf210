"""The tests of a build: one run for each tested dataset, with all its tests as assertions."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from openlineage.client.event_v2 import InputDataset, Job, RunEvent, RunState
from openlineage.client.generated.data_quality_assertions_dataset import (
    Assertion,
    DataQualityAssertionsDatasetFacet,
)
from openlineage.client.generated.test_run import TestExecution, TestRunFacet

from headrace.artifacts.dbt_results import FAILED
from headrace.catalog.model import TESTS, Asset, Catalog
from headrace.export.openlineage import facets
from headrace.export.openlineage.context import (
    NodeResult,
    RunContext,
    dbt_run,
    end_state,
    started_and_ended,
    timestamp,
)
from headrace.export.openlineage.facets import input_dataset
from headrace.export.upstream import datasets_read

_Tests = list[tuple[Asset, NodeResult]]
_STATUS = {"pass": "pass", "success": "pass", "skipped": "skip"}


def assertion_events(
    context: RunContext, catalog: Catalog, nodes: Sequence[NodeResult], *, ended_at: datetime
) -> Iterator[RunEvent]:
    """START and COMPLETE or FAIL of the tests of each dataset.

    The run failed when a test of severity error did; a warning is an assertion without success
    in a run that is complete. A skipped test says nothing of the data: it is no assertion.
    """
    for tested, tests in _by_subject(catalog, nodes).items():
        ran = [(asset, node) for asset, node in tests if node.status != "skipped"]
        if ran:
            yield from _events(context, catalog, tested, tests, ran, ended_at)


def _by_subject(catalog: Catalog, nodes: Sequence[NodeResult]) -> dict[str, _Tests]:
    """Tests by the id of what they test; one that dbt attaches to nothing is its own subject."""
    found: dict[str, _Tests] = {}
    for node in nodes:
        asset = catalog.assets.get(node.unique_id)
        if asset is None or node.resource_type not in TESTS:
            continue
        subject = asset.test.attached_to if asset.test else None
        key = subject if subject is not None and subject in catalog.assets else asset.id
        found.setdefault(key, []).append((asset, node))
    return found


def _events(
    context: RunContext,
    catalog: Catalog,
    tested: str,
    tests: _Tests,
    ran: _Tests,
    ended_at: datetime,
) -> Iterator[RunEvent]:
    times = [started_and_ended(node, ended_at) for _, node in ran]
    start, end = min(at for at, _ in times), max(at for _, at in times)
    job_name = tested if catalog.assets[tested].is_test else f"{tested}.test"
    known = facets.job_facets("TEST", integration="DBT")
    job = Job(context.names.jobs, job_name, facets=known)
    broken = [node.label for _, node in ran if _breaks(node)]
    error = f"{len(broken)} of {len(ran)} tests failed: {', '.join(broken)}" if broken else None
    run_id = context.uuid(job_name, start)
    yield RunEvent(
        eventType=RunState.START,
        eventTime=timestamp(start),
        run=dbt_run(run_id, context, None),
        job=job,
        inputs=[],
        outputs=[],
    )
    run = dbt_run(run_id, context, error)
    run.facets = (run.facets or {}) | {
        "test": TestRunFacet(tests=[_execution(asset, node) for asset, node in tests])
    }
    yield RunEvent(
        eventType=end_state(failed=bool(broken)),
        eventTime=timestamp(end),
        run=run,
        job=job,
        inputs=list(_asserted(context, catalog, tested, ran)),
        outputs=[],
    )


def _asserted(
    context: RunContext, catalog: Catalog, tested: str, ran: _Tests
) -> Iterator[InputDataset]:
    """The tested dataset with the assertions on its data; a unit test has data of its own, so none.

    A test that is attached to nothing speaks of all that it reads.
    """
    subject = catalog.assets[tested]
    subjects: Iterable[Asset] = datasets_read(catalog, tested) if subject.is_test else (subject,)
    assertions = [_assertion(asset, node) for asset, node in ran if asset.kind == "test"]
    for asset in subjects:
        if context.names.dataset(asset) is None:
            continue
        dataset = input_dataset(asset, context)
        if assertions:
            dataset.inputFacets = {
                "dataQualityAssertions": DataQualityAssertionsDatasetFacet(assertions=assertions)
            }
        yield dataset


def _assertion(asset: Asset, node: NodeResult) -> Assertion:
    test = asset.test
    return Assertion(
        assertion=test.name if test else asset.name,
        success=node.status == "pass",
        column=test.column if test else None,
        severity=_severity(asset, node),
        name=asset.id,
        description=asset.description or node.label,
        expected="0" if node.failures is not None else None,
        actual=str(node.failures) if node.failures is not None else None,
        content=asset.compiled_code,
        contentType="sql" if asset.compiled_code else None,
        params=dict(test.arguments) if test else {},
    )


def _execution(asset: Asset, node: NodeResult) -> TestExecution:
    return TestExecution(
        name=asset.id,
        status=_STATUS.get(node.status, "fail"),
        severity=_severity(asset, node),
        type=asset.test.name if asset.test else asset.kind,
        description=asset.description or node.label,
        expected="0" if node.failures is not None else None,
        actual=str(node.failures) if node.failures is not None else None,
    )


def _severity(asset: Asset, node: NodeResult) -> str:
    return (node.severity or (asset.test.severity if asset.test else "error")).lower()


def _breaks(node: NodeResult) -> bool:
    """dbt reports a failing test of severity warn as ``warn``."""
    return node.status in FAILED
