"""Labs to run in: empty ones, and copies of one that has run once."""

import shutil
from pathlib import Path

import pytest
from lab import REAL_DATA, ROOT, Lab, Shop, copy_project


@pytest.fixture(scope="session")
def jaffle_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose models are the jaffle shop's, as most tests need no others; read only."""
    import dlt_pipelines  # noqa: F401 - the repository's, whichever project is run first

    root = copy_project(tmp_path_factory.mktemp("jaffle") / "project")
    shutil.copytree(ROOT / "data" / "schemas", root / "data" / "schemas")
    return root


@pytest.fixture(scope="session", autouse=True)
def _macros_are_read_once() -> None:
    """dbt's own switch for tests: Jinja parses a macro's text once in a process."""
    from dbt_common.tests import enable_test_caching

    enable_test_caching()


@pytest.fixture
def lab(tmp_path: Path, jaffle_root: Path) -> Lab:
    """An empty data directory."""
    return Lab(tmp_path / "data", jaffle_root)


@pytest.fixture
def whole_lab(tmp_path: Path) -> Lab:
    """An empty data directory, and the repository itself, with the models of all sources."""
    return Lab(tmp_path / "data", ROOT)


@pytest.fixture
def shop(lab: Lab, tmp_path: Path) -> Shop:
    """An empty folder for the ``files`` source."""
    folder = tmp_path / "files"
    folder.mkdir()
    return Shop(lab, folder)


@pytest.fixture(scope="session")
def _sample_run(tmp_path_factory: pytest.TempPathFactory, jaffle_root: Path) -> Path:
    data_dir = tmp_path_factory.mktemp("sample") / "data"
    assert Lab(data_dir, jaffle_root).run().status == "success"
    return data_dir


@pytest.fixture
def done(_sample_run: Path, lab: Lab) -> Lab:
    """A data directory in which the sample was run once (a copy, told that it was built there)."""
    shutil.copytree(_sample_run, lab.data_dir)
    lab.say_it_was_built_here()
    return lab


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the sample was run once, as users have it: to copy."""
    root = copy_project(tmp_path_factory.mktemp("ran") / "shop", unit_tests=True)
    shutil.copytree(ROOT / "data" / "schemas", root / "data" / "schemas")
    assert Lab(root / "data", root, observes=True).run().status == "success"
    return root


@pytest.fixture
def real_files(tmp_path: Path) -> Path:
    """The three files of the jaffle shop, to change at will."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"the project's data is not at {REAL_DATA}")
    folder = tmp_path / "real"
    folder.mkdir()
    for path in REAL_DATA.glob("*.csv"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder
