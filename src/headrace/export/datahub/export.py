"""The export of the catalog to DataHub: a file that its own tools read, or a server."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from headrace import process
from headrace.catalog import NodeRun, RunStore
from headrace.catalog.model import Asset, Catalog
from headrace.errors import ExportError
from headrace.export.output import ExportReport, required, server_error, write_export
from headrace.export.upstream import holds_data
from headrace.formatting import one_line
from headrace.secrets import without_user
from headrace.settings import Resolved

if TYPE_CHECKING:
    from datahub.emitter.mcp import MetadataChangeProposalWrapper

    from headrace.catalog.kept_profiles import KeptProfile
    from headrace.catalog.metric_tables import StoredAlarm
    from headrace.export.datahub.proposals import AssertionResult


_ENVIRONMENT = {"DATAHUB_TELEMETRY_ENABLED": "false"}  # read when the package is imported
_BATCH = 200
_TIMEOUT_S = 30.0
_REUSED = "reused"
_FAR_BACK = 1000  # runs


@dataclass(frozen=True)
class DataHubOptions:
    """What is sent besides the catalog, and under which names.

    Attributes:
        results: the newest result of each test by ``unique_id``.
        fabric: DataHub's environment: ``PROD``, ``DEV``, ...
        instance: the platform instance, which tells two projects apart.
        indirect: whether columns that only decide (filters, joins) are sent, too.
        vanished: datasets and exposures to mark as removed.
        profiles: the newest profile of each table by asset id, as runs kept them.
        alarms: of monitors.
    """

    results: "Mapping[str, AssertionResult]" = field(default_factory=dict)
    fabric: str = "PROD"
    instance: str | None = None
    indirect: bool = False
    vanished: Sequence[Asset] = ()
    profiles: "Mapping[str, KeptProfile]" = field(default_factory=dict)
    alarms: "Sequence[StoredAlarm]" = ()


@process.environment(_ENVIRONMENT)
def to_file(
    resolved: Resolved, catalog: Catalog, path: Path, options: DataHubOptions | None = None
) -> ExportReport:
    """Write the proposals as the JSON that ``datahub ingest`` reads from a ``file`` source.

    Args:
        resolved: the settings.
        catalog: what to send.
        path: of the file; replaced in one step.
        options: names, and results of tests.

    Raises:
        ExportError: acryl-datahub is not installed, or the file cannot be written.
    """
    found = _proposals(resolved, catalog, options or DataHubOptions())
    objects = [each.to_obj(simplified_structure=True) for each in found]
    write_export(path, json.dumps(objects, indent=2, ensure_ascii=False) + "\n")
    return _report(found, str(path), catalog)


@process.environment(_ENVIRONMENT)
def to_server(
    resolved: Resolved,
    catalog: Catalog,
    server: str,
    options: DataHubOptions | None = None,
    *,
    token: str | None,
) -> ExportReport:
    """Send the proposals to a DataHub.

    Args:
        resolved: the settings.
        catalog: what to send.
        server: the URL of its metadata service (GMS): ``http://localhost:8080``.
        options: names, and results of tests.
        token: a personal access token, where the server wants one.

    Raises:
        ExportError: acryl-datahub is not installed, or the server cannot be reached or refuses.
    """
    found = _proposals(resolved, catalog, options or DataHubOptions())
    from datahub.configuration.common import ConfigurationError, OperationalError
    from datahub.emitter.rest_emitter import DatahubRestEmitter
    from requests.exceptions import RequestException

    shown = without_user(server)
    try:
        emitter = DatahubRestEmitter(server, token=token, timeout_sec=_TIMEOUT_S, retry_max_times=1)
        with emitter:
            emitter.test_connection()
            for start in range(0, len(found), _BATCH):
                emitter.emit_mcps(found[start : start + _BATCH])
    except (ConfigurationError, OperationalError, RequestException, ValueError) as error:
        why = one_line(without_user(server_error(error)), 300)
        why = why.replace(token, "***") if token else why
        raise ExportError(
            f"{shown} did not take the catalog: {why} (is it the address of DataHub's "
            "metadata service, and does it want a token? see --token-env)"
        ) from None  # the cause may hold the token
    return _report(found, shown, catalog)


def _proposals(
    resolved: Resolved, catalog: Catalog, options: DataHubOptions
) -> "list[MetadataChangeProposalWrapper]":
    with required("acryl-datahub", "datahub"):
        from datahub.metadata.schema_classes import FabricTypeClass

        from headrace.export.datahub.proposals import proposals
        from headrace.export.datahub.quality import quality
        from headrace.export.datahub.urns import Urns
    known = [name for name in vars(FabricTypeClass) if name.isupper()]
    if options.fabric not in known:
        raise ExportError(f"--fabric {options.fabric}: DataHub knows {', '.join(known)}")
    at = catalog.created_at or datetime.now(UTC)
    urns = Urns(
        platform=resolved.target.dialect,
        database=resolved.target.database,
        fabric=options.fabric,
        instance=options.instance,
        now=int(at.timestamp() * 1000),
    )
    found = proposals(
        catalog, urns, options.results, indirect=options.indirect, vanished=options.vanished
    )
    found = chain(found, quality(catalog, urns, options.profiles, options.alarms))
    return list(found)


def _report(
    found: "Sequence[MetadataChangeProposalWrapper]", destination: str, catalog: Catalog
) -> ExportReport:
    kinds = (str(each.aspectName) for each in found)
    return ExportReport.of("datahub", destination, kinds, catalog)


def newest_results(store: RunStore) -> Mapping[str, NodeRun]:
    """The newest result of each test by ``unique_id``.

    A build that was reused ran no test: the result is that of the last one that did.
    """
    found = {}
    for unique_id, node in store.latest_nodes().items():
        if node.resource_type != "test":
            continue
        if node.status == _REUSED:
            older = store.node_history(unique_id, _FAR_BACK)
            node = next((each for each in older if each.status != _REUSED), node)  # noqa: PLW2901
        found[unique_id] = node
    return found


def newest_alarms(store: RunStore) -> "tuple[StoredAlarm, ...]":
    """The newest alarm of each metric of each table."""
    found = {(one.asset_id, one.metric): one for one in reversed(store.alarms())}
    return tuple(found.values())


def vanished_assets(store: RunStore, catalog: Catalog) -> tuple[Asset, ...]:
    """Datasets and exposures of earlier versions of the catalog, as they were last.

    Args:
        store: has the versions.
        catalog: the newest version.
    """
    if catalog.version is None:
        return ()
    last_versions: dict[str, int] = {}
    for change in store.catalog_changes(1, catalog.version):  # newest first
        if change.what == "asset removed" and change.asset not in catalog.assets:
            last_versions.setdefault(change.asset, change.version - 1)
    found: dict[str, Asset] = {}
    for version in sorted(set(last_versions.values())):
        old = store.load_catalog(version)
        for id_, last in last_versions.items():
            if last == version and old is not None and id_ in old.assets:
                found[id_] = old.assets[id_]
    return tuple(
        found[id_]
        for id_ in sorted(found)
        if holds_data(found[id_]) or found[id_].kind == "exposure"
    )
