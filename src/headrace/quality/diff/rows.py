"""What a comparison of the rows of two tables finds."""

from dataclasses import dataclass

from headrace.quality.diff.report import ColumnChange, Method, Sample


@dataclass(frozen=True)
class Rows:
    """What differs in the rows.

    Attributes:
        method: how they were compared; None when they are equal.
        matched: rows of both with the same key; None where no key matches them.
        added: rows of the second alone.
        removed: rows of the first alone.
        changed: rows of both that differ; None where no key tells which those are.
        columns: the columns that differ.
        samples: a few of the rows.
        notes: what a reader should know of the method.
    """

    method: Method | None = None
    matched: int | None = None
    added: int = 0
    removed: int = 0
    changed: int | None = 0
    columns: tuple[ColumnChange, ...] = ()
    samples: tuple[Sample, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def differ(self) -> bool:
        """Whether any row does."""
        return bool(self.added or self.removed or self.changed)
