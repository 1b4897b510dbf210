"""The exceptions of the generator; it stands alone, so they are not Headrace's.

SynthError               could not generate; the message says what to change
├── SchemaError          the schema file is wrong: file, line, column, and what is allowed
└── OutputError          the output cannot be written
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from headrace.formatting import did_you_mean


class SynthError(Exception):
    """Nothing could be generated; the message says what to change."""


class OutputError(SynthError):
    """The output cannot be written where it was asked for."""


@dataclass(frozen=True, slots=True)
class Location:
    """A line and a column of a schema file, both from 1."""

    file: Path | None
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file or 'schema'}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """One thing that is wrong with a schema file."""

    location: Location
    message: str

    def __str__(self) -> str:
        return f"{self.location}: {self.message}"


class SchemaError(SynthError):
    """A schema file is wrong; ``problems`` holds each thing, first in the file first."""

    def __init__(self, problems: list[SchemaProblem]) -> None:
        self.problems = sorted(
            problems, key=lambda problem: (problem.location.line, problem.message)
        )
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def at(cls, location: Location, message: str) -> "SchemaError":
        """One problem."""
        return cls([SchemaProblem(location, message)])


def proposal(name: str, known: Iterable[str], intro: str = "one of:") -> str:
    """What follows an unknown name: ``did you mean 'orders'? one of: orders, customers``."""
    names = list(known)
    meant = did_you_mean(name, names)
    return f"{meant + ' ' if meant else ''}{intro} {', '.join(names)}"
