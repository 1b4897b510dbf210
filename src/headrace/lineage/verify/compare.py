"""Claim against data: which columns changed, and which of these the lineage names.

A column of a model changed with a raw column when its multiset of values did under any strategy. A
change that shows only in its pairs with the row's key counts when the key stands for itself: no
column of it changed under any strategy, and the lineage does not make it of the raw column (a key
by ``row_number() over (order by x)`` always holds 1 to n, whatever becomes of ``x``). The latter is
the one use of the claim, and can only hide values that changed places.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from headrace.catalog.model import Catalog
from headrace.lineage.find import known_columns
from headrace.lineage.trace import ROWS, closure, reachable
from headrace.lineage.verify.plan import BuiltModel, VerifyPlan
from headrace.lineage.verify.replica import ReplicaBaseline, TrialEffect
from headrace.lineage.verify.report import (
    AgreementScore,
    BuildFailure,
    ColumnPair,
    ColumnResult,
    Unstable,
    VerifyOptions,
    VerifyReport,
)

Column = tuple[str, str]
Claim = Literal["direct", "indirect", "none"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One raw column and what its strategies did.

    Attributes:
        raw: id.
        column: of it.
        seen: strategy to what it did; those that could not change the column are not in it.
        raised: strategy to DuckDB's message; those whose own expression failed.
    """

    raw: str
    column: str
    seen: Mapping[str, TrialEffect]
    raised: Mapping[str, str]


@dataclass(frozen=True)
class SampledPlan:
    """What is checked, and how many rows each raw table has in the warehouse."""

    plan: VerifyPlan
    counts: dict[str, int]


@dataclass(frozen=True)
class TrialResults:
    """The models as they are, and each raw column's trial."""

    base: ReplicaBaseline
    trials: list[Trial]


@dataclass(frozen=True, slots=True)
class Compared:
    """The columns of models that can be compared, by asset."""

    columns: Mapping[str, tuple[str, ...]]
    keys: Mapping[str, tuple[str, ...]]


def comparable(models: Iterable[BuiltModel], base: ReplicaBaseline) -> Compared:
    """All columns of the models that were built and that can be verified, but for unstable ones."""
    keys = {model.id: model.key for model in models if model.compared}
    columns = {
        key: tuple(name for name in prints.values if (key, name) not in base.unstable)
        for key, prints in base.prints.items()
        if key in keys
    }
    return Compared(columns, keys)


def pairs_of(catalog: Catalog, trial: Trial, compared: Compared) -> list[ColumnPair]:
    """The pairs of a raw column that changed or are claimed."""
    every = _claims(catalog, trial.raw, trial.column, indirect=True)
    direct = _claims(catalog, trial.raw, trial.column, indirect=False)
    changed = _changed(trial, compared, every)
    found = []
    for asset, names in compared.columns.items():
        all_of_it = (asset, ROWS) in every
        for name in names:
            folded = (asset, name.casefold())
            claim: Claim = (
                "direct" if folded in direct
                else "indirect" if all_of_it or folded in every
                else "none"
            )  # fmt: skip
            by = changed.get((asset, name), ())
            if claim != "none" or by:
                found.append(
                    ColumnPair(
                        raw=trial.raw,
                        raw_column=trial.column,
                        asset=asset,
                        column=name,
                        claim=claim,
                        strategies=tuple(by),
                    )
                )
    return found


def unread_assets(catalog: Catalog, raws: Iterable[str]) -> dict[str, set[str]]:
    """Raw table to the assets that it may reach through SQL whose lineage is not known.

    That is each unread asset downstream of it, and all below; of a table that the catalog does not
    know, any unread asset.
    """
    unread = {problem.asset for problem in catalog.problems if problem.asset in catalog.assets}
    found: dict[str, set[str]] = {}
    for raw in raws:
        below = reachable(catalog.children, [raw]) if raw in catalog.assets else unread
        found[raw] = set(reachable(catalog.children, unread.intersection(below)))
    return found


