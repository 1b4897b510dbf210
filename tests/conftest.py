"""The tests of the machinery need its group of tools, which a user of the project does not have."""

import importlib.util

import pytest

_GROUP = ("hypothesis", "httpx", "jsonschema", "psutil")


def pytest_configure() -> None:
    missing = [name for name in _GROUP if importlib.util.find_spec(name) is None]
    if missing:
        raise pytest.UsageError(
            f"these tests need {', '.join(missing)}: uv run --all-groups pytest"
        )
