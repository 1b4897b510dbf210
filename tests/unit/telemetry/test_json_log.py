"""The log as JSON lines: their shape, their context, what goes into them and what does not."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from headrace import secrets
from headrace.errors import SettingsError
from headrace.telemetry import json_log
from headrace.telemetry.json_log import DbtLines, about, log_event, to_stdout


class Log:
    """Lines that were written."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def log() -> Iterator[Log]:
    found = Log()
    with to_stdout("info", stream=found.stream):
        yield found


def test_a_line_has_the_known_fields_first_and_no_empty_ones(log: Log) -> None:
    with about(run_id="r1", stage="load"):
        log_event("table loaded", rows=0, seconds=0.5, source="crm", table="", new=[1], error=None)
    (line,) = log.lines
    assert list(line) == [
        "time", "level", "message", "run_id", "stage", "source", "rows", "seconds", "new", "logger",
    ]  # fmt: skip
    assert line["rows"] == 0
    assert line["level"] == "info"
    assert line["time"].endswith("+00:00")


def test_the_context_ends_and_a_line_wins_over_it(log: Log) -> None:
    with about(run_id="r1", stage="load"), about(stage="build", source="crm"):
        log_event("inner", source="erp")
        thread = threading.Thread(target=log_event, args=("of a thread",))
        thread.start()
        thread.join()
    log_event("outer")
    inner, threaded, outer = log.lines
    assert (inner["stage"], inner["source"]) == ("build", "erp")
    assert (threaded["run_id"], threaded["source"]) == ("r1", "crm")
    assert "run_id" not in outer


def test_lines_of_headrace_and_dlt_are_in_it(log: Log) -> None:
    logging.getLogger("headrace.pipeline").info("step began", extra={"fields": {"step": "load"}})
    # dlt sets a formatter of its own on the first handler that it finds
    logging.getLogger("dlt").handlers[0].setFormatter(logging.Formatter("plain %(message)s"))
    logging.getLogger("dlt").warning("a line of\ndlt")
    logging.getLogger("headrace.pipeline").debug("too low")
    first, second = log.lines
    assert (first["stage"], first["logger"]) == ("load", "headrace.pipeline")
    assert (second["message"], second["level"]) == ("a line of\ndlt", "warning")


def dbt_event(level: str, message: str, node: str = "") -> Any:
    info = SimpleNamespace(level=level, msg=message, name="LogModelResult")
    return SimpleNamespace(
        info=info, data=SimpleNamespace(node_info=SimpleNamespace(unique_id=node))
    )


def test_lines_of_dbt_are_in_it(log: Log) -> None:
    told = DbtLines()
    told(dbt_event("debug", "too low"))
    told(dbt_event("info", "  "))
    told(dbt_event("warn", "[WARNING]: look", "model.p.orders"))
    told(SimpleNamespace(info=SimpleNamespace(level="error", msg="no", name="X"), data=None))
    warned, failed = log.lines
    assert warned == {
        "time": warned["time"], "level": "warning", "message": "look", "stage": "build",
        "event": "LogModelResult", "node": "model.p.orders", "logger": "dbt",
    }  # fmt: skip
    assert failed["level"] == "error"


def test_secrets_are_masked(log: Log) -> None:
    secrets.learn({"token": "hunter2-and-more"})
    log_event("with hunter2-and-more", error="at hunter2-and-more", path={"a": "hunter2-and-more"})
    assert "hunter2" not in log.stream.getvalue()


def test_the_error_that_ends_a_command_is_told_once() -> None:
    told, untold = Log(), Log()
    with pytest.raises(SettingsError), to_stdout("info", stream=untold.stream):
        raise SettingsError("change it")
    (line,) = untold.lines
    assert (line["level"], line["message"], line["error"]) == (
        "error",
        "change it",
        "SettingsError",
    )

    def fail() -> None:
        try:
            raise SettingsError("change it")
        except SettingsError:
            logging.getLogger("headrace.pipeline").exception("run ended by an error")
            raise

    with pytest.raises(SettingsError), to_stdout("info", stream=told.stream):
        fail()
    (line,) = told.lines
    assert "SettingsError: change it" in line["exception"]


def test_without_it_nothing_is_logged_and_loggers_are_as_before() -> None:
    dlt = logging.getLogger("dlt")
    before = (dlt.level, dlt.propagate, list(dlt.handlers))
    with to_stdout("debug", stream=io.StringIO()):
        assert json_log.is_on()
        assert json_log.level_of_dlt() == "DEBUG"
    assert (dlt.level, dlt.propagate, list(dlt.handlers)) == before
    assert not json_log.is_on()
    assert json_log.level_of_dlt() is None
    log_event("nobody hears it")


class Gone(io.StringIO):
    def write(self, text: str) -> int:
        del text
        raise BrokenPipeError


def test_a_reader_that_has_gone_ends_the_command() -> None:
    with pytest.raises(BrokenPipeError), to_stdout("info", stream=Gone()):
        log_event("to nobody")
