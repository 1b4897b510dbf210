"""Series in, bands and alarms out; drift; the part that carries a change."""

from datetime import UTC, datetime, timedelta
from math import inf, nan

import duckdb
import numpy as np
import pytest

from headrace.errors import MonitorError
from headrace.quality.monitors import (
    Judgement,
    Kind,
    MonitorOptions,
    ValueRows,
    as_times,
    carries_most,
    drift,
    judge,
    judge_many,
)
from headrace.quality.monitors.measure import measure
from headrace.quality.monitors.model import Floats, Grain, Times
from headrace.quality.monitors.plan import Hints, plan
from headrace.quality.monitors.segments import Parts
from headrace.quality.monitors.series import error_of_few, usual_deviation

START = datetime(2025, 1, 6, tzinfo=UTC)  # a Monday
DAY = timedelta(days=1)


def days(number: int) -> Times:
    return as_times([START + DAY * index for index in range(number)])


def counts(number: int, series: int = 1, seed: int = 0, mean: float = 1000) -> Floats:
    """Rows a day with half of them at weekends, and the noise of a count."""
    generator = np.random.default_rng(seed)
    week = np.where(np.arange(number) % 7 >= 5, 0.5, 1.0)[:, None]
    return generator.poisson(mean * week, (number, series)).astype(np.float64)


def alarms(found: Judgement) -> list[tuple[int, int, str]]:
    """The day of the first and the last period of each alarm, and its side."""
    return [((a.since - START).days, (a.last - START).days, a.side) for a in found.alarms]


OF_ROWS = MonitorOptions(kind="count")


def test_a_season_is_no_alarm_and_a_fault_is_one() -> None:
    values = counts(120)[:, 0]
    assert alarms(judge(days(120), values, OF_ROWS)) == []
    values[100] *= 0.7
    found = judge(days(120), values, OF_ROWS)
    assert alarms(found) == [(100, 100, "down")]
    worst = found.alarms[0].worst
    assert worst.low is not None
    assert worst.expected is not None
    assert worst.value == values[100] < worst.low < worst.expected
    assert found.alarms[0].is_over


def test_the_other_side_of_a_one_sided_monitor_is_open() -> None:
    values = counts(60)[:, 0]
    values[50] = 0
    found = judge(days(60), values, MonitorOptions(kind="count", direction="up"))
    assert found.alarms == ()
    assert found.bands[50].low is None
    assert found.bands[50].high is not None


@pytest.mark.slow
def test_false_alarms_are_rare_for_each_kind() -> None:
    generator = np.random.default_rng(11)
    walk = np.cumsum(generator.normal(0, 1, (300, 40)), axis=0) + generator.normal(0, 3, (300, 40))
    rare = generator.binomial(2000, 0.01, (300, 40)) / 2000
    kinds: list[tuple[Kind, Floats]] = [
        ("count", counts(300, 40, seed=3)),
        ("count", counts(300, 40, seed=4, mean=8)),
        ("number", walk + 100),
        ("share", rare),
    ]
    for kind, values in kinds:
        errors = np.full(values.shape, 2000.0) if kind == "share" else None
        found = judge_many(days(300), values, [MonitorOptions(kind=kind)] * 40, errors=errors)
        assert sum(len(one.alarms) for one in found) <= 4  # of 11,440 bands
        assert all(band.expected is not None for one in found for band in one.bands[14:])


def test_a_new_level_is_told_of_once_and_its_end_is_none() -> None:
    values = counts(200)[:, 0]
    values[100:150] *= 0.5
    assert alarms(judge(days(200), values, OF_ROWS)) == [(100, 106, "down")]


def test_what_was_expected_is_no_alarm_nor_is_what_follows_from_it() -> None:
    values = counts(200)[:, 0]
    values[100:] *= 0.5
    options = MonitorOptions(kind="count", expected=frozenset([START + DAY * 100]))
    assert alarms(judge(days(200), values, options)) == []
    sale = counts(200)[:, 0]
    first, second = (datetime(2025, month, 15, tzinfo=UTC) for month in (4, 5))
    for at in (first, second):
        sale[(at - START).days] *= 3
    assert len(judge(days(200), sale, OF_ROWS).alarms) == 2
    options = MonitorOptions(kind="count", expected=frozenset([first]))
    assert judge(days(200), sale, options).alarms == ()  # the same day of the next month


def test_a_trend_and_the_first_of_a_month_are_learned() -> None:
    values = counts(400)[:, 0] * np.exp(np.arange(400) * 0.004)
    first = [index for index in range(400) if (START + DAY * index).day == 1]
    values[first] *= 2
    found = judge(days(400), values, OF_ROWS, since=START + DAY * 150)
    assert alarms(found) == []
    assert len(found.bands) == 250


