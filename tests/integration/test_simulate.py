"""`headrace simulate`: bronze, silver and COPY of a source that changes; kills; bad files."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from lab import Lab, Shop
from test_shown_outputs import HOW_TO, desk, typed  # noqa: F401 - it is a fixture
from tutorial import Command, difference, steps
from typer.testing import CliRunner

from headrace.errors import HeadraceError, LockedError, SettingsError, WarehouseError
from headrace.settings import resolve
from headrace.simulate import bronze, stages, watch
from headrace.simulate.places import CloudStack
from headrace.simulate.reports import ALL_STAGES, StageName, StageReport
from headrace.targets import Target

pytest.importorskip("moto", reason="uv sync --extra simulate")
pytest.importorskip("snowduck", reason="uv sync --extra snowflake")

from headrace.simulate.snowflake_copy import SnowflakeCopy
from headrace.targets.s3_standin import process as s3_process
from headrace.targets.snowflake_standin import process as snowflake_process

pytestmark = pytest.mark.slow

_TABLES = (
    "{orders: {pattern: 'orders*.csv', primary_key: [id], write: snapshot}, "
    "notes: {pattern: 'notes*.csv', write: snapshot}}"
)
_DAYS = (
    ("id,name\n1,a\n2,b\n3,c\n", "note\nx\nx\n"),
    ("id,name\n1,a\n3,changed\n4,d\n", "note\nx\ny\n"),
    ("id,name,colour\n1,a,red\n3,changed,\n4,d,\n5,e,blue\n", "note\nx\ny\n"),
)
_ORDERS = (
    [("1", "a"), ("2", "b"), ("3", "c")],
    [("1", "a"), ("3", "changed"), ("4", "d")],
    [("1", "a"), ("3", "changed"), ("4", "d"), ("5", "e")],
)
_NOTES = ([("x",), ("x",)], [("x",), ("y",)], [("x",), ("y",)])


@pytest.fixture
def simulated(shop: Shop) -> Iterator[tuple[Shop, CloudStack]]:
    lab = shop.lab_with(_TABLES)
    flags = [f"data_dir={lab.data_dir}", *lab.flags]
    _write(shop, 0)
    found = stages.simulation_of(lab.resolved, (), flags)
    assert found.sources == ("store",)
    yield shop, found
    standin = found.folder / "targets" / "snowflake" / "standin"
    for end, folder in ((snowflake_process, standin), (s3_process, found.folder / "s3")):
        end.release(folder)
        end.wait_until_ended(folder)


def _write(shop: Shop, day: int) -> None:
    shop.write("orders.csv", _DAYS[day][0])
    shop.write("notes.csv", _DAYS[day][1])


def _run(simulation: CloudStack, *names: StageName) -> dict[str, StageReport]:
    report = stages.run(simulation, names)
    assert report.is_good, report
    return {stage.stage: stage for stage in report.stages}


def _silver(simulation: CloudStack) -> tuple[Any, Any]:
    from headrace.libraries.duckdb import load_extension

    with duckdb.connect() as connection:
        simulation.open(connection)
        load_extension(connection, "delta", extra="simulate")
        at = f"{simulation.url}/silver/store_raw"
        return tuple(
            connection.execute(
                f"select {columns} from delta_scan('{at}/{table}') order by all"
            ).fetchall()
            for table, columns in (("orders", "id::varchar, name"), ("notes", "note"))
        )  # type: ignore[return-value]


def _loaded(simulation: CloudStack) -> tuple[Any, Any]:
    server = SnowflakeCopy.of(simulation).target.server
    return (
        server.ask("select id::varchar, name from headrace.store_raw.orders order by 1"),
        server.ask("select note from headrace.store_raw.notes order by 1"),
    )


def _landed(simulation: CloudStack) -> tuple[Any, ...]:
    """Rows and different rows of the landing tables."""
    server = SnowflakeCopy.of(simulation).target.server
    ((rows, different),) = server.ask(
        "select count(*), count(distinct _staged_load_id || '/' || coalesce(id::varchar, '')) "
        "from headrace.store_landing.orders"
    )
    return rows, different


def test_each_stage_follows_the_source_and_does_nothing_twice(
    simulated: tuple[Shop, CloudStack],
) -> None:
    shop, simulation = simulated
    names: tuple[StageName, ...] = ("bronze", "silver", "snowflake-copy")
    with pytest.raises(WarehouseError, match="run `headrace simulate bronze`"):
        _run(simulation, "silver")
    for day in range(3):
        _write(shop, day)
        done = _run(simulation, *names)
        assert all(stage.changed for stage in done.values())
        assert _silver(simulation) == (_ORDERS[day], _NOTES[day])
        assert _loaded(simulation) == (_ORDERS[day], _NOTES[day])
        again = _run(simulation, *names)
        assert not any(stage.changed for stage in again.values())
    staged = bronze.read(simulation, "store")
    assert staged is not None
    # 1, 2, 3; then 3 and 4 and the end of 2; then 5, and 1 with its colour
    assert len(staged.of("orders")) == 3
    assert staged.staged.tables["orders"].keys == ("id",)
    assert len(staged.of("notes")) == 2  # it did not change on the third day
    assert [entry.key.split("/")[3][:10] for entry in staged.of("orders")] == ["load_date="] * 3
    assert _landed(simulation) == (8, 8)


def test_what_was_done_is_shown_and_explained_later(
    simulated: tuple[Shop, CloudStack],
) -> None:
    _, simulation = simulated
    assert stages.shown(simulation).stages == ()
    _run(simulation, "bronze", "snowflake-copy")
    shown = stages.shown(simulation)
    assert [stage.stage for stage in shown.stages] == ["bronze", "snowflake-copy"]
    first, second = shown.stages
    assert {table.name: table.rows for table in first.tables}["store.orders"] == 3
    files = [table for table in first.tables if table.new_files]
    assert first.requests["write"] >= len(files)
    assert second.bytes_read == sum(table.bytes for table in files)
    for stage in shown.stages:
        explained = stage.explanation
        assert explained is not None
        assert explained.why
        assert explained.cloud
        assert explained.goes_wrong
        assert all(line.dollars is not None for line in explained.cost)
    assert second.explanation is not None
    assert f"{len(files)} files" in second.explanation.done
    cost = {line.what: line.dollars for line in second.explanation.cost}
    expected = max(60, second.seconds) / 3600 * 3
    assert cost["a warehouse of Snowflake"] == pytest.approx(expected)


def test_the_bucket_survives_its_server(simulated: tuple[Shop, CloudStack]) -> None:
    _, simulation = simulated
    _run(simulation, "bronze", "snowflake-copy")
    before = [(entry.key, entry.tag) for entry in simulation.store.list()]
    folder = simulation.folder / "s3"
    s3_process.release(folder)
    s3_process.wait_until_ended(folder)
    files = (folder / "buckets" / "headrace-local" / "bronze").rglob("*.parquet")
    assert len(list(files)) == 3  # orders, notes, loads
    again = CloudStack(simulation.project, simulation.sources, simulation.flags)
    assert [(entry.key, entry.tag) for entry in again.store.list()] == before
    assert not _run(again, "snowflake-copy")["snowflake-copy"].changed


_KILLED = """
import os, signal, sys
from pathlib import Path
from headrace.settings import resolve
from headrace.simulate import stages, snowflake_copy, watch
root, at, *flags = sys.argv[1:]
ask, seen = snowflake_copy.SnowflakeCopy.ask, []
def counted(self, sql):
    seen.append(sql)
    if len(seen) == int(at):
        os.kill(os.getpid(), signal.SIGKILL)
    return ask(self, sql)
