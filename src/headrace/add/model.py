"""What is asked for when a source is added, and which option belongs to which kind."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from headrace.errors import AddError

Kind = Literal["rest_api", "sql_database", "files", "synth"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PAGINATORS = (
    "auto", "json_link", "header_link", "cursor", "offset", "page_number", "single_page",
)  # fmt: skip

TAKES: dict[Kind, tuple[str, ...]] = {
    "rest_api": ("url", "resource", "primary_key", "cursor", "deleted", "paginator"),
    "sql_database": ("url", "table", "schema", "cursor", "deleted"),
    "files": ("path", "pattern", "primary_key", "cursor"),
    "synth": ("schema",),
}
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


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
    kind: Kind
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
        """See that each option belongs to the kind, and that names of columns are such.

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
    """An option as it is typed."""
    return f"--{option.replace('_', '-')}"
