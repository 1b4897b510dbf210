"""Generated dbt projects whose true column edges are known by construction.

A project of *n* models has *n* / 10 raw tables. Every model but the wide ones yields the same 20
columns, made in one of eight ways from one or two models shortly before it, so that chains grow
long: staging (renames, casts), `select *` with a filter and `* exclude`, joins, aggregates,
windows, unions, seven CTEs on top of each other, `case` with aliases that are used in the same
list. Every twelfth model is wide: 60 columns of three models. What is written out is what dbt
leaves behind: `manifest.json` and `catalog.json`.
"""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AMOUNTS = [f"amount_{number}" for number in range(1, 9)]
TEXTS = [f"text_{number}" for number in range(1, 6)]
DATES = [f"date_{number}" for number in range(1, 4)]
COLUMNS = ["id", "key_1", "key_2", "key_3", *AMOUNTS, *TEXTS, *DATES]
DATABASE = "warehouse"

Field = tuple[str, str]
"""An asset and its column."""
Edge = tuple[str, str, str, str]
"""Parent, its column, child, its column."""


@dataclass
class Model:
    """A raw table or a model.

    Attributes:
        id: dbt's `unique_id`.
        name: its identifier.
        columns: in order.
        sql: empty of a raw table.
        direct: column to the fields that its values are made from.
        decided: column to the fields that decide its values only: what a window is made of.
        parents: ids.
    """

    id: str
    name: str
    columns: list[str]
    sql: str = ""
    direct: dict[str, set[Field]] = field(default_factory=dict)
    decided: dict[str, set[Field]] = field(default_factory=dict)
    parents: tuple[str, ...] = ()

    @property
    def schema(self) -> str:
        """Where it stands."""
        return "marts" if self.sql else "shop_raw"

    @property
    def relation(self) -> str:
        """Its name in SQL."""
        return f'"{DATABASE}"."{self.schema}"."{self.name}"'

    def field(self, column: str) -> Field:
        """One of its columns."""
        return (self.id, column)


@dataclass
class Project:
    """Raw tables and models, parents first."""

    models: list[Model]

    def direct(self) -> set[Edge]:
        """All edges by which a value flows."""
        return _edges(self.models, lambda model: model.direct)

    def decided(self) -> set[Edge]:
        """All edges from what a window is made of."""
        return _edges(self.models, lambda model: model.decided)

    def write(self, target: Path) -> None:
        """Write `manifest.json` and `catalog.json`."""
        target.mkdir(parents=True, exist_ok=True)
        (target / "manifest.json").write_text(json.dumps(_manifest(self.models)), "utf-8")
        (target / "catalog.json").write_text(json.dumps(_catalog(self.models)), "utf-8")


