"""What `headrace watch` does with a save: no more than it needs, and nothing is published."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from lab import ROOT, Lab, copy_project, fingerprint

from headrace.pipeline import lock
from headrace.pipeline.watch import Saves, Watch, WatchReport, _Thread, follow

CUSTOMERS = "dbt_project/models/marts/customers.sql"
STAGING = "dbt_project/models/staging/jaffle_shop"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A project that was published once."""
    home = tmp_path_factory.mktemp("watched")
    shutil.copytree(ROOT / "data" / "schemas", home / "project" / "data" / "schemas")
    lab = Lab(home / "data", copy_project(home / "project", unit_tests=True))
    assert lab.run().status == "success"
    return lab


@pytest.fixture(scope="module")
def watch(lab: Lab) -> Watch:
    watch = Watch(lambda: lab.resolved)
    ready = watch.start()
    assert (ready.kind, ready.error, ready.failing) == ("ready", None, ())
    return watch


@contextmanager
def edited(lab: Lab, name: str, old: str, new: str) -> Iterator[Path]:
    """A file of the project with other content; at the end it is what it was."""
    path = lab.root / name
    before = path.read_text(encoding="utf-8")
    assert old in before
    path.write_text(before.replace(old, new), encoding="utf-8")
    try:
        yield path
    finally:
        path.write_text(before, encoding="utf-8")


def saved(watch: Watch, *paths: Path) -> WatchReport:
    watch.make_ready()
    return saved_at_once(watch, *paths)


def saved_at_once(watch: Watch, *paths: Path) -> WatchReport:
    """Before the watch could make itself ready."""
    report = watch.saved(paths)
    assert report is not None
    return report


def built(report: WatchReport) -> set[str]:
    """The names of what was built, without tests."""
    assert report.error is None, report.error
    assert report.run is not None
    nodes = report.run.build.nodes if report.run.build else ()
    return {node.name for node in nodes if "test" not in node.resource_type}


def labels(report: WatchReport) -> set[str]:
    assert report.run is not None
    assert report.run.build is not None
    return {node.label for node in report.run.build.nodes}


def test_a_model_is_built_and_tested_with_what_is_downstream(lab: Lab, watch: Watch) -> None:
    before = fingerprint(lab.published)
    with edited(lab, f"{STAGING}/stg_jaffle_shop__customers.sql", "from", "-- saved\nfrom") as path:
        report = saved(watch, path)
        assert built(report) == {"stg_jaffle_shop__customers", "customers"}
        assert "unique(customer_id) on customers" in labels(report)
        assert report.saved == (f"{STAGING}/stg_jaffle_shop__customers.sql",)
        assert report.exposures == ("customer_value",)
        assert [(one.name, one.status) for one in report.changes] == [("marts.customers", "same")]
        assert built(saved(watch, path)) == set(), "it was saved again as it was"
    assert built(saved(watch, path)) == {"stg_jaffle_shop__customers", "customers"}
    assert fingerprint(lab.published) == before


def test_a_comparison_with_the_published_file_says_what_changed(lab: Lab, watch: Watch) -> None:
    with edited(lab, CUSTOMERS, _LAST, f"{_LAST}\nlimit 50") as path:
        (change,) = saved(watch, path).changes
        assert (change.name, change.status) == ("marts.customers", "changed")
        assert (change.key, change.rows_removed) == (("customer_id",), 50)
        assert change.samples == (), "values are for `headrace diff`"
    saved(watch, path)


_LAST = "select * from final"