@pytest.mark.slow
def test_a_holiday_may_be_as_a_sunday_where_the_country_is_known() -> None:
    values = counts(400)[:, 0]
    good_friday = (datetime(2025, 4, 18, tzinfo=UTC) - START).days
    values[good_friday] *= 0.5
    assert alarms(judge(days(400), values, OF_ROWS)) == [(good_friday, good_friday, "down")]
    known = MonitorOptions(kind="count", country="DE")
    assert judge(days(400), values, known).alarms == ()
    part = MonitorOptions(kind="count", country="US-CA")
    assert len(judge(days(400), values, part).alarms) == 1
    with pytest.raises(MonitorError, match=r"no holidays of 'ENGLAND' are known: set monitors"):
        judge(days(400), values, MonitorOptions(country="ENGLAND"))


@pytest.mark.parametrize("missing", ["left out", "null"])
def test_a_gap_of_a_month_widens_the_band_and_is_no_alarm(missing: str) -> None:
    values, times = counts(200)[:, 0], days(200)
    if missing == "null":
        values[100:131] = nan
    else:
        kept = np.r_[0:100, 131:200]
        values, times = values[kept], times[kept]
    found = judge(times, values, OF_ROWS)
    assert alarms(found) == []
    assert found.bands[-1].expected is not None


@pytest.mark.parametrize(
    "values", [[], [5], [nan] * 90, [inf, -inf] * 45, [7] * 90, [0] * 90, [1e300, -1e300] * 45]
)
@pytest.mark.parametrize("kind", ["count", "share", "number"])
@pytest.mark.filterwarnings("error")
def test_awkward_series_have_bands_and_no_alarm(values: list[float], kind: Kind) -> None:
    times = [START + DAY * index for index in range(len(values))]
    found = judge(times, values, MonitorOptions(kind=kind))
    assert found.alarms == ()
    assert len(found.bands) == len(values)


def test_what_never_changed_alarms_when_it_does() -> None:
    found = judge(days(60), [0.0] * 59 + [0.02], MonitorOptions(kind="share"), errors=[5000] * 60)
    assert alarms(found) == [(59, 59, "up")]
    found = judge(days(60), [0.0] * 59 + [0.0002], MonitorOptions(kind="share"), errors=[5000] * 60)
    assert found.alarms == ()  # one row of 5,000


def test_a_judgement_of_the_last_days_is_that_of_all() -> None:
    values = counts(100, 3, seed=8)
    values[97, 1] = 0
    whole = judge_many(days(100), values, [OF_ROWS] * 3)
    last = judge_many(days(100), values, [OF_ROWS] * 3, since=START + DAY * 95)
    assert [alarms(one) for one in last] == [alarms(one) for one in whole] == [
        [], [(97, 97, "down")], []
    ]  # fmt: skip


