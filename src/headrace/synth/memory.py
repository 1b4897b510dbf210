"""Keep the blocks' memory instead of giving it back after each step.

glibc returns every array of 128 kB or more to the kernel as soon as it is freed, and the next one
of the same size is filled with zeros again, page by page: a quarter of the time of generation.
"""

import ctypes
import sys
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 1 << 26


def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MB that were freed; does nothing where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return  # another C library, which has its own ways
    mallopt(_MMAP_THRESHOLD, _KEPT_BYTES // 2)
    mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
