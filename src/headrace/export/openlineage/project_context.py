"""From the settings of a project to what its events share."""

import os
from datetime import datetime
from functools import partial
from pathlib import Path

from headrace.export.openlineage.context import Context, parent_from
from headrace.export.openlineage.naming import Names
from headrace.export.openlineage.source_code import find_repository
from headrace.export.openlineage.transport import hide_secrets
from headrace.settings import Resolved


def context_of(resolved: Resolved, *, run_id: str, command: str, started_at: datetime) -> Context:
    """What all events of a run share."""
    warehouse = Path(resolved.target.location)
    project = resolved.dbt_project
    inside = project.is_relative_to(resolved.root)
    return Context(
        run_id=run_id,
        started_at=started_at,
        command=command,
        names=Names(
            resolved.settings.openlineage.namespace,
            warehouse.as_posix(),
            warehouse.stem,
            published=resolved.published,
            published_schemas=resolved.settings.publish.schemas,
            sources={name: each.options for name, each in resolved.settings.sources.items()},
        ),
        dialect=resolved.target.dialect,
        root=resolved.root,
        repository=find_repository(resolved.root),
        dbt_project=project.relative_to(resolved.root).as_posix() if inside else None,
        above=parent_from(os.environ.get("OPENLINEAGE_PARENT_ID")),
        top=parent_from(os.environ.get("OPENLINEAGE_ROOT_PARENT_ID")),
        nominal=resolved.settings.openlineage.nominal_time,
        hide=partial(hide_secrets, resolved=resolved),
    )
