"""The template as it stands, once in each process of the tests; and copies of it."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from template_lab import ROOT, UV, Project, render, snapshot

sys.path.append(str(ROOT / "tests" / "integration"))  # for warm_process
_UV_FROM_CACHE = f"""#!/bin/sh
[ "$1" = lock ] && '{UV}' "$@" --offline 2> /dev/null && exit
exec '{UV}' "$@"
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test of a class with ``SETS`` has each of its projects, but for those not to be run."""
    sets = getattr(metafunc.cls, "SETS", None)
    if sets is not None:
        if "runs" in metafunc.function.__name__:
            sets = {name: sets[name] for name in sets if name not in metafunc.cls.NOT_RUN}
        metafunc.parametrize("project", sets.items(), ids=list(sets), indirect=True, scope="class")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository of the working tree, tagged; to be read only."""
    return snapshot(tmp_path_factory.mktemp("template") / "headrace")


@pytest.fixture(scope="session", autouse=True)
def _uv_looks_in_its_cache_first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """uv asks an index anew about each of 300 packages: seven seconds of CPU, and twenty of time.

    What the cache does not have is asked for all the same.
    """
    with pytest.MonkeyPatch.context() as patch:
        if os.name != "nt":
            script = tmp_path_factory.mktemp("uv") / "uv"
            script.write_text(_UV_FROM_CACHE, encoding="utf-8")
            script.chmod(0o755)
            patch.setenv("UV", str(script))
        yield


@pytest.fixture(scope="session")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that projects share, one after the other."""
    return tmp_path_factory.mktemp("environment") / "venv"


@pytest.fixture(scope="class")
def project(
    request: pytest.FixtureRequest,
    template: Path,
    venv: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Project:
    """A copy in a folder of the given name."""
    name, answers = request.param
    folder = tmp_path_factory.mktemp("copies") / name
    return Project(render(template, folder, **answers), venv, answers)
