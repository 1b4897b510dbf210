"""What a measurement found: mutants, scores and proposed tests."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field

Status = Literal["killed", "survived", "equivalent"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class ProposedTest(_Model):
    """A dbt test that passes now, and fails with a fault: it was run on both."""

    table: str = Field(description="the model, or `source.table`, whose yml it goes to")
    column: str | None = Field(None, description="of the table; null for a test of the table")
    name: str = Field(
        description="of the generic test; `unit_test` for a unit test to be filled in"
    )
    yaml: str = Field(description="ready to paste below the table's entry")


class MutantResult(_Model):
    """A fault, and what came of it."""

    id: str = Field(description="stays the same as long as the SQL and the tables do")
    kind: str = Field(description="what was changed: `join`, `filter`, …, or a fault of raw data")
    of: Literal["sql", "data"]
    asset: str = Field(description="the model or raw table that was changed")
    path: str | None = Field(None, description="of the model's file, from the dbt project")
    column: str | None = None
    change: str = Field(description="in words")
    diff: str = Field("", description="of the SQL; empty for a fault in data")
    status: Status
    killed_by: str | None = Field(
        None,
        description="`data test`, `unit test`, `contract`, `model` (could not be built), `audit` "
        "(a published table lost all its rows), `time` (took far too long)",
    )
    test: str | None = Field(None, description="the test or model that found it first")
    message: str | None = None
    changed: tuple[str, ...] = Field((), description="tables whose content a survivor changes")
    proposals: tuple[ProposedTest, ...] = Field((), description="of a survivor")


class Score(_Model):
    """How many faults in a model or raw table were found."""

    asset: str
    killed: int
    survived: int
    equivalent: int = Field(description="changed nothing, or nothing that readers see; not counted")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def score(self) -> float | None:
        """The share of the faults that count; null where there is none."""
        counted = self.killed + self.survived
        return self.killed / counted if counted else None


class StrengthReport(_Model):
    """How many faults the tests find, in all and by model."""

    ok: bool = Field(description="the score is not under `--fail-under`")
    score: float | None
    killed: int
    survived: int
    equivalent: int
    planned: int = Field(description="mutants that were to be tried")
    stopped: bool = Field(False, description="it was stopped: so far")
    seconds: float
    by_asset: tuple[Score, ...]
    by_kind: tuple[Score, ...]
    killed_by: dict[str, int]
    mutants: tuple[MutantResult, ...]
    notes: tuple[str, ...] = ()


def summary(
    results: Sequence[MutantResult],
    *,
    planned: int,
    stopped: bool,
    seconds: float,
    notes: Sequence[str],
    fail_under: float | None,
) -> StrengthReport:
    """The report of some results."""
    counts = Counter(one.status for one in results)
    counted = counts["killed"] + counts["survived"]
    score = counts["killed"] / counted if counted else None
    return StrengthReport(
        ok=fail_under is None or score is None or score >= fail_under,
        score=score,
        killed=counts["killed"],
        survived=counts["survived"],
        equivalent=counts["equivalent"],
        planned=planned,
        stopped=stopped,
        seconds=seconds,
        by_asset=_scores(results, [one.asset for one in results]),
        by_kind=_scores(results, [one.kind for one in results]),
        killed_by=dict(Counter(one.killed_by for one in results if one.killed_by)),
        mutants=tuple(results),
        notes=tuple(notes),
    )


def _scores(results: Sequence[MutantResult], names: Sequence[str]) -> tuple[Score, ...]:
    groups: dict[str, Counter[str]] = {}
    for result, name in zip(results, names, strict=True):
        groups.setdefault(name, Counter())[result.status] += 1
    return tuple(
        Score(
            asset=name,
            killed=found["killed"],
            survived=found["survived"],
            equivalent=found["equivalent"],
        )
        for name, found in sorted(groups.items())
    )
