"""The command line: lazy start-up, exit codes, one line of error."""

import json
import logging
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from headrace.catalog import RunStore
from headrace.cli.main import app, main
from headrace.cli.options import STATE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def headrace(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headrace", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=cwd,
        check=False,
    )


def project_with(folder: Path) -> Path:
    """A project that has nothing but its settings."""
    (folder / "config").mkdir()
    (folder / "dlt_pipelines").mkdir()
    shutil.copy(ROOT / "config" / "default.yml", folder / "config")
    return folder


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['headrace', '--help']\n"
        "from headrace.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'dlt', 'dbt', 'pandas', 'duckdb', 'pyarrow', 'sqlalchemy', 'pydantic', 'rich'}\n"
        "print(code or 0, sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize("group", ["", "add", "contract", "quality", "quarantine"])
def test_no_text_of_a_command_is_cut_in_a_terminal_of_80_columns(group: str) -> None:
    found = CliRunner().invoke(app, [*group.split(), "--help"], env={"COLUMNS": "80"})
    texts = found.stdout.partition("Commands:\n")[2].splitlines()
    assert len(texts) > 0
    assert [text for text in texts if text.endswith("...")] == []


def test_version() -> None:
    assert headrace("--version").stdout == "headrace 0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("where", "--set", "log_level=loud"), "log_level"),
        (("where", "--env", "nowhere"), "config/nowhere.yml"),
        (("where", "--target", "pond"), "'pond' is not one of"),
        (("load", "--source", "nothing"), "known: jaffle_shop"),
        (("load", "--set", "sources.jaffle_shop.pth=x"), "unknown key; this source takes"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    result = headrace(*arguments, "--set", f"data_dir={tmp_path}")
    assert result.returncode == 2
    assert result.stdout == ""
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("where", "--set", "log_level=loud"), "log_level"),
        (("status", "--limit", "0"), "--limit"),
        (("load", "--source", "nothing"), "known: jaffle_shop"),
        (("run", "--jsn"), "No such option: --jsn"),
        (("add", "source"), "Missing argument"),
        (("lineage", "orders"), "there is no catalog yet"),
        (("nothing",), "No such command"),
    ],
)
def test_with_json_a_command_that_could_not_run_prints_json_alone(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    result = headrace(*arguments, "--json", cwd=project_with(tmp_path))
    report = json.loads(result.stdout)
    assert result.returncode == 2
    assert set(report) == {"command", "status", "exit_code", "error"}
    assert report["command"] == " ".join(["headrace", *arguments[: 1 + (arguments[0] == "add")]])
    assert (report["status"], report["exit_code"]) == ("error", 2)
    assert message in report["error"]


def error_in_json(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 2, result.stderr
    report = json.loads(result.stdout)
    assert (report["status"], report["exit_code"]) == ("error", 2)
    return str(report["error"])


def test_with_json_a_warehouse_that_is_open_elsewhere_is_told_in_json(tmp_path: Path) -> None:
    project = project_with(tmp_path)
    (project / "data").mkdir()
    with duckdb.connect(project / "data" / "warehouse.duckdb"):
        told = error_in_json(headrace("load", "--json", cwd=project))
    assert f"warehouse.duckdb is open in process {os.getpid()}" in told


def test_with_json_a_run_store_of_a_newer_version_is_told_in_json(tmp_path: Path) -> None:
    project = project_with(tmp_path)
    (project / "data").mkdir()
    store = project / "data" / "runs.sqlite"
    RunStore(f"sqlite:///{store}").close()
    with sqlite3.connect(store) as connection:
        (table,) = connection.execute(
            "select name from sqlite_master where name like '%meta'"
        ).fetchone()
        connection.execute(f"update {table} set value = 99 where key = 'schema_version'")
    connection.close()
    url = ("--set", f"run_store.url=sqlite:///{store}")
    for command in ("status", "run"):
        told = error_in_json(headrace(command, "--json", *url, cwd=project))
        assert "the run store is of version 99" in told


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("jinja2", ("docs", "--out", "site")),
        ("sdv", ("learn", "rows.csv", "--sdv", "--out", "learned")),
        ("psycopg", ("status", "--set", "run_store.url=postgresql://127.0.0.1:9/x")),
    ],
)
def test_with_json_an_extra_that_is_missing_is_told_in_json(
    module: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    project = project_with(tmp_path)
    (project / "rows.csv").write_text("id\n1\n2\n")
    script = (
        f"import sys; sys.modules[{module!r}] = None; sys.argv[0] = 'headrace'\n"
        "from headrace.cli.main import main; main()"
    )
    told = error_in_json(
        subprocess.run(
            [sys.executable, "-c", script, *arguments, "--json"],
            capture_output=True,
            text=True,
            cwd=project,
            check=False,
        )
    )
    assert "uv sync --extra" in told


def test_a_fault_of_the_machine_is_no_bug_to_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("headrace.cli.options.Call.settings", fail)
    monkeypatch.setattr(sys, "argv", ["headrace", "where"])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert "ulimit -n" in said
    assert "report it" not in said


def test_debug_adds_the_traceback(tmp_path: Path) -> None:
    result = headrace("where", "--set", "log_level=loud", "--debug")
    assert result.returncode == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")


def test_outside_a_project_it_says_so(tmp_path: Path) -> None:
    result = headrace("status", cwd=tmp_path)
    assert result.returncode == 2
    assert "not inside a Headrace project" in result.stderr


def test_where_and_status_are_json_and_write_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    where = json.loads(headrace("where", "--json", "--set", f"data_dir={data}").stdout)
    assert {"key": "data_dir", "value": str(data), "layer": "flag"} in where["settings"]
    status = json.loads(headrace("status", "--json", "--set", f"data_dir={data}").stdout)
    assert status["runs"] == []
    assert not data.exists()


def test_doctor_finds_this_machine_good(tmp_path: Path) -> None:
    result = headrace("doctor", "--json", "--set", f"data_dir={tmp_path}")
    report = json.loads(result.stdout)
    assert result.returncode == 0, report
    assert report["ok"]
    assert {"interpreter", "packages", "disk", "write access", "port", "extensions"} <= {
        check["name"] for check in report["checks"]
    }


def test_doctor_looks_at_the_port_that_is_set(tmp_path: Path) -> None:
    def port(*flags: str) -> dict[str, Any]:
        words = [word for flag in (f"data_dir={tmp_path}", *flags) for word in ("--set", flag)]
        checks = json.loads(headrace("doctor", "--json", *words).stdout)["checks"]
        (found,) = [check for check in checks if check["name"] == "port"]
        return dict(found)

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        found = port(f"serve.port={number}")
        assert (found["good"], found["found"]) == (None, f"{number} of 127.0.0.1 is in use")
        assert "serve.port" in found["advice"]
    assert port("serve.port=0")["good"] is True
    elsewhere = port("serve.host=192.0.2.1", "serve.port=0")
    assert elsewhere["found"].startswith("0 of 192.0.2.1 cannot be used: ")


def test_doctor_tells_of_a_run_that_begins_in_the_future(tmp_path: Path) -> None:
    from headrace.catalog import RunStore

    class NextYear(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "NextYear":
            return cls.fromtimestamp(time.time() + 366 * 86_400, tz)

    store = RunStore(f"sqlite:///{tmp_path / 'headrace.sqlite'}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headrace.catalog.store.datetime", NextYear)
        store.begin_run("r", command="c", target="duckdb", lock="l", code_version="v")
    store.close()
    result = headrace("doctor", "--set", f"data_dir={tmp_path}")
    assert "the newest run began in the future" in " ".join(result.stdout.split())


def test_doctor_says_what_to_do_about_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = headrace("doctor", "--set", f"data_dir={tmp_path / 'file' / 'data'}")
    assert result.returncode == 1
    assert "HEADRACE_DATA_DIR" in result.stdout


@pytest.mark.parametrize(
    "where",
    [
        pytest.param("typer.core.TyperGroup.parse_args", id="reading the arguments"),
        pytest.param("headrace.cli.options.Call.settings", id="in the command"),
    ],
)
def test_ctrl_c_is_one_line_and_exit_code_130_at_any_time(
    where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def press(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(where, press)
    monkeypatch.setattr(sys, "argv", ["headrace", "where"])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr().err
    assert end.value.code == 130
    assert said.startswith("error: stopped")
    assert len(said.splitlines()) == 1


def test_ctrl_c_as_a_signal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def press(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("headrace.cli.options.Call.settings", press)
    monkeypatch.setattr(sys, "argv", ["headrace", "where"])
    with pytest.raises(SystemExit):
        main()
    assert STATE.stopped
    assert capsys.readouterr().err.startswith("error: stopped")


def test_what_a_command_set_in_this_process_is_gone_in_the_next_test() -> None:
    assert not STATE.stopped
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert logging.raiseExceptions


@pytest.mark.parametrize(("command", "is_resumed"), [("run", True), ("test-strength", False)])
def test_ctrl_c_says_that_a_command_takes_up_where_it_ended_only_if_it_does(
    command: str,
    is_resumed: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def press(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("headrace.cli.options.Call.settings", press)
    monkeypatch.setattr(sys, "argv", ["headrace", command])
    with pytest.raises(SystemExit):
        main()
    assert ("takes up where it ended" in capsys.readouterr().err) is is_resumed


def assert_stopped(script: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 130
    assert result.stderr.startswith("error: stopped")
    assert len(result.stderr.splitlines()) == 1


def test_ctrl_c_that_a_library_swallows_is_not_an_error_of_ours() -> None:
    script = (
        "import signal\n"
        "import headrace.cli.main as cli\n"
        "def app():\n"
        "    try: signal.raise_signal(signal.SIGINT)\n"
        "    except BaseException: pass\n"
        "    raise AttributeError('partially initialized module')\n"
        "cli.app = app\n"
        "cli.main()"
    )
    assert_stopped(script)


def test_ctrl_c_in_a_finalizer_is_not_lost() -> None:
    script = (
        "import signal, time\n"
        "import headrace.cli.main as cli\n"
        "class Finalized:\n"
        "    def __del__(self): signal.raise_signal(signal.SIGINT)\n"
        "def app():\n"
        "    Finalized()\n"
        "    time.sleep(60)\n"
        "cli.app = app\n"
        "cli.main()"
    )
    assert_stopped(script)
