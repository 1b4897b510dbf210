"""A project in which a source can be scaffolded, or was."""

from pathlib import Path

import pytest
from scaffold_bench import Bench, make_bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A project in which nothing was scaffolded yet."""
    return make_bench(tmp_path)


@pytest.fixture
def done(bench: Bench) -> Bench:
    """A project in which the source was scaffolded once."""
    bench.scaffold()
    return bench
