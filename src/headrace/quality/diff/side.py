"""The two that are compared, and how."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        path: a DuckDB file; None for one that is not there since nothing had to be built.
        label: what it is, for people.
        keys: ``schema.table`` to the columns of its key.
        harmless: ``schema.table`` to the columns whose values may be shown; None for nothing known.
        declared: ``schema.table`` of all that the project would build; None where that is not
            known. What is declared and not there was not built.
        readers: ``schema.table`` to the models and exposures downstream of it, in words.
    """

    path: Path | None
    label: str
    keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    harmless: Mapping[str, Collection[str]] | None = None
    declared: Collection[str] | None = None
    readers: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """How to compare.

    Attributes:
        schemas: the schemas to compare.
        keys: ``schema.table``, or ``table``, to the columns of a key that somebody named.
        ignored: columns that are not compared, by name, of every table.
        limit: sample rows of each kind and table; 0 for none.
        personal: show values of columns with personal data, or of which nothing is known.
        tolerance: relative, within which floating point numbers are equal; a sum depends on the
            order of its terms.
        memory_limit: DuckDB's.
        spill: the folder that DuckDB spills to; by default beside the working directory.
    """

    schemas: tuple[str, ...] = ("marts",)
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    limit: int = 5
    personal: bool = False
    tolerance: float = 1e-9
    memory_limit: str = "2GB"
    spill: Path | None = None
