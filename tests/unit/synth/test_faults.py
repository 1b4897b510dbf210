"""Faults: what differs from the clean tables is what the manifest names, and nothing else."""

import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.synth import view as view_module
from headrace.synth.errors import SchemaError, SynthError
from headrace.synth.faults import FaultManifest, Overlay, faults_of, parse_spec
from headrace.synth.faults.block import as_text
from headrace.synth.record_batch import to_batch
from headrace.synth.schema.fault import FAULT_KINDS
from headrace.synth.schema.schema_file import parse
from headrace.synth.view import Range, View
from headrace.synth.world import World

SHOP = """
seed: 7
schema:
  product:
    count: 40
    fields:
      sku: {type: uuid, primary_key: true}
      title: {type: text, words: [1, 3]}
      price: {type: numerical, min: 1, max: 90, as: text}
      made_at: {type: datetime, range: [2023-01-01, 2023-12-31]}
  customer:
    fields:
      id: {type: serial, primary_key: true}
      email: {type: unique, pattern: "c-######"}
      tier: {type: categorical, values: {gold: 1, silver: 2, bronze: 7}, null_rate: 0.1}
      active: {type: boolean}
      created_at: {type: datetime, distribution: rate, start: 2024-01-01, per_day: 2, initial: 60}
  order:
    late: {rate: 0.1, max: 1d}
    fields:
      id: {type: serial, primary_key: true, start: 5000}
      customer_id: {type: foreign_key, references: customer.id, null_rate: 0.1}
      product: {type: foreign_key, references: product.sku}
      created_at: {type: datetime, distribution: rate, start: 2024-01-01, per_day: 12}
      amount: {type: numerical, distribution: gaussian, mean: 50, stddev: 9, as: decimal}
      weight: {type: numerical, distribution: lognormal, mean: 2, stddev: 1}
      status:
        type: status
        start: pending
        ladder: {pending: {to: {paid: 0.9}, delay: {min: 1h, max: 6d}}}
      address: {type: struct, fields: {zip: {type: text, pattern: "#####"}}}
      margin: {type: derived, expression: "amount / 2", round: 2, as: decimal}
      secret: {type: boolean, hidden: true}
  line:
    per: {table: order, count: {max: 3, min: 1}}
    fields:
      id: {type: serial, primary_key: true}
      order_id: {type: derived, expression: "order.id"}
      quantity: {type: numerical, distribution: poisson, mean: 3}
  backstage:
    hidden: true
    count: 3
    fields: {id: {type: serial, primary_key: true}}
"""
MOMENT = datetime(2024, 2, 10)  # noqa: DTZ001 - UTC, as the world has it
KEYS = {"product": "sku", "customer": "id", "order": "id", "line": "id"}
WORLD = World(parse(SHOP))


def faulty(
    spec: str, *, view: View | None = None, rows: Range | None = None
) -> tuple[dict[str, pa.Table], FaultManifest]:
    """The tables with faults, strings not as dictionaries; and the manifest."""
    view = view or View.of(WORLD, MOMENT)
    overlay = Overlay(view, parse_spec(spec, view))
    tables = {}
    for plan in WORLD.tables:
        schema = overlay.schema(plan, view.arrow_schema(plan))
        batches = [
            pa.Table.from_batches([batch]).cast(schema)
            for frame in view.frames(plan, rows)
            for batch in overlay.apply(plan, frame, to_batch(frame))
        ]
        tables[plan.name] = pa.concat_tables(batches) if batches else schema.empty_table()
    return tables, overlay.manifest()


@cache
def clean(view: View | None = None) -> dict[str, pa.Table]:
    view = view or View.of(WORLD, MOMENT)
    return {plan.name: view.table(plan.name) for plan in WORLD.tables}


def texts(table: pa.Table) -> list[dict[str, str | None]]:
    """Rows with every value as text, so that a column of another type can be compared."""
    columns = [as_text(pa.concat_arrays(each.chunks)).to_pylist() for each in table.columns]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def named(manifest: FaultManifest) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = manifest.table().to_pylist()
    return rows


