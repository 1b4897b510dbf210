"""The log as JSON on stdout: one object a line, for whatever collects a container's output.

Lines of Headrace, dlt and dbt have one shape: ``time``, ``level``, ``message`` and ``logger``, and
where they are known ``run_id``, ``stage``, ``source``, ``table``, ``rows`` and ``seconds``.
"""

import json
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from headrace.errors import HeadraceError
from headrace.log_file import LOGGER
from headrace.secrets import hide, hide_in

LogFormat = Literal["text", "json"]
EVENTS = logging.getLogger("headrace.events")
"""Tables, nodes and files as they are done: too many for the log file."""
DBT = logging.getLogger("dbt")
FIELDS = ("run_id", "stage", "source", "table", "rows", "seconds")
"""Fields that come first, in this order, where they are known."""

_LOGGERS = (LOGGER, EVENTS.name, DBT.name, "dlt")
_context: dict[str, Any] = {}

EVENTS.propagate = False  # to the log file
EVENTS.addHandler(logging.NullHandler())


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """Fields of all lines that are logged meanwhile, by whatever thread; those of a line win."""
    before = dict(_context)
    _context.update(fields)
    try:
        yield
    finally:
        _context.clear()
        _context.update(before)


def is_on() -> bool:
    """Whether lines go to stdout, so that it is worth making them."""
    return any(isinstance(handler, _JsonHandler) for handler in EVENTS.handlers)


def level_of_dlt() -> str | None:
    """The level that dlt's logger is to have; None if its lines go nowhere."""
    return logging.getLevelName(EVENTS.level) if is_on() else None


def log_event(message: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log something that is done; fields without a value are left out.

    Args:
        message: what it is.
        level: of ``logging``.
        fields: of the line, as in ``FIELDS`` and others.
    """
    if is_on():
        known = {key: value for key, value in fields.items() if value is not None and value != ""}
        EVENTS.log(level, message, extra={"fields": known})


@contextmanager
def to_stdout(level: str, *, stream: TextIO | None = None) -> Iterator[None]:
    """Write the log as JSON lines for a while.

    An error that ends the command is its last line.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        stream: where to; by default stdout.
    """
    handler = _JsonHandler(stream or sys.stdout)
    handler.setLevel(level.upper())
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(level.upper())
        logger.propagate = False
        logger.addHandler(handler)
    try:
        yield
    except HeadraceError as error:
        if handler.told is not error:
            EVENTS.error(str(error), extra={"fields": {"error": type(error).__name__}})
        raise
    finally:
        for logger, known, propagates in before:
            logger.removeHandler(handler)
            logger.setLevel(known)
            logger.propagate = propagates


class _JsonHandler(logging.StreamHandler[TextIO]):
    """One JSON object a line.

    Attributes:
        told: the exception of the newest line that has one.
    """

    told: BaseException | None = None

    def format(self, record: logging.LogRecord) -> str:
        """A record as JSON; dlt sets a formatter of its own, which is not asked."""
        fields = {**_context, **getattr(record, "fields", {})}
        if "step" in fields:
            fields["stage"] = fields.pop("step")
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **{key: fields.pop(key) for key in FIELDS if key in fields},
            **fields,
            "logger": record.name,
        }
        if record.exc_info and record.exc_info[1]:
            self.told = record.exc_info[1]
            line["exception"] = "".join(traceback.format_exception(self.told))
        return json.dumps(hide_in(line), default=lambda value: hide(str(value)))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Fail as other output does: a reader that has gone ends the command."""
        error = sys.exception()
        if isinstance(error, OSError):
            raise error


class DbtLines:
    """A callback for dbt's events that logs them."""

    def __call__(self, event: Any) -> None:
        """Log an event of dbt at its own level."""
        info = event.info
        level = {"warn": logging.WARNING, "error": logging.ERROR, "info": logging.INFO}.get(
            str(info.level), logging.DEBUG
        )
        if not DBT.isEnabledFor(level) or not info.msg.strip():
            return
        fields = {"stage": "build", "event": info.name}
        node = getattr(getattr(event.data, "node_info", None), "unique_id", "")
        if node:
            fields["node"] = node
        message = info.msg.strip().removeprefix("[WARNING]: ")
        DBT.log(level, message, extra={"fields": fields})
