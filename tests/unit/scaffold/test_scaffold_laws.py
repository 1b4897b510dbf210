"""Laws: whatever a user does to the files survives; whatever a column is called can be read."""

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import duckdb
import jinja2
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from scaffold_bench import Bench, make_bench

from headrace.scaffold.plan import plan_model
from headrace.scaffold.raw_schema import RawColumnSchema, RawSchema, RawTableSchema
from headrace.scaffold.render import model_sql

_FOLDER = tempfile.TemporaryDirectory()
EMPTY = 'description: ""  # to be described'
TEXTS = ["a plain text", "'in ''quotes'' # none'", '"two: three"', ">-\n{i}  folded\n{i}  # text"]
KINDS = ["describe", "comment", "blank", "swap", "remove", "test", "trail", "flow"]

edits = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 10**6), st.sampled_from(TEXTS)), max_size=8
)
new_columns = st.lists(
    st.sampled_from(["coupon", "shipped", "is_gift", "order_note", "weight"]),
    unique=True,
    max_size=3,
)


def blocks(lines: list[str]) -> list[tuple[int, int, int]]:
    """Start, end and indentation of each ``- name:`` item of the innermost lists."""
    depth = max((len(line) - len(line.lstrip()) for line in lines if "- name:" in line), default=0)
    mark = " " * depth + "- name:"
    starts = [n for n, line in enumerate(lines) if line.startswith(mark)]
    found = []
    for start in starts:
        end = start + 1
        while end < len(lines) and lines[end].startswith(" " * (depth + 1)):
            end += 1
        found.append((start, end, depth))
    return found


def edited(text: str, kind: str, number: int, value: str) -> str:
    """The text after one thing that a user may do; as it was where that would break it."""
    lines = text.splitlines()
    items = blocks(lines)
    if not items:
        return text
    start, end, depth = items[number % len(items)]
    pad = " " * depth
    if kind == "describe":
        body = value.replace("{i}", pad + "  ").splitlines()
        lines = [*lines[: start + 1], *lines[start + 1 : end], *lines[end:]]
        place = next((n for n in range(start, end) if lines[n].strip() == EMPTY), None)
        if place is not None:
            lines[place : place + 1] = [f"{pad}  description: {body[0]}", *body[1:]]
    elif kind == "comment":
        lines.insert(end if number % 2 else start, f"{pad}# - name: no column {number}")
    elif kind == "blank":
        lines.insert(end, "")
    elif kind == "swap" and len(items) > 1:
        first, second = sorted({items[number % len(items)], items[(number + 1) % len(items)]})
        if first[1] != second[0]:  # of two tables
            return text
        a, b = lines[slice(*first[:2])], lines[slice(*second[:2])]
        lines = [*lines[: first[0]], *b, *lines[first[1] : second[0]], *a, *lines[second[1] :]]
    elif kind == "remove" and len(items) > 1:
        del lines[start:end]
    elif kind == "test" and not any("data_tests" in line for line in lines[start:end]):
        lines[end:end] = [
            f"{pad}  data_tests:",
            f"{pad}    - not_null:  # {number}",
            f"{pad}        name: t{number}",
        ]
    elif kind == "trail":
        lines[start] += f"   # {number}"
    elif kind == "flow" and end == start + 2 and "#" not in lines[start]:
        name = lines[start].split(":", 1)[1].strip()
        lines[start:end] = [f"{pad}- {{name: {name},  description: ''}}"]
    return "\n".join(lines) + "\n"


def names(text: str) -> list[str]:
    (model,) = YAML(typ="safe").load(text)["models"]
    return [column["name"] for column in model["columns"]]


def is_within(old: str, new: str) -> bool:
    rest = iter(new.splitlines(keepends=True))
    return all(line in rest for line in old.splitlines(keepends=True))


