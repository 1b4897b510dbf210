"""The tests of the machinery need its group of tools, which a user of the project does not have."""

import importlib.util
import signal

import pytest

_GROUP = ("hypothesis", "httpx", "jsonschema", "psutil")


def pytest_configure() -> None:
    missing = [name for name in _GROUP if importlib.util.find_spec(name) is None]
    if missing:
        raise pytest.UsageError(
            f"these tests need {', '.join(missing)}: uv run --all-groups pytest"
        )
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # started by a shell in the background, which children would inherit: no Ctrl-C reached them
        signal.signal(signal.SIGINT, signal.default_int_handler)