CELLS = [
    ("orphan_keys", "order", "customer_id", "0.1"),
    ("orphan_keys", "order", "product", "0.1"),
    ("orphan_keys", "line", "order_id", "0.1"),
    ("nulls", "order", "address", "0.1"),
    ("nulls", "customer", "tier", "0.2"),
    ("nulls", "line", "id", "0.05"),
    ("out_of_range", "order", "amount", "0.1"),
    ("out_of_range", "order", "margin", "0.1"),
    ("out_of_range", "order", "created_at", "0.1"),
    ("out_of_range", "order", "weight", "0.1"),
    ("out_of_range", "line", "quantity", "0.1"),
    ("out_of_range", "product", "price", "0.2"),
    ("out_of_range", "product", "made_at", "0.2"),
    ("type_flip", "order", "amount", "0.1"),
    ("type_flip", "order", "created_at", "0.1"),
    ("type_flip", "customer", "active", "0.2"),
    ("type_flip", "customer", "email", "0.2"),
    ("type_flip", "product", "price", "0.2"),
    ("drift", "order", "amount", "2024-01-20:1.5:3"),
    ("drift", "line", "quantity", "2024-01-20:2"),
    ("drift", "product", "price", "2023-07-01:2"),
    ("stale_feed", "order", None, "2024-02-06"),
]


@pytest.mark.parametrize(("kind", "table", "column", "argument"), CELLS)
def test_the_cells_that_differ_are_those_of_the_manifest(
    kind: str, table: str, column: str | None, argument: str
) -> None:
    target = table if column is None else f"{table}.{column}"
    tables, manifest = faulty(f"{kind}:{target}:{argument}")
    before = clean()
    for name in tables:
        if name != table:
            assert tables[name].equals(before[name])
    key = KEYS[table]
    old = {row[key]: row for row in texts(before[table])}
    hits = named(manifest)
    absent = {json.loads(hit["key"])[key] for hit in hits if hit["effect"] == "absent"}
    kept = [row for name, row in old.items() if str(name) not in {str(each) for each in absent}]
    new = texts(tables[table])
    assert len(new) == len(kept)
    differences = {
        (row[key], name, row[name], other[name])
        for row, other in zip(kept, new, strict=True)
        for name in row
        if row[name] != other[name]
    }
    said = {
        (str(json.loads(hit["key"])[key]), hit["column"], hit["clean"], hit["faulty"])
        for hit in hits
        if hit["effect"] == "changed"
    }
    assert differences == said
    assert differences
    assert manifest.faults[0].count == len(hits) == len(said) + len(absent)
    assert {hit["kind"] for hit in hits} == {kind}
    if column is not None:
        assert {name for _, name, _, _ in said} == {column}


def test_an_orphan_points_at_no_row() -> None:
    tables, manifest = faulty("orphan_keys:order.product:0.1,orphan_keys:order.customer_id:0.1")
    orders = tables["order"]
    for column, target in (("product", "product"), ("customer_id", "customer")):
        known = set(clean()[target].column(KEYS[target]).to_pylist())
        orphans = sum(
            value is not None and value not in known for value in orders.column(column).to_pylist()
        )
        assert orphans == sum(hit["column"] == column for hit in named(manifest)) > 0


def test_values_out_of_range_are_outside_of_it() -> None:
    tables, manifest = faulty("out_of_range:product.price:0.3")
    outside = [
        price
        for price in tables["product"].column("price").to_pylist()
        if not 1 <= float(price) <= 90
    ]
    assert len(outside) == manifest.faults[0].count > 0


@pytest.mark.parametrize(
    "spec",
    [
        "missing_day:order:2024-01-20",
        "missing_day:line:2024-01-20",
        "missing_day:product.made_at:2023-05-17",
        "volume_drop:order:2024-01-20:0.5",
        "late_rows:order:0.9:20d",
    ],
)
def test_the_rows_that_are_absent_are_those_of_the_manifest(spec: str) -> None:
    view = View.of(WORLD, MOMENT)
    if "made_at" in spec:
        day = clean()["product"].column("made_at")[0].as_py()
        spec = f"missing_day:product.made_at:{day:%Y-%m-%d}"
    tables, manifest = faulty(spec, view=view)
    hits = named(manifest)
    table = manifest.faults[0].table
    absent = {json.loads(hit["key"])[KEYS[table]] for hit in hits}
    old = clean()[table].to_pylist()
    assert tables[table].to_pylist() == [row for row in old if row[KEYS[table]] not in absent]
    assert 0 < len(hits) == len(absent) == len(old) - len(tables[table])
    assert {hit["effect"] for hit in hits} == {"absent"}


