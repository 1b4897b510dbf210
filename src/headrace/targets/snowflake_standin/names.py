"""Names of objects as Snowflake reads them."""

import re
from typing import Protocol

from headrace.targets.snowflake_standin.problems import problem

NAME = r'(?:"[^"]+"|[A-Za-z_%~][\w$%]*)'


class Context(Protocol):
    """What a name without its first parts is of."""

    @property
    def database(self) -> str | None:
        """The current database."""

    @property
    def schema(self) -> str | None:
        """The current schema."""


def names_of(text: str) -> list[str]:
    """The parts of a name, folded as Snowflake folds them."""
    parts = re.findall(r'"[^"]+"|[^.]+', text.strip())
    return [part[1:-1] if part.startswith('"') else part.upper() for part in parts]


def resolved(session: Context, text: str) -> tuple[str, str, str]:
    """Database, schema and name of an object, which may be written without the first two.

    Raises:
        ProgrammingError: the session has no database or schema, and none is named.
    """
    parts = names_of(text)
    database = parts[-3] if len(parts) > 2 else session.database
    schema = parts[-2] if len(parts) > 1 else session.schema
    if not database or not schema:
        raise problem(
            90105, "22000", f"{text}: the session has no current database or schema: name them"
        )
    return database, schema, parts[-1]
