"""Wrong tokens, counted by who sent them, so that nobody can try many."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

MOST = 20  # different wrong tokens that an address may send in a window
WINDOW = 60.0  # seconds
_ADDRESSES = 4096


class Guesses:
    """The wrong tokens of the last minute.

    The same wrong token counts once: a program that was left with an old one locks out nobody who
    comes through the same proxy. Of a token only a hash is kept.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nobody has guessed yet; ``clock`` gives seconds."""
        self._clock = clock
        self._wrong: OrderedDict[str, dict[bytes, float]] = OrderedDict()

    def wait(self, address: str) -> int:
        """For how many seconds an address may send no token; 0: it may."""
        known = self._recent(address)
        if len(known) < MOST:
            return 0
        return max(1, round(WINDOW - (self._clock() - min(known.values()))))

    def note(self, address: str, token: str) -> None:
        """Remember a wrong token."""
        known = self._recent(address)
        known.setdefault(
            hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest(), self._clock()
        )
        self._wrong[address] = known
        self._wrong.move_to_end(address)
        while len(self._wrong) > _ADDRESSES:
            self._wrong.popitem(last=False)

    def _recent(self, address: str) -> dict[bytes, float]:
        oldest = self._clock() - WINDOW
        known = self._wrong.get(address, {})
        return {token: at for token, at in known.items() if at > oldest}
