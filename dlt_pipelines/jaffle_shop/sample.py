"""The sample files: ``data/schemas/jaffle_shop.yml``, generated as CSV."""

from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory

from headrace import portable
from headrace.synth.generate import generate

SCHEMA = Path(__file__).parents[2] / "data" / "schemas" / "jaffle_shop.yml"


def complete_sample(directory: Path, names: Collection[str]) -> None:
    """Write the sample files that are missing, unless one of those present is somebody's own.

    Args:
        directory: where they belong; made where there is none.
        names: of all files.

    Raises:
        OSError: they cannot be written.
        SynthError: the schema file is wrong.
    """
    present = [name for name in names if (directory / name).exists()]
    if len(present) == len(names):
        return
    directory.mkdir(parents=True, exist_ok=True)
    # beside the files, so that each takes its place by a rename
    with TemporaryDirectory(prefix=".generating-", dir=directory) as made:
        generate(SCHEMA, Path(made), kind="csv", threads=1)
        if any(
            (directory / name).read_bytes() != (Path(made) / name).read_bytes() for name in present
        ):
            return
        for name in names:
            if name not in present:
                portable.replace(Path(made) / name, directory / name)
