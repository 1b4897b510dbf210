"""The fields of a table: what is drawn, and what follows from it by a rule."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.synth.learn.calendars import Encoding, encoding_of, find_calendars
from headrace.synth.learn.combinations import (
    Categories,
    Combination,
    alone,
    combine,
    explained_by,
    moments_of,
    null_patterns,
)
from headrace.synth.learn.dependencies import (
    HELD,
    DependencyRule,
    Numbers,
    Rules,
    find_exact,
)
from headrace.synth.learn.field import make_field
from headrace.synth.learn.learned_field import LearnedField, SampleColumn, number_of, short
from headrace.synth.learn.near_dependencies import (
    find_clocks,
    find_near,
    is_regular,
    resembles,
)
from headrace.synth.learn.number_field import (
    as_numbers,
    decides,
    decimals_of,
    encoded,
    is_time,
    is_word,
    may_be_encoded,
)
from headrace.synth.learn.relations import KeyedTable, Relations, is_reference, places_of
from headrace.synth.learn.sample_data import LearningSample

_MOST_FOLLOWING: Final = 3_000
_MOST_CLASSES: Final = 500
_EXPLAINED: Final = 0.25
"""A category that explains so much of a number's variance decides its mean."""
_MOST_CODES: Final = 500


def structured_fields(
    sample: LearningSample,
    relations: Relations,
    table: str,
    references: Mapping[str, KeyedTable],
) -> list[LearnedField]:
    """The fields of a table, hidden ones before those that need them."""
    return _Structure(sample, relations, table, references).fields()