def test_a_missing_day_is_the_whole_day() -> None:
    tables, manifest = faulty("missing_day:order:2024-01-20")
    days = [
        moment.date().isoformat() for moment in tables["order"].column("created_at").to_pylist()
    ]
    assert "2024-01-20" not in days
    assert {hit["time"].date().isoformat() for hit in named(manifest)} == {"2024-01-20"}


def test_a_duplicate_is_the_row_again() -> None:
    tables, manifest = faulty("duplicates:order:0.1,nulls:order.amount:0.1")
    keys = Counter(tables["order"].column("id").to_pylist())
    again = {key for key, count in keys.items() if count > 1}
    said = [hit for hit in named(manifest) if hit["kind"] == "duplicates"]
    assert again == {json.loads(hit["key"])["id"] for hit in said}
    assert len(tables["order"]) == len(clean()["order"]) + len(said)
    found, there = tables["order"].to_pylist(), clean()["order"].to_pylist()
    for key in again:
        rows = [row for row in found if row["id"] == key]
        assert rows[0] == rows[1]
        assert rows[0] in there
    nulls = tables["order"].column("amount").null_count
    assert nulls == sum(hit["kind"] == "nulls" for hit in named(manifest)) > 0


@pytest.mark.parametrize(
    ("table", "day"), [("order", "2024-01-20"), ("line", "2024-01-20"), ("product", "")]
)
def test_a_spike_adds_rows_with_new_keys(table: str, day: str) -> None:
    day = day or f"{clean()['product'].column('made_at')[0].as_py():%Y-%m-%d}"
    tables, manifest = faulty(f"volume_spike:{table}:{day}:2.5")
    key = KEYS[table]
    old = {row[key]: row for row in clean()[table].to_pylist()}
    added = [row for row in tables[table].to_pylist() if row[key] not in old]
    assert [row for row in tables[table].to_pylist() if row[key] in old] == list(old.values())
    assert [row[key] for row in added] == [json.loads(h["key"])[key] for h in named(manifest)]
    assert len({row[key] for row in added}) == len(added) > 0
    rest = [{name: row[name] for name in row if name != key} for row in old.values()]
    for row in added:
        assert {name: row[name] for name in row if name != key} in rest


def test_a_spike_multiplies_the_day() -> None:
    tables, _ = faulty("volume_spike:order:2024-01-20:4")
    counts = [
        sum(
            f"{moment:%Y-%m-%d}" == "2024-01-20" for moment in each.column("created_at").to_pylist()
        )
        for each in (clean()["order"], tables["order"])
    ]
    assert counts[1] == 4 * counts[0] > 0


@pytest.mark.parametrize("table", ["order", "line", "product"])
def test_rows_out_of_order_are_those_of_the_manifest(table: str) -> None:
    tables, manifest = faulty(f"out_of_order:{table}:0.2:3")
    old, new = clean()[table].to_pylist(), tables[table].to_pylist()
    key = KEYS[table]
    moved = {one[key] for one, other in zip(old, new, strict=True) if one != other}
    assert moved == {json.loads(hit["key"])[key] for hit in named(manifest)} != set()
    assert sorted(old, key=str) == sorted(new, key=str)


def test_late_rows_come_in_a_later_delta() -> None:
    spec = "late_rows:order:0.4:9d"
    later = datetime(2024, 2, 14, 5)  # noqa: DTZ001
    before, _ = faulty(spec)
    after, _ = faulty(spec, view=View.of(WORLD, later))
    delta, manifest = faulty(spec, view=View.of(WORLD, later).delta(MOMENT))
    plain = View.of(WORLD, later).delta(MOMENT).table("order").column("id").to_pylist()
    merged = {row["id"]: row for row in before["order"].to_pylist()}
    merged |= {row["id"]: row for row in delta["order"].to_pylist()}
    assert merged == {row["id"]: row for row in after["order"].to_pylist()}
    arrived = {
        json.loads(hit["key"])["id"] for hit in named(manifest) if hit["effect"] == "arrived"
    }
    absent = {json.loads(hit["key"])["id"] for hit in named(manifest) if hit["effect"] == "absent"}
    assert arrived == set(delta["order"].column("id").to_pylist()) - set(plain) != set()
    assert absent == set(plain) - set(delta["order"].column("id").to_pylist()) != set()


