"""What a source is loaded by: what changes its digest, and what must not."""

from pathlib import Path

import pytest

from headrace.pipeline.state.folder import digests, sources_to_load
from headrace.settings import Resolved, resolve

CONFIG = """
sources:
  orders:
    kind: api
    base_url: https://api.example.org
    token: {}
    pages: {}
  other:
    enabled: false
"""


def config(pages: int, hidden: str = "abc") -> str:
    return CONFIG.format(hidden, pages)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        "config/default.yml": config(3),
        "dlt_pipelines/api/__init__.py": "SCHEMA = 'shared.yml'\n",
        "dlt_pipelines/unrelated/__init__.py": "",
        "data/schemas/orders.yml": "a: 1\n",
        "data/schemas/shared.yml": "b: 1\n",
        "data/schemas/unrelated.yml": "c: 1\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def settings(root: Path, **environ: str) -> Resolved:
    return resolve(root, environ=environ)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("dlt_pipelines/api/__init__.py", "SCHEMA = 'shared.yml'  # changed\n"),
        ("dlt_pipelines/api/more/parts.py", "new = True\n"),
        ("data/schemas/orders.yml", "a: 2\n"),
        ("data/schemas/shared.yml", "b: 2\n"),
        ("config/default.yml", config(4)),
    ],
)
def test_what_a_source_is_loaded_by_changes_it(root: Path, file: str, text: str) -> None:
    before = digests(settings(root))
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(text, encoding="utf-8")
    assert digests(settings(root)) != before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("dlt_pipelines/unrelated/__init__.py", "changed = True\n"),
        ("dlt_pipelines/api/__pycache__/x.pyc", "compiled"),
        ("data/schemas/unrelated.yml", "c: 2\n"),
        ("config/default.yml", config(3, "another")),
    ],
)
def test_what_it_is_not_loaded_by_does_not(root: Path, file: str, text: str) -> None:
    before = digests(settings(root))
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(text, encoding="utf-8")
    assert digests(settings(root)) == before


def test_the_environment_does_not(root: Path) -> None:
    """A path or an address of one machine is no change of the project."""
    before = digests(settings(root))
    address = {"HEADRACE_SOURCES__ORDERS__BASE_URL": "http://localhost:1"}
    assert digests(settings(root, **address)) == before


def test_only_what_changed_is_loaded(root: Path) -> None:
    now = settings(root)
    chosen = now.settings.sources
    before = digests(now)
    assert list(before) == ["orders"]
    to_be, notes = sources_to_load(now, before, {"orders": chosen["orders"]})
    assert to_be == {}
    assert "loaded by what the state's was: orders" in notes[0]
    # a source that the state does not have is new
    to_be, notes = sources_to_load(now, before, dict(chosen))
    assert list(to_be) == ["other"]
    assert sources_to_load(now, {}, dict(chosen))[1] == []
