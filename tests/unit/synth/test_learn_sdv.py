"""``headrace learn``: SDV fitted on a small sample; skipped without the extra ``learn``."""

import json
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from headrace.synth.errors import OutputError, SynthError
from headrace.synth.learn import Learned, is_model, learn, sample
from headrace.synth.learn.model import fit
from headrace.synth.learn.relations import LearnedForeignKey, Relations, relate
from headrace.synth.learn.report import closer_share, report, split
from headrace.synth.learn.sample_data import LearningSample, read
from headrace.synth.learn.service import KIND, load

pytestmark = pytest.mark.slow

STORES, CUSTOMERS, ORDERS = 4, 120, 300


@dataclass(frozen=True)
class Fitted:
    """A sample of related tables and the model of it."""

    files: tuple[Path, ...]
    tables: dict[str, pa.Table]
    learned: Learned


def make_tables() -> dict[str, pa.Table]:
    random = np.random.default_rng(5)
    customer = random.integers(1, CUSTOMERS + 1, ORDERS)
    return {
        "customers": pa.table({
            "id": np.arange(1, CUSTOMERS + 1),
            "email": [f"real{number}@secret.example" for number in range(CUSTOMERS)],
            "segment": random.choice(["small", "large"], CUSTOMERS, p=[0.8, 0.2]),
            "joined": pa.array(random.integers(19_000, 19_500, CUSTOMERS).astype(np.int32)).view(
                pa.date32()
            ),
        }),
        "orders": pa.table({
            "order_id": [f"O-{number:04d}" for number in range(ORDERS)],
            "customer_id": pa.array(customer, mask=random.random(ORDERS) < 0.1),
            "amount": pa.array(random.gamma(3, 20, ORDERS).round(2)).cast(pa.decimal128(10, 2)),
            "pieces": pa.array(random.integers(1, 9, ORDERS), mask=random.random(ORDERS) < 0.2),
            "is_paid": random.random(ORDERS) < 0.7,
            "previous_id": pa.array([None, *(f"O-{n // 2:04d}" for n in range(1, ORDERS))]),
            "nothing": pa.nulls(ORDERS, pa.string()),
        }),
    }  # fmt: skip


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    pytest.importorskip("sdv", reason="uv sync --extra learn")
    folder = tmp_path_factory.mktemp("sample")
    tables = make_tables()
    files = tuple(folder / f"{name}.parquet" for name in tables)
    for file, table in zip(files, tables.values(), strict=True):
        pq.write_table(table, file)
    relations = ["orders.customer_id=customers.id", "orders.previous_id=orders.order_id"]
    return Fitted(files, tables, learn(files, out=folder / "shop.model", relations=relations))


def test_rows_of_a_model_have_the_columns_the_types_and_the_keys(
    fitted: Fitted, tmp_path: Path
) -> None:
    rows = sample(fitted.learned.out, out=tmp_path / "made", scale=2, seed=4)
    made = {name: pq.read_table(tmp_path / "made" / f"{name}.parquet") for name in fitted.tables}
    assert {name: len(table) for name, table in made.items()} == rows
    assert rows["customers"] == 2 * CUSTOMERS
    assert rows["orders"] == pytest.approx(2 * ORDERS, rel=0.2)
    for name, table in fitted.tables.items():
        assert made[name].schema.names == table.schema.names
        known = [field.type for field in table.schema if field.name != "nothing"]
        assert [field.type for field in made[name].schema if field.name != "nothing"] == known
    customers, orders = made["customers"], made["orders"]
    for column in (customers.column("id"), orders.column("order_id")):
        assert pc.count_distinct(column).as_py() == len(column)
    for column, key in ((orders.column("customer_id"), customers.column("id")),
                        (orders.column("previous_id"), orders.column("order_id"))):  # fmt: skip
        assert len(column.drop_null()) > 0
        assert pc.all(pc.is_in(column.drop_null(), key.combine_chunks())).as_py()
    assert orders.column("customer_id").null_count > 0
    assert orders.column("nothing").null_count == len(orders)
    assert not any("secret" in email for email in customers.column("email").to_pylist())
    assert orders.column("order_id").to_pylist()[0].startswith("O-")


