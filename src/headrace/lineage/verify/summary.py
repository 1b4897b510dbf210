"""From what was seen to the report."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from headrace.catalog.model import Catalog
from headrace.lineage.verify.compare import (
    Trial,
    comparable,
    pairs_of,
    score,
    unread_assets,
)
from headrace.lineage.verify.parts import Plan
from headrace.lineage.verify.replica import Baseline
from headrace.lineage.verify.report import (
    ColumnPair,
    ColumnResult,
    Failure,
    Unstable,
    VerifyReport,
)

ROWS = 1000


@dataclass(frozen=True, slots=True)
class Options:
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


@dataclass(frozen=True)
class Taken:
    """What is checked, and how many rows each raw table has in the warehouse."""

    plan: Plan
    counts: dict[str, int]


@dataclass(frozen=True)
class Outcome:
    """The models as they are, and each raw column's trial."""

    base: Baseline
    trials: list[Trial]


def summary(
    catalog: Catalog, taken: Taken, outcome: Outcome, options: Options, seconds: float
) -> VerifyReport:
    """The report; ``seconds`` is what all took."""
    made, base = taken.plan, outcome.base
    compared = comparable(made.models, base)
    tried = [trial for trial in outcome.trials if trial.seen]
    by_trial = {(trial.raw, trial.column): pairs_of(catalog, trial, compared) for trial in tried}
    pairs = [pair for found in by_trial.values() for pair in found]
    unread = unread_assets(catalog, made.raws)
    open_pairs = [pair for pair in pairs if pair.claim == "none"]
    missed = tuple(pair for pair in open_pairs if pair.asset not in unread[pair.raw])
    marts = set(options.marts) & set(compared.columns)
    return VerifyReport(
        ok=not missed,
        rows=options.rows,
        sampled=tuple(key for key, count in taken.counts.items() if count > options.rows),
        raw_tables=len({trial.raw for trial in tried}),
        models=len(compared.columns),
        perturbed=len(tried),
        idle=tuple(f"{trial.raw}.{trial.column}" for trial in outcome.trials if not trial.seen),
        builds=sum(seen.builds for trial in tried for seen in trial.seen.values()),
        seconds=seconds,
        all=score(pairs, compared, unread),
        marts=score(pairs, compared, unread, marts) if marts else None,
        missed=missed,
        unread=tuple(pair for pair in open_pairs if pair.asset in unread[pair.raw]),
        never_changed=tuple(pair for pair in pairs if pair.claim != "none" and not pair.strategies),
        unstable=_unstable(base),
        failures=_failures(base, outcome.trials),
        notes=_notes(taken, base),
        columns=tuple(_result(trial, by_trial[trial.raw, trial.column]) for trial in tried),
    )


def _result(trial: Trial, pairs: Sequence[ColumnPair]) -> ColumnResult:
    return ColumnResult(
        raw=trial.raw,
        column=trial.column,
        strategies=tuple(trial.seen),
        changed=sum(bool(pair.strategies) for pair in pairs),
        claimed=sum(pair.claim != "none" for pair in pairs),
        failed=tuple(name for name, seen in trial.seen.items() if seen.failed),
    )


def _unstable(base: Baseline) -> tuple[Unstable, ...]:
    return tuple(
        Unstable(asset=asset, column=column, reason=reason)
        for (asset, column), reason in sorted(base.unstable.items())
    )


def _failures(base: Baseline, trials: Sequence[Trial]) -> tuple[Failure, ...]:
    found = [
        Failure(asset=key, raw=None, raw_column=None, strategy=None, message=message)
        for key, message in sorted(base.failed.items())
    ]
    for trial in trials:
        for strategy, message in trial.raised.items():
            found.append(
                Failure(
                    asset=trial.raw,
                    raw=trial.raw,
                    raw_column=trial.column,
                    strategy=strategy,
                    message=message,
                )
            )
        for strategy, seen in trial.seen.items():
            found += [
                Failure(
                    asset=key,
                    raw=trial.raw,
                    raw_column=trial.column,
                    strategy=strategy,
                    message=message,
                )
                for key, message in seen.failed.items()
            ]
    return tuple(found)


def _notes(taken: Taken, base: Baseline) -> tuple[str, ...]:
    empty = [key for key, count in taken.counts.items() if not count]
    notes = [*taken.plan.notes, *base.notes]
    made = sorted(
        ".".join(raw.name[1:])
        for key, raw in taken.plan.raws.items()
        if key in taken.plan.made_elsewhere
    )
    if made:
        notes.append(
            f"made by no model and no source, and so taken as they are: {', '.join(made)}; what a "
            "hook or another program makes them from is not verified"
        )
    if empty:
        notes.append(f"empty, so nothing of them can be changed: {', '.join(empty)}")
    return tuple(notes)
