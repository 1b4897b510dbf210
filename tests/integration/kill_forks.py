"""Children of a warm process: fork one, hear what it says, end it.

Importing dlt and dbt takes longer than a run. A parent that has imported them, and that opens
nothing, forks a child for whatever opens DuckDB or is to be killed.
"""

import json
import os
import select
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

PATIENCE_S = 600.0

Tell = Callable[[str], None]


@dataclass
class Child:
    """A forked process and what it has said so far."""

    pid: int
    pipe: int
    lines: list[tuple[float, str]] = field(default_factory=list)
    rest: bytes = b""
    ended: bool = False

    def heard(self, word: str) -> float | None:
        """When it said this; None if it has not."""
        return next((when for when, line in self.lines if line == word), None)

    def listen(self, seconds: float) -> None:
        """Take in what it says within some time; returns as soon as there is anything."""
        ready, _, _ = select.select([self.pipe], [], [], max(0.0, seconds))
        if not ready:
            return
        data = os.read(self.pipe, 1 << 16)
        self.ended = not data
        *lines, self.rest = (self.rest + data).split(b"\n")
        now = time.monotonic()
        self.lines += [(now, line.decode()) for line in lines]

    def wait_for(self, word: str) -> bool:
        """Wait until it says this; False when it ended before."""
        deadline = time.monotonic() + PATIENCE_S
        while self.heard(word) is None and not self.ended:
            self.listen(deadline - time.monotonic())
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                raise TimeoutError(f"no {word!r} from a child in {PATIENCE_S} s")
        return self.heard(word) is not None

    def send(self, number: signal.Signals) -> None:
        """Signal it; it is not reaped before ``end``, so its id cannot be another's."""
        os.kill(self.pid, number)

    def end(self, patience_s: float = PATIENCE_S) -> int:
        """Listen to its end, and give its exit code: negative for a signal."""
        deadline = time.monotonic() + patience_s
        while not self.ended:
            self.listen(deadline - time.monotonic())
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                raise TimeoutError(f"a child did not end in {patience_s} s")
        os.close(self.pipe)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    @property
    def raised(self) -> str | None:
        """The traceback of what its work raised, if it did."""
        return next((json.loads(x[7:]) for _, x in self.lines if x.startswith("raised ")), None)

    def result(self, patience_s: float = PATIENCE_S) -> Any:
        """What its work returned.

        Raises:
            RuntimeError: it raised; the message is its traceback.
        """
        code = self.end(patience_s)
        if self.raised is not None:
            raise RuntimeError(self.raised)
        for _, line in self.lines:
            if line.startswith("result "):
                return json.loads(line[7:])
        raise RuntimeError(f"a child ended with {code} and without a result")


def start(work: Callable[[Tell], Any]) -> Child:
    """Fork a child that does the work; ``Tell`` sends a line to the parent."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid != 0:
        os.close(writer)
        return Child(pid, reader)
    code = 1
    try:
        os.close(reader)
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def tell(line: str) -> None:
            os.write(writer, line.encode() + b"\n")

        try:
            tell(f"result {json.dumps(work(tell))}")
            code = 0
        except BaseException:
            tell(f"raised {json.dumps(traceback.format_exc())}")
    finally:
        os._exit(code)
