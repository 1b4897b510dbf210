"""For how long rows still change after their event, which runs show.

    a period as it was ─┐
    as it is now ───────┴─► the columns whose values moved ─► how old its event was ─► Learned

An order is paid, sent and perhaps returned days after it was placed: the share of orders that are
paid is always low in the newest days, and that is no fault. So a metric whose column still changes
is judged when it has settled.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from headrace.quality.monitors.measure import PeriodMetrics
from headrace.quality.monitors.plan import Plan

_ENOUGH = 3  # runs in which periods were measured again, that tell what changes
_AGES = 20  # runs whose changed periods tell how long rows change


@dataclass
class SettlingTimes:
    """What runs have shown of a table.

    Attributes:
        stamp: of its content when it was measured last.
        runs: in which periods were measured again.
        columns: in how many of them the values of a column had changed; ``""``: the rows.
        ages: seconds since the start of the oldest period that had, of the newest runs, by column.
    """

    stamp: str = ""
    runs: int = 0
    columns: dict[str, int] = field(default_factory=dict)
    ages: dict[str, list[float]] = field(default_factory=dict)

    def see(self, ages: Mapping[str, float]) -> None:
        """Note a run in which periods were measured again, with the columns that had changed."""
        self.runs += 1
        for column, age in ages.items():
            self.columns[column] = self.columns.get(column, 0) + 1
            self.ages[column] = [*self.ages.get(column, ()), age][-_AGES:]

    def settles(self, column: str | None, metric: str, plan: Plan) -> float:
        """Seconds after an event in which a metric still changes.

        By what runs have shown; before they have, by the other times of its rows, for all columns.
        Keys and the number of rows do not change by then.
        """
        if self.runs < _ENOUGH:
            return plan.settles if column is not None and column not in plan.key else 0.0
        key = column if column is not None else ""
        if metric == "repeated" or self.columns.get(key, 0) < max(2, self.runs / 5):
            return 0.0
        ages = sorted(self.ages[key])
        return ages[(len(ages) - 1) * 3 // 4] * 1.1

    def as_text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "SettlingTimes":
        """From what `as_text` made."""
        return cls(**json.loads(text))


def moved(before: PeriodMetrics, after: PeriodMetrics) -> set[str]:
    """The columns whose values are others than before; ``""`` if the number of rows is.

    A few late rows move nothing: a share moves by more than a hundredth, a mean by more than a
    twentieth of the deviation.
    """
    found = {""} if abs(after.rows - before.rows) > 0.01 * max(before.rows, 1) else set()
    for name, now in after.columns.items():
        then = before.columns.get(name)
        if then is None or not before.seen or not after.seen:
            continue
        shares = [(then.filled / before.seen, now.filled / after.seen)]
        if len(then.counts) == len(now.counts):
            shares += [
                (one / max(then.filled, 1), other / max(now.filled, 1))
                for one, other in zip(then.counts, now.counts, strict=True)
            ]
        if any(abs(one - other) > 0.01 for one, other in shares) or (
            then.mean is not None
            and now.mean is not None
            and abs(then.mean - now.mean) > 0.05 * ((then.deviation or 0) + (now.deviation or 0))
        ):
            found.add(name)
    return found
