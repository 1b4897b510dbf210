"""Which faults are replayed: every kind, of several strengths, one at a time and two together."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

SHOP = "shop"
"""The source that is replayed."""
TABLES = (
    "customer", "order", "transaction", "refund", "fulfillment", "abandoned_checkout",
)  # fmt: skip
"""Tables of the shop that have a time at which their rows came into being."""
_EVENTFUL = ("customer", "order", "transaction", "fulfillment", "abandoned_checkout")
_NUMBERS = (
    ("order", "total_price"), ("transaction", "amount"), ("abandoned_checkout", "subtotal_price"),
    ("customer", "total_spent"),
)  # fmt: skip
_FILLED = (
    ("customer", "email"), ("customer", "state"), ("order", "source_name"), ("order", "currency"),
    ("transaction", "kind"), ("fulfillment", "tracking_company"), ("abandoned_checkout", "email"),
)  # fmt: skip
_KEYS = (
    ("order", "customer_id"), ("order", "location_id"), ("abandoned_checkout", "customer_id"),
)  # fmt: skip
_CATEGORIES = (("order", "source_name", {"web": 20, "pos": 60, "instagram": 20}),
               ("customer", "state", {"enabled": 1, "disabled": 8, "invited": 1}),
               ("fulfillment", "tracking_company", {"UPS": 1, "USPS": 1, "FedEx": 8}))  # fmt: skip
_SHARES = (("weak", 0.03), ("middle", 0.15), ("strong", 0.5))
_LASTS = timedelta(days=10)
_LEAD = timedelta(days=14)  # a fault begins that long before the end, so that it can be noticed
_TOGETHER = 6


@dataclass(frozen=True, slots=True)
class Scenario:
    """Some faults that are put into the shop.

    Attributes:
        kind: of the fault; ``several`` for two together.
        strength: ``weak``, ``middle`` or ``strong``; ``-`` of kinds that have none.
        table: the table that is hit.
        words: what is done, as `headrace generate --faults` has it.
        faults: as a file of faults has them.
        begins: of the first of them, UTC.
        second: when the second one begins; None of one alone.
    """

    kind: str
    strength: str
    table: str
    words: str
    faults: tuple[dict[str, Any], ...]
    begins: datetime
    second: datetime | None = None

    @property
    def is_of_columns(self) -> bool:
        """Whether it changes the table's columns, and no row."""
        return self.kind.startswith("column_")

    @property
    def begins_of_each(self) -> tuple[datetime, ...]:
        """When each of the faults begins, UTC."""
        return (self.begins, self.second) if self.second is not None else (self.begins,)


def scenarios(seed: int, since: datetime, until: datetime) -> list[Scenario]:
    """The scenarios of a replay, the same for the same seed.

    Args:
        seed: decides which column is hit, and when.
        since: the first time at which a fault may begin, UTC.
        until: the end of the replay, UTC.
    """
    found = [*_single(random.Random(seed), since, until)]
    return [*found, *_together(random.Random(seed + 1), found)]


def batches(todo: Sequence[Scenario]) -> list[list[Scenario]]:
    """Scenarios that one load can have: each of another table, and of a kind with the others.

    Faults that change a column's type can stop a build, and those of columns come with the rows of
    the last day only: neither shares a load with others.
    """
    made: list[tuple[str, list[Scenario]]] = []
    for one in todo:
        kinds = {fault["kind"] for fault in one.faults}
        group = "columns" if one.is_of_columns else "types" if "type_flip" in kinds else "rows"
        for other, batch in made:
            if other == group and one.table not in {each.table for each in batch}:
                batch.append(one)
                break
        else:
            made.append((group, [one]))
    return [batch for _, batch in made]


