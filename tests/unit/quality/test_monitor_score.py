"""The proof of the monitors: which faults are replayed, what counts, and one small replay."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.pipeline import monitor_score as step
from headrace.pipeline.monitor_score import score_project
from headrace.quality.monitor_score import service
from headrace.quality.monitor_score.replay import TableSeries
from headrace.quality.monitor_score.report import ScoreReport, kind_scores, monitor_score
from headrace.quality.monitor_score.scenarios import TABLES, Scenario, batches, scenarios
from headrace.quality.monitors.plan import Plan
from headrace.quality.monitors.series import Series
from headrace.synth.schema.fault import FAULT_KINDS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SINCE, UNTIL = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 6, 30, tzinfo=UTC)


def test_every_kind_of_fault_is_replayed_and_some_together() -> None:
    found = scenarios(7, SINCE, UNTIL)
    assert {one.kind for one in found} == {*FAULT_KINDS, "several"}
    assert {"weak", "middle", "strong"} <= {one.strength for one in found if one.kind == "nulls"}
    together = [one for one in found if one.kind == "several"]
    assert len(together) > 3
    assert all(len({fault["kind"] for fault in one.faults}) == 2 for one in together)
    assert all(SINCE <= one.begins < UNTIL and one.table in TABLES for one in found)


def test_the_same_seed_gives_the_same_faults() -> None:
    assert scenarios(3, SINCE, UNTIL) == scenarios(3, SINCE, UNTIL)
    assert scenarios(3, SINCE, UNTIL) != scenarios(4, SINCE, UNTIL)


def test_faults_share_a_load_only_where_they_cannot_be_confused() -> None:
    todo = scenarios(7, SINCE, UNTIL)
    made = batches(todo)
    assert sorted(one.words for batch in made for one in batch) == sorted(x.words for x in todo)
    assert len(made) < len(todo) / 2
    for batch in made:
        assert len({one.table for one in batch}) == len(batch)
        assert len({one.is_of_columns for one in batch}) == 1
        flips = ["type_flip" in {each["kind"] for each in one.faults} for one in batch]
        assert len(set(flips)) == 1


def table_of(*values: float, kind: str = "number", error: float = 0.0) -> TableSeries:
    array = np.array(values, dtype=np.float64)
    series = Series(None, "rows", None, kind, "rows", "both", array, np.full(len(array), error))  # type: ignore[arg-type]
    times = tuple(SINCE + timedelta(days=place) for place in range(len(values)))
    plan = Plan("at", "day", False, (), ())
    return TableSeries(plan, "day", times, (series,), {"at": "TIMESTAMP"})


def moved_by(clean: TableSeries, faulty: TableSeries, fault: Scenario) -> tuple[str, ...]:
    return service._moved({"order": clean}, {"order": faulty}, fault)[0]


def scenario(day: int) -> Scenario:
    return Scenario("drift", "weak", "order", "drift:order", (), SINCE + timedelta(days=day))


def test_a_fault_counts_if_it_moves_a_metric_by_more_than_its_usual_range() -> None:
    clean = table_of(*[10.0, 12.0] * 15)
    within, beyond = list(clean.series[0].values), list(clean.series[0].values)
    within[25] += 1.5
    beyond[25] += 2.5
    assert moved_by(clean, table_of(*within), scenario(20)) == ()
    assert moved_by(clean, table_of(*beyond), scenario(20)) == ("order: rows",)
    # before the fault nothing counts
    assert moved_by(clean, table_of(*beyond), scenario(27)) == ()
    other = replace(clean, types={"at": "VARCHAR"})
    assert moved_by(clean, other, scenario(20)) == ("schema",)


def test_what_chance_does_is_no_move() -> None:
    rows = table_of(*[100.0] * 30, kind="count")
    assert service._usual_range(rows.series[0], 25) == 0
    assert service._chance(rows.series[0], rows.plan)[0] == 20
    share = table_of(*[0.0] * 30, kind="share", error=50)
    assert service._chance(share.series[0], share.plan)[0] == pytest.approx(0.04)
    moved = table_of(*[100.0] * 29, 115.0, kind="count")
    assert moved_by(rows, moved, scenario(20)) == ()


def test_an_alarm_counts_however_many_metrics_are_moved_farther() -> None:
    (rows,) = table_of(*[100.0, 103.0] * 30, kind="count").series
    silent = [replace(rows, metric=f"m{place}", direction="up") for place in range(20)]
    clean = replace(table_of(*rows.values), series=(*silent, rows))
    fewer, none = rows.values.copy(), rows.values.copy()
    fewer[50], none[50] = 40, 0
    series = (*(replace(one, values=none) for one in silent), replace(rows, values=fewer))
    faulty = replace(clean, series=series)
    before, after = {"order": clean}, {"order": faulty}
    moved, changed = service._moved(before, after, scenario(50))
    assert moved[-1] == "order: rows"
    found = service._detected("baseline", scenario(50), before, after, moved, changed)
    assert (found.found, found.metric) == (True, "rows")


def test_a_plain_z_score_needs_a_deviation() -> None:
    values = [10.0, 11.0] * 10 + [30.0, 30.0, 10.0]
    (one,) = table_of(*values).series
    times = [SINCE + timedelta(days=place) for place in range(len(values))]
    assert service._z_score(one, times, SINCE) == [times[20]]
    flat = table_of(*[0.0] * 20, 5.0).series[0]
    assert service._z_score(flat, times[:21], SINCE) == []


@pytest.fixture(scope="module")
def report() -> ScoreReport:
    """Two months of a small shop with some of the faults."""
    return score_project(ROOT, seed=11, months=2, scale=1.0, most=8, is_direct=True)


def test_a_replay_has_each_monitor_and_what_it_found(report: ScoreReport) -> None:
    assert [one.monitor for one in report.monitors] == ["baseline", "z-score"]
    assert len(report.detections) == 2 * 8
    assert report.tables == len(TABLES)
    assert report.metrics > 100
    by_monitor = {one.monitor: one for one in report.monitors}
    assert by_monitor["baseline"].faults == by_monitor["z-score"].faults >= 3
    assert by_monitor["baseline"].found >= 2
    assert by_monitor["baseline"].false_alarms_a_month < by_monitor["z-score"].false_alarms_a_month
    for one in report.detections:
        if one.found and one.metric != "schema":
            assert one.days is not None
            assert one.days >= 1
    assert not any(one.moved for one in report.detections if one.kind == "out_of_order")


def test_scores_are_sums_of_what_was_found(report: ScoreReport) -> None:
    again = kind_scores(report.detections)
    assert again == report.kinds
    for monitor in report.monitors:
        own = [one for one in again if one.monitor == monitor.monitor]
        assert sum(one.faults for one in own) == monitor.faults
        assert sum(one.found for one in own) == monitor.found
        assert sum(one.faults + one.unmoved + one.stopped for one in own) == 8
    empty = monitor_score("baseline", [], false_alarms=0.0, metrics=0, seconds=0.0)
    assert (empty.share_found, empty.days) == (None, None)


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "dlt_pipelines").mkdir()
    (tmp_path / "config" / "default.yml").write_text("{}\n")
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    words = ["quality", "score", "--project-dir", str(tmp_path), "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code != 0
    assert "shop.yml" in str(result.exception) or "shop.yml" in result.output


def test_the_command_replays_a_shop_through_real_loads_builds_and_monitors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two simulated days, one fault: all else is what the command does by default."""
    begins = UNTIL - timedelta(days=15)
    fault = {"kind": "volume_spike", "table": "order", "day": f"{begins:%Y-%m-%d}", "factor": 6.0}
    words = f"volume_spike:order:day={begins:%Y-%m-%d}:factor=6.0"
    one = Scenario("volume_spike", "strong", "order", words, (fault,), begins)
    monkeypatch.setattr(service, "scenarios", lambda *_: [one])
    monkeypatch.setattr(step, "_DAYS", 1)
    kept = sorted((ROOT / "data").iterdir())
    result = CliRunner().invoke(
        app,
        ["quality", "score", "--months", "2", "--scale", "0.5", "--seed", "11", "--json",
         "--monitor", "baseline", "--project-dir", str(ROOT)],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    report = ScoreReport.model_validate_json(result.stdout)
    assert (report.through, report.tables) == ("runs", 27)
    (found,) = report.detections
    assert found.stopped is None
    assert "shop_raw.order: rows" in found.moved
    assert "marts.fct_orders: rows" in found.moved
    assert (found.found, found.fault) == (True, words)
    assert found.days is not None
    assert found.days <= 2
    (baseline,) = report.monitors
    assert (baseline.monitor, baseline.faults, baseline.found) == ("baseline", 1, 1)
    assert sorted((ROOT / "data").iterdir()) == kept
