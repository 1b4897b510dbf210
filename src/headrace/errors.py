"""The exceptions of Headrace.

    HeadraceError
    ├── UserError            could not run; the message says what to change (exit code 2)
    │   ├── AddError         no source can be added as asked
    │   ├── AdoptError       Headrace cannot be added to a repository as it is
    │   ├── SettingsError    a setting is wrong: which key, which layer, what is allowed
    │   ├── ProjectError     this directory holds no Headrace project, or a part is missing
    │   ├── ProjectFileError a file of the project cannot be read, edited or written
    │   ├── SourceError      the input of a source cannot be loaded
    │   │   ├── NoCursorError     a table has no time by which a part of it could be loaded again
    │   │   └── UnclearFileError  a setting has to say how a file is read
    │   ├── WarehouseError   the warehouse cannot be opened or written
    │   ├── LockedError      another run holds the warehouse
    │   ├── TransformError   dbt could not parse or compile the project
    │   ├── GenerateError    no data could be generated or learned from
    │   ├── PublishError     the published copy could not be written
    │   ├── ContractError    a data contract cannot be read or written, or its table is not known
    │   ├── MonitorError     a metric or an alarm is not known, or its monitor cannot be set up so
    │   ├── QueryError       a query cannot be run
    │   ├── RunStoreError    the run store cannot be opened or written
    │   ├── ArtifactError    a file that dbt or dlt left behind cannot be read
    │   ├── CatalogError     there is no catalog yet, or no such asset or column in it
    │   ├── LineageError     the lineage cannot be traced or proved as asked
    │   ├── ExportError      the catalog or its events could not be written or sent
    │   ├── ServeError       the page cannot be served or written as asked
    │   ├── StateError       a state folder cannot be written or used
    │   ├── DiffError        two databases cannot be compared as asked
    │   ├── ParityError      targets cannot be compared as asked
    │   ├── ScaffoldError    no models can be written for a source as things stand
    │   └── TemplateError    no project can be copied or updated from the template as asked
    └── CheckFailedError     everything ran, a check did not pass (exit code 1)

Ctrl-C stays a ``KeyboardInterrupt``; the command line ends it with one line and exit code 130.

Every message is one or two plain sentences: what is wrong, and what to run or change next.
"""

__all__ = [
    "AddError",
    "AdoptError",
    "ArtifactError",
    "CatalogError",
    "CheckFailedError",
    "ContractError",
    "DiffError",
    "ExportError",
    "GenerateError",
    "HeadraceError",
    "LineageError",
    "LockedError",
    "MonitorError",
    "NoCursorError",
    "ParityError",
    "ProjectError",
    "ProjectFileError",
    "PublishError",
    "QueryError",
    "RunStoreError",
    "ScaffoldError",
    "ServeError",
    "SettingsError",
    "SourceError",
    "StateError",
    "TemplateError",
    "TransformError",
    "UnclearFileError",
    "UserError",
    "WarehouseError",
]


from collections.abc import Mapping

from headrace.error_detail import ErrorDetail


class HeadraceError(Exception):
    """Base of all errors that Headrace raises itself.

    Attributes:
        detail: the place in the user's own file, an excerpt of it; None if it is about no file.
    """

    def __init__(self, *args: object, detail: ErrorDetail | None = None) -> None:
        super().__init__(*args)
        self.detail = detail


class UserError(HeadraceError):
    """Headrace could not run; the message tells the user what to change. Exit code 2."""


class SettingsError(UserError):
    """A settings file, variable or flag is wrong."""


class ProjectError(UserError):
    """The project directory, or a part of it, is missing."""


class ProjectFileError(UserError):
    """A file of the project cannot be read, edited or written; nothing was written."""


class SourceError(UserError):
    """The input of a source cannot be loaded; none of it was loaded."""


class NoCursorError(SourceError):
    """A table has no cursor, nor files with dates, by which a part of it could be loaded again."""


class UnclearFileError(SourceError):
    """A file can be read in more than one way, and a setting has to say how."""

    def __init__(
        self,
        message: str,
        settings: Mapping[str, object],
        *,
        detail: ErrorDetail | None = None,
    ) -> None:
        """Give the message, and the settings of the table if the file is what it looks like."""
        super().__init__(message, detail=detail)
        self.settings = settings


class WarehouseError(UserError):
    """The warehouse cannot be opened, read or written."""


class LockedError(UserError):
    """Another run holds the warehouse."""


class TransformError(UserError):
    """dbt could not parse, compile or start."""


class GenerateError(UserError):
    """No data could be generated, or learned from; see ``headrace.synth.errors``."""


class PublishError(UserError):
    """The published copy could not be written; the old one stays."""


class QueryError(UserError):
    """A query cannot be run: its SQL is refused, or its file cannot be read or written."""


class ProfileError(UserError):
    """A table or file cannot be profiled: there is none of that name, or it cannot be read."""


class ContractError(UserError):
    """A data contract cannot be read or written, or is about a table that there is none of."""


class MonitorError(UserError):
    """A metric or an alarm is not known, or a monitor cannot be set up as the settings say."""


class RunStoreError(UserError):
    """The run store cannot be opened or written."""


class ArtifactError(UserError):
    """A file that dbt or dlt left behind cannot be read; the message says which, and why."""


class CatalogError(UserError):
    """There is no catalog yet, or it has no such asset or column."""


class LineageError(UserError):
    """The lineage cannot be traced or proved as asked."""


class ExportError(UserError):
    """The catalog, or events of a run, could not be written or sent."""


class ServeError(UserError):
    """The page cannot be served, or written to a directory, as asked."""


class StateError(UserError):
    """A state folder cannot be written or used."""


class DiffError(UserError):
    """Two databases cannot be compared as asked."""


class ParityError(UserError):
    """Targets cannot be compared as asked."""


class AddError(UserError):
    """No source can be added as asked; nothing was written."""


class AdoptError(UserError):
    """Headrace cannot be added to a repository as it is; nothing was written."""


class ScaffoldError(UserError):
    """No models can be written for a source as things stand; nothing was written."""


class TemplateError(UserError):
    """No project can be copied or updated from the template as asked; nothing was changed."""


class CheckFailedError(HeadraceError):
    """Everything ran, and a check did not pass. Exit code 1."""