class _Structure:
    """What is known of a table while its fields are made."""

    def __init__(
        self,
        sample: LearningSample,
        relations: Relations,
        table: str,
        references: Mapping[str, KeyedTable],
    ) -> None:
        self.sample, self.relations, self.table = sample, relations, table
        self.data = sample.tables[table]
        self.reference = references.get(table)
        self.own = dict(relations.of(table))
        self.places: dict[str, NDArray[np.int64]] = {}
        """Of a column that refers to a listed table: the row there, -1 for null."""
        for name, relation in relations.of(table).items():
            if relation.parent in references and is_reference(sample, relation):
                if relation in relations.orphans:
                    del self.own[name]  # codes with and without a parent, by their frequency
                else:
                    self.places[name] = places_of(sample, relation)
        self.names = set(self.data.column_names)
        self.plain = {name: self._plain(name, self.data.column(name)) for name in self.names}
        self.encodings: dict[str, Encoding] = {}
        self.virtual: dict[str, pa.ChunkedArray] = {}
        """Hidden columns that the sample does not have, and what they would hold there."""
        self.groups: dict[str, tuple[str, int]] = {}
        """Of a column in a combination: the hidden field, and the place in it."""
        self.latent: list[LearnedField] = []
        self.masks: dict[str, str] = {}
        """Of a column that is null together with others: where it is not."""
        self.drawn: dict[str, str] = {}
        """The hidden field that is drawn beneath a column."""
        self.apart: dict[str, set[str]] = {}
        """By hidden field, the columns that it makes null: null says nothing of their values."""
        self.null_alone: dict[str, float] = {}
        """The share of null of the others."""

    def fields(self) -> list[LearnedField]:
        """All fields of the table."""
        rules = self._rules()
        self._combine(rules)
        self._by_category(rules)
        find_near(rules, self.groups)
        self._masks(rules)
        result = list(self.latent)
        for name in self.virtual:
            fields = self._field(name, rules.found.get(name))
            result += [*fields[:-1], _hidden(fields[-1])]
        for name in self.data.column_names:
            listed = self._listed(name)
            result += self._field(name, rules.found.get(name)) if listed is None else [listed]
        return [
            replace(each, apart=frozenset(self.drawn[name] for name in self.apart[each.name]
                                          if name in self.drawn))
            if each.name in self.apart else each
            for each in result
        ]  # fmt: skip

    def _plain(self, name: str, column: pa.ChunkedArray) -> LearnedField:
        """The field of a column by itself."""
        described = SampleColumn(self.table, name, column, tuple(self.data.column_names))
        return make_field(described, self.relations, self.own.get(name), self.sample)

    def _listed(self, name: str) -> LearnedField | None:
        """The field of a column of a table whose keys, or all values, are listed."""
        if self.reference is None:
            return None
        if name == self.relations.keys.get(self.table):
            keys = list(self.reference.keys)
            return LearnedField(name, {"type": "listed", "values": keys, "primary_key": True})
        if name in self.reference.values:
            return LearnedField(
                name, {"type": "listed", "values": list(self.reference.values[name])}
            )
        return None

    def _fresh(self, name: str) -> str:
        """A name for a hidden field that no column has."""
        while name in self.names:
            name += "_"
        self.names.add(name)
        return name

    # rules

    def _rules(self) -> Rules:
        numbers = []
        for name in self.data.column_names:
            column, field = self.data.column(name), self.plain[name]
            if name in self.own or name == self.relations.keys.get(self.table):
                continue
            encoding = encoding_of(column) if may_be_encoded(field) else None
            if encoding is not None:
                self.encodings[name] = encoding
                value = self._fresh(f"{name}_value")
                data = encoding.numbers
                if encoding.written_as == "date":
                    numbers.append(Numbers(name, value, data * 86_400_000_000, "date", 0))
                else:
                    numbers.append(
                        Numbers(name, value, data, "integer", 0, encoding.day, encoding.first)
                    )
            elif field.classes is not None and is_word(name):
                found = as_numbers(name, column)
                if found is not None:
                    numbers.append(found)
        rules = Rules(numbers)
        find_exact(rules)
        calendars = find_calendars(
            numbers, {each.name for each in numbers} - rules.found.keys(), self._fresh
        )
        for calendar in calendars:
            if all(rules.add(rule) for rule in calendar.rules):
                days = pa.array(calendar.days.astype(np.int32)).view(pa.date32())
                self.virtual[calendar.value] = pa.chunked_array([days])
                rules.columns[calendar.value] = calendar.as_numbers()
        for each in find_clocks(rules, self._fresh):
            times = pa.array(each.data, from_pandas=True).cast(pa.int64())
            self.virtual[each.name] = pa.chunked_array([times])
        for name, column in self.virtual.items():
            self.plain[name] = self._plain(name, column)
        return rules

    def _column(self, name: str) -> pa.ChunkedArray:
        return self.virtual[name] if name in self.virtual else self.data.column(name)

    # combinations

    def _combine(self, rules: Rules) -> None:
        followers = []
        texts = [name for name in self.data.column_names if self._is_category(name)]
        categories = [self._categories(name) for name in texts]
        for name in self.data.column_names:
            column = self.data.column(name)
            if name in rules.found or name in texts or name in self.encodings:
                continue
            if self.plain[name].classes is None or is_time(column.type):
                continue
            if pc.count_distinct(column).as_py() > _MOST_FOLLOWING:
                continue
            found = self._categories(name)
            followers.append(found)
            if self._is_code(column) and any(decides(found, each) for each in categories):
                categories.append(found)
        found_ = combine(categories, followers)
        in_any = {name for combination in found_ for name in combination.columns}
        found_ += [alone(each) for each in categories
                   if each.name in self.places and each.name not in in_any]  # fmt: skip
        for combination in found_:
            self._add(combination, "_".join(combination.columns[:3]) + (
                "_row" if len(combination.columns) == 1 else ""))  # fmt: skip
            for place, name in enumerate(combination.columns):
                self.groups[name] = (self.latent[-1].name, place)

    def _by_category(self, rules: Rules) -> None:
        """Numbers of which the mean and the spread are other ones in each category."""
        categories = {name: self._categories(name) for name in self.data.column_names
                      if self._is_category(name)}  # fmt: skip
        for target in rules.free():
            if target.name in self.groups or target.is_time or target.day:
                continue
            if not is_regular(target) or np.unique(target.data[target.valid]).size <= 20:
                continue
            options = [
                (explained_by(target.data, field.classes, _MOST_CLASSES), field.name)
                for field in self.latent
                if field.classes is not None
            ]
            options += [
                (explained_by(target.data, each.codes, _MOST_CLASSES), name)
                for name, each in categories.items()
                if name not in self.groups
            ]
            share, name = max(options, default=(0.0, ""))
            if share < _EXPLAINED:
                continue
            if name in categories and name not in self.groups:
                self._add(alone(categories[name]), f"{name}_and_more")
                self.groups[name] = (self.latent[-1].name, 0)
                name = self.latent[-1].name
            place = next(n for n, field in enumerate(self.latent) if field.name == name)
            self._add_moments(place, target, rules)

    def _add_moments(self, place: int, target: Numbers, rules: Rules) -> None:
        field = self.latent[place]
        assert field.classes is not None
        assert field.labels is not None
        means, spreads = moments_of(target.data, field.classes, len(field.labels))
        known = field.classes >= 0
        mean = np.where(known, means[field.classes], np.nan)
        spread = np.where(known, spreads[field.classes], np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            rest = np.where(spread > 0, (target.data - mean) / spread, np.nan)
        if not resembles(target, mean, [], rest=rest, spread=spread):
            return
        width = len(field.labels[0][0])
        labels = tuple(
            ([*values, _number_or_null(mean), _number_or_null(spread)], weight)
            for (values, weight), mean, spread in zip(field.labels, means, spreads, strict=True)
        )
        self.latent[place] = replace(field, labels=labels)
        text = f"item({field.name}, {width}) + item({field.name}, {width + 1}) * {{rest}}"
        rules.add(DependencyRule(target.name, text, (), "has a mean and a spread by category",
                       np.round(rest, 4).astype(np.float64)))  # fmt: skip

    def _add(self, combination: Combination, name: str, comment: str = "") -> None:
        lost = int((combination.codes < 0).sum())
        settings = {"type": "categorical", "hidden": True}
        share = f"combinations that few rows have are left out: {lost} rows" if lost else ""
        self.latent.append(
            LearnedField(
                self._fresh(name),
                settings,
                comment or share,
                classes=combination.codes,
                labels=tuple(
                    (list(label), float(count))
                    for label, count in zip(combination.labels, combination.counts, strict=True)
                ),
            )
        )

    def _is_category(self, name: str) -> bool:
        field = self.plain[name]
        if name in self.places:
            return True
        if name in self.own or name in self.encodings:
            return False
        return field.labels is not None or field.settings["type"] == "boolean"

    def _is_code(self, column: pa.ChunkedArray) -> bool:
        """Whether a number has so few values that it may stand for a category."""
        if not pa.types.is_integer(column.type):
            return False
        distinct = pc.count_distinct(column).as_py()
        return bool(1 < distinct <= _MOST_CODES and len(column) >= 20 * distinct)

    def _categories(self, name: str) -> Categories:
        column = self.data.column(name)
        if name in self.places:
            rows, codes = np.unique(self.places[name], return_inverse=True)
            values = tuple(None if row < 0 else int(row) for row in rows)
            return Categories(name, codes.astype(np.int64), values)
        if pa.types.is_decimal(column.type):
            column = column.cast(pa.float64())
        encoded = column.combine_chunks().dictionary_encode("encode")
        codes = encoded.indices.to_numpy().astype(np.int64)
        return Categories(name, codes, tuple(encoded.dictionary.to_pylist()))

    # null

    def _masks(self, rules: Rules) -> None:
        masks = {}
        for name in self.data.column_names:
            column, rule = self.data.column(name), rules.found.get(name)
            if not column.null_count or name in self.groups or column.null_count == len(column):
                continue
            if name in self.own:
                continue
            is_null = pc.is_null(column).to_numpy()
            if rule is not None and self._is_implied(is_null, rule, rules):
                continue
            masks[name] = is_null
        for pattern in null_patterns(masks):
            self._add(pattern, "nulls_of_" + "_".join(pattern.columns[:3]),
                      "which columns are null together")  # fmt: skip
            for place, name in enumerate(pattern.columns):
                del masks[name]
                self.apart.setdefault(self.latent[-1].name, set()).add(name)
                self.masks[name] = f"item({self.latent[-1].name}, {place}) == 0"
        self.null_alone = {name: float(is_null.mean()) for name, is_null in masks.items()}

    def _is_implied(self, is_null: NDArray[np.bool_], rule: DependencyRule, rules: Rules) -> bool:
        """Whether a column is null just where what it needs is."""
        needed = np.zeros(len(is_null), dtype=bool)
        for name in rule.needs:
            needed |= ~rules.columns[name].valid
        return bool((needed == is_null).mean() >= HELD)

    # fields

    def _field(self, name: str, rule: DependencyRule | None) -> list[LearnedField]:
        plain, column = self.plain[name], self._column(name)
        if name in self.groups:
            latent, place = self.groups[name]
            if name in self.places:
                relation = self.own[name]
                refers = f"{relation.parent}.{relation.parent_column}"
                row = f"item({latent}, {place})"
                return [
                    LearnedField(name, {"type": "foreign_key", "references": refers, "row": row})
                ]
            return [self._derived(name, f"item({latent}, {place})")]
        encoding = self.encodings.get(name)
        mask = self.masks.get(name)
        if rule is None and encoding is None and mask is None:
            return [plain]
        result: list[LearnedField] = []
        if rule is not None:
            expression = rule.expression
            if rule.rest is not None:
                rest = self._rest(name, rule.rest)
                self.drawn[name] = rest.name
                result.append(rest)
                expression = expression.replace("{rest}", rest.name)
            comment = f"{name} {rule.comment}"
        else:
            numbers = column if encoding is None else encoded(encoding)
            base = self.drawn[name] = self._fresh(f"{name}_drawn")
            drawn = self._plain_like(name, base, numbers)
            keeps_null = mask is None
            result.append(_hidden(drawn, keeps_null=keeps_null))
            expression, comment = base, ""
        if encoding is not None:
            value = self._value_of(name)
            settings: dict[str, Any] = {
                "type": "derived", "expression": expression, "hidden": True,
            }  # fmt: skip
            if encoding.written_as == "date":
                settings["as"] = "date"
            result.append(LearnedField(value, settings, comment))
            expression, comment = encoding.expression.format(value), encoding.what
        if mask is not None:
            expression = f"({expression}) if {mask} else null"
        result.append(self._derived(name, expression, comment=comment, rule=rule))
        return result

    def _value_of(self, name: str) -> str:
        return f"{name}_value" if f"{name}_value" in self.names else name

    def _plain_like(self, name: str, base: str, column: pa.ChunkedArray) -> LearnedField:
        field = self._plain(name, column) if column is self._column(name) else None
        if field is None:
            field = make_field(
                SampleColumn(self.table, base, column, tuple(self.data.column_names)),
                self.relations, None, self.sample,
            )  # fmt: skip
        return replace(field, name=base)

    def _rest(self, name: str, rest: NDArray[np.float64]) -> LearnedField:
        decimals = decimals_of(rest[~np.isnan(rest)])
        column = pa.chunked_array([pa.array(rest, from_pandas=True)])
        if decimals == 0:
            column = column.cast(pa.int64())
        base = self._fresh(f"{name}_rest")
        return _hidden(self._plain_like(name, base, column))

    def _derived(
        self,
        name: str,
        expression: str,
        *,
        comment: str = "",
        rule: DependencyRule | None = None,
    ) -> LearnedField:
        kind = self._column(name).type
        settings: dict[str, Any] = {"type": "derived"}
        extra: dict[str, Any] = {}
        if pa.types.is_integer(kind):
            if rule is not None:
                expression = _rounded(expression)
            extra["as"] = "integer"
        elif pa.types.is_decimal(kind):
            extra |= {"round": kind.scale, "as": "decimal"}
        elif pa.types.is_floating(kind):
            decimals = decimals_of(self._column(name).drop_null().to_numpy())
            extra |= {"as": "number"} | ({"round": decimals} if decimals is not None else {})
        elif pa.types.is_boolean(kind):
            extra["as"] = "boolean"
        elif pa.types.is_date(kind):
            extra["as"] = "date"
        elif pa.types.is_timestamp(kind):
            extra["as"] = "datetime"
        if rule is not None and rule.rest is not None and not is_time(kind):
            expression = self._clipped(name, expression)
        if rule is not None and name in self.null_alone:
            extra["null_rate"] = short(self.null_alone[name])
        return LearnedField(name, {**settings, "expression": expression, **extra}, comment)

    def _clipped(self, name: str, expression: str) -> str:
        column = self._column(name)
        decimals = 0 if pa.types.is_integer(column.type) else None
        ends = pc.min_max(column.cast(pa.float64()))
        low, high = (number_of(ends[end].as_py(), decimals) for end in ("min", "max"))
        found = re.fullmatch(r"\((.*)\) (if item\(.*)", expression)
        if found:
            return f"min(max({found[1]}, {low}), {high}) {found[2]}"
        return f"min(max({expression}, {low}), {high})"


def _number_or_null(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.6g}")


def _rounded(expression: str) -> str:
    found = re.fullmatch(r"\((.*)\) (if item\(.*)", expression)
    return f"(round({found[1]})) {found[2]}" if found else f"round({expression})"


def _hidden(field: LearnedField, *, keeps_null: bool = False) -> LearnedField:
    settings = {key: value for key, value in field.settings.items()
                if key != "null_rate" or keeps_null}  # fmt: skip
    return replace(field, settings={**settings, "hidden": True})
