"""How names are compared."""

from functools import lru_cache


@lru_cache(maxsize=1 << 16)
def fold(name: str) -> str:
    """A name as it is looked up: upper and lower case alike."""
    return name.lower() if name.isascii() else name.casefold()
