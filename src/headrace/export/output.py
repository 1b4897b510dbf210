"""What both exports share: the report, the output file, and the errors of a server."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from headrace import portable
from headrace.catalog.model import Catalog
from headrace.errors import ExportError
from headrace.extras import how_to_install
from headrace.secrets import hide_values

_ERRNO = re.compile(r"\[Errno -?\d+\] (?P<why>[\w ]+)")
_TOO_MANY = re.compile(r"too many (?P<status>\d{3}) error responses")


class ExportReport(BaseModel):
    """The answer of ``headrace export``."""

    model_config = ConfigDict(frozen=True)

    standard: str = Field(description="`openlineage` or `datahub`")
    destination: str = Field(description="the file, or the server without user and password")
    records: int = Field(description="events, or metadata change proposals")
    kinds: dict[str, int] = Field(description="how many of each kind")
    catalog_version: int | None = Field(None, description="the catalog's number in the run store")
    problems: int = Field(0, description="assets whose column lineage is not wholly known")

    @classmethod
    def of(
        cls, standard: str, destination: str, kinds: Iterable[str], catalog: Catalog
    ) -> "ExportReport":
        """The report of an export, by the kind of each record."""
        counts = Counter(kinds)
        return cls(
            standard=standard,
            destination=destination,
            records=counts.total(),
            kinds=dict(sorted(counts.items())),
            catalog_version=catalog.version,
            problems=len(catalog.problems),
        )


@contextmanager
def required(package: str, extra: str) -> Iterator[None]:
    """Around the imports of an optional package.

    Raises:
        ExportError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("headrace"):
            raise
        raise ExportError(
            f"{package} is not installed: `{how_to_install(extra)}` (and the other extras that "
            "you use), then the same command again"
        ) from error


def write_export(path: Path, text: str) -> None:
    """Write a text file in one step; secrets in it are masked.

    Raises:
        ExportError: it cannot be written.
    """
    try:
        portable.write_file(path, hide_values(text))
    except OSError as error:
        raise ExportError(
            f"{path} cannot be written: {error.strerror or error}; name another file with --out"
        ) from error


def server_error(error: Exception) -> str:
    """The cause of a network error, which is deep in its text; of any other error, all of it."""
    text = str(error)
    if type(error).__module__.startswith(("requests.", "urllib3.")):
        if "timed out" in text.lower():
            return "no answer in time"
        if found := _TOO_MANY.search(text):
            return f"it answers with status {found['status']}"
        if found := _ERRNO.search(text):
            return f"no connection: {found['why'].strip()}"
    return f"{type(error).__name__}: {text}"
