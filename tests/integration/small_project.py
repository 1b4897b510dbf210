"""The dbt project without the models of simulated sources: dbt parses it in half of the time."""

import fnmatch
import re
import shutil
from pathlib import Path, PurePosixPath

_WRITTEN = ("target", "logs", "__pycache__")
_UNIT_TESTS = re.compile(r"^unit_tests:\n(?:(?: .*)?\n)*", re.MULTILINE)
_SIMULATED = ("shop", "web_analytics", "*_performance.yml")


def copy_models(
    source: Path, destination: Path, *, whole: bool = False, unit_tests: bool = False
) -> None:
    """Copy a dbt project, with the jaffle shop's models and exposures alone unless it is whole.

    Its unit tests, a sixth of each build, are for the tests that look at them.
    """
    left = _WRITTEN if whole else (*_WRITTEN, *_SIMULATED)
    shutil.copytree(source, destination, ignore=shutil.ignore_patterns(*left))
    if not (whole or unit_tests):
        for path in destination.rglob("*.yml"):
            text = path.read_text(encoding="utf-8")
            path.write_text(_UNIT_TESTS.sub("", text), encoding="utf-8")


def is_simulated(name: str) -> bool:
    """Whether a file of the repository belongs to the models of a simulated source."""
    first, *parts = PurePosixPath(name).parts
    if first != "dbt_project":
        return False
    return any(fnmatch.fnmatch(part, pattern) for part in parts for pattern in _SIMULATED)