def test_the_project_is_read_before_the_save_and_not_again(
    lab: Lab, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbt.parser import manifest

    read: list[int] = []
    original = manifest.extended_mashumuro_decoder

    def decoder(content: bytes) -> object:
        read.append(len(content))
        return original(content)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(manifest, "extended_mashumuro_decoder", decoder)
    with edited(lab, CUSTOMERS, _LAST, f"-- a note\n{_LAST}") as path:
        watch.make_ready()
        assert len(read) == 1
        assert watch.saved([path]) is not None
        assert len(read) == 1
        parsed = next(lab.data_dir.glob("dbt/slim/target/partial_parse.msgpack"))
        watch.make_ready()
        parsed.write_bytes(b"cut off")  # by another process, as it were
        assert "customers" not in built(saved_at_once(watch, path)), "it is the same as before"
    assert built(saved(watch, path)) == {"customers"}


def test_of_a_new_test_only_the_test_is_run(lab: Lab, watch: Watch) -> None:
    yml, column = "dbt_project/models/marts/orders.yml", "      - name: credit_card_amount\n"
    with edited(lab, yml, column, f"{column}        data_tests: [not_null]\n") as path:
        report = saved(watch, path)
        assert labels(report) == {"not_null(credit_card_amount) on orders"}
        assert report.changes == ()
    assert labels(saved(watch, path)) == set()


def test_of_a_macro_the_models_are_built_that_call_it(lab: Lab, watch: Watch) -> None:
    macro = "dbt_project/macros/cents_to_dollars.sql"
    with edited(lab, macro, "* 0.01 as", "* 0.010 as") as path:
        report = saved(watch, path)
        names = built(report)
        assert "stg_jaffle_shop__payments" in names
        assert "stg_jaffle_shop__customers" not in names
    saved(watch, path)


def test_what_cannot_be_parsed_is_said_and_the_next_save_builds(lab: Lab, watch: Watch) -> None:
    with edited(lab, CUSTOMERS, "from", "{{ oops\nfrom") as path:
        report = saved(watch, path)
        assert report.kind == "error"
        assert report.error is not None
        assert "models/marts/customers.sql" in report.error
    assert built(saved(watch, path)) == set(), "it is as it was built last"
    with edited(lab, CUSTOMERS, "from", "-- saved\nfrom") as path:
        assert built(saved(watch, path)) == {"customers"}
    saved(watch, path)


def test_what_fails_is_told_of_until_it_passes(lab: Lab, watch: Watch) -> None:
    orders = f"{STAGING}/stg_jaffle_shop__orders.yml"
    with edited(lab, CUSTOMERS, "customers.first_name", "no_such_column as first_name") as path:
        report = saved(watch, path)
        failing = [node.name for node in report.failing]
        assert failing == ["customers_with_and_without_orders"]
        assert report.run is not None
        assert report.run.status == "failed"
        with edited(lab, orders, "One row per order.", "One row for each order.") as other:
            later = saved(watch, other)
            assert built(later) == set()
            assert [node.name for node in later.failing] == failing
    report = saved(watch, path)
    assert (built(report), report.failing) == ({"customers"}, ())


def test_a_file_of_a_source_is_loaded_and_what_reads_it_is_built(lab: Lab, watch: Watch) -> None:
    path = lab.data_dir / "jaffle_shop" / "raw_customers.csv"
    before = path.read_text(encoding="utf-8")
    assert any(path.is_relative_to(root) for root in watch.roots())
    path.write_text(f"{before}901,Zed,Q.\n", encoding="utf-8")
    report = saved(watch, path)
    assert built(report) == {"stg_jaffle_shop__customers", "customers"}
    assert lab.query("select count(*) from marts.customers where customer_id = 901") == [(1,)]
    assert [one.rows_added for one in report.changes] == [1]
    path.write_text(f"{before}901,Zed,R.\n", encoding="utf-8")
    assert built(saved(watch, path)) == {"stg_jaffle_shop__customers", "customers"}


def test_the_code_of_a_source_is_imported_again(lab: Lab, watch: Watch) -> None:
    code = "dlt_pipelines/jaffle_shop/__init__.py"
    with edited(lab, code, "def build_source(", "raise OSError('half a file')\n\n\ndef build_source(") as path:  # fmt: skip # noqa: E501
        report = saved(watch, path)
        assert report.kind == "error" or (report.run and report.run.status == "failed")
    assert built(saved(watch, path)) == set()


def test_settings_are_read_again(lab: Lab, watch: Watch) -> None:
    with edited(lab, "config/default.yml", "sources:", "sources_:") as path:
        report = saved(watch, path)
        assert report.kind == "error"
        assert "sources_" in (report.error or "")
    report = saved(watch, path)
    assert (report.kind, report.error) == ("ready", None)


def test_what_is_not_of_the_project_is_nothing(lab: Lab, watch: Watch) -> None:
    assert watch.saved([lab.root / "README.md"]) is None


def test_the_warehouse_is_free_between_saves_and_waited_for(lab: Lab, watch: Watch) -> None:
    script = f"import duckdb; duckdb.connect({str(lab.warehouse)!r}).execute('select 1')"
    subprocess.run([sys.executable, "-c", script], check=True)
    target = lab.resolved.target
    assert not lock.is_held(target.lock_path)
    reports: list[WatchReport] = []
    with edited(lab, CUSTOMERS, "from", "-- waits\nfrom") as path:
        with lock.hold(target, "headrace run"):
            thread = threading.Thread(target=lambda: reports.append(saved(watch, path)))
            thread.start()
            time.sleep(0.5)
            assert reports == []
        thread.join(60)
        assert built(reports[0]) == {"customers"}
    saved(watch, path)


def test_it_publishes_when_told_to_and_only_what_passes(lab: Lab, watch: Watch) -> None:
    with edited(lab, CUSTOMERS, _LAST, f"{_LAST}\nlimit 50") as path:
        assert "relationships(customer_id) on orders" in {
            node.label for node in saved(watch, path).failing
        }
        before = fingerprint(lab.published)
        report = watch.publish()
        assert report.run is not None
        assert (report.run.status, report.run.publish) == ("failed", None)
        assert fingerprint(lab.published) == before
    saved(watch, path)
    report = watch.publish()
    assert report.run is not None
    assert report.run.status == "success"
    assert report.run.build is not None  # what was built after a save is not built again
    assert [one.label for one in report.run.build.nodes if not one.reused] == []
    assert lab.query("select count(*) from marts.customers", path=lab.published) == [(101,)]


def test_saves_are_noted_together_and_what_dbt_writes_is_not(tmp_path: Path) -> None:
    project, other = tmp_path / "dbt_project", tmp_path / "other"
    for folder in (project / "models", project / "target", other):
        folder.mkdir(parents=True)
    with Saves() as saves:
        saves.follow([project])
        for number in range(20):  # as a switch of branches does
            (project / "models" / f"m{number}.sql").write_text("select 1")
        (project / "target" / "manifest.json").write_text("{}")
        (project / "models" / ".m1.sql.swp").write_text("")
        noted: set[Path] = set()
        ends = time.monotonic() + 30
        while len(noted) < 20 and time.monotonic() < ends:
            noted |= saves.wait(0.2)
        assert noted == {project / "models" / f"m{number}.sql" for number in range(20)}
        saves.follow([project, other])
        (other / "x.csv").write_text("a\n1\n")
        noted = set()
        while not noted and time.monotonic() < ends:
            noted = saves.wait(0.2)
        assert noted == {other / "x.csv"}
        (other / "sed4Kx").write_text("a\n2\n")  # as editors write: another file, in its place
        (other / "sed4Kx").replace(other / "x.csv")
        assert saves.wait(5) == {other / "x.csv"}


def test_what_was_saved_just_before_other_folders_are_followed_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, other = tmp_path / "dbt_project", tmp_path / "other"
    for folder in (project, other):
        folder.mkdir()

    class AtOnce(_Thread):
        def start(self) -> None:
            super().start()
            self.ready.set()  # as on a machine so busy that the earlier one had no turn

    with Saves() as saves:
        saves.follow([project])
        monkeypatch.setattr("headrace.pipeline.watch._Thread", AtOnce)
        (project / "m0.sql").write_text("select 1")
        saves.follow([other])
        assert saves.wait(5) == {project / "m0.sql"}


def test_keys_publish_and_quit(lab: Lab) -> None:
    keys = iter([None, "p", "x", "q"])
    reports: list[WatchReport] = []
    follow(Watch(lambda: lab.resolved), reports.append, lambda: next(keys))
    assert [report.kind for report in reports] == ["ready", "published"]


def told(stream: IO[str]) -> Any:
    """The next line of the command; what never comes is an error."""
    assert select.select([stream], [], [], 300)[0], "nothing was told"
    return json.loads(stream.readline())


def test_the_command_prints_an_object_a_line_and_ends_by_ctrl_c(lab: Lab) -> None:
    words = [sys.executable, "-m", "headrace", "watch", "--json"]
    words += ["--set", f"data_dir={lab.data_dir}"]
    with subprocess.Popen(words, cwd=lab.root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert told(process.stdout)["kind"] == "ready"
            with edited(lab, CUSTOMERS, "from", "-- by the command\nfrom"):
                report = told(process.stdout)
        except BaseException:
            process.kill()
            raise
        assert report["saved"] == [CUSTOMERS]
        assert report["seconds"] > 0
        assert {node["name"] for node in report["run"]["build"]["nodes"]} >= {"customers"}
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(60) == 130
    assert not lock.is_held(lab.resolved.target.lock_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
def test_on_a_terminal_it_is_one_screen_and_ends_by_q(lab: Lab) -> None:
    import pty

    words = [sys.executable, "-m", "headrace", "watch", "--set", f"data_dir={lab.data_dir}"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        words, cwd=lab.root, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    ) as process:
        os.close(theirs)
        shown, ends = b"", time.monotonic() + 120
        while b"waiting for the next save" not in shown and time.monotonic() < ends:
            if select.select([ours], [], [], 1)[0]:
                shown += os.read(ours, 4096)
        os.write(ours, b"q")
        assert process.wait(60) == 0
    os.close(ours)
    assert b"started" in shown
    assert b"p publish" in shown
