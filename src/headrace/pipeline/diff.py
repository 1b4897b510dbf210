"""``headrace diff`` of two files or state folders: their keys, owners and PII from artifacts."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from headrace.artifacts import Exposure, Manifest, read_manifest
from headrace.errors import DiffError, HeadraceError, TransformError
from headrace.pipeline.building import slim_build
from headrace.pipeline.publishing import published_file, published_tables
from headrace.pipeline.state.folder import is_state, read_state
from headrace.quality.diff import DiffOptions, DiffReport, Side, diff
from headrace.settings import Resolved
from headrace.targets import Publisher

_PLACES = ("published", "warehouse")
"""What can be compared by its name, on any target."""


def compare(
    before: Path, after: Path, options: DiffOptions, resolved: Resolved | None
) -> DiffReport:
    """Compare two DuckDB files or state folders.

    Keys of tables, and which columns may be shown, are what a state says of itself; of other files,
    what the project around says, where there is one.

    Args:
        before: the first: a file, a state folder, or the word ``published`` or ``warehouse``.
        after: the second.
        options: how to compare.
        resolved: the project's settings; None outside of one.

    Raises:
        DiffError: a file cannot be opened or compared.
        WarehouseError: the target cannot be read.
        StateError: a state folder cannot be read.
    """
    if resolved is not None:
        options = replace(options, spill=resolved.data_dir / "spill")
    return diff(_side(before, resolved), _side(after, resolved), options)


def compare_published(options: DiffOptions, resolved: Resolved) -> DiffReport:
    """Compare what is published with what was published before it.

    Args:
        options: how to compare.
        resolved: the project's settings.

    Raises:
        DiffError: nothing is published, or nothing earlier is kept.
        WarehouseError: the target cannot be read.
    """
    publisher = published_tables.remote(resolved)
    if publisher is not None:
        return _compare_publications(publisher, options, resolved)
    current = published_file.read(resolved.published)
    if current is None:
        raise DiffError(f"nothing is published at {resolved.published}: run `headrace run`")
    before = next(published_file.earlier(resolved.published), None)
    if before is None:
        raise _nothing_earlier("published file", resolved)
    options = replace(options, spill=resolved.data_dir / "spill")
    after = _described(Side(current.path, current.label), resolved)
    return diff(Side(before.path, before.label), after, options)


def _compare_publications(
    publisher: Publisher, options: DiffOptions, resolved: Resolved
) -> DiffReport:
    """Compare what a target has published with what it had before, without a copy of either."""
    found = publisher.history()
    if not found:
        raise DiffError(f"nothing is published at {publisher.location}: run `headrace run`")
    current = found[0]
    before = next((one for one in found[1:] if one.run_id != current.run_id), None)
    if before is None:
        raise _nothing_earlier("publication", resolved)
    sides = [
        Side(
            None,
            published_file.label_of(one.run_id, one.published_at),
            attach=partial(publisher.attach, run_id=one.run_id),
        )
        for one in (before, current)
    ]
    options = replace(options, spill=resolved.data_dir / "spill")
    return diff(sides[0], _described(sides[1], resolved), options)


def _nothing_earlier(what: str, resolved: Resolved) -> DiffError:
    how = "the next run that publishes a change keeps one"
    if not resolved.settings.publish.keep:
        how = "publish.keep is 0: set it to 1 or more"
    return DiffError(f"there is no earlier {what} to compare with: {how}; or name two files")


def _described(side: Side, resolved: Resolved) -> Side:
    """What is published, with what the project knows of it."""
    manifest = _manifest_in(resolved.artifacts)
    return replace(
        side,
        keys=_keys(manifest),
        harmless=harmless_columns(resolved),
        readers=readers_of(manifest),
    )


def compare_built(options: DiffOptions, resolved: Resolved) -> DiffReport:
    """Compare what is published with what is built, where the target is.

    Args:
        options: how to compare.
        resolved: the project's settings.

    Raises:
        DiffError: they cannot be compared.
        WarehouseError: the target cannot be read.
    """
    before, after = (_place(word, resolved) for word in _PLACES)
    return diff(replace(before, label="published"), replace(after, label="built"), options)


def _place(word: str, resolved: Resolved) -> Side:
    """What is published or built, of any target."""
    target = resolved.target
    if word == "published":
        if published_tables.remote(resolved) is None:
            return _side(resolved.published, resolved)
        place = published_tables.location(resolved)
        attach = partial(published_tables.attach, resolved)
        return _described(Side(None, place, attach=attach), resolved)
    if target.database_file is not None:
        return _side(target.database_file, resolved)
    manifest = _newest_manifest(resolved)
    described = _described(Side(None, target.location, attach=target.attach), resolved)
    return replace(
        described,
        keys=_keys(manifest),
        declared=_declared(manifest),
        readers=readers_of(manifest),
    )


def compare_copies(
    published: Path, built: Path, options: DiffOptions, resolved: Resolved
) -> DiffReport:
    """Compare what is published with what is built, in copies of the two files.

    Args:
        published: a copy of the published file.
        built: a copy of the warehouse, of the same name, so that views that name it are recognised.
        options: how to compare.
        resolved: the project's settings.

    Raises:
        DiffError: a file cannot be opened or compared.
    """
    warehouse = resolved.target.database_file
    assert warehouse is not None  # it was copied
    before = replace(_side(resolved.published, resolved), path=published, label="published")
    return diff(before, replace(_side(warehouse, resolved), path=built, label="built"), options)


def key_of(text: str) -> tuple[str, tuple[str, ...]]:
    """``marts.orders=order_id,line`` as a table and the columns of its key.

    Raises:
        DiffError: it is not of that form.
    """
    table, _, columns = text.partition("=")
    names = tuple(name.strip() for name in columns.split(",") if name.strip())
    if not table.strip() or not names:
        raise DiffError(f"--key {text}: write TABLE=COLUMN,…, like --key orders=order_id")
    return table.strip(), names


def _side(path: Path, resolved: Resolved | None) -> Side:
    if str(path) in _PLACES and resolved is not None and not path.exists():
        return _place(str(path), resolved)
    if is_state(path):
        state = read_state(path)
        return Side(
            state.warehouse,
            f"{path} ({state.info.code_version})",
            keys=state.info.keys,
            harmless=state.info.harmless,
            readers=readers_of(_manifest_in(state.folder)),
        )
    if path.is_dir():
        raise DiffError(
            f"{path} is not a state folder: name one that `headrace state --out DIR` wrote, or a "
            "DuckDB file"
        )
    if resolved is None:
        return Side(path, str(path))
    file = path.absolute()
    is_warehouse = file == resolved.target.database_file
    if not is_warehouse and file != resolved.published:
        return Side(path, str(path))
    manifest = _newest_manifest(resolved) if is_warehouse else None
    was_built = file.exists() or manifest is None
    return Side(
        path if was_built else None,
        str(path),
        keys=_keys(manifest),
        harmless=harmless_columns(resolved),
        declared=_declared(manifest),
        readers=readers_of(manifest),
    )


def _newest_manifest(resolved: Resolved) -> Manifest | None:
    """The manifest of the last build, whole or slim."""
    folders = [
        folder
        for folder in (resolved.artifacts, slim_build.slim_folder(resolved) / "target")
        if (folder / "manifest.json").is_file()
    ]
    folders.sort(key=lambda folder: (folder / "manifest.json").stat().st_mtime_ns)
    return _manifest_in(folders[-1]) if folders else None


def _manifest_in(folder: Path) -> Manifest | None:
    """The manifest in a folder; None if it cannot be read, since the diff works without it."""
    with suppress(TransformError):
        return read_manifest(folder)
    return None


def _keys(manifest: Manifest | None) -> Mapping[str, tuple[str, ...]]:
    if manifest is None:
        return {}
    named = ((manifest.nodes[id_], key) for id_, key in manifest.keys().items())
    return {f"{node.schema_name}.{node.relation_name}": key for node, key in named}


def _declared(manifest: Manifest | None) -> set[str] | None:
    if manifest is None:
        return None
    return {
        f"{node.schema_name}.{node.relation_name}"
        for node in manifest.nodes.values()
        if node.is_relation and node.config.enabled
    }


def harmless_columns(resolved: Resolved) -> Mapping[str, tuple[str, ...]] | None:
    """By ``schema.table`` the columns whose values may be shown, as the newest catalog says.

    None where there is none: only slim builds were made, or nothing.
    """
    from headrace.pipeline.catalog import current, known_columns

    try:
        return known_columns(current(resolved)).harmless
    except HeadraceError:
        return None


def readers_of(manifest: Manifest | None) -> dict[str, tuple[str, ...]]:
    """What reads each relation (``schema.table``), nearest first: ``model orders``."""
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
    """Everything downstream of a node, nearest first."""
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
