"""The log: one JSON object a line in ``data/logs/headrace.jsonl``."""

import json
import logging
import traceback
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from headrace.secrets import hide, hide_in

_MAX_BYTES = 5 * 1024 * 1024
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
        # secrets inside what json makes a text of are hidden, too
        return json.dumps(hide_in(line), default=lambda value: hide(str(value)))


class _Rotating(RotatingFileHandler):
    """Outlives a full disk, and on Windows another process that has one of its files open."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Lose the line: the work that it tells of must not fail of it, nor a traceback be shown.

        What filled the disk stops the run by itself, with an error that says so.
        """

    def doRollover(self) -> None:  # noqa: N802 - the name is logging's
        try:
            super().doRollover()
        except PermissionError:
            if self.stream is None:
                self.stream = self._open()


def open_log(directory: Path, level: str) -> logging.Handler:
    """Send the log of ``headrace`` to ``headrace.jsonl`` in ``directory``.

    The file is kept below 5 MB; three older ones stay. What a record carries in ``extra`` as
    ``fields`` (a dict) becomes keys of the line. Secrets are masked (``headrace.secrets``).

    Args:
        directory: made when it is not there.
        level: ``debug``, ``info``, ``warning`` or ``error``.

    Returns:
        The handler; give it to ``close_log``.

    Raises:
        OSError: the file cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    handler = _Rotating(
        directory / "headrace.jsonl",
        maxBytes=_MAX_BYTES,
        backupCount=_BACKUPS,
        encoding="utf-8",
        delay=True,
    )
    handler.setFormatter(_JsonLine())
    logger = logging.getLogger(LOGGER)
    logger.setLevel(level.upper())
    logger.propagate = False
    logger.addHandler(handler)
    return handler


def close_log(handler: logging.Handler) -> None:
    """Take the handler off again."""
    logging.getLogger(LOGGER).removeHandler(handler)
    handler.close()
