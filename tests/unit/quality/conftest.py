"""Files to compare."""

from pathlib import Path

import pytest
from diff_lab import Pair


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Two files, not there yet."""
    return Pair(tmp_path)
