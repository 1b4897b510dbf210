"""Keys that are found or not, tables that many refer to, and orphans, of ``headrace learn``."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from headrace.synth.errors import SynthError
from headrace.synth.generate import generate
from headrace.synth.learn import learn_schema
from headrace.synth.learn.relations import relate
from headrace.synth.learn.sample_data import LearningSample
from headrace.synth.schema.fields import ForeignKey, Listed
from headrace.synth.schema.schema_file import read

CODES = ["UA", "AA", "9E", "B6", "DL", "EV", "WN", "US", "MQ", "OO", "VX", "F9"]


def tables() -> dict[str, pa.Table]:
    random = np.random.default_rng(3)
    rows = 3_000
    place = random.choice(len(CODES), rows, p=np.arange(len(CODES), 0, -1) / 78)
    tails = [f"N{n}{'AB'[n % 2]}" for n in range(1_000, 1_800)]
    return {
        "airlines": pa.table({"carrier": CODES, "name": [f"Airline {c} Inc." for c in CODES]}),
        "planes": pa.table({"tailnum": tails, "seats": random.integers(20, 300, len(tails))}),
        "flights": pa.table({
            "carrier": [CODES[n] for n in place],
            "hub": [f"H{n % 3}X" for n in place],
            "tailnum": random.choice([*tails, *(f"N{n}C" for n in range(2_000, 2_200))], rows),
            "day": random.integers(0, 5, rows),
        }),
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flights")
    for name, table in tables().items():
        pq.write_table(table, path / f"{name}.parquet")
    return path


def learn_all(folder: Path, out: Path, *, orphans: bool = False) -> tuple[str, ...]:
    files = [folder / f"{name}.parquet" for name in tables()]
    return learn_schema(
        files, out=out, orphans=orphans, overwrite=True, compare=False
    ).relations.notes


def test_a_small_table_that_many_refer_to_stays_as_it_is(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "flights.yml"
    learn_all(folder, out)
    fields = read(out).schema.tables
    assert isinstance(fields["airlines"].fields["carrier"], Listed)
    carrier = fields["flights"].fields["carrier"]
    assert isinstance(carrier, ForeignKey)
    assert carrier.references == "airlines.carrier"
    generate(out, tmp_path / "made", scale=3)
    made = {name: pq.read_table(tmp_path / "made" / name) if (tmp_path / "made" / name).is_dir()
            else pq.read_table(next((tmp_path / "made").rglob(f"{name}*.parquet")))
            for name in ("airlines", "flights")}  # fmt: skip
    assert made["airlines"].column("name").to_pylist() == [f"Airline {c} Inc." for c in CODES]
    assert len(made["flights"]) == 9_000
    per_hub = made["flights"].group_by(["carrier"]).aggregate([("hub", "count_distinct")])
    assert pc.max(per_hub.column("hub_count_distinct")).as_py() == 1
    counted = {row["values"]: row["counts"] / 9_000 for row in
               pc.value_counts(made["flights"].column("carrier").combine_chunks()
                               .cast(pa.string())).to_pylist()}  # fmt: skip
    assert counted["UA"] == pytest.approx(12 / 78, abs=0.02)
    assert counted["F9"] == pytest.approx(1 / 78, abs=0.01)


def test_orphans_are_learned_when_asked(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "flights.yml"
    notes = learn_all(folder, out)
    assert any("flights.tailnum is called like planes.tailnum" in note for note in notes)
    assert any("--orphans" in note for note in notes)
    notes = learn_all(folder, out, orphans=True)
    assert any("which are orphans" in note for note in notes)
    generate(out, tmp_path / "made")
    made = {name: pq.read_table(next((tmp_path / "made").rglob(f"{name}*.parquet")))
            for name in ("planes", "flights")}  # fmt: skip
    tails = made["flights"].column("tailnum").cast(pa.string())
    known = pc.is_in(tails, value_set=made["planes"].column("tailnum").combine_chunks())
    seen = tables()["flights"].column("tailnum")
    wanted = pc.mean(pc.match_substring_regex(seen, "C$")).as_py()
    assert 1 - pc.mean(known).as_py() == pytest.approx(wanted, abs=0.03)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"a": [1, 1, 2, 2], "b": [1, 2, 1, 2]}, "a and b are together, which is not kept"),
        ({"a": [1, 1, 1, 1], "b": [5, 6, 6, 6]}, "no column is unique (b has 2 values in 4 rows)"),
        ({"a": [1, 1, 1, 1], "note": ["p", "q", "r", "s"]}, "declare it by --key t=note"),
    ],
)
def test_the_reason_that_there_is_no_key(columns: dict[str, list[int]], reason: str) -> None:
    found = relate(LearningSample({"t": pa.table(columns)}))
    assert "t" not in found.keys
    assert any(note.startswith("no key: t: ") and reason in note for note in found.notes)


def test_a_declared_relation_with_orphans_says_how_to_learn_them() -> None:
    sample = LearningSample({
        "a": pa.table({"id": [1, 2, 3]}), "b": pa.table({"a_id": [1, 2, 9, None]}),
    })  # fmt: skip
    with pytest.raises(SynthError, match="--orphans"):
        relate(sample, relations=["b.a_id=a.id"])
    found = relate(sample, relations=["b.a_id=a.id"], orphans=True)
    assert list(found.orphans.values()) == [0.25]


def test_tables_about_people_are_not_listed(tmp_path: Path) -> None:
    people = pa.table({"handle_code": [f"AB{n:02d}" for n in range(20)], "city": ["Bern"] * 20})
    visits = pa.table({"handle_code": [f"AB{n % 20:02d}" for n in range(800)]})
    for name, table in (("customers", people), ("visits", visits)):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    learn_schema(
        [tmp_path / "customers.parquet", tmp_path / "visits.parquet"],
        out=tmp_path / "out.yml", keys={"customers": "handle_code"}, compare=False,
    )  # fmt: skip
    assert "AB07" not in (tmp_path / "out.yml").read_text("utf-8")
