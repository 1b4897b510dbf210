"""Claim against data: which columns changed, and which of these the lineage names.

A column of a model changed with a raw column when its multiset of values did under any strategy. A
change that shows only in its pairs with the row's key counts when the key stands for itself: no
column of it changed under any strategy, and the lineage does not make it of the raw column (a key
by ``row_number() over (order by x)`` always holds 1 to n, whatever becomes of ``x``). The latter is
the one use of the claim, and can only hide values that changed places.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from headrace.catalog.model import Catalog
from headrace.lineage.find import known_columns
from headrace.lineage.trace import ROWS, closure
from headrace.lineage.verify.parts import Model
from headrace.lineage.verify.replica import Baseline, Seen
from headrace.lineage.verify.report import ColumnPair, Score

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
    seen: Mapping[str, Seen]
    raised: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Compared:
    """The columns of models that can be compared, by asset."""

    columns: Mapping[str, tuple[str, ...]]
    keys: Mapping[str, tuple[str, ...]]


def comparable(models: Iterable[Model], base: Baseline) -> Compared:
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
    return {
        raw: _below(
            catalog, unread & _below(catalog, {raw}) if raw in catalog.assets else set(unread)
        )
        for raw in raws
    }


def _below(catalog: Catalog, keys: Iterable[str]) -> set[str]:
    """Some assets and all that is downstream of them."""
    seen = set(keys)
    todo = list(seen)
    while todo:
        for child in catalog.children.get(todo.pop(), ()):
            if child not in seen:
                seen.add(child)
                todo.append(child)
    return seen


def score(
    pairs: Iterable[ColumnPair], compared: Compared, unread: Mapping[str, Collection[str]],
    only: Collection[str] | None = None,
) -> Score:  # fmt: skip
    """Count pairs, of some assets only where that is asked."""
    kept = [pair for pair in pairs if only is None or pair.asset in only]
    claimed = [pair for pair in kept if pair.claim != "none"]
    direct = [pair for pair in claimed if pair.claim == "direct"]
    confirmed = sum(bool(pair.strategies) for pair in claimed)
    direct_confirmed = sum(bool(pair.strategies) for pair in direct)
    missed = sum(pair.claim == "none" and pair.asset not in unread[pair.raw] for pair in kept)
    changed = confirmed + missed
    return Score(
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
        for place in seen.values:
            found.setdefault(place, []).append(strategy)
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