def _single(rng: random.Random, since: datetime, until: datetime) -> Iterator[Scenario]:
    def when() -> datetime:
        days = (until - _LEAD - since).days
        return since + timedelta(days=rng.randrange(max(1, days)))

    def one(kind: str, strength: str, table: str, begins: datetime, **options: Any) -> Scenario:
        words = ":".join([kind, table, *(f"{key}={value}" for key, value in options.items())])
        return Scenario(kind, strength, table, words, ({"kind": kind, "table": table, **options},),
                        begins)  # fmt: skip

    for strength, share in _SHARES:
        for kind, columns in (("nulls", _FILLED), ("orphan_keys", _KEYS),
                              ("out_of_range", _NUMBERS), ("type_flip", _NUMBERS)):  # fmt: skip
            for table, column in rng.sample(columns, 2):
                begins = when()
                yield one(kind, strength, table, begins, column=column, share=share,
                          **{"from": _text(begins), "to": _text(begins + _LASTS)})  # fmt: skip
        for kind in ("duplicates", "out_of_order"):
            for table in rng.sample(_EVENTFUL, 2):
                begins = when()
                window = {"from": _text(begins), "to": _text(begins + _LASTS)}
                yield one(kind, strength, table, begins, share=share, **window)
        table, begins = rng.choice(("order", "customer")), until - timedelta(days=2)
        yield one("late_rows", strength, table, begins, share=share, max="3d",
                  **{"from": _text(begins)})  # fmt: skip
    for strength, spike, drop, scale in (
        ("weak", 1.5, 0.7, 1.1), ("middle", 2.5, 0.4, 1.5), ("strong", 5.0, 0.1, 100.0),
    ):  # fmt: skip
        for kind, factor in (("volume_spike", spike), ("volume_drop", drop)):
            for table in rng.sample(_EVENTFUL, 2):
                begins = when()
                yield one(kind, strength, table, begins, day=_text(begins), factor=factor)
        for table, column in rng.sample(_NUMBERS, 2):
            begins = when()
            yield one("drift", strength, table, begins, column=column, scale=scale,
                      **{"from": _text(begins)})  # fmt: skip
    for table, column, weights in _CATEGORIES:
        begins = when()
        yield one("drift", "strong", table, begins, column=column, weights=weights,
                  **{"from": _text(begins)})  # fmt: skip
    for table in rng.sample(_EVENTFUL, 3):
        begins = when()
        yield one("missing_day", "-", table, begins, day=_text(begins))
    for days in (2, 5):
        begins = until - timedelta(days=days)
        yield one("stale_feed", "-", rng.choice(("order", "customer")), begins,
                  **{"from": _text(begins)})  # fmt: skip
    table, column = rng.choice(_FILLED)
    begins = until - timedelta(days=1)
    given = {"from": _text(begins)}
    yield one("column_added", "-", table, begins, column="channel", value="web", **given)
    yield one("column_dropped", "-", table, begins, column=column, **given)
    yield one("column_renamed", "-", table, begins, column=column, to=f"{column}_2", **given)
    yield one("column_nested", "-", table, begins, column=column, into="more", **given)
    table, column = rng.choice(_NUMBERS)
    yield one("column_retyped", "-", table, begins, column=column, type="text", **given)


def _together(rng: random.Random, found: Sequence[Scenario]) -> Iterator[Scenario]:
    """Two faults of different kinds in one table, each with its own beginning."""
    made = 0
    for first in rng.sample(found, len(found)):
        others = [
            one
            for one in found
            if one.table == first.table and one.kind != first.kind
            and not {one.kind, first.kind} & {"out_of_order", "type_flip"}
            and not any(each.kind.startswith("column_") for each in (one, first))
        ]  # fmt: skip
        if others and made < _TOGETHER:
            second = rng.choice(others)
            made += 1
            yield Scenario(
                "several", max(first.strength, second.strength), first.table,
                f"{first.words} and {second.words}", (*first.faults, *second.faults),
                min(first.begins, second.begins), max(first.begins, second.begins),
            )  # fmt: skip


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%d")
