"""What a stopped or starved run leaves behind, and that the next one makes up for it."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from lab import Lab, Shop, copy_project, fingerprint

from headrace.errors import UserError, WarehouseError
from headrace.pipeline.loading.source_loader import SourceLoader
from headrace.pipeline.run import Step


def test_pending_package_is_dropped_and_its_files_read_anew(
    done: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dlt

    path = done.data_dir / "jaffle_shop/raw_customers.csv"
    path.write_text(path.read_text() + "101,Ada,L.\n")

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dlt.Pipeline, "load", stopped)
        with pytest.raises(KeyboardInterrupt):
            done.run("load")
    report = done.load()

    customers = report.tables[0]
    assert (customers.rows_new, customers.rows_total) == (1, 101)
    assert any("read again" in note for note in customers.notes)
    again = done.load()
    assert [(table.rows_new, table.notes) for table in again.tables] == [(0, ())] * 3


def test_pending_package_of_a_first_load_is_read_anew(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dlt

    shop.write("orders.csv", "id\n1\n2\n")
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [id]}}")

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dlt.Pipeline, "load", stopped)
        with pytest.raises(KeyboardInterrupt):
            lab.load()
    shop.write("orders.csv", "id\n1\n3\n")
    table = lab.load_one()

    assert (table.rows_new, table.rows_total) == (2, 2)
    assert any("read again" in note for note in table.notes)
    assert lab.query("select id from store_raw.orders order by id") == [(1,), (3,)]


@pytest.fixture
def two_sources(shop: Shop) -> Lab:
    """Two sources of one row each, loaded."""
    shop.write("a/t.csv", "id\n1\n")
    shop.write("b/t.csv", "id\n1\n")
    lab = shop.lab.set(
        "sources.jaffle_shop.enabled=false",
        *(
            f"sources.{name}.{key}"
            for name in ("first", "second")
            for key in (
                "kind=files",
                f"path={shop.folder / {'first': 'a', 'second': 'b'}[name]}",
                "tables={t: {pattern: '*.csv', primary_key: [id]}}",
            )
        ),
    )
    lab.load()
    return lab


def test_a_stopped_full_refresh_is_finished_for_all_sources(
    two_sources: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dlt

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dlt.Pipeline, "load", stopped)
        with pytest.raises(KeyboardInterrupt):
            two_sources.load(full_refresh=True)
    report = two_sources.load()
    assert [table.rows_new for table in report.tables] == [1, 1]
    assert all(any("full refresh" in note for note in table.notes) for table in report.tables)
    assert [table.rows_new for table in two_sources.load().tables] == [0, 0]


def test_a_full_refresh_that_fails_for_a_source_is_made_for_the_others(
    two_sources: Lab, tmp_path: Path
) -> None:
    file = tmp_path / "files" / "a" / "t.csv"
    file.write_text("")
    report = two_sources.load(full_refresh=True)
    assert [failure.source for failure in report.failures] == ["first"]
    assert [(table.source, table.rows_new) for table in report.tables] == [("second", 1)]
    file.write_text("id\n1\n")
    first, second = two_sources.load().tables  # nothing of the first was dropped
    assert (first.rows_new, first.rows_total, first.notes) == (0, 1, ())
    assert (second.rows_new, second.notes) == (0, ())


def test_a_full_refresh_that_the_warehouse_stops_says_which_sources_are_left(
    two_sources: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise WarehouseError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(SourceLoader, "run", full)
        with pytest.raises(UserError, match="full refresh of second did not begin: run the same"):
            two_sources.load(full_refresh=True)
    first, second = two_sources.load().tables
    assert (first.rows_new, second.rows_new, second.notes) == (1, 0, ())


def test_a_warehouse_that_was_stopped_at_its_birth_is_created_anew(shop: Shop) -> None:
    shop.write("orders.csv", "id\n1\n2\n")
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [id]}}")
    lab.load()
    whole = lab.warehouse.read_bytes()
    for size in (0, 100, 4_096, 12_287):
        shutil.rmtree(lab.data_dir)
        lab.data_dir.mkdir()
        lab.warehouse.write_bytes(whole[:size])
        report = lab.run("load")
        assert any("unfinished" in note for note in report.notes)
        assert report.load is not None
        assert [table.rows_new for table in report.load.tables] == [2]
        assert not [path for path in lab.data_dir.iterdir() if ".tmp" in path.name]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(path)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small file system can only be mounted by root, on Linux")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("left", [0, 1_200, 3_000])
def test_full_disk(done: Lab, small_disk: Path, left: int) -> None:
    shutil.copytree(done.data_dir, small_disk / "data")
    lab = Lab(small_disk / "data", observes=True)
    path = lab.data_dir / "jaffle_shop/raw_customers.csv"
    extra = "".join(f"{number},Ada,L.\n" for number in range(101, 20_000))
    path.write_text(path.read_text() + extra)
    ballast = small_disk / "ballast"
    free = shutil.disk_usage(small_disk).free - left * 1024
    ballast.write_bytes(b"\1" * free)
    before = fingerprint(lab.published)
    with pytest.raises(UserError) as error:
        lab.run()
    assert "full" in str(error.value), str(error.value)
    assert "\n" not in str(error.value)
    assert fingerprint(lab.published) == before

    ballast.unlink()
    assert lab.run().status == "success"
    count = lab.query("select count(*) from marts.customers", path=lab.published)
    assert count == [(19_999,)]


@pytest.mark.slow
@pytest.mark.parametrize("kib", [8, 64, 400])
def test_a_first_load_on_a_disk_that_is_too_small_is_one_line_and_the_next_succeeds(
    shop: Shop, small_disk: Path, kib: int
) -> None:
    shop.write("orders.csv", "id,note\n" + "".join(f"{n},{n:040}\n" for n in range(20_000)))
    lab = replace(
        shop.lab_with("{orders: {pattern: '*', primary_key: [id]}}"),
        data_dir=small_disk / "data",
    )
    subprocess.run(["mount", "-o", f"remount,size={kib}k", str(small_disk)], check=True)
    ended = lab.command("load")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert "the disk is full" in ended.stderr

    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert lab.load_one().rows_total == 20_000


@pytest.fixture
def incremental(tmp_path: Path) -> Lab:
    """A dbt project of one incremental model, whose every build adds the row that a var says."""
    root = copy_project(tmp_path / "project")
    for folder in ("models", "tests", "seeds", "snapshots"):
        shutil.rmtree(root / "dbt_project" / folder, ignore_errors=True)
    model = "{{ config(materialized='incremental') }} select '{{ var(\"word\") }}' as word"
    (root / "dbt_project" / "models").mkdir()
    (root / "dbt_project" / "models" / "words.sql").write_text(model)
    lab = Lab(tmp_path / "data", root).set("sources.jaffle_shop.enabled=false")
    for word in ("one", "two"):
        lab.set(f"dbt.vars.word={word}").run("build")
    return lab


@pytest.mark.parametrize("steps", [("build",), ("load", "build", "publish")])
def test_a_full_refresh_that_was_stopped_is_repeated_by_the_next_build(
    incremental: Lab, monkeypatch: pytest.MonkeyPatch, steps: tuple[Step, ...]
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    words = "select word from main.words order by word"
    assert incremental.query(words) == [("one",), ("two",)]
    with monkeypatch.context() as patch:
        patch.setattr("headrace.pipeline.building.build.build_nodes", stopped)
        with pytest.raises(KeyboardInterrupt):
            incremental.set("dbt.vars.word=two").run(*steps, full_refresh=True)
    report = incremental.set("dbt.vars.word=two").run("build")
    assert incremental.query(words) == [("two",)]
    assert any("full refresh did not finish" in note for note in report.notes)
    assert incremental.set("dbt.vars.word=three").run("build").notes == ()
    assert incremental.query(words) == [("three",), ("two",)]


def test_a_full_refresh_in_which_a_model_failed_is_repeated_once_it_is_repaired(
    incremental: Lab,
) -> None:
    model = incremental.root / "dbt_project" / "models" / "words.sql"
    good = model.read_text()
    model.write_text(good + ", 1 / 'x'::int as broken")
    report = incremental.set("dbt.vars.word=two").run("build", full_refresh=True)
    assert report.status == "failed"
    model.write_text(good)
    incremental.set("dbt.vars.word=three").run("build")
    assert incremental.query("from main.words") == [("three",)]
