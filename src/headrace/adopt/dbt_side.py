"""The dbt project of a repository: its profile, its warehouse, and which models readers get."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.errors import AdoptError, TransformError, UserError
from headrace.libraries import dbt as libraries_dbt
from headrace.pipeline.dbt import dbt_runner
from headrace.settings import resolve

_MARTS = frozenset({"mart", "marts", "gold", "presentation", "reporting", "reports"})
_STEPS = frozenset(
    {
        *("staging", "stage", "stg", "base", "sources", "raw", "bronze", "silver", "landing"),
        *("intermediate", "int", "prep", "transform", "utilities"),
    }
)
_STEP_PREFIXES = ("stg_", "int_", "base_", "raw_", "src_", "tmp_", "prep_")


@dataclass(frozen=True)
class DbtSide:
    """A dbt project.

    Attributes:
        folder: of ``dbt_project.yml``.
        name: of the project.
        profiles: the ``profiles.yml`` that has its profile; None if there is none.
        profile: the profile's name.
        output: the entry of its ``outputs``.
        database: the DuckDB file; None if the profile names none.
        other_target: the profile's target, where that is not of DuckDB and another output is used.
        models: how many it has.
        tests: how many it has.
        schemas: those of the models that are published.
        published: names or patterns of these models; empty: all of these schemas.
        published_count: how many they are.
        source_schemas: the schemas of its sources.
    """

    folder: Path
    name: str
    profiles: Path | None
    profile: str
    output: str
    database: Path | None
    other_target: str | None = None
    models: int = 0
    tests: int = 0
    schemas: tuple[str, ...] = ()
    published: tuple[str, ...] = ()
    published_count: int = 0
    source_schemas: tuple[str, ...] = ()


def read(root: Path, folder: Path) -> DbtSide:
    """Find out about a dbt project, as dbt sees it.

    Raises:
        AdoptError: its profile is not one of DuckDB, or its project cannot be parsed.
    """
    document = _yaml(folder / "dbt_project.yml")
    name, profile = str(document.get("name") or ""), str(document.get("profile") or "")
    if not name:
        raise AdoptError(f"{folder / 'dbt_project.yml'} names no project: give it a `name`")
    profiles = _profiles_file(root, folder, profile)
    if profiles is None:
        side = DbtSide(folder, name, None, profile, "", None)
    else:
        output, own, other = chosen_output(profiles, profile, folder)
        try:
            database = dbt_runner.own_database_path(own, folder, root)
        except ValueError as error:
            raise AdoptError(f"{profiles}: {error}: set it, and run this again") from error
        if database is not None and not Path(database).is_absolute():
            raise AdoptError(
                f"{profiles}: {database} is not a DuckDB file of this machine, which Headrace "
                "needs: name an output with a local `path`"
            )
        side = DbtSide(
            folder,
            name,
            profiles,
            profile,
            output,
            Path(database) if database else None,
            other_target=other,
        )
    return _parsed(root, side)


def _yaml(path: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise AdoptError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise AdoptError(f"{path} is no dbt project: it holds no keys")
    return document


def _profiles_file(root: Path, folder: Path, profile: str) -> Path | None:
    """Where dbt finds the profile: the project's folder, the repository's, or the user's."""
    named = os.environ.get("DBT_PROFILES_DIR")
    places = [Path(named)] if named else []
    for place in (*places, folder, root, Path.home() / ".dbt"):
        path = place / "profiles.yml"
        if path.is_file() and profile in dbt_runner.read_profiles(path):
            return path
    return None


def chosen_output(
    profiles: Path, profile: str, folder: Path
) -> tuple[str, dict[str, Any], str | None]:
    """The output that is used: the profile's target, or its only one of DuckDB.

    Returns:
        Its name, what it holds, and the target where another output is used instead.
    """
    found = dbt_runner.read_profiles(profiles)[profile]
    outputs = found.get("outputs") if isinstance(found, dict) else None
    if not isinstance(outputs, dict) or not outputs:
        raise AdoptError(f"{profiles}: the profile {profile!r} has no outputs")
    try:
        target = libraries_dbt.rendered(str(found.get("target") or "default"))
    except ValueError as error:
        raise AdoptError(f"{profiles}: {error}: set it, and run this again") from error
    kinds = {
        str(key): value.get("type") if isinstance(value, dict) else None
        for key, value in outputs.items()
    }
    duckdb = [key for key, kind in kinds.items() if kind == "duckdb"]
    if target not in duckdb:
        if len(duckdb) != 1:
            raise AdoptError(
                f"{profiles}: the target {target!r} of the profile {profile!r} is of type "
                f"{kinds.get(target)}, and Headrace runs dbt on DuckDB: add an output of type "
                f"duckdb; the catalog alone is shown by `headrace serve --artifacts "
                f"{folder / 'target'}`"
            )
        return duckdb[0], dict(outputs[duckdb[0]]), f"{target} ({kinds.get(target)})"
    return target, dict(outputs[target]), None


