"""State folders: read, and written from what was published last; digests of the sources in them.

A folder holds dbt's ``manifest.json``, a copy of the warehouse, and ``state.json``, which describes
them. It is written under the run lock, and is complete or not there at all.

A source that is loaded by the same code, settings and schema files as when the state was written
need not be loaded again by a slim run: its raw tables are in the state.
"""

import json
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import xxhash
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace import __version__, portable
from headrace.errors import StateError
from headrace.exceptions import first_line
from headrace.libraries.duckdb import is_locked
from headrace.pipeline import lock
from headrace.pipeline.publishing import published_tables
from headrace.pipeline.publishing.publish import PublishedState, read_published_state
from headrace.pipeline.reports import Report
from headrace.pipeline.state import build_state
from headrace.pipeline.state.duckdb_copy import copy_target
from headrace.pipeline.state.portable_views import Views
from headrace.secrets import is_secret, without_credentials
from headrace.settings import Resolved, SourceSettings
from headrace.settings.layers import yaml_layer
from headrace.targets import Target

MANIFEST, WAREHOUSE, INFO = "manifest.json", "warehouse.duckdb", "state.json"
FORMAT = 1
_AGAIN = "write it again after a published run (`headrace state --out DIR`)"


class StateInfo(BaseModel):
    """What a state folder says of itself, in ``state.json``.

    Attributes:
        format: of the folder; a greater one than ours is not read.
        run_id: the run that published it.
        code_version: the project's commit in that run.
        as_of: when it was published, UTC.
        headrace: the version that wrote it.
        duckdb: DuckDB's version.
        dbt_schema: dbt's name of the manifest's format.
        project: dbt's name of the project.
        database: what the manifest calls the warehouse.
        sources: digest of what each loaded source is loaded by.
        keys: ``schema.table`` to the columns of its key.
        harmless: ``schema.table`` to the columns that are known to hold no personal data.
    """

    model_config = ConfigDict(frozen=True)

    format: int
    run_id: str
    code_version: str
    as_of: datetime
    headrace: str
    duckdb: str
    dbt_schema: str
    project: str
    database: str
    sources: dict[str, str] = Field(default_factory=dict)
    keys: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    harmless: dict[str, tuple[str, ...]] = Field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """A state folder that was checked.

    Attributes:
        folder: absolute.
        info: what it says of itself.
    """

    folder: Path
    info: StateInfo

    @property
    def manifest(self) -> Path:
        """dbt's manifest of the published build."""
        return self.folder / MANIFEST

    @property
    def warehouse(self) -> Path:
        """The copy of the warehouse."""
        return self.folder / WAREHOUSE


def is_state(path: Path) -> bool:
    """Whether a path is a state folder, complete or not."""
    return path.is_dir() and (path / INFO).is_file()


def read_state(path: Path) -> State:
    """Check a state folder.

    Raises:
        StateError: it is missing, incomplete, or of a version that cannot be read.
    """
    folder = path.absolute()
    if not folder.is_dir():
        raise StateError(
            f"there is no state folder at {path}: fetch it, or write one after a published run "
            "(`headrace state --out DIR`)"
        )
    missing = [name for name in (INFO, MANIFEST, WAREHOUSE) if not (folder / name).is_file()]
    if missing:
        raise StateError(
            f"{path} is not a complete state folder, {missing[0]} is missing: {_AGAIN}"
        )
    try:
        content = json.loads((folder / INFO).read_bytes())
        form = content["format"]
        if isinstance(form, int) and form > FORMAT:
            raise StateError(
                f"{path} was written by a newer Headrace ({content.get('headrace')}): upgrade this "
                f"one, or {_AGAIN}"
            )
        info = StateInfo.model_validate(content)
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise StateError(f"{folder / INFO} cannot be read: {_AGAIN}") from error
    state = State(folder, info)
    _open(state)
    return state


