"""The client of openlineage-python that the settings ask for."""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.formatting import one_line
from headrace.secrets import MASK, hide
from headrace.settings import Resolved

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient

FILE_NAME = "openlineage.jsonl"
_CONSOLE = "openlineage.client.transport.console"
_USER_INFO = re.compile(r"//[^/@\s]+@")
# the library's own five attempts would hold a run up by ten seconds and more
_RETRY = {"total": 2, "connect": 1, "read": 0, "backoff_factor": 0.2}


@contextmanager
def open_client(resolved: Resolved) -> "Iterator[OpenLineageClient]":
    """A client with the transport of the settings; closed at the end.

    Without one in the settings, openlineage-python's own rules hold (OPENLINEAGE_URL,
    OPENLINEAGE_CONFIG, openlineage.yml, ...); where they name none either, events are appended to
    ``openlineage.jsonl`` in the data directory. The console transport writes to stderr, so that
    ``--json`` stays alone on stdout.

    Raises:
        ImportError: openlineage-python, or what a transport needs, is not installed.
        Exception: what openlineage-python has to say of a configuration.
    """
    for name in ("openlineage", "urllib3"):
        # what they have to say comes back as an exception; not on stderr, in the midst of a run
        logging.getLogger(name).addHandler(logging.NullHandler())
    from openlineage.client import OpenLineageClient

    settings = resolved.settings.openlineage.transport
    if settings is not None:
        client = OpenLineageClient(config={"transport": _completed(settings.config, resolved)})
    else:
        client = OpenLineageClient()
        named = (client.config.transport or {}).get("type")
        if client.transport.kind == "console" and not named:
            config = _completed({"type": "file"}, resolved)
            client = OpenLineageClient(config={"transport": config})
    with _console_on_stderr():
        try:
            yield client
        finally:
            client.close()


def _completed(config: dict[str, Any], resolved: Resolved) -> dict[str, Any]:
    """The configuration with Headrace's defaults."""
    if config["type"] == "file":
        path = config.get("log_file_path")
        if path is None:
            path = resolved.data_dir / FILE_NAME
        elif "://" not in str(path):
            path = resolved.source_path(Path(str(path)))
        return {"append": True} | config | {"log_file_path": str(path)}
    if config["type"] == "http":
        return config | {"retry": _RETRY | dict(config.get("retry") or {})}
    return config


@contextmanager
def _console_on_stderr() -> Iterator[None]:
    """openlineage-python logs what the console transport should print."""
    logger = logging.getLogger(_CONSOLE)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def hide_secrets(text: str, resolved: Resolved) -> str:
    """The text with secrets masked, among them all private settings of the transport."""
    settings = resolved.settings.openlineage.transport
    if settings is not None:
        for secret in sorted(_texts(settings.model_extra or {}), key=len, reverse=True):
            text = text.replace(secret, MASK)
    text = hide(text)
    return _USER_INFO.sub(f"//{MASK}@", text)


def without_secrets(text: str, resolved: Resolved) -> str:
    """A message without secrets; one line."""
    return one_line(hide_secrets(text, resolved), 300)


def _texts(value: Any, key: str = "") -> Iterator[str]:
    """All texts below keys that may hold secrets."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, key or str(name))
    elif isinstance(value, str) and len(value) > 3 and key not in _OPEN_KEYS:
        yield value


_OPEN_KEYS = frozenset({"log_file_path", "endpoint", "compression", "topic"})