def test_a_stale_feed_is_the_table_of_then() -> None:
    tables, _ = faulty("stale_feed:order:2024-02-06")
    then = View.of(WORLD, datetime(2024, 2, 6))  # noqa: DTZ001
    assert tables["order"].equals(then.table("order"))
    since = View.of(WORLD, MOMENT).delta(datetime(2024, 2, 7))  # noqa: DTZ001
    assert len(faulty("stale_feed:order:2024-02-06", view=since)[0]["order"]) == 0


def test_a_category_drifts_from_a_moment_on(tmp_path: Path) -> None:
    path = tmp_path / "faults.yml"
    path.write_text(
        "- {kind: drift, table: customer, column: tier, from: 2024-01-10, weights: {gold: 1}}\n"
    )
    tables, manifest = faulty(str(path))
    old, new = clean()["customer"].to_pylist(), tables["customer"].to_pylist()
    differ = {one["id"] for one, other in zip(old, new, strict=True) if one != other}
    assert differ == {json.loads(hit["key"])["id"] for hit in named(manifest)} != set()
    start = datetime(2024, 1, 10, tzinfo=UTC)
    late = {row["tier"] for row in new if row["created_at"] >= start}
    assert late == {"gold", None}


CHANGES = {
    "column_added:order.note:text:hello": ("note", None, "note: text"),
    "column_dropped:order.amount": ("amount", "amount: number", None),
    "column_renamed:order.amount:total": ("amount", "amount: number", "total: number"),
    "column_retyped:order.amount:text": ("amount", "amount: number", "amount: text"),
    "column_nested:order.amount:money": ("amount", "amount: number", "money: struct<amount>"),
}


@pytest.mark.parametrize("spec", CHANGES)
def test_a_change_of_the_schema(spec: str) -> None:
    tables, manifest = faulty(spec)
    (hit,) = named(manifest)
    assert (hit["column"], hit["clean"], hit["faulty"]) == CHANGES[spec]
    assert hit["effect"] == "schema"
    old, new = texts(clean()["order"]), texts(tables["order"])
    gone, come = set(old[0]) - set(new[0]), set(new[0]) - set(old[0])
    assert gone == {"amount"} - set(new[0])
    assert come == {"note", "total", "money"} & set(new[0])
    for one, other in zip(old, new, strict=True):
        assert all(one[name] == other[name] for name in set(one) & set(other))
    if "renamed" in spec:
        assert [row["total"] for row in new] == [row["amount"] for row in old]
    elif "nested" in spec:
        assert [json.loads(row["money"] or "")["amount"] for row in new] == [
            row["amount"] for row in old
        ]
    elif "added" in spec:
        assert {row["note"] for row in new} == {"hello"}
    elif "retyped" in spec:
        assert tables["order"].schema.field("amount").type == pa.string()


def test_a_change_of_the_schema_waits_for_its_moment(tmp_path: Path) -> None:
    path = tmp_path / "faults.yml"
    path.write_text("[{kind: column_dropped, table: order, column: amount, from: 2024-03-01}]")
    tables, manifest = faulty(str(path))
    assert tables["order"].schema.equals(clean()["order"].schema)
    assert manifest.faults[0].count == 0
    tables, manifest = faulty(str(path), view=View.of(WORLD, datetime(2024, 3, 1)))  # noqa: DTZ001
    assert "amount" not in tables["order"].column_names
    assert manifest.faults[0].count == 1


EVERYTHING = ",".join(
    [
        "orphan_keys:order.customer_id:0.1", "duplicates:order:0.1", "nulls:order.amount:0.1",
        "out_of_range:order.amount:0.1", "type_flip:order.weight:0.1", "late_rows:order:0.3:9d",
        "out_of_order:order:0.3:7", "out_of_order:line:0.3", "missing_day:order:2024-01-20",
        "volume_spike:order:2024-01-22:2.5", "volume_drop:order:2024-01-23:0.4",
        "drift:order.amount:2024-01-25:2", "stale_feed:line:2024-02-01",
        "column_added:order.note", "column_dropped:order.status",
        "column_renamed:order.amount:total", "column_retyped:line.quantity:number",
        "column_nested:order.weight:size",
    ]
)  # fmt: skip


