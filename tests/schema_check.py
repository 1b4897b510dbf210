"""check-jsonschema in this process: its start takes longer than what it checks."""

from contextlib import chdir
from pathlib import Path

from click.testing import CliRunner, Result


def check_jsonschema(*words: str) -> Result:
    """Run it in the root of the repository."""
    from check_jsonschema import main  # type: ignore[import-untyped]

    with chdir(Path(__file__).parents[1]):
        return CliRunner().invoke(main, words)
