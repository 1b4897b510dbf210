"""Secrets among a source's options: known by their names, and shown to nobody."""

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
_NAME = re.compile(
    r"(^|_)(token|password|passwd|pwd|secret|api_?key|access_?key|private_?key|credentials?)$"
)
_IN_URL = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]*@")
_SHORTEST = 4  # a shorter one would mask words that it stands in by chance


def is_secret(option: str) -> bool:
    """Whether an option is a secret, by its name."""
    return _NAME.search(option.lower()) is not None


def without_password(text: str) -> str:
    """The text with the password of each URL in it masked."""
    return _IN_URL.sub(rf"\1:{MASK}@", text)


def masked(text: str, options: Mapping[str, Any]) -> str:
    """The text with every secret of a source masked, wherever it stands in it."""
    for secret in sorted(_values(options), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return without_password(text)


def _values(options: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    for key, value in options.items():
        if isinstance(value, Mapping):
            found |= _values(value)
        elif is_secret(key) and len(str(value)) >= _SHORTEST:
            found.add(str(value))
    return found
