"""The log file ``data/logs/headrace.jsonl``: one JSON object a line, rotated, without secrets."""

import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from headrace.secrets import hide, hide_in

MAX_BYTES = 5 * 1024 * 1024
_BACKUPS = 3
LOGGER = "headrace"


class _JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        # values that json cannot encode become text, in which secrets are hidden, too
        return json.dumps(hide_in(line), default=lambda value: hide(str(value)))


class _Rotating(RotatingFileHandler):
    """Survives a full disk and, on Windows, another process that has one of its files open."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Drop the line: neither may the work fail because of it, nor a traceback be shown.

        A full disk stops the run by itself, with an error that says so.
        """

    def doRollover(self) -> None:  # noqa: N802 - the name is logging's
        try:
            super().doRollover()
        except PermissionError:
            if self.stream is None:
                self.stream = self._open()


@contextmanager
def logging_to(directory: Path, level: str) -> Iterator[None]:
    """Send the log to a file in ``directory`` for a while, as ``open_log`` does."""
    handler = open_log(directory, level)
    try:
        yield
    finally:
        close_log(handler)


def open_log(directory: Path, level: str) -> logging.Handler:
    """Send the log of ``headrace`` to ``headrace.jsonl`` in ``directory``.

    The file stays below 5 MB; three older ones are kept. ``fields`` (a dict) in a record's
    ``extra`` become keys of the line. Secrets are masked (``headrace.secrets``).

    Args:
        directory: created if it does not exist.
        level: ``debug``, ``info``, ``warning`` or ``error``.

    Returns:
        The handler; give it to ``close_log``.

    Raises:
        OSError: the file cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    handler = _Rotating(
        directory / "headrace.jsonl",
        maxBytes=MAX_BYTES,
        backupCount=_BACKUPS,
        encoding="utf-8",
        delay=True,
    )
    handler.setFormatter(_JsonLine())
    logger = logging.getLogger(LOGGER)
    handler.setLevel(level.upper())
    # a handler of stdout may want more than the file
    logger.setLevel(min(handler.level, logger.level or handler.level))
    logger.propagate = False
    logger.addHandler(handler)
    return handler


def close_log(handler: logging.Handler) -> None:
    """Remove the handler, and close its file."""
    logging.getLogger(LOGGER).removeHandler(handler)
    handler.close()