@pytest.mark.parametrize("grain", ["hour", "week", "month", "run"])
def test_other_grains_have_seasons_of_their_own(grain: str) -> None:
    days_of = {"hour": 1 / 24, "week": 7, "month": 0, "run": 1 / 24}[grain]
    number = {"hour": 1000, "week": 150, "month": 72, "run": 60}[grain]
    first = datetime(2020, 1, 1 if grain == "month" else 6, tzinfo=UTC)
    times = [
        first + DAY * days_of * index
        if days_of
        else first.replace(year=2020 + index // 12, month=index % 12 + 1)
        for index in range(number)
    ]
    season = 1 + 0.5 * np.sin(
        np.arange(number) * 2 * np.pi / {"hour": 24, "month": 12}.get(grain, 1e9)
    )
    values = np.random.default_rng(2).poisson(500 * season).astype(np.float64)
    options = MonitorOptions(grain=grain, kind="count")  # type: ignore[arg-type]
    assert judge(times, values, options).alarms == ()
    values[-3] *= 2
    found = judge(times, values, options)
    assert [alarm.since for alarm in found.alarms] == [found.bands[-3].at]


def test_series_are_refused_that_do_not_fit() -> None:
    with pytest.raises(MonitorError, match="ascending"):
        judge([START, START], [1, 2])
    with pytest.raises(MonitorError, match="2 periods and 1 series do not fit"):
        judge(days(2), [1, 2, 3])


def test_two_runs_may_begin_in_one_second() -> None:
    times = [START, START + DAY / 2, START + DAY / 2 + timedelta(milliseconds=700), START + DAY]
    found = judge(times, counts(4)[:, 0], MonitorOptions(kind="count", grain="run"))
    assert [band.at for band in found.bands] == [START, times[1], times[1], times[3]]
    with pytest.raises(MonitorError, match="ascending"):
        judge(times[::-1], counts(4)[:, 0], MonitorOptions(kind="count", grain="run"))


@pytest.mark.parametrize("model", ["prophet", "isolation_forest"])
def test_models_of_the_extra_find_the_same_fault(model: str) -> None:
    name = {"prophet": "prophet", "isolation_forest": "sklearn"}[model]
    pytest.importorskip(name, reason="uv sync --extra anomaly")
    values = counts(120)[:, 0]
    values[110] = 0
    options = MonitorOptions(kind="count", model=model)  # type: ignore[arg-type]
    found = judge(days(120), values, options, since=START + DAY * 106)
    assert alarms(found) == [(110, 110, "down")]


def test_drift_is_0_of_the_same_and_grows_with_the_distance() -> None:
    same = drift([100, 200, 300], [10, 20, 30])
    assert (same.psi, same.ks, same.js) == pytest.approx((0, 0, 0), abs=1e-7)
    near, far = drift([50, 50], [40, 60]), drift([50, 50], [0, 100])
    assert near.psi == pytest.approx(
        0.1 * np.log(0.6 / 0.4) + 0.1 * np.log(0.5 / 0.4) * 0, abs=0.01
    )
    assert near.ks == pytest.approx(0.1)
    assert far.js > near.js > 0
    assert far.psi > 0.25 > near.psi
    assert drift([1, 0], [0, 1], is_ordered=False).js == pytest.approx(1)
    assert np.isnan(drift([0, 0], [1, 1]).psi)


def test_the_part_that_stands_out_carries_the_change() -> None:
    before: Parts = {
        "DE": ValueRows(500, 500),
        "FR": ValueRows(300, 300),
        "IT": ValueRows(200, 200),
    }
    now: Parts = {"DE": ValueRows(495, 495), "FR": ValueRows(12, 12), "IT": ValueRows(204, 204)}
    device: Parts = {"web": ValueRows(500, 500), "app": ValueRows(500, 500)}
    halved: Parts = {"web": ValueRows(355, 355), "app": ValueRows(356, 356)}
    found = carries_most([("device", device, halved), ("country", before, now)], is_mean=False)
    assert found is not None
    assert (found.column, found.value, found.before, found.now) == ("country", "FR", 300, 12)
    assert found.share == pytest.approx(288 / 289)
    assert carries_most([("device", device, halved)], is_mean=False) is None


def test_a_part_moves_a_mean_by_its_own_mean_and_its_share() -> None:
    before: Parts = {"EUR": ValueRows(900, 9000), "JPY": ValueRows(100, 1000)}
    now: Parts = {"EUR": ValueRows(900, 9000), "JPY": ValueRows(100, 100_000)}
    found = carries_most([("currency", before, now)], is_mean=True)
    assert found is not None
    assert (found.value, found.before, found.now) == ("JPY", 10, 1000)


@pytest.mark.parametrize(("nulls", "is_alarm"), [(1, False), (3, True)])
def test_what_was_never_null_is_judged_by_all_rows_of_its_history(
    nulls: int, *, is_alarm: bool
) -> None:
    """Sixty rows a day: one day's rows would let five be null."""
    values = np.zeros(120)
    values[110] = nulls / 60
    found = judge(days(120), values, MonitorOptions(kind="share"), errors=np.full(120, 60.0))
    assert bool(alarms(found)) == is_alarm


def test_what_was_always_the_case_is_rare_the_other_way_round() -> None:
    values = np.ones(120)
    values[110] = 1 - 3 / 60
    options = MonitorOptions(kind="share", direction="both")
    found = judge(days(120), values, options, errors=np.full(120, 60.0))
    assert alarms(found) == [(110, 110, "down")]


def test_a_rare_null_now_and_then_is_no_alarm() -> None:
    generator = np.random.default_rng(5)
    values = generator.binomial(60, 0.005, (300, 20)) / 60.0
    options = [MonitorOptions(kind="share")] * 20
    found = judge_many(days(300), values, options, errors=np.full((300, 20), 60.0))
    assert sum(len(one.alarms) for one in found) == 0


def test_what_was_still_for_months_and_moves_since_is_followed() -> None:
    """More than half of the differences are 0: their median says nothing of how fast it moves."""
    values = np.r_[np.zeros(60), np.linspace(0.01, 0.4, 60)]
    errors = np.full(120, 200.0)
    found = judge(
        days(120), values, MonitorOptions(kind="share"), errors=errors, since=START + 80 * DAY
    )
    assert alarms(found) == []


def test_one_value_less_is_an_alarm_until_it_happened_once() -> None:
    values = np.full(10, 4.0)
    assert set(error_of_few(values)) == {0.19}
    values[3], values[5] = np.nan, 3.0
    assert error_of_few(values).tolist() == [0.19] * 6 + [0.38] * 4
    assert error_of_few(np.zeros(0)).tolist() == []


def test_a_day_in_another_unit_does_not_hide_by_its_own_deviation() -> None:
    deviations = np.full(40, 4.0)
    deviations[[20, 25, 30]] = 9.0, 400.0, np.nan
    found = usual_deviation(deviations)
    assert found[[19, 20, 25, 26]].tolist() == [4, 9, 12, 4]
    assert np.isnan(found[30])
    shifted = np.repeat([4.0, 40.0], 40)  # another spread from then on is soon the usual one
    assert usual_deviation(shifted)[[39, 40, 60]].tolist() == [4, 12, 40]
    assert usual_deviation(np.array([4.0, 400.0])).tolist() == [4, 400], "little is known"
    assert usual_deviation(np.repeat([0.0, 3.0], 20))[20] == 3, "numbers that never differed"
    assert usual_deviation(np.zeros(0)).tolist() == []


@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz"])
@pytest.mark.parametrize("loaded", ["", ", '1.5' as _dlt_load_id"])
def test_the_first_measurement_has_the_fingerprints_of_later_ones(kind: str, loaded: str) -> None:
    now = START + 600 * DAY
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(
            "create table t as select n as id, n % 7 as amount, "
            f"(timestamp '2025-01-06' + to_minutes(n * 30))::{kind} as placed_at{loaded} "
            "from range(48 * 500) as numbers(n)"
        )
        for outside in ("null", "'2999-01-01'"):
            connection.execute(f"insert into t select -1, 1, {outside}{loaded}")
        made = plan(connection, "t", Hints(), now=now)
        assert (made.event_time, made.grain) == ("placed_at", "day")
        first = measure(connection, "t", made, now=now, is_new=True)
        assert first == measure(connection, "t", made, now=now)
        assert (first.whole.rows, first.whole.outside) == (48 * 500 + 2, 2)
        assert (first.whole.late is not None) == bool(loaded and kind != "date")
        assert len(first.periods) == 429
        known = {one.at: one.fingerprint for one in first.periods}
        connection.execute("update t set amount = 8, id = -id where id = 23999")
        again = measure(connection, "t", made, now=now, known=known)
        assert len(again.periods) == (0 if loaded else 1)


@pytest.mark.parametrize("grain", ["week", "month"])
def test_an_event_of_the_next_day_changes_no_old_period(grain: Grain) -> None:
    # the oldest period that is kept began before the first day that is looked at
    now = datetime(2026, 1, 14, tzinfo=UTC)
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(
            "create table t as select i as id, timestamp '2000-01-01 08:00:00' + to_days(i::int) "
            "as happened_at from range(9505) as every (i)"
        )
        made = plan(connection, "t", Hints(event_time="happened_at", grain=grain), now=now)
        first = measure(connection, "t", made, now=now)
        known = {one.at: one.fingerprint for one in first.periods}
        connection.execute("insert into t values (9505, timestamp '2026-01-10 08:00:00')")
        again = measure(connection, "t", made, now=now, known=known)
    assert [one.at for one in again.periods] == [first.periods[-1].at]
    assert again.gone == ()


@pytest.mark.parametrize(("rows", "most"), [(1000, 50), (900_000, 120)])
def test_how_late_the_newest_load_was_is_its_median(rows: int, most: float) -> None:
    """Exact, but for loads of so many rows that some of them tell it."""
    now, loaded = START + 600 * DAY, (START + 500 * DAY).timestamp()
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(
            "create table t as select n as id, "
            f"timestamp '2025-01-06' + to_seconds(n * 86400 // {rows}) as placed_at, "
            f"'{loaded}' as _dlt_load_id from range({rows}) as numbers(n) "
            "union all select -n, timestamp '2025-03-01', '1500000000.5' "
            "from range(5000) as numbers(n)"
        )
        made = plan(connection, "t", Hints(event_time="placed_at", key=("id",)), now=now)
        late = measure(connection, "t", made, now=now).whole.late
        assert late == pytest.approx(500 * 86_400 - 43_200, abs=most)
        connection.execute("update t set _dlt_load_id = 'of another tool'")
        assert measure(connection, "t", made, now=now).whole.late is None
