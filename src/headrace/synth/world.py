"""A simulated world: the tables of a schema file under a seed and a scale."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from headrace.synth import draw, draw_text, pools
from headrace.synth.errors import SchemaError, SchemaProblem, SynthError
from headrace.synth.patterns import MARKS, capacity
from headrace.synth.plan import FieldPath, TablePlan, walk_fields
from headrace.synth.planner import make_plans
from headrace.synth.population import Fixed, Population, Rate, to_us
from headrace.synth.schema.base import as_datetime
from headrace.synth.schema.fields import Case, Categorical, Unique
from headrace.synth.schema.schema_file import SchemaDocument, read
from headrace.synth.values import NEVER

MOST_SCALE: Final = 1e9
MOST_ADDRESSES: Final = 1 << 62
"""Addresses of rows lie below; a table without an end counts 160 years."""


class World:
    """The tables of a schema file under a seed and a scale; pure functions of time.

    Args:
        document: the schema file, as read.
        seed: any integer; the schema file's without it.
        scale: multiplies counts and rates.

    Raises:
        SchemaError: the schema file is wrong; says where.
    """

    def __init__(
        self, document: SchemaDocument, *, seed: int | None = None, scale: float = 1.0
    ) -> None:
        if not (math.isfinite(scale) and 0 < scale <= MOST_SCALE):
            raise SynthError(f"the scale is {scale:g}; it must be above 0 and at most 1e9")
        self.document = document
        self.schema = document.schema
        self.seed = self.schema.seed if seed is None else seed
        self.scale = scale
        self.plans = make_plans(document)
        self._populations = {
            plan.name: self._populate(plan) for plan in self.plans.values() if plan.parent is None
        }
        self._factors: dict[str, NDArray[np.float64]] = {}
        self._choices: dict[tuple[str, FieldPath], draw.Choices] = {}
        self._check_sizes()
        self._check_rates()
        self._check_pools()

    @classmethod
    def from_file(cls, path: Path, *, seed: int | None = None, scale: float = 1.0) -> "World":
        """The world of a schema file.

        Raises:
            SynthError: it cannot be read, or is wrong.
        """
        return cls(read(path), seed=seed, scale=scale)

    def _populate(self, plan: TablePlan) -> Population:
        scale = self.scale if plan.table.scale else 1.0
        clock = plan.table.clock
        count = None if plan.table.count is None else round(plan.table.count * scale)
        if clock is not None:
            return Rate(clock[1], self.seed, plan.name, scale, count)
        return Fixed(count or 0)

    def population(self, plan: TablePlan) -> Population:
        """The rows of a table without a parent."""
        return self._populations[plan.name]

    def address_limit(self, plan: TablePlan) -> int:
        """An address above those of all rows, also of future ones."""
        if plan.parent is not None:
            return self.address_limit(plan.parent) * plan.stride
        return self.population(plan).total(NEVER)

    def home(self, plan: TablePlan, locale: str | None) -> tuple[str, Path | None]:
        """The locale of a field, and where the frozen pools of its schema file are."""
        return locale or self.schema.locale, plan.file.parent if plan.file else None

    def choices(self, owner: TablePlan, place: FieldPath, item: Categorical | Case) -> draw.Choices:
        """The values that a field of a table lists, prepared once for all blocks.

        Args:
            owner: the table.
            place: where the field stands in it.
            item: the field, or a case of it.
        """
        name = (owner.name, place)
        if name not in self._choices:
            self._choices[name] = draw.listed_choices(item)
        return self._choices[name]

    def factor(self, plan: TablePlan) -> NDArray[np.float64]:
        """The lower triangle by which independent normals become correlated (Cholesky)."""
        if plan.name not in self._factors:
            self._factors[plan.name] = self._factor(plan)
        return self._factors[plan.name]

    def _factor(self, plan: TablePlan) -> NDArray[np.float64]:
        correlation = plan.table.correlation
        assert correlation is not None
        matrix = np.array(correlation.matrix, dtype=np.float64)
        size = len(matrix)
        lower = np.zeros((size, size))
        for row in range(size):
            for column in range(row + 1):
                rest = matrix[row, column] - float(
                    sum(lower[row, k] * lower[column, k] for k in range(column))
                )
                if row == column:
                    lower[row, column] = math.sqrt(max(rest, 0.0))
                elif lower[column, column] > 1e-9:
                    lower[row, column] = rest / lower[column, column]
        return lower

    @property
    def tables(self) -> list[TablePlan]:
        """The tables that are written, in the order of the file."""
        return [plan for plan in self.plans.values() if plan.own and not plan.table.hidden]

    @property
    def evolves(self) -> bool:
        """Whether any table does."""
        return any(plan.evolves for plan in self.tables)

    @property
    def start(self) -> datetime | None:
        """The first timestamp of any table that evolves."""
        starts = [
            as_datetime(clock[1].start or (clock[1].range or [datetime(1970, 1, 1)])[0])  # noqa: DTZ001
            for plan in self.plans.values()
            if (clock := plan.table.clock) is not None
        ]
        return min(starts, default=None)

    def _check_sizes(self) -> None:
        """Addresses are numbers of 64 bits."""
        for plan in self.plans.values():
            if self.address_limit(plan) >= MOST_ADDRESSES:
                raise SynthError(
                    f"{plan.name} could have {self.address_limit(plan):.0e} rows at scale "
                    f"{self.scale:g}, and at most {MOST_ADDRESSES:.0e} can be numbered: take a "
                    "smaller scale, or a smaller max of its child tables"
                )

    def _check_rates(self) -> None:
        for plan in self.plans.values():
            for column, target in plan.keys.items():
                if plan.own and self.address_limit(target) == 0 and self.address_limit(plan) > 0:
                    item = plan.table.fields[column]
                    if not getattr(item, "may_be_null", False):
                        raise SchemaError([
                            self.document.problem(
                                f"{target.name} has no rows to point at",
                                "schema", plan.name, "fields", column,
                            )
                        ])  # fmt: skip

    def _check_pools(self) -> None:
        problems: list[SchemaProblem] = []
        for plan in self.plans.values():
            if not plan.own:
                continue
            for place, item in walk_fields(plan.table.fields):
                if isinstance(item, Unique | Categorical):
                    try:
                        self._check_pool(plan, item)
                    except SynthError as error:
                        problems.append(
                            self.document.problem(str(error), "schema", plan.name, *place)
                        )
        if problems:
            raise SchemaError(problems)

    def _check_pool(self, plan: TablePlan, item: Unique | Categorical) -> None:
        provider = (item.generator or "").removeprefix("faker.")
        home = self.home(plan, item.locale)
        if isinstance(item, Categorical):
            if provider:
                pools.load(provider, *home)
            return
        if item.patterns is not None:
            last = list(item.patterns)[-1]
            size, name = capacity(last, MARKS), f"the pattern {last!r}"
        elif item.pattern is not None or provider in draw_text.PATTERNS:
            size = capacity(item.pattern or draw_text.PATTERNS[provider])
            name = f"the pattern {item.pattern or draw_text.PATTERNS[provider]!r}"
        elif provider in draw_text.BUILT:
            return
        else:
            size = len(pools.load(provider, *home).values)
            name = f"faker.{provider}"
        needed = self.address_limit(plan)
        clock = plan.root.table.clock
        if clock is not None and clock[1].range is None:
            needed = min(needed, self.population(plan.root).total(_far()) * plan.root_stride)
        if needed > size:
            raise SynthError(
                f"the pool is too small: {name} has {size:,} distinct values, and {plan.name} "
                f"{needed:,} rows; use a pattern with more # and ?, or type categorical"
            )


def _far() -> int:
    """Ten years from now: how far a pool must reach for a table without an end."""
    now = datetime.now(UTC)
    return to_us(now.replace(year=now.year + 10, day=1, tzinfo=None))
