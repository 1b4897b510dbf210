"""What ``headrace learn`` finds in a table: codes, clock times, columns that follow, nulls."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from benchmarks.learned_data import compare, markdown

from headrace.synth.learn import learn_schema
from headrace.synth.learn.relations import relate
from headrace.synth.learn.resemblance import Resemblance, resemblance
from headrace.synth.learn.sample_data import read
from headrace.synth.learn.shapes import patterns_of, with_room
from headrace.synth.learn.to_schema import to_schema
from headrace.synth.patterns import overlap
from headrace.synth.record_batch import to_batch
from headrace.synth.schema.fields import Text
from headrace.synth.schema.schema_file import Schema, parse
from headrace.synth.view import View
from headrace.synth.world import World

ROWS = 6_000


def flights(rows: int = ROWS) -> pa.Table:
    """A table with the kinds of columns that public flight data has."""
    random = np.random.default_rng(5)
    routes = [
        (carrier, origin, to, 200 + 37 * n)
        for n, (carrier, origin, to) in enumerate(
            (c, o, t) for c in ("UA", "9E", "B6") for o in ("JFK", "EWR") for t in ("LAX", "BOS")
        )
    ]
    route = random.choice(len(routes), rows, p=np.arange(12, 0, -1) / 78)
    distance = np.array([each[3] for each in routes])[route]
    minutes = np.rint(random.triangular(300, 500, 1300, rows)).astype(int)
    delay = np.rint(np.where(random.random(rows) < 0.35, random.exponential(60, rows),
                             random.normal(-4, 5, rows))).astype(int)  # fmt: skip
    left = (minutes + delay) % 1440
    air = np.rint(20 + distance / 7 + random.normal(0, 4, rows)).astype(int)
    arrival = delay + np.rint(random.normal(-5, 14, rows)).astype(int)
    cancelled = random.random(rows) < 0.03
    tails = [f"N{n:03d}{'ABCDEFGH'[n % 8]}{'UDJ'[n % 3]}" for n in range(100, 900)]
    days = np.datetime64("2024-01-01") + random.integers(0, 366, rows)
    months = days.astype("datetime64[M]")
    hhmm = minutes // 60 * 100 + minutes % 60
    return pa.table({
        "month": months.astype(int) % 12 + 1,
        "day": (days - months).astype(int) + 1,
        "dep_time": pa.array(left // 60 * 100 + left % 60, mask=cancelled),
        "sched_dep_time": hhmm,
        "dep_delay": pa.array(delay, mask=cancelled),
        "arr_delay": pa.array(arrival, mask=cancelled),
        "air_time": pa.array(air, mask=cancelled),
        "carrier": [routes[n][0] for n in route],
        "tail_code": random.choice(tails, rows),
        "origin": [routes[n][1] for n in route],
        "dest": [routes[n][2] for n in route],
        "distance": distance,
        "hour": hhmm // 100,
        "fare": np.round(distance * 0.11, 2),
        "tax": np.round(random.gamma(2, 5, rows), 2),
        "scan": [f"{n // 60:02d}:{n % 60:02d}" for n in random.integers(0, 1440, rows)],
    })  # fmt: skip


def learned(
    table: pa.Table, folder: Path, name: str = "flights", scale: float = 1
) -> tuple[Schema, str, pa.Table]:
    """The schema, its text, and as many rows with the types of the sample."""
    path = folder / f"{name}.parquet"
    pq.write_table(table, path)
    sample = read([path])
    text = to_schema(sample, relate(sample))
    made = View.of(World(parse(text), scale=scale)).table(name)
    data = sample.tables[name]
    columns = {
        field.name: made.column(field.name)
        if pa.types.is_null(field.type)
        else made.column(field.name).cast(field.type)
        for field in data.schema
    }
    return parse(text).schema, text, pa.table(columns)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Schema, str, pa.Table]:
    return learned(flights(), tmp_path_factory.mktemp("flights"), scale=5)


@pytest.fixture(scope="module")
def figures(made: tuple[Schema, str, pa.Table]) -> Resemblance:
    return resemblance(flights(), made[2])


def test_means_correlations_and_tails(figures: Resemblance) -> None:
    # rows of so heavy tails move a mean by two hundredths by chance
    assert figures.mean[0] < 0.05
    assert figures.pearson[0] < 0.06
    assert figures.spearman[0] < 0.06
    assert figures.tail[0] < 0.01


def test_nothing_impossible(figures: Resemblance, made: tuple[Schema, str, pa.Table]) -> None:
    assert figures.impossible[0] < 0.005
    for name in ("dep_time", "sched_dep_time"):
        values = made[2].column(name).drop_null().to_numpy()
        assert (values % 100).max() < 60, name
        assert values.max() < 2400, name
    assert pc.all(
        pc.match_substring_regex(made[2].column("scan"), r"^([01]\d|2[0-3]):[0-5]\d$")
    ).as_py()


def test_days_that_there_are_not_are_not_invented(made: tuple[Schema, str, pa.Table]) -> None:
    day = made[2].column("day").to_numpy()[made[2].column("month").to_numpy() == 2]
    assert len(day) > 100
    assert day.max() <= 29


def test_what_is_null_together_stays_so(figures: Resemblance,
                                        made: tuple[Schema, str, pa.Table]) -> None:  # fmt: skip
    assert figures.nulls[0] < 0.01
    masks = [pc.is_null(made[2].column(name)).to_numpy()
             for name in ("dep_time", "dep_delay", "arr_delay", "air_time")]  # fmt: skip
    assert masks[0].any()
    assert all(np.array_equal(mask, masks[0]) for mask in masks)


def test_columns_that_follow_exactly(figures: Resemblance,
                                     made: tuple[Schema, str, pa.Table]) -> None:  # fmt: skip
    assert figures.broken[0] == 0
    table = made[2]
    assert np.array_equal(
        table.column("hour").to_numpy(), table.column("sched_dep_time").to_numpy() // 100
    )
    known = table.drop_null()
    left, sched = (
        known.column(name).to_numpy() // 100 * 60 + known.column(name).to_numpy() % 100
        for name in ("dep_time", "sched_dep_time")
    )
    assert np.array_equal(left, (sched + known.column("dep_delay").to_numpy()) % 1440)
    per_route = table.group_by(["carrier", "origin", "dest"]).aggregate(
        [("distance", "count_distinct")]
    )
    assert pc.max(per_route.column("distance_count_distinct")).as_py() == 1


def test_codes_are_new_ones_of_the_same_shape(made: tuple[Schema, str, pa.Table]) -> None:
    schema, text, table = made
    assert "N123" not in text
    field = schema.tables["flights"].fields["tail_code"]
    assert isinstance(field, Text)
    assert field.distinct is not None
    codes = table.column("tail_code")
    assert pc.all(pc.match_substring_regex(codes, r"^N\d{3}[A-Z][A-Z]$")).as_py()
    seen = pc.count_distinct(flights().column("tail_code")).as_py()
    assert pc.count_distinct(codes).as_py() == pytest.approx(seen, rel=0.02)


def test_a_part_of_the_rows_is_a_part(made: tuple[Schema, str, pa.Table]) -> None:
    view = View.of(World(parse(made[1])))
    frame = view.frame(view.world.plans["flights"], np.arange(100, 200))
    part = view.table("flights").slice(100, 100)
    for name in ("arr_delay", "tail_code", "distance"):
        assert to_batch(frame).column(name).to_pylist() == part.column(name).to_pylist()


def test_categories_decide_a_mean_and_timestamps_follow_each_other(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    kind = random.choice(["small", "large"], 2_000)
    weight = np.where(kind == "small", 10, 50) + random.normal(0, 4, 2_000)
    start = np.datetime64("2024-01-01", "us") + random.integers(0, 10**7, 2_000) * 1_000_000
    table = pa.table({
        "kind": kind,
        "weight": np.round(weight, 2),
        "ordered_at": start,
        "shipped_at": start + (random.exponential(90_000, 2_000)).astype(int) * 1_000_000,
    })  # fmt: skip
    made = learned(table, tmp_path, "parcels")[2]
    for name in ("small", "large"):
        mean = pc.mean(made.filter(pc.equal(made.column("kind"), name)).column("weight")).as_py()
        assert mean == pytest.approx(10 if name == "small" else 50, abs=1)
    assert pc.all(pc.greater_equal(made.column("shipped_at"), made.column("ordered_at"))).as_py()


@pytest.mark.parametrize(
    ("expression", "name"),
    [("a + b", "total"), ("a - b", "net"), ("a * n", "amount"), ("2.5 * n", "price"),
     ("a + b + n", "sum"), ("a", "copy")],
)  # fmt: skip
def test_arithmetic_is_found(tmp_path: Path, expression: str, name: str) -> None:
    random = np.random.default_rng(2)
    columns = {
        "a": np.round(random.gamma(2, 40, 500), 2),
        "b": np.round(random.gamma(2, 10, 500), 2),
        "n": random.integers(1, 60, 500),
    }
    columns[name] = np.round(eval(expression, {}, columns), 2)  # noqa: S307
    made = learned(pa.table(columns), tmp_path, "orders")[2]
    given = {key: made.column(key).to_numpy() for key in columns}
    wanted = eval(expression, {}, given)  # noqa: S307
    assert given[name] == pytest.approx(wanted, abs=0.006)


@pytest.mark.parametrize(
    ("texts", "patterns"),
    [
        ([f"SKU-{n:04d}" for n in range(50)], {"SKU-####": 50}),
        ([f"{n}" for n in range(10, 99)] + [f"A{n}" for n in range(100, 200)],
         {"A###": 100, "##": 89}),
        ([f"{n:08x}" for n in range(10**9, 10**9 + 10**7, 10**5)], None),
        (["Smith", "Jones", "Taylor", "Brown"], None),
        ([f"Called about {n}" for n in range(50)], None),
        (["JFK", "LGA", "EWR", "BOS"], {"???": 4}),
        ([f"user{n}@mail" for n in range(30)], {"user#@mail": 10, "user##@mail": 20}),
    ],
)  # fmt: skip
def test_shapes(texts: list[str], patterns: dict[str, int] | None) -> None:
    found = patterns_of(texts)
    if patterns is None:
        assert found is None or list(found) == ["~~~~~~~~"] or all("~" in each for each in found)
    else:
        assert found == patterns


def test_room_for_more_rows_is_the_last_pattern_alone() -> None:
    roomy = with_room({"A##": 5, "B#": 2}, 10_000)
    assert list(roomy)[:2] == ["A##", "B#"]
    assert roomy[list(roomy)[-1]] == 0
    assert not any(overlap(one, other) for n, one in enumerate(roomy) for other in list(roomy)[:n])


def awkward() -> dict[str, pa.Table]:
    texts = ["x", None, "a b c", "\u20acuro", "", "N/A"] * 10
    return {
        "two_rows": pa.table({"a": [1, 2], "b": ["x", "y"]}),
        "nothing": pa.table({"a": pa.nulls(60, pa.int64()), "b": pa.nulls(60, pa.string())}),
        "all_null": pa.table({"a": pa.nulls(60, pa.int64()), "b": list(range(60))}),
        "constant": pa.table({"a": [7] * 60, "b": [1.5] * 60, "c": ["x"] * 60, "d": [True] * 60}),
        "wide": pa.table({f"c{n}": np.random.default_rng(n).normal(size=60) for n in range(30)}),
        "odd_names": pa.table({"class": list(range(60)), "null": [1, 2] * 30, "number": [1.5] * 60,
                               "from": texts, "x y": texts}),
        "huge": pa.table({"a": [2**62 + n for n in range(60)], "b": [10.0**n for n in range(60)]}),
        "past": pa.table({"a": pa.array([-700_000 + n for n in range(60)], pa.int32())
                          .view(pa.date32())}),
        "twice": pa.table({"id": [1, 1, 2] * 20, "code": ["A1", "A1", "B2"] * 20}),
    }  # fmt: skip


@pytest.mark.parametrize("name", awkward())
def test_awkward_tables(tmp_path: Path, name: str) -> None:
    table = awkward()[name]
    made = learned(table, tmp_path, name)[2]
    assert len(made) == len(table)
    resemblance(table, table)


def test_hexadecimal_codes_and_numbers_that_go_on_are_as_they_should_be(tmp_path: Path) -> None:
    table = pa.table({
        "hash": [f"{n * 2654435761 % 2**32:08x}" for n in range(400)],
        "seen": list(range(400)),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "t.parquet")
    learned = learn_schema([tmp_path / "t.parquet"], out=tmp_path / "t.yml")
    assert all(each.impossible[0] == 0 for each in learned.alike.values())
    assert all(each.mean[0] == 0 for each in learned.alike.values())


def test_the_benchmark_of_learned_data_in_small(tmp_path: Path) -> None:
    lines = [*compare("flights", flights(2_000), tmp_path, peer=False)]
    assert [line.who for line in lines] == ["Headrace"]
    assert lines[0].alike.impossible[0] < 0.01
    assert markdown(lines).count("\n") == 2
