"""A state folder: what was published last, for later builds to compare with and to read from.

It holds dbt's ``manifest.json``, a copy of the warehouse, and ``state.json`` that says what they
are.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace.errors import StateError

MANIFEST, WAREHOUSE, INFO = "manifest.json", "warehouse.duckdb", "state.json"
FORMAT = 1
_AGAIN = "write it anew after a published run (`headrace state --out DIR`)"


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
    """A state folder that was looked at.

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
    """Whether there is a state folder at a path, whole or not."""
    return path.is_dir() and (path / INFO).is_file()


def read_state(path: Path) -> State:
    """Look at a state folder.

    Raises:
        StateError: it is not there, not whole, or of a version that cannot be read.
    """
    folder = path.absolute()
    if not folder.is_dir():
        raise StateError(
            f"there is no state folder at {path}: fetch it, or write one after a published run "
            "(`headrace state --out DIR`)"
        )
    missing = [name for name in (INFO, MANIFEST, WAREHOUSE) if not (folder / name).is_file()]
    if missing:
        raise StateError(f"{path} is no whole state folder, {missing[0]} is missing: {_AGAIN}")
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
        first = str(error).strip().splitlines()[0]
        if "Could not set lock" in str(error) or "being used by another process" in str(error):
            raise StateError(
                f"{state.warehouse} is open for writing in another program ({first}): close it "
                "there"
            ) from error
        raise StateError(
            f"{state.warehouse} cannot be opened ({first}); DuckDB {state.info.duckdb} wrote it, "
            f"this is {duckdb.__version__}: {_AGAIN} with this version"
        ) from error