# no shrinking: an example takes a while
@settings(max_examples=6, deadline=None, phases=[Phase.reuse, Phase.generate])
@given(edits, new_columns, st.booleans())
def test_edits_of_a_yml_survive(
    steps: list[tuple[str, int, str]], more: list[str], crlf: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "project")
        shutil.copytree(scaffolded(), bench.root)
        before = edit_and_grow(bench, steps, more, crlf=crlf)
        report = bench.scaffold()
        assert report.vanished == ()
        for name, text in before.items():
            new = bench.text(name)
            assert is_within(text, new), name
            if not more:
                assert new == text
        kept, grown = names(before["orders.yml"]), names(bench.text("orders.yml"))
        assert [name for name in grown if name in kept] == kept
        by_hand = {task.path for task in report.by_hand}
        if "models/staging/store/stg_store__orders.yml" not in by_hand:
            assert len(grown) == len(kept) + len(more)
        files = {name: bench.path(name).stat().st_mtime_ns for name in (*before, "lock")}
        assert bench.scaffold().changes == ()
        assert {name: bench.path(name).stat().st_mtime_ns for name in files} == files


@cache
def scaffolded() -> Path:
    """A project that was scaffolded once, to copy."""
    bench = make_bench(Path(tempfile.mkdtemp(dir=_FOLDER.name)) / "project")
    bench.scaffold()
    return bench.root


def edit_and_grow(
    bench: Bench, steps: list[tuple[str, int, str]], more: list[str], *, crlf: bool
) -> dict[str, str]:
    """Edit two yml files, and let the source grow; returns the files as the user left them."""
    for name in ("orders.yml", "sources"):
        text = bench.text(name)
        for kind, number, value in steps:
            after = edited(text, kind, number, value)
            YAML(typ="safe").load(after)
            text = after
        bench.path(name).write_bytes(text.replace("\n", "\r\n" if crlf else "\n").encode())
    for column in more:
        bench.add_column("orders", column)
    return {name: bench.text(name) for name in ("orders.yml", "sources", "visits.yml")}


column_names = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\x00"),
    min_size=1,
    max_size=70,
)
data_types = st.sampled_from(["text", "bigint", "bool", "timestamp", "date", "json", "time"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(column_names, data_types), min_size=1, max_size=6), column_names)
def test_any_column_of_any_table_reaches_the_model(
    found: list[tuple[str, str]], table: str
) -> None:
    """The SQL is rendered by jinja and run by DuckDB: each raw column comes out, under one name."""
    unique = {
        name.lower(): RawColumnSchema(name, kind) for name, kind in found if name.casefold() == name
    }
    load_id = RawColumnSchema("_dlt_load_id", "text", is_nullable=False)
    columns = (*(c for c in unique.values() if not c.name.startswith("_dlt")), load_id)
    raw = RawTableSchema(table, columns)
    plan = plan_model("s", RawSchema((raw,), {}), raw)
    if not plan.columns or "\x00" in table:
        return
    sql = model_sql("s", plan, {table: table})

    def quote(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    rendered = jinja2.Template(sql).render(
        source=lambda _, name: quote(name),
        completed_loads=lambda _: "select '1' as load_id",
    )
    with duckdb.connect() as connection:
        listed = ", ".join(f"{quote(column.name)} text" for column in columns)
        connection.execute(f"create table {quote(table)} ({listed})")
        values = [*(str(n) for n in range(len(columns) - 1)), "1"]
        marks = ", ".join("?" * len(columns))
        connection.execute(f"insert into {quote(table)} values ({marks})", values)
        connection.execute(f"insert into {quote(table)} values ({marks})", [*values[:-1], "2"])
        result = connection.execute(rendered)
        assert [name for name, *_ in result.description] == [c.name for c in plan.columns]
        rows = result.fetchall()
    shown = {column.column.name: column.column for column in plan.columns}
    expected = {name: str(n) for n, name in enumerate(c.name for c in columns) if name in shown}
    assert rows == [tuple(expected[column.column.name] for column in plan.columns)]
    assert len({json.dumps(c.name.lower()) for c in plan.columns}) == len(plan.columns)
