"""``headrace learn``: what a sample promises holds in what the engine makes of it."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from headrace.synth.errors import OutputError, SynthError
from headrace.synth.learn import correlation, learn_schema
from headrace.synth.learn.learned_field import zipf_exponent
from headrace.synth.learn.relations import relate
from headrace.synth.learn.sample_data import read
from headrace.synth.learn.to_schema import to_schema
from headrace.synth.record_batch import to_batch
from headrace.synth.schema.fields import Categorical, ForeignKey, Numerical, Unique
from headrace.synth.schema.schema_file import Schema, parse
from headrace.synth.view import View
from headrace.synth.world import World

CUSTOMERS = 1_000
ORDERS = 4_000


@dataclass(frozen=True)
class Shop:
    """A sample, the text learned from it, and a hundred times the rows."""

    files: tuple[Path, Path]
    customers: pa.Table
    orders: pa.Table
    text: str
    schema: Schema
    many_customers: pa.Table
    many_orders: pa.Table


def make_customers(random: np.random.Generator) -> pa.Table:
    normal = random.normal(size=(CUSTOMERS, 3))
    age = np.clip(np.rint(45 + 15 * normal[:, 0]), 18, 90).astype(int)
    income = np.round(np.exp(10 + 0.5 * (0.7 * normal[:, 0] + 0.7 * normal[:, 1])), 2)
    # a category whose order by frequency or by letter says nothing of its correlation
    segment = np.array(["small", "agency", "tiny", "large"])[
        np.digitize(0.8 * normal[:, 0] + 0.6 * normal[:, 2], [-0.8, 0.4, 1.2])
    ]
    return pa.table({
        "id": np.arange(101, 101 + CUSTOMERS),
        "code": [f"C-{number:05d}" for number in random.permutation(CUSTOMERS)],
        "name": [f"Real Person{number}" for number in range(CUSTOMERS)],
        "email": [f"real{number}@secret.example" for number in range(CUSTOMERS)],
        "age": age,
        "income": pa.array(income, mask=random.random(CUSTOMERS) < 0.2),
        "segment": pa.array(segment, mask=random.random(CUSTOMERS) < 0.1),
        "is_vip": normal[:, 0] > 1,
        "joined": pa.array(
            (19_000 + np.rint(100 * normal[:, 1]).astype(int)).astype(np.int32)
        ).view(pa.date32()),
        "remark": [f"Called about case {number} again" for number in range(CUSTOMERS)],
        "zip": [f"{number:05d}" for number in random.integers(0, 99_999, CUSTOMERS)],
    })  # fmt: skip


def make_orders(random: np.random.Generator) -> pa.Table:
    # a few customers have most orders
    rank = np.minimum(np.exp(random.random(ORDERS) * np.log(CUSTOMERS + 1)) - 1, CUSTOMERS - 1)
    customer = random.permutation(CUSTOMERS)[rank.astype(int)] + 101
    seconds = random.integers(0, 10_000_000, ORDERS)
    return pa.table({
        "order_id": np.arange(ORDERS) * 2 + 5_000,
        "customer_id": pa.array(customer, mask=random.random(ORDERS) < 0.05),
        "amount": np.round(random.lognormal(3, 1, ORDERS), 2),
        "quantity": random.choice([1, 2, 3, 10], ORDERS, p=[0.5, 0.3, 0.1, 0.1]),
        "ordered_at": pa.array(
            np.datetime64("2024-01-01", "us") + seconds * 1_000_000, pa.timestamp("us", "UTC")
        ),
    })  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("sample")
    random = np.random.default_rng(7)
    customers, orders = make_customers(random), make_orders(random)
    files = (folder / "customers.csv", folder / "orders.parquet")
    pa_csv.write_csv(customers, files[0])
    pq.write_table(orders, files[1])
    out = folder / "shop.yml"
    learned = learn_schema(files, out=out, seed=3)
    assert learned.rows == {"customers": CUSTOMERS, "orders": ORDERS}
    text = out.read_text(encoding="utf-8")
    document = parse(text)
    view = View.of(World(document, scale=100))
    made = [
        pa.Table.from_batches(
            batch.cast(view.arrow_schema(view.world.plans[name]))
            for batch in view.batches(view.world.plans[name], (0, 100 * rows))
        )
        for name, rows in (("customers", CUSTOMERS), ("orders", ORDERS))
    ]
    return Shop(files, customers, orders, text, document.schema, made[0], made[1])


def ranks(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Ranks from 0 to 1."""
    values = column.combine_chunks().to_numpy(zero_copy_only=False).astype(float)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    result: NDArray[np.float64] = ((np.cumsum(counts) - counts / 2) / len(values))[inverse]
    return result


