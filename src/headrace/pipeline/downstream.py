"""Who reads a table: the models, snapshots and exposures downstream of it."""

from collections.abc import Mapping, Sequence

from headrace.artifacts import Exposure, Manifest


def readers_of(manifest: Manifest | None) -> dict[str, tuple[str, ...]]:
    """Of each relation, ``schema.table``, who reads it, nearest first: ``model orders``."""
    if manifest is None:
        return {}
    named = {
        **{
            id_: f"{node.resource_type} {node.name}"
            for id_, node in manifest.nodes.items()
            if node.resource_type in {"model", "snapshot"}
        },
        **{id_: _exposure(one) for id_, one in manifest.exposures.items()},
    }
    children: dict[str, list[str]] = {}
    for id_ in sorted(named):
        node = manifest.nodes.get(id_) or manifest.exposures[id_]
        for parent in node.depends_on.nodes:
            children.setdefault(parent, []).append(id_)
    return {
        f"{node.schema_name}.{node.relation_name}": tuple(
            named[reader] for reader in _downstream(id_, children)
        )
        for id_, node in manifest.nodes.items()
        if node.is_relation
    }


def _downstream(start: str, children: Mapping[str, Sequence[str]]) -> list[str]:
    """All that hang on a node, step by step."""
    found: dict[str, None] = {}
    step = {start: None}
    while step:
        step = {
            child: None for one in step for child in children.get(one, ()) if child not in found
        }
        found |= step
    return list(found)


def _exposure(exposure: Exposure) -> str:
    owner = exposure.owner.name or next(iter(exposure.owner.emails), None)
    return f"exposure {exposure.label or exposure.name}" + (f" ({owner})" if owner else "")
