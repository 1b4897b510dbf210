"""Files to compare."""

from pathlib import Path

import pytest
from diff_lab import DatabasePair


@pytest.fixture
def pair(tmp_path: Path) -> DatabasePair:
    """Two files, not there yet."""
    return DatabasePair(tmp_path)