def rank_correlation(table: pa.Table, one: str, other: str) -> float:
    both = table.select([one, other]).drop_null()
    return float(np.corrcoef(ranks(both.column(one)), ranks(both.column(other)))[0, 1])


def shares(column: pa.ChunkedArray) -> dict[str, float]:
    counted = pc.value_counts(column.drop_null().combine_chunks())
    total = len(column) - column.null_count
    return {
        str(value): count / total
        for value, count in zip(
            counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True
        )
    }


def null_rate(column: pa.ChunkedArray) -> float:
    return float(column.null_count / len(column))


def test_a_hundred_times_the_rows_with_the_columns_and_types_of_the_sample(shop: Shop) -> None:
    assert len(shop.many_customers) == 100 * CUSTOMERS
    assert len(shop.many_orders) == 100 * ORDERS
    assert shop.many_customers.schema.names == shop.customers.schema.names
    assert shop.many_orders.schema.types == shop.orders.schema.types


def test_there_is_room_for_ten_thousand_times_the_rows(shop: Shop) -> None:
    world = World(parse(shop.text), scale=10_000)
    rows = np.array([0, 10_000 * CUSTOMERS // 2, 10_000 * CUSTOMERS - 1])
    frame = View.of(world).frame(world.plans["customers"], rows)
    assert pc.count_distinct(to_batch(frame).column("code")).as_py() == 3


def test_keys_are_unique_and_relations_hold(shop: Shop) -> None:
    customers, orders = shop.many_customers, shop.many_orders
    for table, name in (
        (customers, "id"), (customers, "code"), (customers, "email"), (orders, "order_id"),
    ):  # fmt: skip
        assert pc.count_distinct(table.column(name)).as_py() == len(table), name
    customer = shop.many_orders.column("customer_id").drop_null()
    assert pc.all(pc.is_in(customer, shop.many_customers.column("id").combine_chunks())).as_py()
    assert pc.min(shop.many_customers.column("id")).as_py() == 101
    assert shop.many_orders.column("order_id").to_pylist()[:3] == [5000, 5002, 5004]


@pytest.mark.parametrize(
    ("one", "other"),
    [("age", "income"), ("age", "is_vip"), ("income", "is_vip"), ("income", "joined")],
)
def test_correlations_are_kept(shop: Shop, one: str, other: str) -> None:
    def numbers(table: pa.Table) -> pa.Table:
        days = table.column("joined").cast(pa.int32())
        return table.set_column(table.schema.get_field_index("joined"), "joined", days)

    seen = rank_correlation(numbers(shop.customers), one, other)
    assert abs(seen) > 0.2  # there is something to keep
    assert rank_correlation(numbers(shop.many_customers), one, other) == pytest.approx(
        seen, abs=0.1
    )


def test_categories_keep_what_they_say_of_a_number(shop: Shop) -> None:
    def mean_ages(table: pa.Table) -> dict[str, float]:
        grouped = table.filter(pc.is_valid(table.column("segment"))).group_by("segment")
        return {row["segment"]: row["age_mean"]
                for row in grouped.aggregate([("age", "mean")]).to_pylist()}  # fmt: skip

    seen, made = mean_ages(shop.customers), mean_ages(shop.many_customers)
    assert max(seen.values()) - min(seen.values()) > 15
    for segment, age in seen.items():
        assert made[segment] == pytest.approx(age, abs=3), segment


def test_independent_columns_stay_so(shop: Shop) -> None:
    assert abs(rank_correlation(shop.many_orders, "amount", "quantity")) < 0.05


def test_null_rates(shop: Shop) -> None:
    for name in ("income", "segment", "age"):
        seen = null_rate(shop.customers.column(name))
        assert null_rate(shop.many_customers.column(name)) == pytest.approx(seen, abs=0.01), name
    seen = null_rate(shop.orders.column("customer_id"))
    assert null_rate(shop.many_orders.column("customer_id")) == pytest.approx(seen, abs=0.01)


def test_ranges_and_decimals(shop: Shop) -> None:
    for seen, made, name in (
        (shop.customers, shop.many_customers, "age"),
        (shop.customers, shop.many_customers, "income"),
        (shop.customers, shop.many_customers, "joined"),
        (shop.orders, shop.many_orders, "amount"),
        (shop.orders, shop.many_orders, "ordered_at"),
    ):
        low, high = pc.min_max(seen.column(name)).values()
        made_low, made_high = pc.min_max(made.column(name)).values()
        assert low.as_py() <= made_low.as_py() <= made_high.as_py() <= high.as_py(), name
    amounts = shop.many_orders.column("amount").to_numpy()
    assert np.array_equal(amounts, np.round(amounts, 2))


def test_distributions(shop: Shop) -> None:
    places = [0.05, 0.25, 0.5, 0.75, 0.95]
    for seen, made, name in (
        (shop.customers, shop.many_customers, "age"),
        (shop.customers, shop.many_customers, "income"),
        (shop.orders, shop.many_orders, "amount"),
    ):
        expected = np.quantile(seen.column(name).drop_null().to_numpy(), places)
        given = np.quantile(made.column(name).drop_null().to_numpy(), places)
        assert given == pytest.approx(expected, rel=0.05), name


def test_moments_keep_their_distribution(shop: Shop) -> None:
    def middle(table: pa.Table, place: float) -> float:
        days = table.column("joined").cast(pa.int32()).to_numpy()
        return float(np.quantile(days, place))

    for place in (0.1, 0.25, 0.5, 0.9):
        expected = middle(shop.customers, place)
        assert middle(shop.many_customers, place) == pytest.approx(expected, abs=5)


def test_categories_keep_their_weights(shop: Shop) -> None:
    for seen, made in (
        (shop.customers.column("segment"), shop.many_customers.column("segment")),
        (shop.customers.column("is_vip"), shop.many_customers.column("is_vip")),
        (shop.orders.column("quantity"), shop.many_orders.column("quantity")),
    ):
        assert shares(made) == pytest.approx(shares(seen), abs=0.01)


def test_few_parents_have_most_children(shop: Shop) -> None:
    item = shop.schema.tables["orders"].fields["customer_id"]
    assert isinstance(item, ForeignKey)
    assert item.distribution == "zipf"
    assert item.exponent == pytest.approx(1.0, abs=0.1)


def test_personal_data_and_free_text_are_not_copied(shop: Shop) -> None:
    assert "Real" not in shop.text
    assert "real" not in shop.text
    assert "Called" not in shop.text
    fields = shop.schema.tables["customers"].fields
    assert fields["email"].pii == "email"
    assert isinstance(fields["email"], Unique)
    assert fields["name"].pii == "name"
    assert isinstance(fields["name"], Categorical)
    assert fields["name"].generator == "faker.name"
    assert fields["zip"].pii == "postcode"
    words = [len(text.split()) for text in shop.many_customers.column("remark").to_pylist()[:100]]
    assert set(words) == {5}


def test_leading_zeros_stay(shop: Shop) -> None:
    assert read([shop.files[0]]).tables["customers"].schema.field("zip").type == pa.string()


def test_the_same_sample_gives_the_same_file(shop: Shop, tmp_path: Path) -> None:
    learn_schema(shop.files, out=tmp_path / "again.yml", seed=3)
    assert (tmp_path / "again.yml").read_text(encoding="utf-8") == shop.text


def csv(folder: Path, name: str, *lines: str) -> Path:
    path = folder / f"{name}.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def learned(*paths: Path | str) -> Schema:
    """The schema learned from files, which the engine has made rows of."""
    sample = read(paths)
    document = parse(to_schema(sample, relate(sample)))
    view = View.of(World(document))
    for name, data in sample.tables.items():
        assert view.table(name).num_rows == len(data)
    return document.schema


def test_a_table_of_a_database_and_what_arrow_has_no_match_for(tmp_path: Path) -> None:
    database = tmp_path / "shop.duckdb"
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            "create schema raw; create table raw.payments as select"
            "  i as id, (i * 7 % 1000 / 100)::decimal(10, 2) as amount, i % 100 as cents,"
            "  timestamptz '2024-01-01 00:00:00+02' + to_seconds(i) as paid_at,"
            "  uuid() as reference, i::hugeint * 1000 as big, 'x'::blob as raw, [i] as many,"
            "  null::integer as nothing, ('a' || i % 2)::enum('a0', 'a1') as kind,"
            "  1.5::float + i as ratio "
            "from range(200) rows(i)"
        )
    fields = learned(f"{database}:raw.payments").tables["payments"].fields
    assert "raw" not in fields
    assert "many" not in fields
    assert fields["reference"].type == "uuid"
    assert fields["nothing"].null_rate == 1
    assert isinstance(fields["kind"], Categorical)
    assert fields["kind"].values == ["a0", "a1"]
    amount = fields["amount"]
    assert isinstance(amount, Numerical)
    assert (amount.as_, amount.round) == ("decimal", 2)
    sample = read([f"{database}:raw.payments"])
    made = View.of(World(parse(to_schema(sample, relate(sample))))).table("payments")
    assert all(isinstance(value, Decimal) for value in made.column("amount").to_pylist())


def test_json_lines_and_names_that_a_schema_file_does_not_take(tmp_path: Path) -> None:
    path = tmp_path / "2024 orders.jsonl"
    path.write_text(
        "".join(f'{{"Order ID": {n}, "über": "\u2028{n % 2}: \\"x\\" #"}}\n' for n in range(30)),
        encoding="utf-8",
    )
    schema = learned(path)
    fields = schema.tables["_2024_orders"].fields
    assert fields["order_id"].primary_key
    assert isinstance(fields["ber"], Categorical)
    assert fields["ber"].values == ['\u20280: "x" #', '\u20281: "x" #']


def test_names_and_numbers_at_the_edge(tmp_path: Path) -> None:
    path, size = tmp_path / "null.parquet", 300
    numbers = range(size)
    table = pa.table({
        "true": pa.array(numbers, pa.int64()),
        "on": [2**63 - 1 - 7 * number for number in numbers],
        "vast": [1e300 * number for number in numbers],
        "exact": pa.array([Decimal("123456789012345678.12") + n for n in numbers]),
        "same": [1.5] * size,
        "marks": ["line\nbreak", "tab\t", "", "q'\"\\", "yes", "null", "1.5", "~", "a: b", "\x7f"]
        * (size // 10),
        "last": pa.array([2_932_896] * size, pa.int32()).view(pa.date32()),
    })  # fmt: skip
    pq.write_table(table, path)
    sample = read([path])
    text = to_schema(sample, relate(sample))
    made = View.of(World(parse(text), scale=20)).table("null")
    assert made.schema.names == table.schema.names
    for name in ("on", "vast", "exact", "same", "last"):
        low, high = (end.as_py() for end in pc.min_max(table.column(name)).values())
        made_low, made_high = (end.as_py() for end in pc.min_max(made.column(name)).values())
        assert float(low) <= made_low if name != "last" else low <= made_low, name
        assert made_high <= float(high) if name != "last" else made_high <= high, name
        assert made_low < made_high or name in {"same", "last"}, name
    assert set(made.column("marks").to_pylist()) == set(table.column("marks").to_pylist())


def test_a_relation_is_not_found_where_one_row_points_at_nothing(tmp_path: Path) -> None:
    csv(tmp_path, "stores", "id,size", *(f"{n},{n % 3}" for n in range(20)))
    csv(tmp_path, "sales", "id,store_id", *(f"{n},{n % 20}" for n in range(100)), "100,77")
    sample = read([tmp_path / "stores.csv", tmp_path / "sales.csv"])
    found = relate(sample)
    assert found.relations == ()
    assert any("1 of 101 rows point at no row" in note for note in found.notes)
    with pytest.raises(SynthError, match=r"does not hold: 1 of 101 rows"):
        relate(sample, relations=["sales.store_id=stores.id"])


def test_numbers_that_happen_to_be_keys_are_no_relation(tmp_path: Path) -> None:
    csv(tmp_path, "stores", "id,size", *(f"{n},{n % 3}" for n in range(20)))
    csv(tmp_path, "sales", "id,quantity", *(f"{n},{n % 20}" for n in range(100)))
    assert relate(read([tmp_path / "stores.csv", tmp_path / "sales.csv"])).relations == ()


def test_declared_keys_and_relations(tmp_path: Path) -> None:
    csv(tmp_path, "stores", "nr,label", *(f"{n * 3},S{n:03d}" for n in range(20)))
    csv(tmp_path, "sales", "sale,shop", *(f"{n},S{n % 20:03d}" for n in range(100)))
    files = [tmp_path / "stores.csv", tmp_path / "sales.csv"]
    out = tmp_path / "out.yml"
    given = learn_schema(
        files, out=out, keys={"stores": "label"}, relations=["sales.shop=stores.label"]
    )
    assert given.relations.keys["stores"] == "label"
    made = View.of(World(parse(out.read_text(encoding="utf-8"))))
    labels = set(made.table("stores").column("label").to_pylist())
    assert len(labels) == 20
    assert set(made.table("sales").column("shop").to_pylist()) <= labels
    with pytest.raises(SynthError, match="100 rows have 20 different values"):
        learn_schema(files, out=tmp_path / "no.yml", keys={"sales": "shop"})
    with pytest.raises(SynthError, match="sales has no column 'store'; columns: sale, shop"):
        learn_schema(files, out=tmp_path / "no.yml", relations=["sales.store=stores.label"])
    with pytest.raises(SynthError, match="is not a relation: write"):
        learn_schema(files, out=tmp_path / "no.yml", relations=["sales.shop"])
    assert not (tmp_path / "no.yml").exists()


def test_a_table_that_points_at_itself_and_a_one_to_one(tmp_path: Path) -> None:
    csv(tmp_path, "staff", "id,parent_id", "1,", *(f"{n},{n // 2}" for n in range(2, 60)))
    csv(tmp_path, "badges", "staff_id,colour", *(f"{n},{'rg'[n % 2]}" for n in range(1, 50)))
    sample = read([tmp_path / "staff.csv", tmp_path / "badges.csv"])
    text = to_schema(sample, relate(sample, keys={"badges": "staff_id"},
                                    relations=["badges.staff_id=staff.id",
                                               "staff.parent_id=staff.id"]))  # fmt: skip
    view = View.of(World(parse(text), scale=50))
    staff, badges = view.table("staff"), view.table("badges")
    ids = staff.column("id").combine_chunks()
    assert pc.all(pc.is_in(staff.column("parent_id").drop_null(), ids)).as_py()
    assert pc.count_distinct(badges.column("staff_id")).as_py() == len(badges) == 49 * 50
    assert relate(sample).of("staff")["parent_id"].parent == "staff"


def test_a_lookup_table_does_not_grow(tmp_path: Path) -> None:
    csv(tmp_path, "stores", "id,city", *(f"{n},{'AB'[n % 2]}" for n in range(6)))
    csv(tmp_path, "sales", "id,store_id", *(f"{n},{n % 6}" for n in range(300)))
    schema = learned(tmp_path / "stores.csv", tmp_path / "sales.csv")
    assert not schema.tables["stores"].scale
    assert schema.tables["sales"].scale


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "x,y\n", "has no rows"),
        ("a.csv", "x,y\n1,2\n", "has one row"),
        ("a.parquet", "no parquet", "cannot read"),
        ("a.jsonl", '{"x": {"y": 1}}\n{"x": {"y": 2}}\n', "no columns that can be learned"),
        ("a.xlsx", "x", r"cannot read .xlsx; one of: .csv"),
        ("a.csv", "Order ID,order_id\n1,2\n3,4\n", "two columns are called 'order_id'"),
        ("a.duckdb", "x", "say which table"),
    ],
)
def test_bad_samples(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(SynthError, match=message):
        learn_schema([tmp_path / name], out=tmp_path / "out.yml")
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_no_file_no_table_and_two_of_one_name(tmp_path: Path) -> None:
    out = tmp_path / "out.yml"
    one = csv(tmp_path, "a", "x", "1", "2")
    (tmp_path / "b").mkdir()
    other = csv(tmp_path / "b", "a", "x", "1", "2")
    with pytest.raises(SynthError, match="there is no file"):
        learn_schema([tmp_path / "nothing.csv"], out=out)
    with pytest.raises(SynthError, match="both hold a table 'a'"):
        learn_schema([one, other], out=out)
    with pytest.raises(SynthError, match="nothing to learn from"):
        learn_schema([], out=out)
    with pytest.raises(SynthError, match="is a directory"):
        learn_schema([tmp_path], out=out)
    database = tmp_path / "d.duckdb"
    with duckdb.connect(str(database)) as connection:
        connection.execute("create table t as select 1 as x")
    with pytest.raises(SynthError, match=r"has no table 'main.u'; it has main.t"):
        learn_schema([f"{database}:main.u"], out=out)
    assert not out.exists()


def test_a_file_that_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = csv(tmp_path, "a", "x", "1", "2")
    out = tmp_path / "out.yml"
    out.write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="already exists"):
        learn_schema([path], out=out)
    assert out.read_text(encoding="utf-8") == "mine"
    learn_schema([path], out=out, overwrite=True)
    assert "schema:" in out.read_text(encoding="utf-8")
    with pytest.raises(OutputError, match="there is no directory"):
        learn_schema([path], out=tmp_path / "none" / "out.yml")