def _open(state: State) -> None:
    """Open the copy of the warehouse and close it again."""
    import duckdb

    try:
        with duckdb.connect(str(state.warehouse), read_only=True) as connection:
            connection.execute("select 1 from duckdb_tables() limit 1")
    except duckdb.Error as error:
        first = first_line(error)
        if is_locked(str(error)):
            raise StateError(
                f"{state.warehouse} is open for writing in another program ({first}): close it "
                "there"
            ) from error
        raise StateError(
            f"{state.warehouse} cannot be opened ({first}); DuckDB {state.info.duckdb} wrote it, "
            f"this is {duckdb.__version__}: {_AGAIN} with this version"
        ) from error


class StateReport(Report):
    """What ``headrace state`` wrote."""

    path: str
    run_id: str = Field(description="the run that published it")
    code_version: str
    as_of: datetime = Field(description="when it was published, UTC")
    bytes: int
    views: int = Field(description="views that the copy has")
    views_as_tables: tuple[str, ...] = Field(
        (), description="views that are tables in the copy, since their SQL cannot be rewritten"
    )
    seconds: float


def write_state(resolved: Resolved, out: Path) -> StateReport:
    """Write the state folder of the last published run.

    Args:
        resolved: the settings.
        out: the folder; replaced where it is a state folder, in one step.

    Raises:
        StateError: nothing is published, the warehouse changed since, or the folder cannot be
            written; an old one is untouched.
        WarehouseError: the target cannot be read.
        LockedError: a run is in progress.
    """
    started = time.monotonic()
    out = out.absolute()
    _check_destination(out, resolved)
    target = resolved.target
    with lock.hold(target, "headrace state"):
        note = _published_state(resolved, target)
        temporary = portable.temporary_beside(out)
        try:
            restore_old(out)
            temporary.mkdir(parents=True)
            views = _write(resolved, target, note, temporary)
            swap(temporary, out)
        except OSError as error:
            raise StateError(
                f"{out} cannot be written ({error.strerror or error}): free some space, or name "
                "another folder by --out"
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return StateReport(
        path=str(out),
        run_id=note.run_id,
        code_version=note.code_version,
        as_of=note.published_at,
        bytes=sum(path.stat().st_size for path in out.iterdir()),
        views=len(views.rewritten),
        views_as_tables=views.tables,
        seconds=time.monotonic() - started,
    )


def _check_destination(out: Path, resolved: Resolved) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise StateError(f"{out} is not a folder: name another by --out")
    data = resolved.data_dir.resolve()
    if data == out.resolve() or out.resolve() in data.parents:
        raise StateError(f"{out} holds the project's own data: name another folder by --out")
    if out.is_dir() and any(out.iterdir()) and not is_state(out):
        raise StateError(f"{out} holds other files: name a new folder by --out")


def _published_state(resolved: Resolved, target: Target) -> PublishedState:
    note = read_published_state(resolved)
    if note is None or published_tables.current(resolved) is None:
        raise StateError("nothing is published yet: run `headrace run` first")
    last = build_state.read(resolved)
    if last is None:
        raise StateError("the last build was stopped or refused: run `headrace run` first")
    same = last.passed and last.signature == note.signature
    if not same or note.signature is None or note.signature != target.signature():
        raise StateError(
            "the warehouse changed since the last publish: something was loaded or built "
            "since: run `headrace run` first"
        )
    return note


def _write(resolved: Resolved, target: Target, note: PublishedState, folder: Path) -> Views:
    import duckdb

    manifest = _manifest(resolved)
    views = copy_target(target, folder / WAREHOUSE, memory_limit=target.load_memory_limit)
    shutil.rmtree(folder / "spill", ignore_errors=True)
    shutil.copyfile(resolved.artifacts / MANIFEST, folder / MANIFEST)
    metadata = manifest.get("metadata", {})
    keys, harmless = _columns(resolved)
    info = StateInfo(
        format=FORMAT,
        run_id=note.run_id,
        code_version=note.code_version,
        as_of=note.published_at,
        headrace=__version__,
        duckdb=duckdb.__version__,
        dbt_schema=str(metadata.get("dbt_schema_version")),
        project=str(metadata.get("project_name")),
        database=target.database,
        sources=digests(resolved),
        keys=keys,
        harmless=harmless,
    )
    portable.write_file(folder / INFO, info.model_dump_json() + "\n")
    return views


def _manifest(resolved: Resolved) -> Mapping[str, Any]:
    path = resolved.artifacts / MANIFEST
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StateError(
            f"{path} cannot be read: run `headrace run --full-refresh`, which writes it again"
        ) from error
    return content


def _columns(resolved: Resolved) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Keys of tables, and their columns without personal data, as the catalog knows them."""
    from headrace.errors import CatalogError, RunStoreError
    from headrace.pipeline.catalog import current, known_columns

    with suppress(CatalogError, RunStoreError):
        known = known_columns(current(resolved))
        return dict(known.keys), dict(known.harmless)
    return {}, {}


def _old_folder(out: Path) -> Path:
    return out.with_name(f".{out.name}.old")


def restore_old(out: Path) -> None:
    """Restore the old folder, where a kill left it under its temporary name."""
    if out.exists():
        shutil.rmtree(_old_folder(out), ignore_errors=True)
    elif _old_folder(out).is_dir():
        portable.replace(_old_folder(out), out)


def swap(temporary: Path, out: Path) -> None:
    """Replace the old folder by the new one; a kill leaves one of the two."""
    if not out.exists():
        portable.replace(temporary, out)
        return
    old = _old_folder(out)
    portable.replace(out, old)
    try:
        portable.replace(temporary, out)
    except OSError:
        portable.replace(old, out)
        raise
    shutil.rmtree(old, ignore_errors=True)


_SKIPPED = {"__pycache__"}


def digests(resolved: Resolved) -> dict[str, str]:
    """A digest of the code, settings and schema files of each enabled source.

    Settings count where a file of ``config/`` sets them: what the environment sets is often a
    secret, or a path of one machine. Secrets in a file do not count either.
    """
    return {
        name: _digest(resolved, name, source)
        for name, source in resolved.settings.sources.items()
        if source.enabled
    }


def sources_to_load(
    resolved: Resolved, before: Mapping[str, str], chosen: Mapping[str, SourceSettings]
) -> tuple[dict[str, SourceSettings], list[str]]:
    """The sources whose code, settings or schema files differ from the state's.

    Args:
        resolved: the settings.
        before: the digests of the state.
        chosen: the sources that would be loaded.

    Returns:
        The sources to load, and a note on the others where there are any.
    """
    changed = {
        name: source
        for name, source in chosen.items()
        if before.get(name) != _digest(resolved, name, source)
    }
    same = [name for name in chosen if name not in changed]
    words = (
        f"loaded by what the state's was: {', '.join(same)} (--source NAME loads it all the same)"
    )
    return changed, [words] if same else []


def _digest(resolved: Resolved, name: str, source: SourceSettings) -> str:
    state = xxhash.xxh3_128(f"{__version__}\0{source.kind or name}\0".encode())
    folder = resolved.root / "dlt_pipelines" / (source.kind or name)
    files = _files(folder)
    text = b"\0".join(path.read_bytes() for path in files)
    settings = _settings(resolved, name)
    named = text + repr(settings).encode()
    schemas = [
        path
        for path in _files(resolved.root / "data" / "schemas")
        if path.stem == name or path.name.encode() in named
    ]
    for path in (*files, *schemas):
        state.update(path.relative_to(resolved.root).as_posix().encode() + b"\0")
        state.update(path.read_bytes() + b"\0")
    state.update(repr(settings).encode())
    return state.hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and not _SKIPPED & set(path.parts)
    )


def _settings(resolved: Resolved, name: str) -> list[Any]:
    """What the project's files set for a source, except whether it is enabled."""
    names = ["default", *([resolved.env] if resolved.env else [])]
    found = []
    for file in names:
        layer = yaml_layer(resolved.root / "config" / f"{file}.yml", f"config/{file}.yml")
        sources = layer.values.get("sources") if layer else None
        options = sources.get(name) if isinstance(sources, Mapping) else None
        if isinstance(options, Mapping):
            found.append({key: value for key, value in options.items() if key != "enabled"})
    return [_plain(options) for options in found]


def _plain(value: Any) -> Any:
    """Options in order, without secrets."""
    if isinstance(value, Mapping):
        return {
            key: _plain(value[key]) for key in sorted(value, key=str) if not is_secret(str(key))
        }
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return without_credentials(value) if isinstance(value, str) else value
