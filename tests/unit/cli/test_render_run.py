"""What a person reads, at 100 columns."""

import os
import re
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headrace.cli.render_inspect import show_status
from headrace.cli.render_run import RunScreen
from headrace.pipeline.reports import (
    AlarmReport,
    AuditReport,
    BuildReport,
    Event,
    LoadReport,
    NodeReport,
    PublishedTableReport,
    PublishReport,
    QualityReport,
    RunReport,
    SelectionReport,
    TableReport,
)
from headrace.pipeline.status import FailureReport, RecordedRun, StatusReport


def node(label: str, kind: str, status: str, message: str | None = None) -> NodeReport:
    return NodeReport.model_validate(
        {
            "unique_id": f"{kind}.{label}",
            "name": label,
            "label": label,
            "resource_type": kind,
            "status": status,
            "message": message,
        }
    )


def report(tmp_path: Path, *, passed: bool) -> RunReport:
    broken = node("unique(id) on orders", "test", "fail", "broken by 2 rows")
    problems = () if passed else ("test unique(id) on orders: broken by 2 rows",)
    path = str(tmp_path / "published.duckdb")
    published = PublishReport(
        path="published.duckdb",
        written=True,
        tables=(PublishedTableReport(name="marts.orders", rows=1200, changed=True),),
        bytes=1,
        seconds=0.5,
    )
    return RunReport(
        run_id="r",
        command="headrace run",
        status="success" if passed else "failed",
        started_at=datetime(2026, 1, 2, tzinfo=UTC),
        seconds=4.0,
        target="duckdb",
        code_version="abc",
        load=LoadReport(
            tables=(
                TableReport(
                    source="shop",
                    table="raw_orders",
                    rows_given=1300,
                    rows_new=1200,
                    rows_changed=3,
                    rows_unchanged=95,
                    rows_quarantined=2,
                    rows_total=5000,
                    files_read=1,
                    new_columns=("coupon",),
                ),
            ),
            load_ids=("1",),
            seconds=1.0,
        ),
        build=BuildReport(
            nodes=(
                node("orders", "model", "success"),
                node("not_null(id) on orders", "test", "pass"),
                node("[odd] name", "test", "warn", "broken by 1 row"),
                *(() if passed else (broken,)),
            ),
            seconds=2.0,
        ),
        audit=AuditReport(passed=passed, problems=problems, seconds=0.1),
        publish=published if passed else None,
        published_path=path,
    )


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def test_a_good_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    RunScreen(quiet=False).summary(report(tmp_path, passed=True))
    assert lines(capsys.readouterr().out) == [
        "Loaded",
        "table            given    new  changed  unchanged  quarantined  total",
        "shop.raw_orders  1,300  1,200        3         95            2  5,000",
        "  · shop.raw_orders: new column: coupon",
        "Built and tested",
        "               good  warned  failed  skipped",
        "models            1       0       0        0",
        "tests             1       1       0        0",
        "sources fresh     0       0       0        0",
        "! test [odd] name: broken by 1 row",
        "✓ published published.duckdb (marts.orders 1,200 rows)",
        "default: success in 4.0 s (load 1.0 s · build 2.0 s · audit 0.1 s · publish 0.5 s)",
    ]


def test_profiles_that_took_long_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seconds, told in ((0.4, "publish 0.5 s)"), (2.0, "publish 0.5 s · profiles 2.0 s)")):
        one = report(tmp_path, passed=True).model_copy(update={"profiles_seconds": seconds})
        RunScreen(quiet=False).summary(one)
        assert lines(capsys.readouterr().out)[-1].endswith(told)


def test_a_failed_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    RunScreen(quiet=False).summary(report(tmp_path, passed=False))
    out = lines(capsys.readouterr().out)
    assert out[-3:] == [
        "✗ not published, the published file is what it was:",
        "  · test unique(id) on orders: broken by 2 rows",
        "default: failed in 4.0 s (load 1.0 s · build 2.0 s · audit 0.1 s)",
    ]


def test_a_state_that_an_engine_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = report(tmp_path, passed=True)
    assert one.build is not None
    why = "the target spark reads no DuckDB file, so what is not built is read from /x"
    selection = SelectionReport(select=("state:modified+",), state="s", not_deferred=why)
    build = one.build.model_copy(update={"selection": selection})
    RunScreen(quiet=False).summary(one.model_copy(update={"build": build}))
    assert f"! {why}" in lines(capsys.readouterr().out)


def test_without_a_terminal_only_what_is_not_good_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with RunScreen(quiet=False) as screen:
        screen.listen(Event("load", "load", "started"))
        screen.listen(Event("load", "shop.raw_orders", "done", "3 new"))
        screen.listen(Event("load", "shop.raw_items", "warn", "1 in quarantine"))
        screen.listen(Event("build", "test unique(id) on orders", "failed", "fail", 0.25))
    assert lines(capsys.readouterr().out) == [
        "! load    shop.raw_items  1 in quarantine",
        "✗ build   test unique(id) on orders  fail · 0.25 s",
    ]