def score(
    pairs: Iterable[ColumnPair], compared: Compared, unread: Mapping[str, Collection[str]],
    only: Collection[str] | None = None,
) -> AgreementScore:  # fmt: skip
    """Count pairs, of some assets only where that is asked."""
    kept = [pair for pair in pairs if only is None or pair.asset in only]
    claimed = [pair for pair in kept if pair.claim != "none"]
    direct = [pair for pair in claimed if pair.claim == "direct"]
    confirmed = sum(bool(pair.strategies) for pair in claimed)
    direct_confirmed = sum(bool(pair.strategies) for pair in direct)
    missed = sum(pair.claim == "none" and pair.asset not in unread[pair.raw] for pair in kept)
    changed = confirmed + missed
    return AgreementScore(
        columns=sum(
            len(names) for key, names in compared.columns.items() if only is None or key in only
        ),
        changed=changed,
        claimed=len(claimed),
        confirmed=confirmed,
        missed=missed,
        direct=len(direct),
        direct_confirmed=direct_confirmed,
        recall=confirmed / changed if changed else 1.0,
        precision=confirmed / len(claimed) if claimed else None,
        precision_direct=direct_confirmed / len(direct) if direct else None,
    )


def _claims(catalog: Catalog, raw: str, column: str, *, indirect: bool) -> set[Column]:
    if raw not in catalog.assets:
        return set()
    folded = column.casefold()
    names = [name for name in known_columns(catalog, raw) if name.casefold() == folded]
    start = [(raw, name) for name in names or [column]]
    reached = closure(catalog, start, "downstream", indirect=indirect)
    return {(asset, name.casefold()) for asset, name in reached}


def _changed(
    trial: Trial, compared: Compared, claims: Collection[Column]
) -> dict[Column, list[str]]:
    """Column of a model to the strategies that changed it."""
    found: dict[Column, list[str]] = {}
    for strategy, seen in trial.seen.items():
        for column in seen.values:
            found.setdefault(column, []).append(strategy)
    folded = {(asset, name.casefold()) for asset, name in found}
    known: dict[str, set[str]] = {
        asset: {name.casefold() for name in names} for asset, names in compared.columns.items()
    }
    for strategy, seen in trial.seen.items():
        for asset, name in seen.pairs - seen.values:
            key = [part.casefold() for part in compared.keys.get(asset, ())]
            stands = all(
                part in known.get(asset, ())  # else it is not stable
                and (asset, part) not in folded
                and (asset, part) not in claims
                for part in key
            )
            if stands:
                found.setdefault((asset, name), []).append(strategy)
    return found


def summary(
    catalog: Catalog,
    taken: SampledPlan,
    outcome: TrialResults,
    options: VerifyOptions,
    seconds: float,
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


def _unstable(base: ReplicaBaseline) -> tuple[Unstable, ...]:
    return tuple(
        Unstable(asset=asset, column=column, reason=reason)
        for (asset, column), reason in sorted(base.unstable.items())
    )


def _failures(base: ReplicaBaseline, trials: Sequence[Trial]) -> tuple[BuildFailure, ...]:
    found = [
        BuildFailure(asset=key, raw=None, raw_column=None, strategy=None, message=message)
        for key, message in sorted(base.failed.items())
    ]
    for trial in trials:
        for strategy, message in trial.raised.items():
            found.append(
                BuildFailure(
                    asset=trial.raw,
                    raw=trial.raw,
                    raw_column=trial.column,
                    strategy=strategy,
                    message=message,
                )
            )
        for strategy, seen in trial.seen.items():
            found += [
                BuildFailure(
                    asset=key,
                    raw=trial.raw,
                    raw_column=trial.column,
                    strategy=strategy,
                    message=message,
                )
                for key, message in seen.failed.items()
            ]
    return tuple(found)


def _notes(taken: SampledPlan, base: ReplicaBaseline) -> tuple[str, ...]:
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
        notes.append(f"empty, so no column of them can be changed: {', '.join(empty)}")
    return tuple(notes)