def generate(count: int, *, seed: int = 1) -> Project:
    """A project.

    Args:
        count: models.
        seed: of the choice of parents.
    """
    chance = random.Random(f"{seed}:{count}")
    raw = [_raw(number) for number in range(max(count // 10, 1))]
    found: list[Model] = []
    usable: list[Model] = []  # those with the 20 columns
    for number in range(count):
        name = f"model_{number:05d}"
        if number < len(raw):
            model = _staging(name, raw[number])
        else:
            near = usable[-40:] if chance.random() < 0.9 else usable
            parents = [chance.choice(near) for _ in range(3)]
            make = _wide if number % 12 == 11 else _WAYS[number % len(_WAYS)]
            model = make(name, *parents)
        found.append(model)
        if model.columns is not None and set(model.columns) == set(COLUMNS):
            usable.append(model)
    return Project([*raw, *found])


def _edges(models: list[Model], of: Callable[[Model], Mapping[str, set[Field]]]) -> set[Edge]:
    return {
        (parent, source, model.id, column)
        for model in models
        for column, sources in of(model).items()
        for parent, source in sources
    }


def _raw(number: int) -> Model:
    columns = [f"raw_{column}" for column in COLUMNS]
    return Model(f"source.bench.shop.raw_{number:05d}", f"raw_{number:05d}", columns)


def _model(
    name: str,
    sql: str,
    direct: dict[str, set[Field]],
    *parents: Model,
    columns: list[str] | None = None,
    decided: dict[str, set[Field]] | None = None,
) -> Model:
    ids = tuple(sorted({parent.id for parent in parents}))
    key = f"model.bench.{name}"
    return Model(key, name, columns or list(direct), sql, direct, decided or {}, ids)


def _same(parent: Model, columns: list[str]) -> dict[str, set[Field]]:
    return {column: {parent.field(column)} for column in columns}


def _staging(name: str, raw: Model) -> Model:
    lines = []
    for column in COLUMNS:
        source = f"raw_{column}"
        if column in AMOUNTS:
            lines.append(f"{source} / 100.0 as {column}")
        elif column in TEXTS:
            lines.append(f"nullif(trim(lower({source})), '') as {column}")
        elif column in DATES:
            lines.append(f"cast({source} as date) as {column}")
        else:
            lines.append(f"{source} as {column}")
    sql = (
        f"with source as (\n    select * from {raw.relation}\n),\n\nrenamed as (\n    select\n"
        f"        {_lines(lines)}\n    from source\n)\n\nselect * from renamed"
    )
    return _model(name, sql, {column: {raw.field(f"raw_{column}")} for column in COLUMNS}, raw)


def _star(name: str, parent: Model, *_: Model) -> Model:
    sql = (
        f"with base as (\n    select * from {parent.relation}\n    where amount_1 > 0\n),\n\n"
        "final as (\n    select\n        * exclude (amount_8),\n"
        "        amount_1 + amount_2 as amount_8\n    from base\n)\n\nselect * from final"
    )
    kept = [column for column in parent.columns if column != "amount_8"]
    direct = _same(parent, kept)
    direct["amount_8"] = {parent.field("amount_1"), parent.field("amount_2")}
    return _model(name, sql, direct, parent)


def _join(name: str, left: Model, right: Model, *_: Model) -> Model:
    direct, lines = {}, []
    for column in COLUMNS:
        ours, theirs = left.field(column), right.field(column)
        if column in AMOUNTS[:4]:
            lines.append(f"orders.{column} - coalesce(refunds.{column}, 0) as {column}")
            direct[column] = {ours, theirs}
        elif column in TEXTS[:2]:
            lines.append(f"coalesce(refunds.{column}, orders.{column}) as {column}")
            direct[column] = {ours, theirs}
        elif column in {"key_3", *AMOUNTS[4:]}:
            lines.append(f"refunds.{column}")
            direct[column] = {theirs}
        else:
            lines.append(f"orders.{column}")
            direct[column] = {ours}
    sql = (
        f"with orders as (\n    select * from {left.relation}\n),\n\nrefunds as (\n"
        f"    select * from {right.relation}\n),\n\njoined as (\n    select\n"
        f"        {_lines(lines)}\n    from orders\n    left join refunds\n"
        "        on orders.key_1 = refunds.id and refunds.amount_2 > 0\n)\n\nselect * from joined"
    )
    return _model(name, sql, direct, left, right)


def _aggregate(name: str, parent: Model, *_: Model) -> Model:
    direct = _same(parent, COLUMNS)
    direct["id"] = {parent.field("key_1")}
    direct["key_1"] = {parent.field("key_2")}
    lines = ["key_1 as id", "key_2 as key_1", "max(key_2) as key_2", "count(key_3) as key_3"]
    lines += [f"sum({column}) as {column}" for column in AMOUNTS]
    lines += [f"min({column}) as {column}" for column in TEXTS]
    lines += [f"max({column}) as {column}" for column in DATES]
    sql = (
        f"with base as (\n    select * from {parent.relation}\n),\n\ngrouped as (\n    select\n"
        f"        {_lines(lines)}\n    from base\n    group by key_1, key_2\n"
        "    having sum(amount_1) > 0\n)\n\nselect * from grouped"
    )
    direct["key_2"] = {parent.field("key_2")}
    return _model(name, sql, direct, parent)


def _window(name: str, parent: Model, *_: Model) -> Model:
    sql = (
        f"with base as (\n    select * from {parent.relation}\n),\n\nnumbered as (\n    select\n"
        "        *,\n        row_number() over (partition by key_1 order by date_1) as row_no,\n"
        "        lag(amount_1) over (partition by key_1 order by date_1) as previous\n"
        "    from base\n),\n\nfinal as (\n    select\n"
        "        * exclude (row_no, previous, amount_1),\n"
        "        amount_1 - previous as amount_1\n    from numbered\n    where row_no = 1\n)\n\n"
        "select * from final"
    )
    kept = [column for column in parent.columns if column != "amount_1"]
    direct = _same(parent, [*kept, "amount_1"])
    decided = {"amount_1": {parent.field("key_1"), parent.field("date_1")}}
    return _model(name, sql, direct, parent, decided=decided)


def _union(name: str, first: Model, second: Model, *_: Model) -> Model:
    chosen = _lines(COLUMNS)
    sql = (
        f"with web as (\n    select\n        {chosen}\n    from {first.relation}\n),\n\n"
        f"stores as (\n    select\n        {chosen}\n    from {second.relation}\n),\n\n"
        "unioned as (\n    select * from web\n    union all\n    select * from stores\n)\n\n"
        "select * from unioned"
    )
    direct = {column: {first.field(column), second.field(column)} for column in COLUMNS}
    return _model(name, sql, direct, first, second)


def _deep(name: str, parent: Model, *_: Model) -> Model:
    steps = [f"step_0 as (\n    select * from {parent.relation}\n)"]
    direct = _same(parent, list(parent.columns))
    for number in range(1, 7):
        column, other = AMOUNTS[number - 1], AMOUNTS[number]
        steps.append(
            f"step_{number} as (\n    select\n        * exclude ({column}),\n"
            f"        {column} + {other} as {column}\n    from step_{number - 1}\n"
            f"    where {other} is not null\n)"
        )
        both = direct[column] | direct[other]
        del direct[column]
        direct[column] = both
    sql = f"with {(',' + chr(10) * 2).join(steps)}\n\nselect * from step_6"
    return _model(name, sql, direct, parent)


def _case(name: str, parent: Model, *_: Model) -> Model:
    direct, lines = {}, []
    for column in COLUMNS:
        direct[column] = {parent.field(column)}
        if column in AMOUNTS[:3]:
            lines.append(
                f"case when key_2 > 10 then {column} when text_1 = 'x' then 0 end as {column}"
            )
            direct[column] |= {parent.field("key_2"), parent.field("text_1")}
        elif column == "amount_4":
            lines.append("amount_5 + amount_6 as subtotal")
            lines.append("subtotal * key_3 as amount_4")
            direct[column] = {parent.field(one) for one in ("amount_5", "amount_6", "key_3")}
        else:
            lines.append(column)
    sql = (
        f"with base as (\n    select * from {parent.relation}\n),\n\npriced as (\n    select\n"
        f"        {_lines(lines)}\n    from base\n)\n\nselect\n    {_lines(COLUMNS, 4)}\n"
        "from priced\nwhere id in (select key_1 from base where amount_1 > 5)"
    )
    return _model(name, sql, direct, parent)


def _wide(name: str, *parents: Model) -> Model:
    aliases = ("customers", "orders", "payments")
    lines, direct = [], {}
    for alias, parent in zip(aliases, parents, strict=True):
        for column in COLUMNS:
            lines.append(f"{alias}.{column} as {alias}_{column}")
            direct[f"{alias}_{column}"] = {parent.field(column)}
    imports = ",\n\n".join(
        f"{alias} as (\n    select * from {parent.relation}\n)"
        for alias, parent in zip(aliases, parents, strict=True)
    )
    sql = (
        f"with {imports}\n\nselect\n    {_lines(lines, 4)}\nfrom customers\n"
        "left join orders on customers.id = orders.key_1\n"
        "left join payments on orders.id = payments.key_2"
    )
    return _model(name, sql, direct, *parents)


_WAYS: tuple[Callable[..., Model], ...] = (
    _join, _star, _aggregate, _window, _union, _deep, _case,
)  # fmt: skip


def _lines(lines: list[str], indent: int = 8) -> str:
    return (",\n" + " " * indent).join(lines)


def _manifest(models: list[Model]) -> dict[str, Any]:
    nodes = {model.id: _node(model) for model in models if model.sql}
    sources = {model.id: _source(model) for model in models if not model.sql}
    children: dict[str, list[str]] = {model.id: [] for model in models}
    for model in models:
        for parent in model.parents:
            children[parent].append(model.id)
    return {
        "metadata": {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
            "dbt_version": "1.12.6",
            "adapter_type": "duckdb",
            "project_name": "bench",
        },
        "nodes": nodes,
        "sources": sources,
        "parent_map": {model.id: list(model.parents) for model in models},
        "child_map": children,
        **{part: {} for part in ("macros", "docs", "exposures", "metrics", "groups", "selectors",
                                 "saved_queries", "semantic_models", "unit_tests", "disabled")},
    }  # fmt: skip


def _common(model: Model) -> dict[str, Any]:
    return {
        "unique_id": model.id,
        "name": model.name,
        "database": DATABASE,
        "schema": model.schema,
        "relation_name": model.relation,
        "package_name": "bench",
        "fqn": ["bench", model.name],
        "description": "",
        "columns": {},
        "meta": {},
        "tags": [],
    }


def _node(model: Model) -> dict[str, Any]:
    path = f"{model.name}.sql"
    return {
        **_common(model),
        "resource_type": "model",
        "path": path,
        "original_file_path": f"models/{path}",
        "alias": model.name,
        "checksum": {"name": "sha256", "checksum": ""},
        "config": {"enabled": True, "materialized": "table", "tags": [], "meta": {}},
        "depends_on": {"macros": [], "nodes": list(model.parents)},
        "language": "sql",
        "raw_code": "",
        "compiled": True,
        "compiled_code": model.sql,
    }


def _source(model: Model) -> dict[str, Any]:
    return {
        **_common(model),
        "resource_type": "source",
        "path": "models/sources.yml",
        "original_file_path": "models/sources.yml",
        "source_name": "shop",
        "source_description": "",
        "loader": "",
        "identifier": model.name,
        "config": {"enabled": True},
    }


def _catalog(models: list[Model]) -> dict[str, Any]:
    entries = {model.id: _entry(model) for model in models}
    return {
        "metadata": {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/catalog/v1.json",
            "dbt_version": "1.12.6",
        },
        "nodes": {model.id: entries[model.id] for model in models if model.sql},
        "sources": {model.id: entries[model.id] for model in models if not model.sql},
        "errors": None,
    }


def _entry(model: Model) -> dict[str, Any]:
    return {
        "metadata": {
            "type": "BASE TABLE",
            "database": DATABASE,
            "schema": model.schema,
            "name": model.name,
            "comment": None,
            "owner": None,
        },
        "columns": {
            name: {"name": name, "type": _type(name), "index": number, "comment": None}
            for number, name in enumerate(model.columns, 1)
        },
        "stats": {},
        "unique_id": model.id,
    }


def _type(column: str) -> str:
    for part, name in (("amount", "DOUBLE"), ("text", "VARCHAR"), ("date", "DATE")):
        if part in column:
            return name
    return "BIGINT"
