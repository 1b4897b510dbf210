"""What is asked for when a source is added: its options by kind, and the names it may have."""

import keyword
import re
from dataclasses import dataclass
from typing import Literal, get_args

from headrace.errors import AddError
from headrace.formatting import slug
from headrace.scaffold.plan import RESERVED
from headrace.settings import Resolved, layers

SourceKind = Literal["rest_api", "sql_database", "files", "synth"]

KINDS: tuple[SourceKind, ...] = get_args(SourceKind)

PAGINATORS = (
    "auto", "json_link", "header_link", "cursor", "offset", "page_number", "single_page",
)  # fmt: skip

TAKES: dict[SourceKind, tuple[str, ...]] = {
    "rest_api": ("url", "resource", "primary_key", "cursor", "deleted", "paginator"),
    "sql_database": ("url", "table", "schema", "cursor", "deleted"),
    "files": ("path", "pattern", "primary_key", "cursor"),
    "synth": ("schema",),
}

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

MAX_NAME = 30
"""Characters; a name goes into those of models, which Postgres cuts off after 63 bytes."""

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

_TAKEN = frozenset({"dlt", "dbt", "duckdb", "headrace", "test", "tests", "trial"})


@dataclass(frozen=True)
class AddRequest:
    """The options as they were typed; None and () stand for one that was not given.

    Attributes:
        name: of the source.
        kind: what loads it.
        url: of the API, or of the database.
        resource: ``NAME`` or ``NAME=PATH`` of the API.
        table: of the database.
        path: the directory of the files.
        pattern: ``TABLE=GLOB`` below it.
        primary_key: columns.
        cursor: ``COLUMN``, or ``FIELD=PARAMETER`` of an API.
        deleted: the field or column that marks a row as deleted.
        paginator: how an API's pages follow each other.
        schema: the database's schema, or the schema file of a simulation.
    """

    name: str
    kind: SourceKind
    url: str | None = None
    resource: tuple[str, ...] = ()
    table: tuple[str, ...] = ()
    path: str | None = None
    pattern: tuple[str, ...] = ()
    primary_key: tuple[str, ...] = ()
    cursor: str | None = None
    deleted: str | None = None
    paginator: str | None = None
    schema: str | None = None

    def check(self) -> None:
        """Check that each option belongs to the kind, and that names of columns are valid.

        Raises:
            AddError: one does not, or a name is none.
        """
        takes = TAKES[self.kind]
        for option in dict.fromkeys(option for each in TAKES.values() for option in each):
            if getattr(self, option) and option not in takes:
                flags = ", ".join(flag(name) for name in takes)
                raise AddError(f"{flag(option)} is not for --kind {self.kind}, which takes {flags}")
        columns = [*self.primary_key, *(self.cursor.split("=", 1) if self.cursor else ())]
        columns += [self.deleted] if self.deleted else []
        for column in columns:
            if not _FIELD.fullmatch(column):
                raise AddError(
                    f"{column!r} is not a valid name of a column: letters, digits and _ only"
                )


def flag(option: str) -> str:
    """An option as it is typed on the command line."""
    return f"--{option.replace('_', '-')}"


def check_source_name(resolved: Resolved, name: str) -> None:
    """Check that a source can have this name.

    Raises:
        AddError: it cannot; nothing was written.
    """
    if not _NAME.fullmatch(name):
        better = _better(name)
        hint = f"; {better} would do" if better else ""
        raise AddError(
            f"{name!r} is not a valid name of a source: lower case letters, digits and single "
            f"underscores, a letter first{hint}"
        )
    if len(name) > MAX_NAME:
        raise AddError(f"{name} is too long for a source: {MAX_NAME} characters at most")
    if keyword.iskeyword(name) or name in RESERVED | _TAKEN or name.startswith("dlt_"):
        raise AddError(
            f"{name} is a word of Python, SQL, dlt or dbt, and no name for a source: add what it "
            f"is about, like {name}_data"
        )
    for folder, stem in (("dlt_pipelines", name), ("tests/project", f"test_{name}.py")):
        place = resolved.root / folder
        there = [path.name for path in place.iterdir()] if place.is_dir() else []
        # on file systems that do not tell cases apart they would be one
        clash = next((n for n in there if n.casefold() == stem and n != stem), None)
        if clash:
            raise AddError(f"there is a {folder}/{clash}: take another name, or remove it")


def check_table_name(name: str) -> None:
    """Check that a raw table can have this name.

    Raises:
        AddError: it cannot; nothing was written.
    """
    if not _NAME.fullmatch(name) or len(name) > 2 * MAX_NAME:
        better = _better(name)
        hint = f", like {better}" if better else ""
        raise AddError(
            f"{name!r} is not a valid name of a raw table: lower case letters, digits and single "
            f"underscores, a letter first{hint}"
        )


def check_once(what: str, names: list[str]) -> None:
    """Check that no name is given twice.

    Raises:
        AddError: one does.
    """
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise AddError(f"{what} {min(twice)} is named twice: name it once")


def check_is_new(resolved: Resolved, name: str) -> None:
    """Check that no settings file has such a source; a secret of it may be set.

    Raises:
        AddError: one has; nothing was written.
    """
    for path in sorted((resolved.root / "config").glob("*.yml")):
        if path.name == "ci.yml":  # which of the sources are off there; it makes none
            continue
        label = f"config/{path.name}"
        layer = layers.yaml_layer(path, label)
        if layer is not None and layer.holds(("sources", name)):
            raise AddError(
                f"there is a source {name}, with other settings: "
                f"{layer.locate(('sources', name))}; take another name, or remove it there; to "
                f"load the one that is there, run `headrace load --source {name}` and `headrace "
                f"scaffold {name}`"
            )


def _better(name: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    better = slug(words)
    return better if _NAME.fullmatch(better) else ""