def test_alarms_of_one_column_are_told_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def alarm(number: int, metric: str, day: int = 2, *, table: str = "raw.orders") -> AlarmReport:
        at = datetime(2026, 1, day, tzinfo=UTC)
        return AlarmReport(
            number=number, table=table, asset=table, metric=metric, status="open",
            since=at, last=at,
            text=f"[{metric}] is 9", grain="day", score=9.0, run_id="r", is_new=number < 9,
            segment="all of it is of DE" if metric == "amount.mean" else None,
        )  # fmt: skip

    alarms = (
        alarm(1, "amount.mean"), alarm(2, "amount.p50"), alarm(3, "rows"),
        alarm(4, "amount.mean", table="marts.orders"), alarm(5, "amount.nulls", 1),
        alarm(6, "amount.drift"), alarm(7, "tax.mean"), alarm(8, "tax.p50", 1),
        alarm(9, "tax.p25"),
    )  # fmt: skip
    quality = QualityReport(alarms=alarms, seconds=0.1)
    found = report(tmp_path, passed=True).model_copy(update={"quality": quality})
    RunScreen(quiet=False).summary(found)
    told = lines(capsys.readouterr().out)
    first = next(place for place, line in enumerate(told) if "alarm 1," in line)
    assert told[first : first + 9] == [
        "! alarm 1, raw.orders: [amount.mean] is 9",
        "  · also 2 amount.p50, 6 amount.drift",
        "  · all of it is of DE",
        "! alarm 3, raw.orders: [rows] is 9",
        "! alarm 4, marts.orders: [amount.mean] is 9",
        "  · all of it is of DE",
        "! alarm 5, raw.orders: [amount.nulls] is 9",
        "! alarm 7, raw.orders: [tax.mean] is 9",
        "! 1 more new alarm and 1 alarm open from earlier runs (headrace quality status)",
    ]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with RunScreen(quiet=True) as screen:
        screen.listen(Event("build", "test x", "failed"))
    assert capsys.readouterr().out == ""


def test_status(capsys: pytest.CaptureFixture[str]) -> None:
    run = RecordedRun(
        run_id="r",
        command="headrace run",
        status="failed",
        target="duckdb",
        started_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        seconds=4.0,
        rows_loaded=1203,
        failures=(FailureReport(label="unique(id) on [orders]", message="broken by 2 rows"),),
        error=None,
        code_version="abc",
    )
    show_status(StatusReport(runs=(run,), published_path="p.duckdb", published_at=None))
    assert lines(capsys.readouterr().out) == [
        "started (UTC)        command       status   rows   took  code",
        "2026-01-02 03:04:05  headrace run  failed  1,203  4.0 s  abc",
        "✗ unique(id) on [orders]: broken by 2 rows",
        "environment: default",
        "published: p.duckdb (not yet)",
    ]


SCREEN = """
import sys, time
from headrace.cli import render_run
from headrace.pipeline.reports import Event

for case in sys.argv[1:]:
    after, _, quiet = case.partition(" ")
    render_run._BAR_AFTER_S = float(after)
    with render_run.RunScreen(quiet=bool(quiet)) as screen:
        screen.listen(Event("build", "build", "started"))
        screen.listen(Event("build", "model " + "very_long_name_" * 20, "started"))
        screen.listen(Event("build", "nodes", "progress", "12 of 41", share=12 / 41))
        time.sleep(0.3)
        screen.listen(Event("load", "load", "started"))
        screen.listen(Event("load", "shop.orders: 340 MB of 2.1 GB", "progress", share=0.16))
        time.sleep(0.3)
    print("end of", case, flush=True)
"""

CASES = ("0", "60", "0 quiet")
"""Seconds after which a bar is shown, and whether the screen is to be quiet."""


@pytest.fixture(scope="module")
def shown() -> dict[str, str]:
    """What the screen writes to a pseudo-terminal of 100 columns, by when a bar comes."""
    pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
    main, other = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "LINES": "30", "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-c", SCREEN, *CASES], stdout=other, stdin=other, env=environment
    ) as process:
        os.close(other)
        found = b""
        with suppress(OSError):  # how Linux tells of the end
            while data := os.read(main, 65536):
                found += data
        assert process.wait(timeout=30) == 0
    os.close(main)
    rest, texts = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", found.decode()), {}
    for case in CASES:
        texts[case], _, rest = rest.partition(f"end of {case}\r\n")
    assert rest == ""
    return texts


def test_what_takes_long_has_a_bar_on_a_terminal(shown: dict[str, str]) -> None:
    lines = re.split(r"[\r\n]+", shown["0"])
    build = [line for line in lines if "12 of 41 model very_long_name_" in line]
    load = [line for line in lines if "shop.orders: 340 MB of 2.1 GB" in line]
    assert "━" in build[0]
    assert "━" in load[0]
    assert max(map(len, lines)) <= 100


def test_the_first_two_seconds_have_no_bar(shown: dict[str, str]) -> None:
    assert "very_long_name_" in shown["60"]
    assert "━" not in shown["60"]


def test_nothing_of_it_is_shown_with_json(shown: dict[str, str]) -> None:
    assert shown["0 quiet"] == ""


def test_nothing_of_it_is_shown_in_a_pipe() -> None:
    piped = subprocess.run(
        [sys.executable, "-c", SCREEN, "0"], capture_output=True, text=True, check=True
    )
    assert (piped.stdout, piped.stderr) == ("end of 0\n", "")