@pytest.mark.parametrize("rho", [-0.9, -0.4, 0.0, 0.3, 0.8])
def test_the_hidden_correlation_of_coarse_columns_is_found(rho: float) -> None:
    random = np.random.default_rng(1)
    one = random.normal(size=40_000)
    other = rho * one + np.sqrt(1 - rho * rho) * random.normal(size=40_000)
    columns = [
        correlation.scored(np.digitize(one, [0.5])),
        correlation.scored(np.digitize(other, [-1.0, 0.0, 1.5])),
    ]
    assert correlation.hidden(*columns) == pytest.approx(rho, abs=0.03)


def test_correlations_that_cannot_be_together_are_made_to() -> None:
    impossible = np.array([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]])
    fixed = correlation.positive_definite(impossible)
    assert np.linalg.eigvalsh(fixed).min() > 0
    assert np.diag(fixed).tolist() == [1, 1, 1]
    fine = np.array([[1, 0.5], [0.5, 1]])
    assert np.array_equal(correlation.positive_definite(fine), fine)


def test_parents_chosen_evenly_have_no_exponent() -> None:
    random = np.random.default_rng(2)
    counts = np.bincount(random.integers(0, 500, 5_000), minlength=500)
    assert zipf_exponent(counts, 500) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("range: [2024-01-01, 2024-02-01], quantiles: [2024-01-09, 2024-01-02]", "must not fall"),
        ("distribution: updated, quantiles: [2024-01-01, 2024-01-02]", "goes with distribution"),
    ],
)
def test_quantiles_of_moments_that_are_wrong(settings: str, message: str) -> None:
    with pytest.raises(SynthError, match=message):
        parse(f"schema: {{t: {{count: 1, fields: {{x: {{type: datetime, {settings}}}}}}}}}")


@pytest.mark.parametrize("name", ["stores[1].csv", "s*.parquet", "city=Oslo/stores.jsonl"])
def test_a_sample_is_one_file_and_its_folder_says_nothing(tmp_path: Path, name: str) -> None:
    """``stores[1].csv`` is no pattern, and a folder's city does not replace the file's."""
    for other in ("stores1", "sx"):
        pa_csv.write_csv(pa.table({"city": ["other"]}), tmp_path / f"{other}.csv")
        pq.write_table(pa.table({"city": ["other"]}), tmp_path / f"{other}.parquet")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    table = pa.table({"city": ["Bern", "Rome"]})
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".csv":
        pa_csv.write_csv(table, path)
    else:
        path.write_text('{"city": "Bern"}\n{"city": "Rome"}\n')
    (found,) = read([path]).tables.values()
    assert found.column("city").to_pylist() == ["Bern", "Rome"]
