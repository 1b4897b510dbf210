"""A place for each type of target, empty, for the tests that hold of all of them.

A new type of target adds a function here, and nothing else, to be held to the contract.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """Settings that lead to an empty place.

    Attributes:
        target: the target's name.
        flags: ``--set`` assignments.
    """

    target: str
    flags: tuple[str, ...] = ()


@contextmanager
def _duckdb(folder: Path) -> Iterator[Place]:
    del folder
    yield Place("duckdb")


PLACES: dict[str, Callable[[Path], AbstractContextManager[Place]]] = {"duckdb": _duckdb}
"""By type; a function skips the test where its extra is not installed (``pytest.importorskip``)."""