snowflake_copy.SnowflakeCopy.ask = counted
simulation = stages.simulation_of(resolve(Path(root), flags=flags, environ={}), (), flags)
watch.watch(simulation, ("snowflake",), once=True)
print(len(seen))
"""


def _watch_killed_at(simulation: CloudStack, at: int) -> "subprocess.CompletedProcess[str]":
    words = [str(simulation.project.root), str(at), *simulation.flags]
    return subprocess.run(
        [sys.executable, "-c", _KILLED, *words], capture_output=True, encoding="utf-8", check=False
    )


def test_a_killed_loader_neither_loses_nor_doubles_a_file(
    simulated: tuple[Shop, CloudStack],
) -> None:
    shop, simulation = simulated
    for day, kills in ((0, (9,)), (1, (21,))):
        _write(shop, day)
        _run(simulation, "bronze")
        for at in kills:
            assert _watch_killed_at(simulation, at).returncode == -signal.SIGKILL
            with pytest.raises(LockedError, match="the lock ends in"):
                watch.watch(simulation, ("snowflake",), once=True)
            server = SnowflakeCopy.of(simulation).target.server
            server.ask("update headrace._headrace.lease set ends_at = '2000-01-01'::timestamp_tz")
        found: list[watch.LoadedFiles] = []
        watch.watch(simulation, ("snowflake",), once=True, on_loaded=found.append)
        assert _loaded(simulation) == (_ORDERS[day], _NOTES[day])
    assert _landed(simulation) == (6, 6)
    assert not watch.watch(simulation, ("snowflake",), once=True, on_loaded=found.append)
    assert _landed(simulation) == (6, 6)


def test_a_stand_in_that_is_killed_fails_in_one_line_and_the_next_run_converges(
    simulated: tuple[Shop, CloudStack], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, simulation = simulated
    _run(simulation, "bronze")
    standin = simulation.folder / "targets" / "snowflake" / "standin"
    copy = SnowflakeCopy.copy

    def killing(self: SnowflakeCopy, *arguments: Any) -> Any:
        if arguments[1] == "orders":
            os.kill(json.loads((standin / "server.json").read_bytes())["pid"], signal.SIGKILL)
        return copy(self, *arguments)

    monkeypatch.setattr(SnowflakeCopy, "copy", killing)
    with pytest.raises(HeadraceError) as caught:
        _run(simulation, "snowflake-copy")
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    _run(simulation, "snowflake-copy")
    assert _loaded(simulation) == (_ORDERS[0], _NOTES[0])
    assert _landed(simulation) == (3, 3)


def test_a_file_that_is_no_parquet_ends_the_copy_and_names_itself(
    simulated: tuple[Shop, CloudStack],
) -> None:
    _, simulation = simulated
    _run(simulation, "bronze")
    staged = bronze.read(simulation, "store")
    assert staged is not None
    (entry,) = staged.of("orders")
    whole = simulation.store.get(entry.key)
    assert whole is not None
    for bad in (b"id,name\n1,a\n", whole.body[: len(whole.body) // 2]):
        simulation.store.put(entry.key, bad)
        for stage in ("silver", "snowflake-copy"):
            with pytest.raises(WarehouseError) as caught:
                stages.run(simulation, (stage,))
            assert bronze.load_id(entry.key) in str(caught.value)
            assert "\n" not in str(caught.value)
    simulation.store.put(entry.key, whole.body)
    _run(simulation, "silver", "snowflake-copy")
    assert _loaded(simulation) == (_ORDERS[0], _NOTES[0])


def test_a_bad_file_keeps_no_other_table_back_and_is_tried_again(
    simulated: tuple[Shop, CloudStack],
) -> None:
    _, simulation = simulated
    _run(simulation, "bronze")
    staged = bronze.read(simulation, "store")
    assert staged is not None
    (entry,) = staged.of("notes")  # it comes before the orders
    whole = simulation.store.get(entry.key)
    assert whole is not None
    simulation.store.put(entry.key, b"id,name\n1,a\n")
    loaded: list[watch.LoadedFiles] = []
    with pytest.raises(WarehouseError, match="Parquet"):
        watch.watch(simulation, ("snowflake",), once=True, on_loaded=loaded.append)
    assert "store_landing.orders" in {one.table for one in loaded}
    failed: list[watch.FailedLoad] = []

    class Ended(Exception):  # noqa: N818 - of this test
        """Ends the loop, as Ctrl-C does."""

    def mend(one: watch.FailedLoad) -> None:
        failed.append(one)
        simulation.store.put(entry.key, whole.body)

    def end(one: watch.LoadedFiles) -> None:
        assert one.table == "store_landing.notes"
        raise Ended

    with pytest.raises(Ended):
        watch.watch(simulation, ("snowflake",), on_loaded=end, on_failed=mend)
    assert [(one.warehouse, one.table) for one in failed] == [("snowflake", "store_landing.notes")]
    assert bronze.load_id(entry.key) in failed[0].error
    watch.watch(simulation, ("snowflake",), once=True)  # the raw table of what was just loaded
    assert _loaded(simulation) == (_ORDERS[0], _NOTES[0])


def test_two_commands_do_not_run_stages_at_once(simulated: tuple[Shop, CloudStack]) -> None:
    _, simulation = simulated
    with simulation.lock(), pytest.raises(LockedError, match="headrace simulate"):
        stages.run(simulation, ("bronze",))


def test_redshift_loads_each_file_once_and_a_killed_loader_doubles_none(
    simulated: tuple[Shop, CloudStack], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pg_mimic", reason="uv sync --extra redshift")
    pytest.importorskip("psycopg2", reason="uv sync --extra redshift")
    from headrace.simulate.redshift_copy import FILES, RedshiftCopy
    from headrace.targets.redshift_mock import process as redshift_process

    shop, simulation = simulated

    def loaded() -> tuple[Any, ...]:
        ask = RedshiftCopy.of(simulation).target.server.ask
        ((landed,),) = ask("select count(*) from store_landing.orders")
        rows = ask("select cast(id as varchar), name from store_raw.orders order by 1")
        return landed, rows, ask("select note from store_raw.notes order by 1")

    try:
        for day, landed in ((0, 3), (1, 6), (2, 8)):  # the third has one more column
            _write(shop, day)
            _run(simulation, "bronze")
            with monkeypatch.context() as patch:
                ask = RedshiftCopy.ask

                def killed(self: RedshiftCopy, sql: str) -> Any:
                    if FILES in sql and sql.startswith("insert"):  # the rows are there
                        self.connection.close()
                    return ask(self, sql)  # noqa: B023

                patch.setattr(RedshiftCopy, "ask", killed)
                with pytest.raises(HeadraceError):
                    stages.run(simulation, ("redshift-copy",))
            assert _run(simulation, "redshift-copy")["redshift-copy"].changed
            assert not _run(simulation, "redshift-copy")["redshift-copy"].changed
            assert loaded() == (landed, _ORDERS[day], _NOTES[day])
        flags = (*simulation.flags, "simulate.iam_role=arn:aws:iam::123456789012:role/unknown")
        other = CloudStack(
            resolve(simulation.project.root, flags=flags, environ={}), ("store",), flags
        )
        _write(shop, 0)
        _run(simulation, "bronze")
        with pytest.raises(WarehouseError, match="role"):
            stages.run(other, ("redshift-copy",))
    finally:
        folder = simulation.folder / "targets" / "redshift" / "standin"
        redshift_process.release(folder)
        redshift_process.wait_until_ended(folder)


def _marts(target: Target, table: str) -> list[tuple[Any, ...]]:
    """Rows of a mart, with numbers as such whatever their type."""
    with duckdb.connect() as connection:
        assert target.attach(connection, "place")
        rows = connection.execute(f"select * from place.marts.{table} order by 1").fetchall()
    return [tuple(float(x) if isinstance(x, int | Decimal) else x for x in row) for row in rows]


@pytest.mark.filterwarnings("ignore:The 'insecure_mode':DeprecationWarning")  # dbt-snowflake's
def test_the_marts_are_the_same_everywhere(done: Lab) -> None:
    pytest.importorskip("pg_mimic", reason="uv sync --extra redshift")
    from headrace.targets.redshift_mock import process as redshift_process

    flags = [f"data_dir={done.data_dir}"]
    simulation = stages.simulation_of(done.resolved, ("jaffle_shop",), flags)
    try:
        report = stages.run(simulation)
        assert [stage.stage for stage in report.stages] == list(ALL_STAGES)
        assert report.is_good
        places = [simulation.lakehouse, *map(simulation.resolved, ("snowflake", "redshift"))]
        for table in ("customers", "orders"):
            expected = _marts(done.resolved.target, table)
            assert expected
            for place in places:
                assert _marts(place.target, table) == expected
    finally:
        at = simulation.folder / "targets"
        for end, folder in (
            (redshift_process, at / "redshift" / "standin"),
            (snowflake_process, at / "snowflake" / "standin"),
            (s3_process, simulation.folder / "s3"),
        ):
            end.release(folder)
            end.wait_until_ended(folder)


def test_outputs_are_as_the_page_shows_them(
    desk: Lab,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = (HOW_TO / "simulate-a-cloud-stack.md").read_text("utf-8")
    for step in steps(page):
        assert isinstance(step, Command)
        printed = typed(step, monkeypatch)
        wrong = difference(step.output, printed)
        assert not wrong, f"$ {step.line}\n{wrong}\n\nall of it:\n{printed}"
    s3_process.release(desk.data_dir / "simulate" / "s3")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["brnze"], "there is no stage brnze (did you mean 'bronze'"),
        (["watch", "bronze"], "watch alone"),
        (["--once"], "headrace simulate watch"),
        (["watch", "--into", "bigquery", "--once"], "snowflake or redshift"),
        (["--source", "nobody"], "not in the settings"),
        (["--set", "simulate.url=gs://x", "--show"], "s3://bucket/prefix"),
        (["--set", "simulate.on_error=sometimes", "--show"], "simulate.on_error"),
    ],
)
def test_what_is_asked_wrongly_is_told(lab: Lab, words: list[str], said: str) -> None:
    from headrace.cli.main import app

    flags = ["--project-dir", str(lab.root), "--set", f"data_dir={lab.data_dir}"]
    done = CliRunner().invoke(app, ["simulate", *words, *flags])
    assert done.exit_code != 0
    assert isinstance(done.exception, SettingsError)
    assert said in str(done.exception)
    assert not lab.data_dir.exists()