def test_everything_at_once_is_every_kind() -> None:
    assert {word.split(":")[0] for word in EVERYTHING.split(",")} == set(FAULT_KINDS)
    _, manifest = faulty(EVERYTHING)
    assert all(fault.count > 0 for fault in manifest.faults)
    counts = Counter(hit["fault"] for hit in named(manifest))
    assert [fault.count for fault in manifest.faults] == [counts[n] for n in range(len(counts))]
    cells = [(h["table"], h["key"], h["column"]) for h in named(manifest) if h["column"]]
    assert len(set(cells)) == len(cells)


def test_blocks_and_parts_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    tables, manifest = faulty(EVERYTHING)
    whole = manifest.table()
    monkeypatch.setattr(view_module, "BLOCK_ROWS", 64)
    small, in_blocks = faulty(EVERYTHING)
    assert in_blocks.table().equals(whole)
    for name, table in tables.items():
        assert small[name].equals(table), name
    total = View.of(WORLD, MOMENT).root_total(WORLD.plans["order"])
    parts = [
        faulty(EVERYTHING, rows=rows)
        for rows in ((0, total // 3), (total // 3, total // 2), (total // 2, 1 << 40))
    ]
    for name in ("order", "line"):
        assert pa.concat_tables([each[name] for each, _ in parts]).equals(tables[name])
    keys = [(hit["fault"], hit["row"]) for _, each in parts for hit in named(each) if hit["key"]]
    assert Counter(keys) == Counter((h["fault"], h["row"]) for h in whole.to_pylist() if h["key"])


def test_threads_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    _, manifest = faulty(EVERYTHING)
    monkeypatch.setattr(view_module, "BLOCK_ROWS", 64)
    view = View.of(WORLD, MOMENT)
    overlay = Overlay(view, parse_spec(EVERYTHING, view))
    with ThreadPoolExecutor(4) as pool:
        for plan in WORLD.tables:
            frames = list(view.frames(plan))
            written = pool.map(lambda f, p=plan: overlay.apply(p, f, to_batch(f)), reversed(frames))
            assert sum(len(batches) for batches in written) > 0
    assert overlay.manifest().table().equals(manifest.table())


@settings(max_examples=15, deadline=None)
@given(share=st.floats(0, 1), number=st.sampled_from(["nulls:order.amount", "duplicates:order"]))
def test_a_share_is_kept(share: float, number: str) -> None:
    tables, manifest = faulty(f"{number}:{share:.4f}")
    size = len(clean()["order"])
    hits = manifest.faults[0].count
    assert abs(hits / size - share) < 0.12
    if number.startswith("nulls"):
        assert tables["order"].column("amount").null_count == hits
    else:
        assert len(tables["order"]) == size + hits


def test_the_manifest_is_written(tmp_path: Path) -> None:
    _, manifest = faulty(EVERYTHING)
    manifest.write(tmp_path / "faults.parquet")
    manifest.write(tmp_path / "faults.jsonl")
    read = pq.read_table(tmp_path / "faults.parquet")
    assert read.equals(manifest.table())
    listed = json.loads(read.schema.metadata[b"faults"])
    assert [fault["count"] for fault in listed] == [fault.count for fault in manifest.faults]
    lines = (tmp_path / "faults.jsonl").read_text().splitlines()
    assert [json.loads(line)["row"] for line in lines] == read.column("row").to_pylist()
    hit = next(json.loads(line) for line in lines if json.loads(line)["kind"] == "nulls")
    assert isinstance(hit["key"]["id"], int)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nulz:order.amount", "unknown kind 'nulz'; did you mean 'nulls'? one of: orphan_keys,"),
        ("nulls:ordr.amount", "no table 'ordr'; did you mean 'order'? one of: product"),
        ("nulls:order.amont", "order has no column 'amont'; did you mean 'amount'?"),
        ("nulls:order", "the column is missing; write nulls:table.column:SHARE"),
        ("nulls:order.amount:1.5", "share: input should be less than or equal to 1"),
        ("nulls:order.amount:much", "share is 'much', and not a number"),
        ("nulls:order.amount:0.1:2", "too many arguments"),
        ("duplicates:order.id", "it takes no column"),
        ("orphan_keys:order.amount", "order.amount is not a foreign key"),
        ("out_of_range:customer.tier", "customer.tier is text: it has no range"),
        ("type_flip:order.address", "order.address is nested"),
        ("drift:customer.tier:2024-01-20:2", "customer.tier is text: give weights"),
        ("missing_day:order:2023-03-05", "2023-03-05 is outside the data: 2024-01-01 to"),
        ("missing_day:order:2024-03-05", "2024-03-05 is outside the data: 2024-01-01 to"),
        ("missing_day:order:soon", "not a day such as 2024-03-05"),
        ("missing_day:product.title:2024-01-01", "product.title is text, not a date or a datetime"),
        ("nulls:backstage.id", "backstage is hidden"),
        ("nulls:order.secret", "order.secret is hidden"),
        ("late_rows:product", "product is there from the beginning"),
        ("column_added:order.amount", "order already has a column 'amount'"),
        ("column_added:order.x:integer:many", "'many' is not of type integer"),
        ("column_retyped:customer.email:integer", "can be written as nothing else"),
        ("column_renamed:order.amount:id", "order already has a column 'id'"),
        ("out_of_order:order,out_of_order:order", "already has an out_of_order fault"),
        ("no/such.yml", "cannot read the file of faults"),
        (",", "name a file, or write kind:table.column:argument"),
    ],
)
def test_a_bad_spec_is_one_clear_error(spec: str, message: str) -> None:
    with pytest.raises(SynthError) as caught:
        parse_spec(spec, View.of(WORLD, MOMENT))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_of_faults_says_where(tmp_path: Path) -> None:
    path = tmp_path / "faults.yml"
    path.write_text("- kind: nulls\n  table: order\n  column: amont\n")
    with pytest.raises(SchemaError, match=r"faults\.yml:3:3: order has no column 'amont'"):
        parse_spec(str(path), View.of(WORLD, MOMENT))
    path.write_text("faults:\n  - {kind: nulls, table: order, column: amount, shar: 1}\n")
    with pytest.raises(SchemaError, match=r"faults\.yml:2:49: unknown key 'shar'"):
        parse_spec(str(path), View.of(WORLD, MOMENT))
    path.write_text("- {kind: nulls, table: order, column: amount, rows: [1, 5]}\n")
    (fault,) = parse_spec(str(path), View.of(WORLD, MOMENT))
    assert fault.kind == "nulls"
    _, manifest = faulty(str(path))
    assert [hit["row"] for hit in named(manifest)] == [1, 5]


