"""Send the catalog to DataHub: as a file that its own tools read, or to a server."""

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.catalog.model import Asset, Catalog
from headrace.errors import ExportError
from headrace.export.atomic_write import write_whole
from headrace.export.report import ExportReport
from headrace.export.words import in_words
from headrace.settings import Resolved

if TYPE_CHECKING:
    from datahub.emitter.mcp import MetadataChangeProposalWrapper

    from headrace.export.datahub.assertions import Result

_BATCH = 200
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Options:
    """What is sent besides the catalog, and under which names.

    Attributes:
        results: the newest result of each test by ``unique_id``.
        fabric: DataHub's environment: ``PROD``, ``DEV``, ...
        instance: the platform instance, which tells two projects apart.
        indirect: whether columns that only decide (filters, joins) are sent, too.
        vanished: datasets and exposures to mark as removed.
    """

    results: "Mapping[str, Result]" = field(default_factory=dict)
    fabric: str = "PROD"
    instance: str | None = None
    indirect: bool = False
    vanished: Sequence[Asset] = ()


def to_file(
    resolved: Resolved, catalog: Catalog, path: Path, options: Options | None = None
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
    found = _proposals(resolved, catalog, options or Options())
    objects = [each.to_obj(simplified_structure=True) for each in found]
    write_whole(path, json.dumps(objects, indent=2, ensure_ascii=False) + "\n")
    return _report(found, str(path), catalog)


def to_server(
    resolved: Resolved,
    catalog: Catalog,
    server: str,
    options: Options | None = None,
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
    found = _proposals(resolved, catalog, options or Options())
    from datahub.configuration.common import ConfigurationError, OperationalError
    from datahub.emitter.rest_emitter import DatahubRestEmitter
    from requests.exceptions import RequestException

    shown = re.sub(r"//[^/@]*@", "//", server)
    try:
        emitter = DatahubRestEmitter(server, token=token, timeout_sec=_TIMEOUT_S, retry_max_times=1)
        with emitter:
            emitter.test_connection()
            for start in range(0, len(found), _BATCH):
                emitter.emit_mcps(found[start : start + _BATCH])
    except (ConfigurationError, OperationalError, RequestException, ValueError) as error:
        why = " ".join(re.sub(r"//[^/@\s]*@", "//", in_words(error)).split())
        why = why.replace(token, "***") if token else why
        raise ExportError(
            f"{shown} did not take the catalog: {why[:300]} (is it the address of DataHub's "
            "metadata service, and does it want a token? see --token-env)"
        ) from None  # the cause may hold the token
    return _report(found, shown, catalog)


def _proposals(
    resolved: Resolved, catalog: Catalog, options: Options
) -> "list[MetadataChangeProposalWrapper]":
    # read when the package is imported
    os.environ["DATAHUB_TELEMETRY_ENABLED"] = "false"
    try:
        from datahub.metadata.schema_classes import FabricTypeClass

        from headrace.export.datahub.proposals import proposals
        from headrace.export.datahub.urns import Urns
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("headrace"):
            raise
        raise ExportError(
            "acryl-datahub is not installed: `uv sync --extra datahub` (and the other extras "
            "that you use), then the same command again"
        ) from error
    known = [name for name in vars(FabricTypeClass) if name.isupper()]
    if options.fabric not in known:
        raise ExportError(f"--fabric {options.fabric}: DataHub knows {', '.join(known)}")
    at = catalog.created_at or datetime.now(UTC)
    urns = Urns(
        platform=resolved.target.dialect,
        database=Path(resolved.target.location).stem,
        fabric=options.fabric,
        instance=options.instance,
        now=int(at.timestamp() * 1000),
    )
    found = proposals(
        catalog, urns, options.results, indirect=options.indirect, vanished=options.vanished
    )
    return list(found)


def _report(
    found: "Sequence[MetadataChangeProposalWrapper]", destination: str, catalog: Catalog
) -> ExportReport:
    kinds = Counter(str(each.aspectName) for each in found)
    return ExportReport(
        standard="datahub",
        destination=destination,
        records=len(found),
        kinds=dict(sorted(kinds.items())),
        catalog_version=catalog.version,
        problems=len(catalog.problems),
    )
