"""What went wrong on the way to a server, in few words."""

import re

_ERRNO = re.compile(r"\[Errno -?\d+\] (?P<why>[\w ]+)")
_TOO_MANY = re.compile(r"too many (?P<status>\d{3}) error responses")


def in_words(error: Exception) -> str:
    """The point of an error of the network, which is deep in its text; of others, all of it."""
    text = str(error)
    if type(error).__module__.startswith(("requests.", "urllib3.")):
        if "timed out" in text.lower():
            return "no answer in time"
        if found := _TOO_MANY.search(text):
            return f"it answers with status {found['status']}"
        if found := _ERRNO.search(text):
            return f"no connection: {found['why'].strip()}"
    return f"{type(error).__name__}: {text}"
