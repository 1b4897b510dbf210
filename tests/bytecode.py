"""Bytecode of the tests' environment, for another of the same Python and the same packages."""

import sys
import sysconfig
from contextlib import suppress
from pathlib import Path


def share(environment: Path, *, pycache_prefix: Path | None = None) -> None:
    """Link what is compiled already, which takes seconds for dlt and dbt.

    uv links both environments to the files of its cache. Python takes bytecode where its source has
    the time and size that were noted, and else compiles anew.

    Args:
        environment: the other one; with a prefix it need not be there yet.
        pycache_prefix: that of the processes that will run there.
    """
    ours = Path(sysconfig.get_path("purelib"))
    site = environment / ours.relative_to(sys.prefix)
    for path in ours.glob("**/__pycache__/*.pyc"):
        package = site / path.parent.parent.relative_to(ours)
        folder = package / "__pycache__"
        if pycache_prefix:
            folder = pycache_prefix / package.relative_to(package.anchor)
        if (pycache_prefix or package.is_dir()) and not (folder / path.name).exists():
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):  # on another file system
                (folder / path.name).hardlink_to(path)
