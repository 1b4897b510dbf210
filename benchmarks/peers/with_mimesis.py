"""mimesis: customers with unique e-mails."""

import datetime
import json
import time

from mimesis import Datetime, Person
from mimesis.locales import Locale

COUNT = 100_000


def customers() -> list[tuple[int, str, str, str, datetime.datetime]]:
    """The five columns of the example."""
    person, moment = Person(Locale.EN), Datetime()  # it refuses unique with a seed
    return [
        (n, person.first_name(), person.last_name(), person.email(unique=True),
         moment.datetime(start=2023, end=2024))
        for n in range(COUNT)
    ]  # fmt: skip


started = time.perf_counter()
rows = customers()
seconds = time.perf_counter() - started
assert len({row[3] for row in rows}) == COUNT
print(json.dumps({"rows": COUNT, "seconds": seconds, "what": f"{COUNT:,} customers",
                  "same": rows == customers()}))  # fmt: skip