def test_the_report_has_quality_privacy_and_exact_checks(fitted: Fitted) -> None:
    report = fitted.learned.report
    assert report.quality is not None
    assert 0.6 < report.quality <= 1
    assert set(report.shapes) >= {"customers.segment", "orders.amount", "orders.is_paid"}
    assert set(report.closer) == {"customers", "orders"}
    assert all(0.3 < share < 0.7 for share in report.closer.values())
    names = {check.name for check in report.checks}
    assert names == {"key", "relation", "range", "categories", "copies", "distance"}
    assert [check.subject for check in report.checks if check.name == "copies"] == ["orders"]
    assert [check for check in report.checks if not check.passed] == []
    assert report.passed


def test_the_same_seed_gives_the_same_rows(fitted: Fitted, tmp_path: Path) -> None:
    for folder, seed in (("one", 1), ("again", 1), ("other", 2)):
        sample(fitted.learned.out, out=tmp_path / folder, format="csv", scale=0.5, seed=seed)
    one, again, other = (
        (tmp_path / folder / "customers.csv").read_bytes() for folder in ("one", "again", "other")
    )
    assert one == again
    assert one != other


def test_files_that_are_there_are_not_replaced_unasked(fitted: Fitted, tmp_path: Path) -> None:
    (tmp_path / "orders.jsonl").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="already exists"):
        sample(fitted.learned.out, out=tmp_path, format="jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["orders.jsonl"]
    sample(fitted.learned.out, out=tmp_path, format="jsonl", scale=0.2, overwrite=True)
    first = (tmp_path / "orders.jsonl").read_text(encoding="utf-8").splitlines()[0]
    assert json.loads(first)["order_id"].startswith("O-")
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(OutputError, match="already exists"):
        learn(fitted.files, out=fitted.learned.out)
    with pytest.raises(SynthError, match="it must be above 0"):
        sample(fitted.learned.out, out=tmp_path / "none", scale=0)
    assert not (tmp_path / "none").exists()


def test_a_model_of_one_table(fitted: Fitted, tmp_path: Path) -> None:
    learned = learn([fitted.files[0]], out=tmp_path / "one.model", held_out=False)
    assert learned.relations.keys == {"customers": "id"}
    assert learned.report.closer == {}
    assert sample(learned.out, out=tmp_path, scale=0.25) == {"customers": CUSTOMERS // 4}


def test_a_copy_is_found_out(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that gives the sample back fails."""
    data = read([fitted.files[1]])
    relations = relate(data, relations=[])
    model = fit(data, relations)
    monkeypatch.setattr("headrace.synth.learn.report.draw", lambda *_, **__: data.tables)
    found = report(data, relations, model, held_out=False)
    assert not found.passed
    assert [check.name for check in found.checks if not check.passed] == ["copies"]
    assert found.copies == {"orders": ORDERS}


# without SDV


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("header", [None, {"kind": "other"}, {"kind": KIND, "format": 99}, []])
def test_what_is_no_model_is_not_unpickled(tmp_path: Path, header: object) -> None:
    path, trap = tmp_path / "trap.model", tmp_path / "sprung"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.pkl", pickle.dumps(Trap(trap)))
        if header is not None:
            archive.writestr("header.json", json.dumps(header))
    with pytest.raises(SynthError, match=r"is not a model|has format 99"):
        load(path)
    assert not is_model(path)
    assert not trap.exists()


def test_a_changed_model_is_not_unpickled(tmp_path: Path) -> None:
    pytest.importorskip("sdv", reason="uv sync --extra learn")
    from importlib.metadata import version

    path, trap = tmp_path / "trap.model", tmp_path / "sprung"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.pkl", pickle.dumps(Trap(trap)))
        header = {"kind": KIND, "format": 1, "sha256": "0", "versions": {"sdv": version("sdv")}}
        archive.writestr("header.json", json.dumps(header))
    with pytest.raises(SynthError, match="checksum"):
        load(path)
    assert not trap.exists()


def test_files_that_are_no_zip_and_none(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("schema: {}", encoding="utf-8")
    assert not is_model(tmp_path / "a.yml")
    with pytest.raises(SynthError, match="is not a model"):
        load(tmp_path / "a.yml")
    with pytest.raises(SynthError, match="there is no model"):
        load(tmp_path / "b")


def test_without_sdv_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sdv", None)
    (tmp_path / "a.csv").write_text("x\n1\n2\n", encoding="utf-8")
    with pytest.raises(SynthError, match="uv sync --extra learn"):
        learn([tmp_path / "a.csv"], out=tmp_path / "a.model")
    assert not (tmp_path / "a.model").exists()


def rows_around(centre: float, size: int = 200) -> pa.Table:
    random = np.random.default_rng(int(centre * 10))
    return pa.table({
        "x": centre + random.random(size),
        "kind": random.choice(["a", "b"], size),
    })  # fmt: skip


def test_the_distance_tells_copies_from_strangers() -> None:
    seen, unseen, kinds = rows_around(0.0), rows_around(0.1), ["numerical", "categorical"]
    assert closer_share(seen, unseen, seen, kinds) > 0.95
    assert closer_share(seen, unseen, unseen, kinds) < 0.05
    assert closer_share(seen, seen, rows_around(0.3), kinds) == 0.5  # all ties


def test_null_is_near_to_null_alone() -> None:
    def rows(*values: float | None) -> pa.Table:
        return pa.table({"x": pa.array(values, pa.float64())})

    assert closer_share(rows(None, 0), rows(1, 0), rows(None), ["numerical"]) == 1.0
    assert closer_share(rows(None, 0), rows(1, 0), rows(0.9), ["numerical"]) == 0.0


def test_the_halves_hold_their_relations_and_no_row_twice() -> None:
    random = np.random.default_rng(3)
    data = LearningSample({
        "stores": pa.table({"id": np.arange(STORES), "size": np.arange(STORES)}),
        "customers": pa.table({"id": np.arange(100), "age": np.arange(100)}),
        "orders": pa.table({
            "id": np.arange(400),
            "customer_id": random.integers(0, 100, 400),
            "store_id": random.integers(0, STORES, 400),
        }),
        "lines": pa.table({"id": np.arange(900), "order_id": random.integers(0, 400, 900)}),
    })  # fmt: skip
    relations = Relations(
        dict.fromkeys(data.tables, "id"),
        (
            LearnedForeignKey("orders", "customer_id", "customers", "id"),
            LearnedForeignKey("orders", "store_id", "stores", "id"),
            LearnedForeignKey("lines", "order_id", "orders", "id"),
        ),
    )
    halves = split(data, relations)
    assert halves is not None
    one, other, divided = halves
    assert divided == ("customers", "lines", "orders")
    assert one.tables["stores"] == other.tables["stores"] == data.tables["stores"]
    for name in divided:
        ids = [set(half.tables[name].column("id").to_pylist()) for half in (one, other)]
        assert not ids[0] & ids[1]
        assert ids[0] | ids[1] == set(data.tables[name].column("id").to_pylist())
    for half in (one, other):
        for each in relations.relations:
            column = half.tables[each.table].column(each.column)
            key = half.tables[each.parent].column(each.parent_column)
            assert pc.all(pc.is_in(column, key.combine_chunks())).as_py()
    small = LearningSample({name: table.slice(0, 10) for name, table in data.tables.items()})
    assert split(small, Relations({}, ())) is None
