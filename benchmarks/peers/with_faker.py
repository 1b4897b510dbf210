"""Faker: customers with unique e-mails."""

import datetime
import json
import time

from faker import Faker

COUNT = 10_000


def customers() -> list[tuple[int, str, str, str, datetime.datetime]]:
    """The five columns of the example."""
    fake = Faker()
    fake.seed_instance(1)
    first, last = datetime.datetime(2023, 1, 1), datetime.datetime(2024, 12, 31)  # noqa: DTZ001
    return [
        (n, fake.first_name(), fake.last_name(), fake.unique.email(),
         fake.date_time_between_dates(first, last))
        for n in range(COUNT)
    ]  # fmt: skip


started = time.perf_counter()
rows = customers()
seconds = time.perf_counter() - started
assert len({row[3] for row in rows}) == COUNT
print(json.dumps({"rows": COUNT, "seconds": seconds, "what": f"{COUNT:,} customers",
                  "same": rows == customers()}))  # fmt: skip
