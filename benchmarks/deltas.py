"""A snapshot and what changed in its last day, in turn in one process; prints the seconds as JSON.

One process, for the start of Python and its imports would be most of a delta's time.
"""

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path

from headrace.synth.generate import generate


def main() -> None:
    """One round is not counted."""
    schema, out, runs = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    moment = datetime(2025, 1, 1)  # noqa: DTZ001
    rounds = []
    for _ in range(runs + 1):
        whole = generate(schema, out, as_of=moment, tables=("order",))
        part = generate(
            schema, out, as_of=moment, since=moment - timedelta(days=1), tables=("order",)
        )
        rounds.append(
            {"rows": whole.rows, "changed": part.rows, "snapshot": whole.seconds,
             "delta": part.seconds}
        )  # fmt: skip
    print(json.dumps(rounds[1:]))


if __name__ == "__main__":
    main()
