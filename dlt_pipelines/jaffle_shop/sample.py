"""The sample files: ``data/schemas/jaffle_shop.yml``, generated as CSV."""

from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory

from headrace import portable

SCHEMA = Path(__file__).parents[2] / "data" / "schemas" / "jaffle_shop.yml"


def complete_sample(directory: Path, names: Collection[str]) -> None:
    """Write the missing sample files, unless an existing one was changed or replaced.

    Args:
        directory: where to write them; created if it does not exist.
        names: of all files.

    Raises:
        OSError: they cannot be written.
        SynthError: the schema file is wrong.
    """
    present = [name for name in names if (directory / name).exists()]
    if len(present) == len(names):
        return
    from headrace.synth.generate import generate  # numpy, for the first run alone

    directory.mkdir(parents=True, exist_ok=True)
    # in the same directory, so that each file appears by a rename
    with TemporaryDirectory(prefix=".generating-", dir=directory) as made:
        generate(SCHEMA, Path(made), kind="csv", threads=1)
        if any(
            (directory / name).read_bytes() != (Path(made) / name).read_bytes() for name in present
        ):
            return
        for name in names:
            if name not in present:
                portable.replace(Path(made) / name, directory / name)
