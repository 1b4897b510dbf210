"""Work without Python's search for circles among objects."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_off() -> Iterator[None]:
    """Switch the garbage collector off for work that makes many objects and few circles.

    It would look through all of them again and again: two thirds of the time of decoding a large
    manifest, a third of that of tracing columns.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
