"""Files of a schema: the example's unchanged, parts, threads, deltas, and failures."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

import headrace.synth.view as view_module
import headrace.synth.writer as writer_module
from headrace.synth.errors import OutputError, SynthError
from headrace.synth.files import Format
from headrace.synth.generate import describe, generate
from headrace.synth.writer import Share
from synth_lab import SHOP, START

pytestmark = pytest.mark.slow

EXAMPLE = """\
schema:
  Customer:
    count: 10000
    fields:
      customer_id: {type: serial, primary_key: true}
      first_name: {type: categorical, pii: false, generator: faker.first_name}
      last_name: {type: categorical, pii: false, generator: faker.last_name}
      email: {type: unique, generator: faker.email}
      registration_date:
        {type: datetime, distribution: uniform, range: ["2023-01-01", "2024-12-31"]}
  Order:
    count: 50000
    fields:
      order_id: {type: serial, primary_key: true}
      customer_id: {type: foreign_key, references: Customer.customer_id, pii: false}
      order_total: {type: numerical, distribution: gaussian, mean: 150.00, stddev: 50.00}
"""
CONTRACT = Path(__file__).parents[4] / "shared" / "contracts" / "customer_order.yml"
MOMENT = START + timedelta(days=60)


@pytest.fixture
def example(tmp_path: Path) -> Path:
    path = tmp_path / "customer_order.yml"
    path.write_text(EXAMPLE, encoding="utf-8")
    return path


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yml"
    path.write_text(
        SHOP.format(
            seed=3,
            growth=0.2,
            distribution="zipf",
            late="late: {rate: 0.2, max: 2d}",
            corrections="corrections: {rate: 0.3, within: 6d, columns: [stars]}",
            deletions="deletions: {rate: 0.3, within: 8d}",
        ),
        encoding="utf-8",
    )
    return path


def small_files(patch: pytest.MonkeyPatch, count: int) -> None:
    patch.setattr(writer_module, "FILE_ROWS", count)
    patch.setattr(view_module, "BLOCK_ROWS", 32)


def digests(directory: Path) -> dict[str, str]:
    return {
        path.name: sha256(path.read_bytes()).hexdigest()
        for path in directory.iterdir()
        if not path.name.startswith(".")
    }


def read(directory: Path, pattern: str) -> pa.Table:
    paths = sorted(directory.glob(pattern))
    assert paths
    return pa.concat_tables([pq.read_table(path) for path in paths])


def check_example(directory: Path) -> None:
    found = (
        duckdb.connect()
        .execute(
            f"""
        select
            (select count(*) from '{directory}/Customer.parquet'),
            (select count(distinct email) from '{directory}/Customer.parquet'),
            (select count(*) from '{directory}/Customer.parquet'
             where registration_date between
             '2023-01-01 00:00:00+00' and '2025-01-01 00:00:00+00'),
            (select count(*) from '{directory}/Order.parquet'),
            (select count(*) from '{directory}/Order.parquet' o
             semi join '{directory}/Customer.parquet' c using (customer_id)),
            (select min(order_total) > 0 from '{directory}/Order.parquet'),
            (select round(avg(order_total)) from '{directory}/Order.parquet')
        """
        )
        .fetchone()
    )
    assert found == (10_000, 10_000, 10_000, 50_000, 50_000, True, 150)


def test_the_example_is_what_it_says(example: Path, tmp_path: Path) -> None:
    result = generate(example, tmp_path / "out")
    assert {table.table: table.rows for table in result.tables} == {
        "Customer": 10_000,
        "Order": 50_000,
    }
    check_example(tmp_path / "out")
    assert sorted(digests(tmp_path / "out")) == ["Customer.parquet", "Order.parquet"]


@pytest.mark.skipif(not CONTRACT.is_file(), reason="the contract is not beside this checkout")
def test_the_contract_as_it_stands(tmp_path: Path) -> None:
    generate(CONTRACT, tmp_path)
    check_example(tmp_path)


def test_golden_values(example: Path, tmp_path: Path) -> None:
    """Whoever changes these changes everybody's data: raise hashing.VERSION, and say so."""
    generate(example, tmp_path / "out", kind="csv")
    lines = (tmp_path / "out" / "Customer.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1] == '1,"Christopher","Gallagher","leroy.king@example.org",2023-07-27 00:51:32Z'
    lines = (tmp_path / "out" / "Order.csv").read_text(encoding="utf-8").splitlines()
    assert lines[50_000] == "50000,5183,77.53"


def test_the_bytes_do_not_depend_on_threads(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_files(monkeypatch, 200)
    for threads in (1, 2, 5):
        generate(shop, tmp_path / str(threads), as_of=MOMENT, scale=3, threads=threads)
    assert digests(tmp_path / "1") == digests(tmp_path / "2") == digests(tmp_path / "5")
    assert len(digests(tmp_path / "1")) > 12


def test_another_seed_is_other_data(shop: Path, tmp_path: Path) -> None:
    generate(shop, tmp_path / "1", as_of=MOMENT)
    generate(shop, tmp_path / "2", as_of=MOMENT, seed=4)
    one, other = digests(tmp_path / "1"), digests(tmp_path / "2")
    assert one["order.parquet"] != other["order.parquet"]


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_several_files_hold_what_one_does(
    kind: Format, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(shop, tmp_path / "one", kind=kind, as_of=MOMENT, scale=3)
    small_files(monkeypatch, 300)
    result = generate(shop, tmp_path / "many", kind=kind, as_of=MOMENT, scale=3)
    assert max(len(table.files) for table in result.tables) > 3
    for table in result.tables:
        reader = f"read_{kind}" + ("('{}', all_varchar=true)" if kind == "csv" else "('{}')")
        one = reader.format(tmp_path / "one" / f"{table.table}.{kind}")
        many = reader.format(tmp_path / "many" / f"{table.table}*.{kind}")
        for left, right in ((one, many), (many, one)):
            left_over = duckdb.connect().execute(f"from {left} except all from {right}").fetchall()
            assert left_over == [], table.table


def test_parts_are_shares_of_the_whole(shop: Path, tmp_path: Path) -> None:
    generate(shop, tmp_path / "whole", as_of=MOMENT)
    for number in (1, 2, 3):
        generate(shop, tmp_path / "parts", as_of=MOMENT, share=Share(number, 3))
    for name in ("order", "line", "refund", "customer", "review"):
        whole = read(tmp_path / "whole", f"{name}.parquet")
        parts = read(tmp_path / "parts", f"{name}-part-*.parquet")
        assert parts.equals(whole), name


def test_a_delta_merges_into_the_next_snapshot(shop: Path, tmp_path: Path) -> None:
    later = MOMENT + timedelta(days=3)
    generate(shop, tmp_path, as_of=MOMENT)
    delta = generate(shop, tmp_path, as_of=later, since=MOMENT)
    generate(shop, tmp_path / "later", as_of=later)
    assert {name for table in delta.tables for name in table.files} >= {
        "order-20240301T000000-20240304T000000.parquet"
    }
    for name, tombstone in (("order", ""), ("customer", ""), ("review", "where not _deleted")):
        left_over = (
            duckdb.connect()
            .execute(
                f"""
            with
                delta as (from '{tmp_path}/{name}-2024*.parquet'),
                merged as (
                    from '{tmp_path}/{name}.parquet' anti join delta using (id)
                    union all
                    from delta {tombstone}
                ),
                later as (from '{tmp_path}/later/{name}.parquet')
            (from merged except all from later) union all (from later except all from merged)
            """
            )
            .fetchall()
        )
        assert left_over == [], name


def test_a_later_call_replaces_its_files_and_no_others(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "out" / "order-00009-of-00009.parquet"
    with monkeypatch.context() as patch:
        small_files(patch, 100)
        generate(shop, tmp_path / "out", as_of=MOMENT)
    assert len(list((tmp_path / "out").glob("order-*"))) > 2
    own.write_text("somebody's own")
    generate(shop, tmp_path / "out", as_of=MOMENT)
    assert [path.name for path in sorted((tmp_path / "out").glob("order*"))] == [
        own.name,
        "order.parquet",
    ]


def test_memory_is_that_of_a_block_and_not_of_the_table() -> None:
    """Ten times the rows take about the same memory."""
    script = (
        "import resource, sys; from pathlib import Path; import tempfile\n"
        "from headrace.synth.generate import generate\n"
        "with tempfile.TemporaryDirectory() as out:\n"
        "    path = Path(out) / 'x.yml'\n"
        f"    path.write_text({EXAMPLE!r})\n"
        "    generate(path, Path(out) / 'o', scale=float(sys.argv[1]), threads=2)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peak = [
        int(
            subprocess.run(
                [sys.executable, "-c", script, scale], capture_output=True, text=True, check=True
            ).stdout
        )
        for scale in ("20", "200")
    ]
    assert peak[1] < 1.5 * peak[0]


def test_nothing_heavy_is_imported(example: Path, shop: Path, tmp_path: Path) -> None:
    """pyarrow imports pandas and numpy.ma as soon as it is given what it does not know."""
    script = (
        "import sys; from datetime import datetime; from pathlib import Path\n"
        "from headrace.synth.generate import generate\n"
        "for path in sys.argv[2:]:\n"
        "    generate(Path(path), Path(sys.argv[1]), as_of=datetime(2024, 3, 1))\n"
        "print(sorted({'pandas', 'numpy.ma', 'faker', 'dlt', 'duckdb'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "out"), str(example), str(shop)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_bad_wishes_are_refused_before_anything_is_written(example: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(SynthError, match="no such table; there are Customer, Order"):
        generate(example, out, tables=("Customers",))
    with pytest.raises(SynthError, match="no such group; there are none"):
        generate(example, out, group="api")
    with pytest.raises(SynthError, match="--since needs a"):
        generate(example, out, since=MOMENT)
    with pytest.raises(SynthError, match=r"GB, and .* has .* GB left"):
        generate(example, out, scale=10_000_000)
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.parametrize("text", ["0/3", "4/3", "a/b", "2", "-1/2", "1/0", ""])
def test_a_part_that_is_none(text: str) -> None:
    with pytest.raises(SynthError, match="like 2/4"):
        Share.parse(text)


def test_moments_out_of_order(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(SynthError, match="since lies after as of"):
        generate(shop, tmp_path / "out", as_of=MOMENT, since=MOMENT + timedelta(1))
    with pytest.raises(SynthError, match="starts at 2024-01-01"):
        generate(shop, tmp_path / "out", as_of=datetime(2023, 1, 1))  # noqa: DTZ001


def test_a_place_that_cannot_be_written(example: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(OutputError, match="nothing was written"):
        generate(example, tmp_path / "taken")


def test_a_failed_run_leaves_nothing_under_a_final_name(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    generate(shop, out, as_of=MOMENT)
    before = digests(out)
    calls = []

    def disk_full(*_: object) -> None:
        calls.append(1)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left on device"):
        generate(shop, out, as_of=MOMENT + timedelta(9), progress=disk_full)
    assert digests(out) == before
    assert not list(out.glob(".generating*"))


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is not a signal there")
def test_ctrl_c_leaves_nothing(example: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace", "generate", str(example), "--scale", "1000",
         "--out", str(out)],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not list(out.glob(".generated.*.tmp/*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert errors.startswith("error: stopped")
    assert len(errors.splitlines()) == 1
    assert list(out.iterdir()) == []


def test_the_command_prints_what_it_wrote(example: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "headrace", "generate", str(example), *arguments],
            capture_output=True, text=True, check=False, cwd=tmp_path,
            env={**os.environ, "COLUMNS": "100"},
        )  # fmt: skip

    plain = run("--out", "here")
    assert "Customer  10,000" in plain.stdout
    assert "60,000 rows" in plain.stdout
    assert plain.returncode == 0
    told = json.loads(run("--json", "--seed", "3", "--part", "1/2").stdout)
    assert told["rows"] == 30_000
    assert told["seed"] == 3
    assert told["tables"][0]["files"] == ["Customer-part-1-of-2.parquet"]
    assert (tmp_path / "data" / "generated" / "customer_order").is_dir()
    for arguments, message in {
        ("--format", "xml"): "--format xml: one of parquet, csv",
        ("--as-of", "tomorrow"): "--as-of tomorrow: not a timestamp",
        ("--part", "3"): "write the number of the part and of all, like 2/4",
    }.items():
        failed = run(*arguments)
        assert failed.returncode == 2
        assert message in failed.stderr
        assert len(failed.stderr.splitlines()) == 1


def test_what_the_schema_file_says_flows_into_dbt(shop: Path) -> None:
    text = describe(shop, "store", tables=("customer", "order", "line"))
    (source,) = YAML(typ="safe", pure=True).load(text)["sources"]
    assert source["schema"] == "store_raw"
    tables = {table["name"]: table for table in source["tables"]}
    columns = {column["name"]: column for column in tables["customer"]["columns"]}
    assert columns["id"]["data_tests"] == ["unique", "not_null"]
    assert columns["email"]["config"] == {"meta": {"pii": "email"}}
    orders = {column["name"]: column for column in tables["order"]["columns"]}
    arguments = {"to": "source('store', 'customer')", "field": "id"}
    assert orders["customer_id"]["data_tests"] == [
        "not_null",
        {"relationships": {"arguments": arguments}},
    ]
    assert "data_tests" not in orders["place_id"]  # its table was not asked for


def test_a_pool_that_is_not_shipped_is_frozen_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "places.yml"
    path.write_text(
        "schema: {t: {count: 500, fields: {stadt: {type: categorical, generator: faker.city, "
        "locale: de_DE}}}}"
    )
    first = generate(path, tmp_path / "out")
    frozen = tmp_path / "pools" / "de_DE" / "city.tsv"
    assert first.frozen == (frozen,)
    second = generate(path, tmp_path / "again")
    assert second.frozen == ()
    assert digests(tmp_path / "out") == digests(tmp_path / "again")
    frozen.write_text("1\tUlm\n3\tKöln\n", encoding="utf-8")
    generate(path, tmp_path / "third")
    values, counts = np.unique(
        read(tmp_path / "third", "t.parquet")["stadt"].to_numpy(), return_counts=True
    )
    assert values.tolist() == ["Köln", "Ulm"]
    assert 330 < counts[0] < 420


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_what_a_kill_left_is_removed_by_the_next_generate(example: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [sys.executable, "-m", "headrace", "generate", str(example), "--out", str(out)]
    process = subprocess.Popen(
        [*words, "--scale", "1000"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while not list(out.glob(".generated.*.tmp/*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert list(out.glob(".generated.*.tmp"))
    subprocess.run(words, check=True, capture_output=True)
    assert not list(out.glob("*.tmp"))
    assert list(out.glob("[!.]*"))
