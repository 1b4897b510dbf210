"""The dbt project without the models of simulated sources: dbt parses it in half of the time."""

import re
import shutil
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

_WRITTEN = ("target", "logs", "__pycache__")
_UNIT_TESTS = re.compile(r"^unit_tests:\n(?:(?: .*)?\n)*", re.MULTILINE)
_SIMULATED = {
    "shop": ("shop", "shop_performance.yml"),
    "web_analytics": ("web_analytics", "web_performance.yml", "web_shop_performance.yml"),
}
"""Files and folders by source; those of ``web_analytics`` read the shop's, too."""


def copy_models(
    source: Path,
    destination: Path,
    *,
    whole: bool = False,
    simulated: Collection[str] = (),
    unit_tests: bool = False,
) -> None:
    """Copy a dbt project, with the jaffle shop's models and exposures alone unless it is whole.

    Its unit tests, a sixth of each build, are for the tests that look at them.

    Args:
        source: the project.
        destination: where.
        whole: with all models.
        simulated: sources whose models it has, too.
        unit_tests: with unit tests.
    """
    others = () if whole else _SIMULATED.keys() - set(simulated)
    left = (*_WRITTEN, *(name for other in others for name in _SIMULATED[other]))
    shutil.copytree(source, destination, ignore=shutil.ignore_patterns(*left))
    if not (whole or unit_tests):
        for path in destination.rglob("*.yml"):
            text = path.read_text(encoding="utf-8")
            path.write_text(_UNIT_TESTS.sub("", text), encoding="utf-8")


def leave_tests(models: Path, is_left: Callable[[Any], bool]) -> None:
    """Take all other data tests and unit tests out of a dbt project."""

    def without(found: Any) -> Any:
        if isinstance(found, list):
            return [without(one) for one in found]
        if not isinstance(found, dict):
            return found
        return {
            key: [test for test in value if is_left(test)]
            if key in {"data_tests", "unit_tests"}
            else without(value)
            for key, value in found.items()
        }

    for path in sorted(models.glob("models/**/*.yml")):
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        path.write_text(yaml.safe_dump(without(found), sort_keys=False), encoding="utf-8")


def is_simulated(name: str) -> bool:
    """Whether a file of the repository belongs to the models of a simulated source."""
    first, *parts = PurePosixPath(name).parts
    if first != "dbt_project":
        return False
    return any(part in names for part in parts for names in _SIMULATED.values())