def test_the_schema_file_has_faults() -> None:
    text = SHOP + "faults:\n  - {kind: nulls, table: order, column: amont}\n"
    world = World(parse(text))
    with pytest.raises(SchemaError, match=r"schema:\d+:33: order has no column 'amont'"):
        faults_of(View.of(world, MOMENT))
    world = World(parse(text.replace("amont", "amount")))
    assert [fault.kind for fault in faults_of(View.of(world, MOMENT))] == ["nulls"]
    with pytest.raises(SchemaError, match="unknown kind 'nul'; did you mean 'nulls'"):
        parse(text.replace("kind: nulls", "kind: nul"))


def test_every_kind_is_documented_with_a_true_example() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/faults.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .+? \| (.+?) \| `(.+?)` \|$", page, re.MULTILINE)
    assert tuple(kind for kind, _, _ in rows) == FAULT_KINDS
    for kind, options, example in rows:
        view = View.of(WORLD, datetime(2024, 6, 1))  # noqa: DTZ001
        (fault,) = parse_spec(example, view)
        assert fault.kind == kind
        said = {"kind", "table", *re.findall(r"`(\w+)`", options)}
        said |= {"share", "rows", "from", "to"} if "some" in options else set()
        fields = type(fault).model_fields.items()
        assert said == {info.alias or name for name, info in fields}, kind
