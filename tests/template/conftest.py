"""The template as it stands, once in each process of the tests; and copies of it."""

from pathlib import Path

import pytest
from template_lab import Project, render, snapshot


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