def _parsed(root: Path, side: DbtSide) -> DbtSide:
    """With what dbt's parser says of its models."""
    with tempfile.TemporaryDirectory(prefix="headrace-", ignore_cleanup_errors=True) as name:
        flags = [f"data_dir={name}", f"dbt.project_dir={side.folder}"]
        flags.append(f"dbt.working_dir={side.folder}")
        if side.profiles is not None:
            flags += [
                f"dbt.profile.path={side.profiles}",
                f"dbt.profile.name={side.profile}",
                f"dbt.profile.output={side.output}",
            ]
        if side.database is not None:
            flags.append(f"targets.duckdb.path={side.database}")
        resolved = resolve(root, flags=flags, environ={})
        dbt_runner.write_profile(resolved, resolved.target)
        try:
            with dbt_runner.environment(
                dbt_runner.dbt_home(resolved), working_dir=resolved.dbt_working_dir
            ):
                graph = dbt_runner.parse(resolved).graph
        except TransformError as error:
            raise AdoptError(_cannot_parse(side, error)) from error
    return _with_models(side, graph)


def _cannot_parse(side: DbtSide, error: UserError) -> str:
    text = (
        str(error)
        .replace("dbt cannot build the project: ", "")
        .removesuffix(" (correct it, then run again)")
    )
    hint = ""
    if (side.folder / "packages.yml").is_file() and not (side.folder / "dbt_packages").is_dir():
        hint = f"; its packages are not installed: run `dbt deps` in {side.folder} first"
    return f"dbt cannot parse {side.folder}: {text}{hint}"


def _with_models(side: DbtSide, graph: Any) -> DbtSide:
    nodes = [node for node in graph.nodes.values() if node.package_name == side.name]
    models = [
        node
        for node in nodes
        if str(node.resource_type) == "model" and node.config.materialized != "ephemeral"
    ]
    chosen, patterns = published_models(models)
    schemas = tuple(sorted({str(node.schema) for node in chosen}))
    return DbtSide(
        folder=side.folder,
        name=side.name,
        profiles=side.profiles,
        profile=side.profile,
        output=side.output,
        database=side.database,
        other_target=side.other_target,
        models=len(models),
        tests=sum(str(node.resource_type) in {"test", "unit_test"} for node in nodes)
        + len(graph.unit_tests),
        schemas=schemas,
        published=_needed(patterns, chosen, [one for one in models if one.schema in schemas]),
        published_count=len(chosen),
        source_schemas=tuple(sorted({str(one.schema) for one in graph.sources.values()})),
    )


def published_models(models: Sequence[Any]) -> tuple[list[Any], tuple[str, ...]]:
    """The models for readers, and what names them: those of a folder of marts, else no steps.

    Args:
        models: dbt's nodes.
    """
    folders = {}
    for node in models:
        parts = list(node.fqn[1:-1])
        at = next((place for place, part in enumerate(parts) if part.lower() in _MARTS), None)
        if at is not None:
            folders[node.unique_id] = "/".join(parts[: at + 1]) + "/*"
    if folders:
        chosen = [node for node in models if node.unique_id in folders]
        return chosen, tuple(sorted(set(folders.values())))
    chosen = [node for node in models if not _is_step(node)]
    chosen = chosen or list(models)
    return chosen, tuple(sorted({str(node.name) for node in chosen}))


def _is_step(node: Any) -> bool:
    folders = {str(part).lower() for part in node.fqn[1:-1]}
    return bool(folders & _STEPS) or str(node.name).startswith(_STEP_PREFIXES)


def _needed(
    patterns: tuple[str, ...], chosen: Sequence[Any], in_schemas: Sequence[Any]
) -> tuple[str, ...]:
    """The patterns, unless the schemas hold nothing else."""
    return () if len(chosen) == len(in_schemas) else patterns
