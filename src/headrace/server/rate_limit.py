"""A rate limit for wrong tokens: how many a client may send in a minute."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

MAX_TOKENS = 20  # different wrong tokens that an address may send in a window
WINDOW = 60.0  # seconds
_MAX_ADDRESSES = 4096


class RateLimit:
    """The wrong tokens of the last minute, by the address that sent them.

    The same wrong token counts once, so that a program with an outdated one does not lock out
    everybody behind the same proxy. Only a hash of a token is kept.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without any attempt; ``clock`` gives seconds."""
        self._clock = clock
        self._wrong: OrderedDict[str, dict[bytes, float]] = OrderedDict()

    def wait(self, address: str) -> int:
        """For how many seconds an address may send no token; 0 if it may."""
        known = self._recent(address)
        if len(known) < MAX_TOKENS:
            return 0
        return max(1, round(WINDOW - (self._clock() - min(known.values()))))

    def add(self, address: str, token: str) -> None:
        """Count a wrong token."""
        known = self._recent(address)
        known.setdefault(
            hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest(), self._clock()
        )
        self._wrong[address] = known
        self._wrong.move_to_end(address)
        while len(self._wrong) > _MAX_ADDRESSES:
            self._wrong.popitem(last=False)

    def _recent(self, address: str) -> dict[bytes, float]:
        oldest = self._clock() - WINDOW
        known = self._wrong.get(address, {})
        return {token: at for token, at in known.items() if at > oldest}
