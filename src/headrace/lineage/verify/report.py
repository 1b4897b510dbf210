"""How a check of the lineage against the data is made, and what it found."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from headrace.lineage.report import FrozenModel

ROWS = 1000


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """How a check is made.

    Attributes:
        rows: of each raw table at most.
        workers: threads, each with a copy of its own.
        memory_limit: of each copy, DuckDB's words.
        marts: ids of the models that are published.
    """

    rows: int = ROWS
    workers: int = 2
    memory_limit: str = "1GB"
    marts: Collection[str] = ()


class ColumnPair(FrozenModel):
    """A raw column and a column of a model.

    Attributes:
        raw: id of the raw table.
        raw_column: the column that was perturbed.
        asset: id of the model or snapshot.
        column: of it.
        claim: how the lineage has it: ``direct`` (a value flows), ``indirect`` (it only decides),
            or ``none``.
        strategies: that changed it; empty when it never changed.
    """

    raw: str
    raw_column: str
    asset: str
    column: str
    claim: Literal["direct", "indirect", "none"]
    strategies: tuple[str, ...] = ()


class ColumnResult(FrozenModel):
    """The result of changing one raw column.

    Attributes:
        raw: id of the raw table.
        column: of it.
        strategies: that changed its values.
        changed: columns of models that changed.
        claimed: columns of models that the lineage says depend on it.
        failed: strategies with which some model's SQL failed.
    """

    raw: str
    column: str
    strategies: tuple[str, ...]
    changed: int
    claimed: int
    failed: tuple[str, ...] = ()


class Unstable(FrozenModel):
    """A column whose values differ between two builds of the same data.

    Attributes:
        asset: id.
        column: of it.
        reason: ``differs from build to build`` or ``depends on the order of rows``.
    """

    asset: str
    column: str
    reason: str


class BuildFailure(FrozenModel):
    """A model that could not be built.

    Attributes:
        asset: id.
        raw: id of the raw table that was perturbed; None: it failed with the data as they are.
        raw_column: its column.
        strategy: how it was perturbed.
        message: DuckDB's first line.
    """

    asset: str
    raw: str | None
    raw_column: str | None
    strategy: str | None
    message: str


class AgreementScore(FrozenModel):
    """How claim and data agree, over pairs of a raw column and a column of a model.

    Attributes:
        columns: columns of models that were compared.
        changed: pairs that changed.
        claimed: pairs that the lineage claims.
        confirmed: pairs that changed and are claimed.
        missed: pairs that changed and are not claimed.
        direct: claimed pairs in which a value flows.
        direct_confirmed: of these, those that changed.
        recall: confirmed / changed; 1 when nothing changed.
        precision: confirmed / claimed, a lower bound; None when nothing is claimed.
        precision_direct: the same of the direct claims.
    """

    columns: int
    changed: int
    claimed: int
    confirmed: int
    missed: int
    direct: int
    direct_confirmed: int
    recall: float
    precision: float | None
    precision_direct: float | None


class VerifyReport(FrozenModel):
    """The result of ``headrace lineage --verify``.

    Attributes:
        ok: whether nothing was missed.
        rows: at most so many rows of each raw table were taken.
        sampled: raw tables that have more.
        raw_tables: how many were perturbed.
        models: how many were built and compared.
        perturbed: raw columns whose values could be changed.
        idle: ``table.column`` of raw columns that no strategy could change (an empty table).
        builds: models that were built, the baselines left out.
        seconds: in all.
        all: over all models.
        marts: over the models that are published; None when none of them is looked at.
        missed: pairs that changed and are not claimed, though the lineage there is read.
        unread: pairs that changed, are not claimed, and stand behind SQL that the lineage reports
            as not read; they count neither for nor against it.
        never_changed: pairs that are claimed and did not change.
        unstable: columns left out.
        failures: models that could not be built.
        notes: what else is not as a reader would expect, a sentence each.
        columns: one for each raw column that could be changed.
    """

    ok: bool
    rows: int
    sampled: tuple[str, ...]
    raw_tables: int
    models: int
    perturbed: int
    idle: tuple[str, ...]
    builds: int
    seconds: float
    all: AgreementScore
    marts: AgreementScore | None
    missed: tuple[ColumnPair, ...]
    unread: tuple[ColumnPair, ...]
    never_changed: tuple[ColumnPair, ...]
    unstable: tuple[Unstable, ...]
    failures: tuple[BuildFailure, ...]
    notes: tuple[str, ...]
    columns: tuple[ColumnResult, ...]
